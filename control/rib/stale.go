package rib

// Stale is why the kernel may have changed more than it has said, in words; "": it has not.
type Stale string

// Causes of it.
const (
	LinkChanged  Stale = "a link went up, down or away: Linux changes routes over it without a word"
	AddressGone  Stale = "an IPv4 address went: Linux may drop routes with it as their source without a word"
	TableNew     Stale = "a VRF is new: its routes were not read"
	RoutesAtOdds Stale = "a prefix has two routes of one metric"
)

// TakeStale says whether something has happened upon which the kernel changes
// routes without saying so, and forgets it: the caller is to synchronize.
func (r *RIB) TakeStale() Stale {
	stale := r.stale
	r.stale = ""
	return stale
}

// mistrust takes note of a cause. The first one stays.
func (r *RIB) mistrust(why Stale) {
	if r.stale == "" {
		r.stale = why
	}
}
