package bgp

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"

	"weft/control/config"
	"weft/control/rib"
)

// A path whose next hop leads nowhere is not to be chosen (RFC 4271 9.1.2.1). GoBGP learns of
// that from zebra only, which also gives it the distance in place of the MED. So the first
// import policy refuses paths by their next hops: those that the RIB was given and that it finds
// no way to, until there is one.

const (
	// To apply policies anew GoBGP looks at all paths: so small a share of the time is
	// spent with that, at most, and so it is not done for each of many changes of routes.
	hopsShare = 10
	hopsRest  = time.Second

	// mostLost bounds how many next hops each path is compared with. Paths by
	// others are as GoBGP chooses them; the RIB does not install them.
	mostLost = 64
)

// hops are the next hops that lead nowhere.
type hops struct {
	lost []netip.Addr // sorted
	rest time.Time    // until then there is none more
	most bool         // there were too many, and that was logged
}

// followHops tells GoBGP which next hops lead nowhere, if they are others than before.
func (sp *speaker) followHops(ctx context.Context) error {
	if sp.server.feed.waiting() > feedBatch {
		return nil // what is on its way may lead to next hops, too
	}
	own := sp.attached()
	var lost []netip.Addr
	if err := sp.server.options.RIB.Do(ctx, func(r *rib.RIB) { lost = sp.lostHops(r, own) }); err != nil {
		return err
	}
	before := sp.hops.lost
	if time.Now().Before(sp.hops.rest) {
		lost = slices.DeleteFunc(lost, func(a netip.Addr) bool { return !slices.Contains(before, a) })
	}
	if slices.Equal(lost, before) {
		return nil
	}
	sp.log.Info("paths with next hops that lead nowhere are left out", "next_hops", len(lost), "before", len(before))
	sp.hops.lost = lost
	began := time.Now()
	err := sp.setPolicies(ctx, &sp.config)
	if err != nil {
		sp.hops.lost = before // it is tried again after a rest
	}
	sp.hops.rest = time.Now().Add(max(hopsRest, hopsShare*time.Since(began)))
	sp.census.forget()
	return err
}

// attached returns the addresses of neighbors whose session ends when nothing leads to them.
func (sp *speaker) attached() map[netip.Addr]bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	all := map[netip.Addr]bool{}
	for _, s := range sp.sessions {
		if sp.isAttached(&s.neighbor) {
			all[s.address] = true
		}
	}
	return all
}

// lostHops returns the next hops that lead nowhere: of those that GoBGP has chosen, and of those
// that it was told not to choose. Those that were seen do not count.
func (sp *speaker) lostHops(r *rib.RIB, seen map[netip.Addr]bool) []netip.Addr {
	var lost []netip.Addr
	take := func(a netip.Addr) bool {
		if !seen[a] && !r.Leads(a) {
			lost = append(lost, a)
		}
		seen[a] = true
		return len(lost) < mostLost
	}
	for _, a := range sp.hops.lost {
		take(a)
	}
	for a := range r.GatewaysOf(rib.BGP) {
		if !take(a) {
			break
		}
	}
	if len(lost) == mostLost && !sp.hops.most {
		sp.hops.most = true
		sp.log.Warn("many next hops of BGP lead nowhere: GoBGP is told of the first only", "next_hops", mostLost)
	}
	slices.SortFunc(lost, netip.Addr.Compare)
	return lost
}

// refuseLost appends the statement that refuses paths with next hops that lead nowhere.
func (k *compiler) refuseLost(p *program) {
	if len(k.lost) == 0 {
		return
	}
	c := &api.Conditions{}
	for _, a := range k.lost {
		c.NextHopInList = append(c.NextHopInList, a.String())
	}
	p.lost = true
	k.append(p.in, &api.Statement{Conditions: c, Actions: disposition(config.Reject)})
}
