package rib

import "slices"

// doubts are what is not sure of the kernel's routes to a prefix. Two entries of one metric
// are rare in a kernel. They may come of changes that are told behind a dump that shows
// what came after them.
type doubts uint8

const (
	rivals  doubts = 1 << iota // it has two entries of one metric; while all is being read that may be over at the end
	several                    // so has the kernel: which one a change means is not told
	lost                       // one of several may have been dropped by mistake
)

// isLate reports whether a route that comes instead of another one is there already,
// beside others: what it came instead of has gone, or is one of them.
func isLate(list []candidate, c *candidate) bool {
	return hasRivalOf(list, c) && slices.ContainsFunc(list, func(o candidate) bool { return o.equals(c) })
}

// hasRivalOf reports whether there is another entry of a candidate's metric.
func hasRivalOf(list []candidate, c *candidate) bool {
	return slices.ContainsFunc(list, func(o candidate) bool { return o.rivals(c) && !o.equals(c) })
}

// hasRivals reports whether two candidates are entries of one metric.
func hasRivals(list []candidate) bool {
	for i := range list {
		if slices.ContainsFunc(list[:i], func(o candidate) bool { return o.rivals(&list[i]) }) {
			return true
		}
	}
	return false
}

// doubtIf takes note of what is not sure behind a change that has made a list of the
// candidates of a prefix. late: it was there already, see isLate.
func (r *RIB) doubtIf(k key, list []candidate, c *candidate, how Change, late bool) {
	switch {
	case how == Dumped:
		if slices.ContainsFunc(list, func(o candidate) bool { return o.rivals(c) && !o.equals(c) && o.generation == r.generation }) {
			r.doubtful.add(k, several)
		}
		return
	case !late && !hasRivalOf(list, c):
		return
	case r.doubtful == nil:
		r.mistrust(RoutesAtOdds)
		return
	}
	r.doubtful.add(k, rivals)
	if how == Append {
		r.doubtful.add(k, several)
	}
	if late && r.doubtful[k]&several != 0 {
		r.doubtful.add(k, lost)
	}
}

// doubtful is what is not sure while all is being read; nil: it is not.
type doubtful map[key]doubts

func (d doubtful) add(k key, what doubts) {
	if d != nil {
		d[k] |= what
	}
}

// believe is the end of doubts: those that are left need another look.
func (r *RIB) believe() {
	for k, what := range r.doubtful {
		if what&lost != 0 || what&rivals != 0 && hasRivals(r.candidates(k)) {
			r.mistrust(RoutesAtOdds)
			break
		}
	}
	r.doubtful = nil
}
