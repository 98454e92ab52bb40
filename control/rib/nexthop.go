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
		r.flushDoomed() // a new object of the same number
	}
	old := r.nextHops[n.ID]
	if old != nil && reflect.DeepEqual(old.NextHop, n) {
		old.generation = r.generation
		return
	}
	r.nextHops[n.ID] = &nextHop{n, r.generation}
	r.nextHopChanged(n.ID)
}

// DeleteNextHop takes note that an object has gone. The kernel drops its routes
// with it, for IPv4 without saying so.
func (r *RIB) DeleteNextHop(id uint32) {
	if r.nextHops[id] == nil {
		return
	}
	delete(r.nextHops, id)
	r.affected(func(g *group) bool {
		if g.nextHop == id {
			r.doomed[id] = true
		}
		return r.uses(g, id)
	})
}

func (r *RIB) nextHopChanged(id uint32) {
	r.affected(func(g *group) bool { return r.uses(g, id) })
}

// uses reports whether a group leads through an object, itself or in a group of
// objects.
func (r *RIB) uses(g *group, id uint32) bool {
	if g.nextHop == 0 || g.nextHop == id {
		return g.nextHop == id
	}
	if n := r.nextHops[g.nextHop]; n != nil {
		for _, m := range n.Members {
			if m.ID == id {
				return true
			}
		}
	}
	return false
}

// objectHops returns the hops of an object. Members that are gone do not count:
// the kernel takes them out of the group.
func (r *RIB) objectHops(id uint32) (hops []hop, mode fib.Mode, blackhole bool) {
	n := r.nextHops[id]
	switch {
	case n == nil:
		return nil, 0, false
	case n.Blackhole:
		return nil, 0, true
	case !n.IsGroup():
		return []hop{{n.Hop.Link, n.Hop.Gateway, 1, n.Hop.Encap}}, fib.HashThreshold, false
	}
	for _, m := range n.Members {
		one := r.nextHops[m.ID]
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

// flushDoomed removes the routes of objects that have gone: one look at all
// routes for all of them.
func (r *RIB) flushDoomed() {
	if len(r.doomed) == 0 {
		return
	}
	r.removeIf(func(c *candidate) bool { return r.doomed[r.groups[c.group].nextHop] })
	clear(r.doomed)
}

func (r *RIB) sweepNextHops() {
	for id, n := range r.nextHops {
		if n.generation != r.generation {
			r.DeleteNextHop(id)
		}
	}
}
