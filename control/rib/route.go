package rib

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
)

// candidate is one route of a prefix. It is small and free of pointers.
type candidate struct {
	group      uint32
	metric     uint32
	rank       rank
	tos        uint8
	sourced    bool
	protocol   uint8
	scope      uint8
	kind       uint8 // RTN_*
	generation uint8 // when it was last seen
	several    bool  // of the best one: there are others
}

// rank orders candidates before the metric does.
type rank uint8

const (
	rankReserved rank = iota // weft's own
	rankLocal                // of the kernel's local table
	rankMain
)

// order compares as the kernel does. The more particular comes first; that is
// only to be found at once, see RIB.answer.
func (c *candidate) order(o *candidate) int {
	return cmp.Or(cmp.Compare(c.rank, o.rank), -cmp.Compare(c.particular(), o.particular()), cmp.Compare(c.metric, o.metric))
}

// particular is 1 if the route is not for all packets to the prefix.
func (c *candidate) particular() int {
	if c.tos != 0 || c.sourced {
		return 1
	}
	return 0
}

// rivals reports whether c and o are two entries of the same rank, TOS and
// metric, of which the kernel replaces one with the other.
func (c *candidate) rivals(o *candidate) bool {
	return c.rank == o.rank && c.metric == o.metric && c.tos == o.tos && c.sourced == o.sourced
}

// equals reports whether c and o are the same route.
func (c *candidate) equals(o *candidate) bool {
	return c.rivals(o) && c.group == o.group && c.kind == o.kind
}

// Change says how a route is meant.
type Change uint8

// Ways in which the kernel tells of a route. IPv6 routes through gateways join
// others of their metric whatever the way is.
const (
	Add     Change = iota // before (IPv4) or behind (IPv6) others of its metric
	Append                // behind them
	Replace               // instead of the first of them
	Dumped                // it is there; of several of a metric, the first is told first
)

// lengthKey names a length of prefixes in a table.
type lengthKey struct {
	vrf          uint16
	family, bits uint8
}

// candidateOf translates a route and holds its group. ok is false for one that
// is not for the image.
func (r *RIB) candidateOf(m *kernel.Route) (k key, c candidate, ok bool) {
	vrf, known := r.vrfs[m.Table]
	if !known || m.Cached {
		return key{}, candidate{}, false
	}
	k = newKey(vrf, m.Prefix)
	if isReserved(k) {
		return key{}, candidate{}, false
	}
	if m.Prefix.Addr().Is4In6() {
		r.counts.Refused++
		return key{}, candidate{}, false
	}
	c = candidate{
		metric: m.Metric, rank: rankMain, tos: m.TOS, sourced: m.Sourced,
		protocol: m.Protocol, scope: m.Scope, kind: m.Type, generation: r.generation,
	}
	if m.Table == tableLocal {
		c.rank = rankLocal
	}
	c.group = r.hold(r.wishOf(m))
	return k, c, true
}

// SetRoute takes a route of the kernel. m may be used again afterwards.
func (r *RIB) SetRoute(m *kernel.Route, how Change) {
	k, c, ok := r.candidateOf(m)
	if !ok {
		return
	}
	best, exists := r.routes[k]
	if exists && !best.several && best.equals(&c) { // nothing new: most of a dump
		r.drop(c.group)
		if best != c {
			r.routes[k] = c
		}
		return
	}
	if !exists { // nothing to compare with: most of the first dump
		r.routes[k] = c
		r.counts.Candidates++
		r.lengths[lengthKey{k.vrf, k.family, k.bits}]++
		r.install(k)
		return
	}
	list, gone := r.enter(r.candidates(k), c, how, k.family)
	if how != Dumped && slices.ContainsFunc(list, func(o candidate) bool { return o.rivals(&c) && o != c }) {
		// That is rare in a kernel. It may come of changes that are told behind a
		// dump that shows what came after them: look again.
		r.stale = true
	}
	r.put(k, list)
	r.install(k)
	for _, o := range gone {
		r.drop(o.group)
	}
}

// enter puts a candidate into a list in the way it is meant, and returns the
// candidates that are no longer in it.
func (r *RIB) enter(list []candidate, c candidate, how Change, family uint8) (_, gone []candidate) {
	remove := func(is func(o *candidate) bool) (removed bool) {
		for i := 0; i < len(list); {
			if is(&list[i]) {
				gone = append(gone, list[i])
				list = slices.Delete(list, i, i+1)
				removed = true
			} else {
				i++
			}
		}
		return removed
	}
	joins := family == 6 && r.joins(&c)
	// replaced is the one that the kernel had instead: not c itself, which it
	// does not replace (IPv4), or to no effect.
	replaced := func() {
		for _, alike := range []bool{true, false} {
			i := slices.IndexFunc(list, func(o candidate) bool {
				return o.rivals(&c) && !o.equals(&c) && (!alike || family == 4 || r.joins(&o) == joins)
			})
			if i >= 0 {
				gone = append(gone, list[i])
				list = slices.Delete(list, i, i+1)
				return
			}
		}
	}
	switch {
	case how != Dumped && joins: // the kernel tells of all hops, whichever have come
		if !remove(func(o *candidate) bool { return o.rivals(&c) && r.joins(o) }) && how == Replace {
			replaced()
		}
	case how == Replace:
		replaced()
	}
	remove(func(o *candidate) bool { return o.equals(&c) })
	at, _ := slices.BinarySearchFunc(list, c, func(o, c candidate) int {
		if n := o.order(&c); n != 0 {
			return n
		}
		if family == 4 && (how == Add || how == Replace) {
			return 1 // before its equals
		}
		return -1
	})
	return slices.Insert(list, at, c), gone
}

