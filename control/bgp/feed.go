package bgp

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"weft/control/config"
	"weft/control/rib"
)

// feedBatch is how many changes the RIB is given at once: enough that a publication
// costs nothing beside them, and few enough that the kernel's changes do not wait.
const feedBatch = 8192

// feedPause is how long the RIB is left alone after it was given something: GoBGP chooses
// one prefix at a time, and each publication costs the same, whatever is in it. What comes
// after a rest does not wait.
const feedPause = 10 * time.Millisecond

// feed brings what GoBGP has chosen to the RIB. It keeps the latest state of what
// the RIB has not been given yet, and nothing of what it has.
type feed struct {
	rib RIB
	log *slog.Logger

	mu      sync.Mutex
	life    *speaker // that is listened to
	pending map[offerKey]offer
	taken   map[offerKey]offer           // from pending, and on their way; not changed
	spare   map[offerKey]offer           // empty: the next pending
	own     [2]map[netip.Prefix]struct{} // IPv4 and IPv6 prefixes whose best path is weft's own
	origins map[pathSource]uint32        // numbers of paths that are used together
	wake    chan struct{}
	busy    int // offers that are on their way

	peers      atomic.Pointer[peers]
	preference atomic.Pointer[preferences]
	refused    map[offerKey]struct{} // what the RIB does not take; its goroutine's alone
	complaints int
}

type preferences struct{ external, internal uint32 }

// peers says of each neighbor's address what its routes depend on.
type peers map[netip.Addr]traits

type traits struct {
	name     string
	internal bool
}

// offerKey names a candidate of the RIB.
type offerKey struct {
	prefix netip.Prefix
	origin uint32
}

// offer is what becomes of a candidate: a route through a gateway, or none.
type offer struct {
	gateway  netip.Addr // with the interface's name as its zone, if it is link-local; invalid: the route has gone
	internal bool
}

// pathSource tells apart paths to one prefix that may be used together.
type pathSource struct {
	peer netip.Addr
	id   uint32
}

// onlyOrigin is that of routes of which there is one for each prefix.
const onlyOrigin = 1

func newFeed(r RIB, log *slog.Logger) *feed {
	f := &feed{
		rib: r, log: log, pending: map[offerKey]offer{}, refused: map[offerKey]struct{}{}, origins: map[pathSource]uint32{}, wake: make(chan struct{}, 1),
		own: [2]map[netip.Prefix]struct{}{{}, {}},
	}
	f.peers.Store(&peers{})
	return f
}

// prefer sets the preferences, and reports whether they are others.
func (f *feed) prefer(p config.Preferences) bool {
	now := preferences{p.EBGP, p.IBGP}
	before := f.preference.Swap(&now)
	return before == nil || *before != now
}

// listen makes a life of GoBGP the one that counts.
func (f *feed) listen(sp *speaker) {
	f.mu.Lock()
	f.life = sp
	f.mu.Unlock()
}

// take is called by GoBGP, in order, with each change of what is best.
func (f *feed) take(sp *speaker, paths []*apiutil.Path) {
	f.mu.Lock()
	if f.life != sp {
		f.mu.Unlock()
		return
	}
	for _, p := range paths {
		if nlri, ok := p.Nlri.(*bgp.IPAddrPrefix); ok {
			f.noteOwn(nlri.Prefix, p)
			f.pending[offerKey{nlri.Prefix, f.origin(p)}] = f.offerOf(p)
		}
	}
	f.mu.Unlock()
	f.rouse()
}

// noteOwn takes note of whether the best path is weft's own. Without ECMP
// each change says so.
func (f *feed) noteOwn(prefix netip.Prefix, p *apiutil.Path) {
	own := f.own[familyIndex(prefix)]
	switch isOwn := !p.PeerAddress.IsValid(); {
	case isOwn && !p.Withdrawal:
		own[prefix] = struct{}{}
	case isOwn || !f.life.multipath:
		delete(own, prefix)
	}
}

func (f *feed) rouse() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// origin numbers paths. Without ECMP a prefix has one at a time, whose latest state
// is all that counts.
func (f *feed) origin(p *apiutil.Path) uint32 {
	if !f.life.multipath {
		return onlyOrigin
	}
	s := pathSource{p.PeerAddress, p.RemoteID}
	n, ok := f.origins[s]
	if !ok {
		n = onlyOrigin + 1 + uint32(len(f.origins))
		f.origins[s] = n
	}
	return n
}

func (f *feed) offerOf(p *apiutil.Path) offer {
	if p.Withdrawal || !p.PeerAddress.IsValid() { // gone, or weft's own
		return offer{}
	}
	t := (*f.peers.Load())[p.PeerAddress]
	return offer{gatewayOf(p, t.internal), t.internal}
}

