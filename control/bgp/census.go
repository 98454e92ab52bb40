package bgp

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"weft/control/rib"
)

// GoBGP does not count what the import policies leave of a neighbor's paths: what it calls
// accepted is before them. If the Loc-RIB has as many paths as neighbors have sent, and weft
// advertises, then they have refused none. Else the only way is to ask for all paths.

// census counts the paths of the Loc-RIB, and how many each neighbor has there.
type census struct {
	asking chan struct{} // one count at a time

	mu     sync.Mutex
	counts counts
	until  time.Time // counts are good enough
	epoch  int       // of sessions and policies
}

// counts are by family: IPv4, IPv6.
type counts struct {
	paths    [2]uint64
	accepted [2]map[netip.Addr]uint64 // by the neighbor's address; nil: nobody has counted yet
}

// countShare bounds what it costs when somebody asks all the time: so many times as long
// as counting took, its result is good enough, if it took longer than freshCount and no session
// or policy has changed. Nobody waits longer than countPatience: who asks then is told
// what was counted last, and the next one what is counted now.
const (
	countShare    = 10
	freshCount    = 50 * time.Millisecond
	countPatience = time.Second
)

func newCensus() census { return census{asking: make(chan struct{}, 1)} }

// forget makes the next question count anew.
func (c *census) forget() {
	c.mu.Lock()
	c.until = time.Time{}
	c.epoch++
	c.mu.Unlock()
}

// last returns what was counted last.
func (c *census) last() counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}

// count returns what there is, or was a short time ago. known are the neighbors as GoBGP has them.
func (c *census) count(sp *speaker, known map[string]*api.Peer) (counts, error) {
	patience := time.NewTimer(countPatience)
	defer patience.Stop()
	select {
	case c.asking <- struct{}{}:
	case <-patience.C:
		return c.last(), nil
	}
	counted := make(chan error, 1)
	go func() {
		counted <- c.renew(sp, known)
		<-c.asking
	}()
	select {
	case err := <-counted:
		return c.last(), err
	case <-patience.C:
		return c.last(), nil
	}
}

// renew counts, if that was not done of late.
func (c *census) renew(sp *speaker, known map[string]*api.Peer) error {
	c.mu.Lock()
	until, epoch := c.until, c.epoch
	c.mu.Unlock()
	began := time.Now()
	if began.Before(until) {
		return nil
	}
	now, all, err := sp.unrefused(known)
	if err == nil && !all {
		now, err = sp.counts()
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts = now
	if took := time.Since(began); took > freshCount && c.epoch == epoch {
		c.until = time.Now().Add(countShare * took)
	}
	return nil
}

// unrefused counts what neighbors have sent. all: it is in the Loc-RIB, all of it.
func (sp *speaker) unrefused(known map[string]*api.Peer) (c counts, all bool, err error) {
	for _, family := range families {
		at := indexOf(family)
		c.accepted[at] = map[netip.Addr]uint64{}
		t, err := sp.bgp.GetTable(context.Background(), &api.GetTableRequest{
			TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: apiutil.ToApiFamily(family.Afi(), family.Safi()),
		})
		if err != nil {
			return c, false, err
		}
		c.paths[at] = t.NumPath
		sum := uint64(sp.originator.counts[at].Load())
		for address, p := range known {
			if a, err := netip.ParseAddr(address); err == nil {
				c.accepted[at][a] = sent(p, family)
				sum += c.accepted[at][a]
			}
		}
		if sum != t.NumPath {
			return c, false, nil
		}
	}
	return c, true, nil
}

// sent returns how many paths of a family a neighbor has sent, without those that GoBGP has
// refused for what is in them.
func sent(p *api.Peer, family bgp.Family) uint64 {
	for _, f := range p.AfiSafis {
		if f.State != nil && apiutil.ToFamily(f.State.Family) == family {
			return f.State.Accepted
		}
	}
	return 0
}

func (sp *speaker) counts() (c counts, err error) {
	for _, family := range families {
		at := indexOf(family)
		c.accepted[at] = map[netip.Addr]uint64{}
		if err := sp.inOrder(apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family}, func(paths []*apiutil.Path) bool {
			c.paths[at] += uint64(len(paths))
			for _, p := range paths {
				c.accepted[at][p.PeerAddress]++
			}
			return true
		}); err != nil {
			return c, err
		}
	}
	return c, nil
}

// describe adds what was counted of a neighbor.
func (c *counts) describe(n *Neighbor) {
	for i := range n.Families {
		f := &n.Families[i]
		if accepted := c.accepted[indexOf(families[f.Family])]; n.State == Established && accepted != nil {
			f.Accepted = accepted[n.Address]
		}
	}
}

// indexOf numbers families: IPv4 is 0.
func indexOf(f bgp.Family) int {
	if f == bgp.RF_IPv4_UC {
		return 0
	}
	return 1
}

func familyIndex(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 0
	}
	return 1
}

// prefixCount counts prefixes of a family that there are paths to.
type prefixCount struct {
	installed int // the RIB has a route
	others    int // it takes none, or the path is weft's own
}

// count is called on the RIB's goroutine.
func (f *feed) count(r *rib.RIB) (c [2]prefixCount) {
	f.mu.Lock()
	c[0].others, c[1].others = len(f.own[0]), len(f.own[1])
	f.mu.Unlock()
	c[0].installed, c[1].installed = r.CountOf(rib.BGP)
	seen := map[netip.Prefix]bool{}
	for k := range f.refused {
		if !seen[k.prefix] && !hasBGP(r, rib.KeyOf(0, k.prefix)) {
			c[familyIndex(k.prefix)].others++
		}
		seen[k.prefix] = true
	}
	return c
}

func hasBGP(r *rib.RIB, k rib.Key) bool {
	for _, route := range r.At(k) {
		if route.Offered == rib.BGP {
			return true
		}
	}
	return false
}

// prefixes returns those of the Loc-RIB of a family, some twice, and perhaps some that
// have just gone. GoBGP would copy its whole table to name them.
func (sp *speaker) prefixes(family bgp.Family) ([]netip.Prefix, error) {
	at := indexOf(family)
	// What is pending before the RIB, where it may be a moment later.
	all := sp.server.feed.beside(at)
	err := sp.server.options.RIB.Do(context.Background(), func(r *rib.RIB) {
		for k := range sp.server.feed.refused {
			if familyIndex(k.prefix) == at {
				all = append(all, k.prefix)
			}
		}
		all = append(all, r.PrefixesOf(rib.BGP, at == 0)...)
	})
	return all, err
}

// beside returns the prefixes of a family whose best path is weft's own, and those that
// the RIB has not been given yet.
func (f *feed) beside(family int) (all []netip.Prefix) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, changes := range []map[offerKey]offer{f.taken, f.pending} {
		for k := range changes {
			if familyIndex(k.prefix) == family {
				all = append(all, k.prefix)
			}
		}
	}
	return slices.AppendSeq(all, maps.Keys(f.own[family]))
}
