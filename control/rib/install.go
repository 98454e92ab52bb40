package rib

import "slices"

// answer returns the group that packets to a prefix, and to no longer one, are
// to go to.
func (r *RIB) answer(k key) (group uint32, ok bool) {
	if g, ok := r.derived[k]; ok {
		return g, true
	}
	return r.chosen(k)
}

// chosen returns the group of the best candidate of a prefix that is eligible.
func (r *RIB) chosen(k key) (group uint32, ok bool) {
	best, ok := r.routes.get(k)
	switch {
	case !ok:
		return 0, false
	case best.particular() == 1:
		return r.policy, true
	case best.isKernels() && (k.family == 4 || best.rank != rankMain || r.others.heads.len() == 0):
		return best.group, true
	case !best.isKernels() && r.merged.len() == 0 && r.eligible(&best): // most of a table that the kernel has, too
		return best.group, true
	case !r.others.has(k):
		return best.group, r.eligible(&best)
	}
	return r.chosenAmong(k)
}

// chosenAmong is chosen where there may be several to look at.
func (r *RIB) chosenAmong(k key) (group uint32, ok bool) {
	winner, ok := r.best(k, r.eligible)
	at, several := r.merged.get(k)
	switch {
	case !ok:
		return 0, false
	case k.family == 6 && r.isAmbiguous(k, &winner):
		return r.policy, true
	case several && !winner.isKernels():
		return at, true
	}
	return winner.group, true
}

// isAmbiguous reports whether the kernel has several IPv6 routes of one metric that
// are no multipath route: it chooses among them by more than the destination.
func (r *RIB) isAmbiguous(k key, c *candidate) bool {
	n := 0
	for o := range r.inOrder(k) {
		if o.order(c) == 0 {
			n++
		}
	}
	return n > 1 && c.rank == rankMain
}

// inOrder yields the candidates of a prefix, best first.
func (r *RIB) inOrder(k key) func(yield func(*candidate) bool) {
	return func(yield func(*candidate) bool) {
		best, ok := r.routes.get(k)
		if !ok || !yield(&best) {
			return
		}
		for o := range r.others.at(k) {
			if !yield(o) {
				return
			}
		}
	}
}

// eligible reports whether a candidate leads anywhere. What the kernel has is
// always taken: it forwards by it, too.
func (r *RIB) eligible(c *candidate) bool { return c.isKernels() || !r.groups[c.group].dead }

// merge finds out whether several candidates of a source and preference are one
// route with all their hops. The returned function lets go of the group that they
// had before, when the image no longer leads there.
func (r *RIB) merge(k key) (release func()) {
	if r.several == 0 && r.merged.len() == 0 {
		return func() {}
	}
	old, had := r.merged.get(k)
	if !had && !r.others.has(k) {
		return func() {}
	}
	r.merged.delete(k)
	if first, ok := r.best(k, r.eligible); ok {
		if hops, several := r.together(k, &first); several {
			r.merged.set(k, r.holdMerged(&first, hops))
		}
	}
	return func() {
		if had {
			r.dropMerged(old)
		}
	}
}

// mergeAll is merge for all prefixes, where there are other sources than the kernel.
func (r *RIB) mergeAll() {
	if !slices.ContainsFunc(r.groups, func(g *group) bool { return g != nil && g.by != Kernel }) {
		return
	}
	for k := range r.routes.all() {
		r.merge(k)()
	}
}

// holdMerged returns the group of all candidates that are one route with first.
func (r *RIB) holdMerged(first *candidate, hops []hop) uint32 {
	w := r.groups[first.group].wish
	w.hops = hops
	at := r.hold(w)
	r.groups[at].merged++
	return at
}

func (r *RIB) dropMerged(at uint32) {
	r.groups[at].merged--
	r.drop(at)
}

// best returns the first candidate of a prefix that satisfies a condition.
func (r *RIB) best(k key, is func(*candidate) bool) (first candidate, ok bool) {
	for c := range r.inOrder(k) {
		if is(c) {
			return *c, true
		}
	}
	return candidate{}, false
}

// together returns the hops of all candidates that are one route with first.
func (r *RIB) together(k key, first *candidate) (hops []hop, several bool) {
	if first.isKernels() || !r.others.has(k) || !r.canMerge(first, first) {
		return nil, false
	}
	n := 0
	for c := range r.inOrder(k) {
		if c.class(first) && r.canMerge(c, first) {
			hops = append(hops, r.groups[c.group].hops...)
			n++
		}
	}
	if most := r.width[first.source()]; most > 0 {
		hops = hops[:min(len(hops), most)]
	}
	return hops, n > 1
}

// SetWidth bounds how many hops a route gets that is several candidates of a source,
// in the order of their origins. It takes effect where routes change.
func (r *RIB) SetWidth(s Source, hops int) { r.width[s] = hops }

func (r *RIB) canMerge(c, o *candidate) bool {
	a, b := r.groups[c.group], r.groups[o.group]
	return a.kind == toHops && b.kind == toHops && a.nextHop == 0 && b.nextHop == 0 && a.mtu == b.mtu
}

// install brings the image up to date for a prefix, and for the attached hosts
// in it.
func (r *RIB) install(k key) {
	if r.loading() || r.retaking && k == r.retaken {
		return
	}
	defer r.merge(k)()
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