// gatewayOf returns the next hop of a path. A link-local one is on the link of the
// neighbor that tells it. What an external unnumbered neighbor tells is a global address
// of its own, if it has one on the link, where we need not have one: GoBGP drops the link-local address that comes
// beside it (RFC 2545), which is the neighbor's, too.
func gatewayOf(p *apiutil.Path, internal bool) netip.Addr {
	for _, a := range p.Attrs {
		switch a := a.(type) {
		case *bgp.PathAttributeNextHop:
			return a.Value
		case *bgp.PathAttributeMpReachNLRI:
			zone := p.PeerAddress.Zone()
			switch {
			case a.Nexthop.IsLinkLocalUnicast() && a.Nexthop.Is6():
				return a.Nexthop.WithZone(zone)
			case zone != "" && !internal && a.Nexthop.Is6():
				return p.PeerAddress
			}
			return a.Nexthop.Unmap()
		}
	}
	return netip.Addr{}
}

// run gives the RIB what is pending until ctx ends.
func (f *feed) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
		if err := f.flush(ctx); err != nil {
			if ctx.Err() == nil {
				f.log.Error("give routes of BGP to the RIB", "error", err)
			}
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(feedPause):
		}
	}
}

func (f *feed) flush(ctx context.Context) error {
	f.mu.Lock()
	taken := f.pending
	f.pending, f.taken, f.busy, f.spare = f.spare, taken, len(taken), nil
	if f.pending == nil {
		f.pending = map[offerKey]offer{}
	}
	f.mu.Unlock()
	defer f.settle()
	batch := make([]change, 0, min(len(taken), feedBatch))
	for k, o := range taken {
		if batch = append(batch, change{k, o}); len(batch) == feedBatch {
			if err := f.give(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return f.give(ctx, batch)
}

// settle takes note that what was taken is with the RIB. A map of few is used again, for to
// make one takes longer than to fill it.
func (f *feed) settle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.taken) <= feedBatch {
		f.spare = f.taken
		clear(f.spare)
	}
	f.taken = nil
}

type change struct {
	offerKey
	offer
}

// give hands over one batch, and waits until packets find it.
func (f *feed) give(ctx context.Context, batch []change) error {
	if len(batch) == 0 {
		return nil
	}
	err := f.rib.Update(ctx, func(r *rib.RIB) {
		links := linksByName(r)
		for i := range batch {
			f.set(r, &batch[i], links)
		}
	}, nil)
	f.mu.Lock()
	f.busy -= len(batch)
	f.mu.Unlock()
	return err
}

func linksByName(r *rib.RIB) map[string]int {
	links := map[string]int{}
	for l := range r.Links {
		links[l.Name] = l.Index
	}
	return links
}

// set gives the RIB one route. One that it does not take leaves the prefix without a
// route of BGP, rather than with an old one.
func (f *feed) set(r *rib.RIB, c *change, links map[string]int) {
	route := rib.Route{Prefix: c.prefix, Source: rib.BGP, Origin: c.origin, Protocol: rib.ProtocolWeft}
	delete(f.refused, c.offerKey)
	if !c.gateway.IsValid() {
		r.Unset(&route)
		return
	}
	hops := [1]rib.Hop{{Gateway: c.gateway.WithZone("")}}
	if zone := c.gateway.Zone(); zone != "" {
		hops[0].Link = links[zone]
	}
	p := f.preference.Load()
	route.Hops, route.Preference = hops[:], p.external
	if c.internal {
		route.Preference = p.internal
	}
	if err := r.Set(&route); err != nil {
		f.refused[c.offerKey] = struct{}{}
		f.complain(err)
		r.Unset(&route)
	}
}

// mostComplaints bounds what is logged of routes: Status counts the others.
const mostComplaints = 16

func (f *feed) complain(err error) {
	if f.complaints++; f.complaints <= mostComplaints {
		f.log.Warn("a route of BGP is of no use", "error", err)
	}
}

// waiting returns how many changes the RIB has not been given yet.
func (f *feed) waiting() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.pending) + f.busy
}

// clear takes all routes of BGP from the RIB.
func (f *feed) clear(ctx context.Context) error {
	f.mu.Lock()
	f.life = nil
	clear(f.pending)
	clear(f.origins)
	clear(f.own[0])
	clear(f.own[1])
	f.mu.Unlock()
	return f.rib.Update(ctx, func(r *rib.RIB) {
		r.BeginReplay(rib.BGP)
		r.EndReplay(rib.BGP)
		clear(f.refused)
	}, nil)
}
