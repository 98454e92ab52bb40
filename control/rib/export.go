package rib

import (
	"golang.org/x/sys/unix"

	"weft/control/kernel"
)

// Export is what has changed since the last publication for who programs the
// routes of weft's own (Static, BGP) into the kernel: for each prefix the best of
// them, resolved, even while a route of others is better. It is valid until the
// call returns.
//
// Groups that Routes name are told before, and are in Gone when no route names
// them any more: a receiver works in the order Groups, Routes, Gone.
type Export struct {
	Groups []ExportGroup // new, or with other hops than before
	Routes []ExportRoute
	Gone   []uint32 // groups
	Lost   []Key    // prefixes whose routes of protocol 119 somebody else has removed from the kernel, or replaced
}

// ExportGroup is what routes lead to: one next-hop object of the kernel, or one
// group of them. A change of how gateways are resolved is told as one of these.
type ExportGroup struct {
	ID   uint32       // not 0; it is not used again for another group
	Type uint8        // RTN_UNICAST, RTN_BLACKHOLE, RTN_UNREACHABLE or RTN_PROHIBIT
	MTU  uint32       // of RTN_UNICAST; 0: that of the link
	Hops []kernel.Hop // of RTN_UNICAST, each with a link; without gateway: attached
}

// ExportRoute is a route of weft's own.
type ExportRoute struct {
	Key    Key
	Group  uint32 // 0: there is none any more, and Metric is the one that it had
	Metric uint32
	Source Source
}

// Wanted returns the route of weft's own that the kernel is to have for a prefix,
// as told with the last publication.
func (r *RIB) Wanted(k Key) (ExportRoute, bool) {
	t, ok := r.exports.told.get(k.key)
	if !ok {
		return ExportRoute{}, false
	}
	return t.route(k, r.groups[t.group]), true
}

// exports is what the receiver of Export knows, and is to be told.
type exports struct {
	told   byPrefix[told]
	keys   []key               // prefixes that may have changed, some more than once
	groups map[*group]struct{} // groups that come to something else
	lost   []Key
	last   uint32 // number of a group
}

type told struct {
	group  uint32
	metric uint32
	rank   rank
}

func newExports() exports {
	return exports{told: newByPrefix[told](), groups: map[*group]struct{}{}}
}

// reexport takes note that the routes of weft's own to a prefix may have changed.
func (r *RIB) reexport(k key) {
	if r.options.Export != nil {
		r.exports.keys = append(r.exports.keys, k)
	}
}

// tell tells what has changed since it was last called.
func (r *RIB) tell() {
	e := &r.exports
	if r.options.Export == nil || r.loading() {
		return
	}
	x := Export{Lost: e.lost}
	var left []uint32
	for _, k := range e.keys {
		r.tellRoute(k, &x, &left)
	}
	for g := range e.groups {
		if g.told > 0 { // else it goes
			x.Groups = append(x.Groups, r.exportGroup(g))
		}
	}
	for _, at := range left {
		g := r.groups[at]
		if g.told == 0 && g.export != 0 {
			x.Gone = append(x.Gone, g.export)
			g.export = 0
		}
	}
	for _, at := range left {
		r.dropMerged(at)
	}
	e.lost = nil
	e.keys = e.keys[:0]
	clear(e.groups)
	if len(x.Groups)+len(x.Routes)+len(x.Gone)+len(x.Lost) > 0 {
		r.options.Export(&x)
	}
}

// tellRoute appends what has changed of a prefix, and to left the group that it was
// with.
func (r *RIB) tellRoute(k key, x *Export, left *[]uint32) {
	e := &r.exports
	old, had := e.told.get(k)
	now, has := r.export(k)
	if had == has && now == old {
		r.unexport(now, has)
		return
	}
	if had {
		r.groups[old.group].told--
		*left = append(*left, old.group)
	}
	if !has {
		e.told.delete(k)
		x.Routes = append(x.Routes, ExportRoute{Key: Key{k}, Metric: old.metric, Source: old.source()})
		return
	}
	g := r.groups[now.group]
	g.told++
	if g.export == 0 {
		e.last++
		g.export = e.last
		e.groups[g] = struct{}{}
	}
	e.told.set(k, now)
	x.Routes = append(x.Routes, now.route(Key{k}, g))
}

// export returns the best route of weft's own to a prefix, and holds its group.
func (r *RIB) export(k key) (t told, ok bool) {
	first, ok := r.best(k, func(c *candidate) bool { return c.isOwn() && r.eligible(c) })
	if !ok {
		return told{}, false
	}
	t = told{first.group, first.metric, first.rank}
	if hops, several := r.together(k, &first); several {
		t.group = r.holdMerged(&first, hops)
		return t, true
	}
	r.groups[t.group].refs++
	r.groups[t.group].merged++
	return t, true
}

// unexport lets go of what export has held.
func (r *RIB) unexport(t told, ok bool) {
	if ok {
		r.dropMerged(t.group)
	}
}

func (t told) source() Source {
	c := candidate{rank: t.rank}
	return c.source()
}

func (t told) route(k Key, g *group) ExportRoute {
	return ExportRoute{Key: k, Group: g.export, Metric: t.metric, Source: t.source()}
}

func (r *RIB) exportGroup(g *group) ExportGroup {
	x := ExportGroup{ID: g.export, Type: g.flat.end, MTU: g.mtu}
	if x.Type == 0 {
		x.Type = unix.RTN_UNICAST
	}
	for _, h := range g.flat.hops {
		x.Hops = append(x.Hops, kernel.Hop{Link: h.link, Gateway: h.gateway, Weight: h.weight})
	}
	return x
}
