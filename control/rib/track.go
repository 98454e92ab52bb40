package rib

import (
	"maps"

	"github.com/gaissmai/bart"
)

// tracking knows which groups are to be looked at again when a route changes: those
// that were found through a gateway that the route's prefix covers. They are
// expanded once, with the next publication, however much has changed.
type tracking struct {
	gateways map[uint16]*bart.Table[*users] // by VRF
	groups   map[*group]struct{}            // that were found through gateways
	dirty    map[*group]struct{}
	all      bool                   // groups are dirty
	objects  map[objectKey]struct{} // that have changed: groups that use them are dirty
	turned   map[*group]struct{}    // that are dead now, or no longer: their prefixes are to be installed again
}

type users map[*group]struct{}

func newTracking() tracking {
	return tracking{
		gateways: map[uint16]*bart.Table[*users]{},
		groups:   map[*group]struct{}{}, dirty: map[*group]struct{}{}, objects: map[objectKey]struct{}{}, turned: map[*group]struct{}{},
	}
}

// expandAgain brings up to date what a group comes to.
func (r *RIB) expandAgain(g *group) {
	old, first := g.flat, len(g.flat.hops) == 0 && g.flat.end == 0 && !g.dead
	g.flat = r.expand(g)
	r.track(g, old.gateways)
	dead := len(g.flat.hops) == 0 && g.flat.end == 0
	if dead != g.dead && !first {
		r.tracking.turned[g] = struct{}{}
	}
	g.dead = dead
	if g.export != 0 && !g.flat.equals(&old) {
		r.exports.groups[g] = struct{}{}
	}
}

// track makes a group be looked at again when routes to its gateways change.
func (r *RIB) track(g *group, before []key) {
	t := &r.tracking
	for _, gw := range before {
		table := t.gateways[gw.vrf]
		u, _ := table.Get(gw.prefix())
		if delete(*u, g); len(*u) == 0 {
			table.Delete(gw.prefix())
		}
	}
	delete(t.groups, g)
	for _, gw := range g.flat.gateways {
		table := t.gateways[gw.vrf]
		if table == nil {
			table = new(bart.Table[*users])
			t.gateways[gw.vrf] = table
		}
		u, ok := table.Get(gw.prefix())
		if !ok {
			u = &users{}
			table.Insert(gw.prefix(), u)
		}
		(*u)[g] = struct{}{}
		t.groups[g] = struct{}{}
	}
}

// touch takes note that the candidates of a prefix have changed.
func (r *RIB) touch(k key) {
	r.watching.change(r, k)
	table := r.tracking.gateways[k.vrf]
	if table == nil {
		return
	}
	for _, u := range table.Subnets(k.prefix()) {
		for g := range *u {
			r.tracking.dirty[g] = struct{}{}
		}
	}
}

// disturb takes note that a link or a next-hop object has changed.
func (r *RIB) disturb() {
	r.tracking.all = true
	r.watching.links = true
}

// settle expands the groups again that may have changed, and installs the prefixes
// again whose best candidate may be another one now.
func (r *RIB) settle() {
	t := &r.tracking
	if t.all {
		maps.Copy(t.dirty, t.groups)
		t.all = false
	}
	if len(t.objects) > 0 {
		for _, g := range r.groups {
			if g != nil && r.usesAny(g, t.objects) {
				t.dirty[g] = struct{}{}
			}
		}
		clear(t.objects)
	}
	for g := range t.dirty {
		delete(t.dirty, g)
		r.update(g)
	}
	if len(t.turned) == 0 {
		return
	}
	turned := t.turned
	t.turned = map[*group]struct{}{}
	if r.loading() {
		return
	}
	keys := r.keysWith(func(c *candidate) bool {
		_, is := turned[r.groups[c.group]]
		return is
	})
	for k, at := range r.merged.all() {
		if _, is := turned[r.groups[at]]; is {
			keys = append(keys, k)
		}
	}
	for _, k := range keys {
		r.watching.change(r, k)
		r.install(k)
		r.reexport(k)
	}
}

// forgetGroup drops what is noted of a group that is no longer.
func (r *RIB) forgetGroup(g *group) {
	delete(r.missing.unwritten, g)
	delete(r.tracking.dirty, g)
	delete(r.tracking.turned, g)
	delete(r.exports.groups, g)
	gateways := g.flat.gateways
	g.flat.gateways = nil
	r.track(g, gateways)
}
