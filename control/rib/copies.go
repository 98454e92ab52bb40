package rib

import (
	"slices"

	"weft/control/kernel"
)

// copies are the routes of protocol 119 that the kernel has: what weft itself has
// programmed. They are no candidates, with one exception: see adopts.
type copies struct {
	first byPrefix[copied]
	more  map[key][]copied // rare: while a route changes its metric
	by    map[uint32]int   // how many name a next-hop object
}

type copied struct {
	metric     uint32
	nextHop    uint32
	kind       uint8 // RTN_*
	generation uint8
}

func newCopies() copies {
	return copies{newByPrefix[copied](), map[key][]copied{}, map[uint32]int{}}
}

func (c *copies) at(k key) []copied {
	first, ok := c.first.get(k)
	if !ok {
		return nil
	}
	return append([]copied{first}, c.more[k]...)
}

func (c *copies) put(k key, list []copied) {
	for _, o := range c.at(k) {
		if c.by[o.nextHop]--; c.by[o.nextHop] == 0 {
			delete(c.by, o.nextHop)
		}
	}
	c.first.delete(k)
	delete(c.more, k)
	for _, o := range list {
		c.by[o.nextHop]++
	}
	if len(list) > 0 {
		c.first.set(k, list[0])
	}
	if len(list) > 1 {
		c.more[k] = list[1:]
	}
}

// copyOf returns the key of a route if it is one of weft's own.
func (r *RIB) copyOf(m *kernel.Route) (k key, ok bool) {
	if m.Protocol != ProtocolWeft || m.Table == tableLocal || m.Cached || m.Prefix.Addr().Is4In6() {
		return key{}, false
	}
	vrf, known := r.vrfs[m.Table]
	k = newKey(vrf, m.Prefix)
	return k, known && !isReserved(k)
}

// takeCopy takes note of a route of weft's own that the kernel has. It reports
// whether it is to be a candidate.
func (r *RIB) takeCopy(k key, m *kernel.Route) bool {
	list := r.copies.at(k)
	c := copied{m.Metric, m.NextHop, m.Type, r.generation}
	if i := slices.IndexFunc(list, func(o copied) bool { return o.metric == c.metric }); i >= 0 {
		list[i] = c
	} else {
		list = append(list, c)
	}
	r.copies.put(k, list)
	return r.adopts(k)
}

// adopts reports whether what an earlier weft has programmed stands for the route of
// a source that is not back yet. It does from the first synchronization on until
// a source offers a route to the prefix, or the kernel drops it.
func (r *RIB) adopts(k key) bool {
	_, own := r.best(k, (*candidate).isOwn)
	return r.loading() && !own || r.hasAdopted(k)
}

func (r *RIB) hasAdopted(k key) bool {
	_, has := r.best(k, (*candidate).isCopy)
	return has
}

// dropCopy takes note that the kernel has a route of weft's own no longer.
func (r *RIB) dropCopy(k key, metric uint32) {
	list := r.copies.at(k)
	i := slices.IndexFunc(list, func(o copied) bool { return o.metric == metric })
	if i < 0 {
		return
	}
	r.copies.put(k, slices.Delete(list, i, i+1))
	if told, ok := r.exports.told.get(k); ok && told.metric == metric {
		r.exports.lost = append(r.exports.lost, Key{k})
	}
}

// dropCopiesIf is dropCopy for all that satisfy a condition.
func (r *RIB) dropCopiesIf(is func(copied) bool) {
	var keys []key
	for k, c := range r.copies.first.all() {
		if is(c) || slices.ContainsFunc(r.copies.more[k], is) {
			keys = append(keys, k)
		}
	}
	for _, k := range keys {
		for _, c := range r.copies.at(k) {
			if is(c) {
				r.dropCopy(k, c.metric)
			}
		}
	}
}
