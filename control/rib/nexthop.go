package rib

import (
	"reflect"

	"weft/control/kernel"
	"weft/fib"
)

type nextHop struct {
	kernel.NextHop
	generation uint8
}

// SetNextHop takes a next-hop object as the kernel has it now. The groups that
// use it are written again, not the routes.
func (r *RIB) SetNextHop(n kernel.NextHop) {
	if r.doomed[n.ID] {
		r.partWithDoomed(n.ID) // a new object of the same number
	}
	old := r.nextHops[n.ID]
	if old != nil && reflect.DeepEqual(old.NextHop, n) {
		old.generation = r.generation
		return
	}
	r.nextHops[n.ID] = &nextHop{n, r.generation}
	r.nextHopChanged(Kernel, n.ID)
}

// DeleteNextHop takes note that an object has gone. The kernel drops its routes
// with it, for IPv4 without saying so.
func (r *RIB) DeleteNextHop(id uint32) {
	if r.nextHops[id] == nil {
		return
	}
	delete(r.nextHops, id)
	for _, g := range r.groups {
		if g != nil && g.by == Kernel && g.nextHop == id {
			g.doomed, r.doomed[id], r.leavingMore = true, true, true
		}
	}
	if r.copies.by[id] > 0 {
		r.doomed[id], r.leavingMore = true, true
	}
	r.nextHopChanged(Kernel, id)
}

// nextHopChanged makes the groups that use an object be written again with the next
// publication: a daemon may replace thousands a second, each of which is in the same groups.
func (r *RIB) nextHopChanged(s Source, id uint32) {
	r.tracking.objects[objectKey{s, id}] = struct{}{}
	r.disturb()
}

// partWithDoomed makes routes to a new object be of another group than those that
// are about to go with the old one. They go at the end, all at once.
func (r *RIB) partWithDoomed(id uint32) {
	for _, g := range r.groups {
		if g != nil && g.doomed && g.nextHop == id && r.byName[g.name] != 0 && r.groups[r.byName[g.name]] == g {
			delete(r.byName, g.name)
		}
	}
}

// objectKey names a next-hop object of a source.
type objectKey struct {
	source Source
	id     uint32
}

// usesAny reports whether a group leads through one of some objects, itself or in a
// group of objects.
func (r *RIB) usesAny(g *group, objects map[objectKey]struct{}) bool {
	if g.nextHop == 0 {
		return false
	}
	if _, ok := objects[objectKey{g.by, g.nextHop}]; ok {
		return true
	}
	if n := r.objects[g.by][g.nextHop]; n != nil {
		for _, m := range n.Members {
			if _, ok := objects[objectKey{g.by, m.ID}]; ok {
				return true
			}
		}
	}
	return false
}

// objectHops returns the hops of an object of the kernel.
func (r *RIB) objectHops(id uint32) (hops []hop, mode fib.Mode, blackhole bool) {
	return r.objectHopsOf(Kernel, id)
}

// objectHopsOf returns the hops of an object of a source. Members that are gone do
// not count: the kernel takes them out of the group.
func (r *RIB) objectHopsOf(s Source, id uint32) (hops []hop, mode fib.Mode, blackhole bool) {
	objects := r.objects[s]
	n := objects[id]
	switch {
	case n == nil:
		return nil, 0, false
	case n.Blackhole:
		return nil, 0, true
	case !n.IsGroup():
		return []hop{{n.Hop.Link, n.Hop.Gateway, 1, n.Hop.Encap}}, fib.HashThreshold, false
	}
	for _, m := range n.Members {
		one := objects[m.ID]
		switch {
		case one == nil || one.IsGroup(): // the kernel does not nest groups
		case one.Blackhole:
			return nil, 0, true // it is the only member then
		default:
			hops = append(hops, hop{one.Hop.Link, one.Hop.Gateway, m.Weight, one.Hop.Encap})
		}
	}
	if n.Resilient {
		mode = fib.Resilient
	}
	return hops, mode, false
}

// flushDoomed removes routes of objects that have gone, some with each publication. Until
// they are all gone their groups leave packets to the kernel.
func (r *RIB) flushDoomed() {
	if len(r.doomed) == 0 {
		return
	}
	if r.leavingMore { // one look at all routes for all of them
		r.leaving, r.leavingMore = append(r.leaving, r.keysWith(r.isDoomed)...), false
		r.dropCopiesIf(func(c copied) bool { return r.doomed[c.nextHop] && r.nextHops[c.nextHop] == nil })
	}
	n := min(len(r.leaving), sweepAtOnce)
	for _, k := range r.leaving[:n] {
		r.removeAt(k, r.isDoomed)
	}
	if r.leaving = r.leaving[n:]; len(r.leaving) == 0 {
		r.leaving = nil
		clear(r.doomed)
	}
}

func (r *RIB) isDoomed(c *candidate) bool { return r.groups[c.group].doomed }

// IsBehind reports whether the next publication has something to do though nothing changes.
func (r *RIB) IsBehind() bool { return len(r.leaving) > 0 }

// withoutDoomed parts candidates, which are given away, from those that are about to go.
func (r *RIB) withoutDoomed(list []candidate) (stay, gone []candidate) {
	if len(r.doomed) == 0 {
		return list, nil
	}
	stay = list[:0]
	for _, c := range list {
		if r.isDoomed(&c) {
			gone = append(gone, c)
		} else {
			stay = append(stay, c)
		}
	}
	return stay, gone
}

func (r *RIB) sweepNextHops() {
	for id, n := range r.nextHops {
		if n.generation != r.generation {
			r.DeleteNextHop(id)
		}
	}
}
