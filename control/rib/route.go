package rib

import (
	"slices"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
)

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
	c = kernelCandidate(m)
	c.generation = r.generation
	c.group = r.hold(r.wishOf(m))
	return k, c, true
}

// kernelCandidate translates what a route says beside its hops.
func kernelCandidate(m *kernel.Route) candidate {
	c := candidate{metric: m.Metric, rank: rankMain, detail: detailOf(m), protocol: m.Protocol, kind: m.Type}
	if m.Table == tableLocal {
		c.rank = rankLocal
	}
	return c
}

// SetRoute takes a route of the kernel. m may be used again afterwards.
func (r *RIB) SetRoute(m *kernel.Route, how Change) {
	if k, ok := r.copyOf(m); ok && !r.takeCopy(k, m) {
		return
	}
	k, c, ok := r.candidateOf(m)
	if !ok {
		return
	}
	if how == Replace && c.rank == rankMain && !c.isCopy() {
		r.dropCopy(k, c.metric)
	}
	best, exists := r.routes.get(k)
	switch {
	case exists && r.refreshed(k, &best, &c, how): // nothing new: most of a dump
		r.drop(c.group)
		return
	case !exists: // nothing to compare with: most of the first dump
		r.first(k, c)
		return
	}
	list, left := r.withoutDoomed(r.candidates(k))
	late := how == Replace && isLate(list, &c)
	list, gone := r.enter(list, c, how, k.family)
	gone = append(gone, left...)
	r.doubtIf(k, list, &c, how, late)
	r.put(k, list)
	r.install(k)
	for _, o := range gone {
		r.drop(o.group)
	}
}

// refreshed reports whether a prefix has a candidate already, and notes that it
// was seen. Where there are rivals their order may be new.
func (r *RIB) refreshed(k key, best, c *candidate, how Change) bool {
	same, rivals := (*candidate)(nil), 0
	for o := range r.others.at(k) {
		if o.order(c) == 0 {
			same, rivals = o, rivals+1
		}
	}
	if best.order(c) == 0 {
		same, rivals = best, rivals+1
	}
	if rivals != 1 || !same.equals(c) || how != Dumped && same != best {
		return false
	}
	switch {
	case *same == *c:
	case same == best:
		r.routes.set(k, *c)
	default:
		*same = *c
	}
	return true
}

// first puts the only candidate of a prefix in place.
func (r *RIB) first(k key, c candidate) {
	r.routes.set(k, c)
	r.counts.Candidates++
	r.tally[familyIndex(k.family)][c.rank]++
	r.lengths.add(k, 1)
	r.touch(k)
	r.install(k)
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
	// does not replace (IPv4), or to no effect. When c is there it took the first
	// place (IPv4), so what is behind it stays.
	replaced := func() {
		before := list
		if at := slices.IndexFunc(list, func(o candidate) bool { return o.equals(&c) }); at >= 0 && family == 4 {
			before = list[:at]
		}
		for _, alike := range []bool{true, false} {
			i := slices.IndexFunc(before, func(o candidate) bool {
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
	if k, ok := r.copyOf(m); ok {
		r.dropCopy(k, m.Metric)
		if !r.hasAdopted(k) {
			return
		}
	}
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
	if len(w.hops) == 0 { // all are named, in another order
		list = slices.Delete(list, i, i+1)
	} else {
		list[i].group = r.hold(w)
	}
	r.put(k, list)
	r.install(k)
	r.drop(old)
}

// candidates returns the candidates of a prefix, best first, to be changed and
// put back.
func (r *RIB) candidates(k key) []candidate {
	best, ok := r.routes.get(k)
	if !ok {
		return nil
	}
	return r.appendOthers(append(make([]candidate, 0, 4), best), k)
}

// appendOthers appends the candidates of a prefix but the first.
func (r *RIB) appendOthers(list []candidate, k key) []candidate {
	for o := range r.others.at(k) {
		list = append(list, *o)
	}
	return list
}

// put sets the candidates of a prefix.
func (r *RIB) put(k key, list []candidate) {
	var old census
	for c := range r.inOrder(k) {
		old.add(c.rank)
	}
	r.replace(k, old, list)
}

// replace is put where it is known what there was.
func (r *RIB) replace(k key, old census, list []candidate) {
	now := censusOf(list)
	r.counts.Candidates += now.candidates - old.candidates
	r.several += now.several() - old.several()
	r.tally.change(k, old.ranks, now.ranks)
	switch {
	case len(list) == 0:
		r.others.set(k, nil)
		r.routes.delete(k)
		r.lengths.add(k, -1)
	default:
		if old.candidates == 0 {
			r.lengths.add(k, 1)
		}
		r.routes.set(k, list[0])
		r.others.set(k, list[1:])
	}
	r.touch(k)
}

// removeIf removes all candidates that satisfy a condition.
func (r *RIB) removeIf(is func(*candidate) bool) (removed int) {
	for _, k := range r.keysWith(is) {
		removed += r.removeAt(k, is)
	}
	return removed
}

// removeAt removes the candidates of a prefix that satisfy a condition.
func (r *RIB) removeAt(k key, is func(*candidate) bool) (removed int) {
	var stay, gone []candidate
	for _, c := range r.candidates(k) {
		if is(&c) {
			gone = append(gone, c)
		} else {
			stay = append(stay, c)
		}
	}
	if len(gone) == 0 {
		return 0
	}
	r.put(k, stay)
	r.install(k)
	if slices.ContainsFunc(gone, func(c candidate) bool { return c.isOwn() }) {
		r.reexport(k)
	}
	for _, c := range gone {
		r.drop(c.group)
	}
	return len(gone)
}

// keysWith returns the prefixes that have a candidate which satisfies a condition.
func (r *RIB) keysWith(is func(*candidate) bool) (keys []key) {
	for k, best := range r.routes.all() {
		found := is(&best)
		for o := range r.others.at(k) {
			found = found || is(o)
		}
		if found {
			keys = append(keys, k)
		}
	}
	return keys
}

// sweepAtOnce is how many prefixes are looked after in one go: a million take seconds.
const sweepAtOnce = 4096

// sweepRoutes removes what the kernel has no longer. What is changed in between is seen.
func (r *RIB) sweepRoutes(between func()) {
	for i, k := range r.keysWith(r.isUnseen) {
		if (i+1)%sweepAtOnce == 0 {
			between()
		}
		if r.gaps && k.family == 6 {
			r.removeAt(k, r.isLongUnseen)
		} else {
			r.removeAt(k, r.isUnseen)
		}
	}
}