// joins reports whether an IPv6 route is one multipath route with all of its
// prefix and metric that join, as rt6_qualify_for_ecmp in the kernel says.
func (r *RIB) joins(c *candidate) bool {
	g := r.groups[c.group]
	return g.kind == toHops && g.nextHop == 0 && c.protocol != unix.RTPROT_RA && c.protocol != unix.RTPROT_REDIRECT &&
		len(g.hops) > 0 && !slices.ContainsFunc(g.hops, func(h hop) bool { return !h.gateway.IsValid() })
}

// isPart reports whether all hops of group a are hops of group b.
func (r *RIB) isPart(a, b uint32) bool {
	if a == b {
		return true
	}
	g, o := r.groups[a], r.groups[b]
	if g.kind != toHops || o.kind != toHops || g.nextHop != 0 || o.nextHop != 0 || g.mtu != o.mtu {
		return false
	}
	for _, h := range g.hops {
		if h.gateway.IsValid() && !slices.Contains(o.hops, h) || !h.gateway.IsValid() {
			return false
		}
	}
	return len(g.hops) > 0
}

// DeleteRoute takes note that the kernel has dropped a route. Of an IPv6
// multipath route it may name some hops only.
func (r *RIB) DeleteRoute(m *kernel.Route) {
	k, c, ok := r.candidateOf(m)
	if !ok {
		return
	}
	defer r.drop(c.group)
	list := r.candidates(k)
	i := slices.IndexFunc(list, func(o candidate) bool { return o.equals(&c) })
	if i >= 0 {
		gone := list[i]
		r.put(k, slices.Delete(list, i, i+1))
		r.install(k)
		r.drop(gone.group)
		return
	}
	i = slices.IndexFunc(list, func(o candidate) bool { return k.family == 6 && o.rivals(&c) && r.isPart(c.group, o.group) })
	if i < 0 {
		r.counts.Unmatched++
		return
	}
	old, w := list[i].group, r.groups[list[i].group].wish
	w.hops = slices.DeleteFunc(slices.Clone(w.hops), func(h hop) bool { return slices.Contains(r.groups[c.group].hops, h) })
	list[i].group = r.hold(w)
	r.put(k, list)
	r.install(k)
	r.drop(old)
}

// candidates returns the candidates of a prefix, best first, to be changed and
// put back.
func (r *RIB) candidates(k key) []candidate {
	best, ok := r.routes[k]
	if !ok {
		return nil
	}
	list := append(make([]candidate, 0, 4), best)
	if best.several {
		list = append(list, r.others[k]...)
	}
	list[0].several = false
	return list
}

// put sets the candidates of a prefix.
func (r *RIB) put(k key, list []candidate) {
	before := 0
	if best, ok := r.routes[k]; ok {
		before = 1 + len(r.others[k])
		if best.several {
			delete(r.others, k)
		}
	}
	r.counts.Candidates += len(list) - before
	n := lengthKey{k.vrf, k.family, k.bits}
	switch {
	case len(list) == 0:
		delete(r.routes, k)
		r.lengths[n]--
		return
	case before == 0:
		r.lengths[n]++
	}
	for i := range list {
		list[i].several = false
	}
	best := list[0]
	if len(list) > 1 {
		best.several = true
		r.others[k] = slices.Clone(list[1:])
	}
	r.routes[k] = best
}

// answer returns the group that packets to a prefix, and to no longer one, are
// to go to.
func (r *RIB) answer(k key) (group uint32, ok bool) {
	if g, ok := r.derived[k]; ok {
		return g, true
	}
	return r.chosen(k)
}

// chosen returns the group of the best candidate of a prefix.
func (r *RIB) chosen(k key) (group uint32, ok bool) {
	best, ok := r.routes[k]
	switch {
	case !ok:
		return 0, false
	case best.particular() == 1:
		return r.policy, true
	case best.several && k.family == 6 && best.rank == rankMain && r.others[k][0].order(&best) == 0:
		return r.policy, true
	}
	return best.group, true
}

// install brings the image up to date for a prefix, and for the attached hosts
// in it.
func (r *RIB) install(k key) {
	if r.loading() {
		return
	}
	if k.isHost() {
		defer r.derive(k)()
	}
	if r.installOne(k); !k.isHost() {
		for _, h := range r.hostsIn(k) {
			r.install(h)
		}
	}
}

// deleteUnused deletes what is unused and could not be deleted before.
func (r *RIB) deleteUnused() {
	groups, adjacencies := r.unusedGroups, r.unusedAdjacencies
	r.unusedGroups, r.unusedAdjacencies = nil, nil
	for _, id := range groups {
		r.deleteGroup(id)
	}
	for _, id := range adjacencies {
		r.deleteAdjacency(id)
	}
}

// removeIf removes all candidates that satisfy a condition.
func (r *RIB) removeIf(is func(*candidate) bool) {
	var keys []key
	for k, best := range r.routes {
		if is(&best) || best.several && slices.ContainsFunc(r.others[k], func(o candidate) bool { return is(&o) }) {
			keys = append(keys, k)
		}
	}
	for _, k := range keys {
		var stay, gone []candidate
		for _, c := range r.candidates(k) {
			if is(&c) {
				gone = append(gone, c)
			} else {
				stay = append(stay, c)
			}
		}
		r.put(k, stay)
		r.install(k)
		for _, c := range gone {
			r.drop(c.group)
		}
	}
}

func (r *RIB) sweepRoutes() {
	r.removeIf(func(c *candidate) bool { return c.rank != rankReserved && c.generation != r.generation })
}
