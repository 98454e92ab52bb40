package bgp

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"golang.org/x/sys/unix"

	"weft/control/config"
	"weft/control/kernel"
	"weft/control/rib"
)

// originator advertises what the configuration asks for, as far as there are routes.
type originator struct {
	sp   *speaker
	work sync.Mutex // for one bringing up to date at a time

	config    *Config
	announced map[netip.Prefix]reasonOf
	counts    [2]atomic.Int64 // of announced: IPv4, IPv6

	mu    sync.Mutex
	keys  map[rib.Key]struct{} // that have changed
	links bool                 // interfaces or addresses have changed
	all   bool
	wake  chan struct{}
}

// reasonOf is why a prefix is advertised.
type reasonOf struct {
	network bool // the configuration names it
	mark    int  // of the policies for it; 0: none
}

// announceBatch is how many prefixes GoBGP is given at once: it does nothing else then.
const announceBatch = 1024

func newOriginator(sp *speaker) *originator {
	return &originator{sp: sp, announced: map[netip.Prefix]reasonOf{}, keys: map[rib.Key]struct{}{}, wake: make(chan struct{}, 1)}
}

// configure takes a configuration, and advertises what it asks for.
func (o *originator) configure(ctx context.Context, c *Config) error {
	o.work.Lock()
	o.config = c
	o.work.Unlock()
	asked := len(c.Redistribute)+len(c.Networks) > 0
	if err := o.sp.server.options.RIB.Do(ctx, func(r *rib.RIB) {
		r.Watch(asked, o.change)
	}); err != nil {
		return err
	}
	o.mu.Lock()
	o.all = true
	o.mu.Unlock()
	return o.refresh(ctx)
}

// change is called by the RIB with each publication that may matter.
func (o *originator) change(keys []rib.Key, links bool) {
	o.mu.Lock()
	for _, k := range keys {
		o.keys[k] = struct{}{}
	}
	o.links = o.links || links
	o.mu.Unlock()
	if links {
		o.sp.server.InterfaceChanged()
	}
	o.rouse()
}

// again gives GoBGP all again: it keeps routes of weft's own as the policies of that
// time left them.
func (o *originator) again() {
	o.work.Lock()
	before := o.announced
	o.announced = map[netip.Prefix]reasonOf{}
	for p := range before {
		o.announced[p] = reasonOf{mark: -1} // as no other is
	}
	o.work.Unlock()
	o.mu.Lock()
	o.all = true
	o.mu.Unlock()
	o.rouse()
}

func (o *originator) rouse() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run keeps what is advertised right until ctx ends.
func (o *originator) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		}
		if err := o.refresh(ctx); err != nil && ctx.Err() == nil {
			o.sp.log.Error("advertise routes", "error", err)
		}
	}
}

// refresh advertises what has come, and withdraws what has gone.
func (o *originator) refresh(ctx context.Context) error {
	o.work.Lock()
	defer o.work.Unlock()
	o.mu.Lock()
	keys, links, all := o.keys, o.links, o.all
	o.keys, o.links, o.all = map[rib.Key]struct{}{}, false, false
	o.mu.Unlock()
	if o.config == nil {
		return nil
	}
	wanted := map[netip.Prefix]reasonOf{}
	asked := map[netip.Prefix]bool{}
	if err := o.sp.server.options.RIB.Do(ctx, func(r *rib.RIB) {
		o.ask(r, keys, links || all, all, asked)
		o.find(r, asked, wanted)
	}); err != nil {
		return err
	}
	return o.announce(asked, wanted)
}

// ask names the prefixes that may be advertised otherwise than before.
func (o *originator) ask(r *rib.RIB, keys map[rib.Key]struct{}, links, all bool, asked map[netip.Prefix]bool) {
	for k := range keys {
		if k.VRF() == 0 {
			asked[k.Prefix()] = true
		}
	}
	if links {
		for p := range o.announced {
			asked[p] = true
		}
		for _, n := range o.config.Networks {
			asked[n.Prefix] = true
		}
		for p := range connected(r) {
			asked[p] = true
		}
	}
	if all && (o.redistributes(config.RedistributeStatic) || o.redistributes(config.RedistributeKernel)) {
		for _, k := range r.Keys(func(k rib.Key) bool { return k.VRF() == 0 }) {
			asked[k.Prefix()] = true
		}
	}
}

// connected returns the subnets of addresses of interfaces that carry packets.
func connected(r *rib.RIB) map[netip.Prefix]bool {
	all := map[netip.Prefix]bool{}
	for a := range r.Addrs {
		l, _ := r.Link(a.Link)
		addr := a.Prefix.Addr()
		if isForwarding(r, &l) && !addr.IsLoopback() && !addr.IsLinkLocalUnicast() && addr.IsValid() {
			all[a.Prefix.Masked()] = true
		}
	}
	return all
}

func isForwarding(r *rib.RIB, l *kernel.Link) bool {
	vrf, _ := r.Place(l.Index)
	return l.IsUp() && l.HasCarrier() && vrf == 0
}

// find puts those of the asked prefixes into wanted that are to be advertised.
func (o *originator) find(r *rib.RIB, asked map[netip.Prefix]bool, wanted map[netip.Prefix]reasonOf) {
	attached, all := connected(r), marks(o.config)
	networks := map[netip.Prefix]config.BGPNetwork{}
	for _, n := range o.config.Networks {
		networks[n.Prefix] = n
	}
	for p := range asked {
		chosen, has := r.ChosenAt(rib.KeyOf(0, p))
		has = has && isThere(&chosen)
		if n, named := networks[p]; named && (n.Always || has || attached[p]) {
			wanted[p] = reasonOf{network: true, mark: markOf(all, n.Policy)}
			continue
		}
		source := sourceOf(&chosen, has, attached[p])
		for _, d := range o.config.Redistribute {
			if d.Source == source {
				wanted[p] = reasonOf{mark: markOf(all, d.Policy)}
			}
		}
	}
}

// isThere reports whether a route may be advertised: packets find it, and it is not of BGP,
// now or before a restart.
func isThere(c *rib.Chosen) bool {
	return c.Up && !c.Local && c.Source != rib.BGP && (c.Source != rib.Kernel || c.Protocol != rib.ProtocolWeft)
}

// sourceOf returns for which of the sources of Redistribution a prefix stands.
func sourceOf(c *rib.Chosen, has, attached bool) string {
	switch {
	case attached:
		return config.RedistributeConnected
	case !has:
		return ""
	case c.Source == rib.Static:
		return config.RedistributeStatic
	case c.Protocol == unix.RTPROT_KERNEL:
		return ""
	}
	return config.RedistributeKernel
}

func (o *originator) redistributes(source string) bool {
	for _, d := range o.config.Redistribute {
		if d.Source == source {
			return true
		}
	}
	return false
}

// announce tells GoBGP of what is other than before, what has gone first.
func (o *originator) announce(asked map[netip.Prefix]bool, wanted map[netip.Prefix]reasonOf) error {
	var gone, come []*apiutil.Path
	for p := range asked {
		before, had := o.announced[p]
		now, has := wanted[p]
		switch {
		case has && (!had || before != now):
			come = append(come, ownPath(p, now))
		case had && !has:
			gone = append(gone, ownPath(p, reasonOf{}))
		}
	}
	for part := range batches(gone) {
		if err := o.sp.bgp.DeletePath(apiutil.DeletePathRequest{Paths: part}); err != nil {
			return err
		}
		for _, p := range part {
			prefix := p.Nlri.(*bgp.IPAddrPrefix).Prefix
			delete(o.announced, prefix)
			o.counts[familyIndex(prefix)].Add(-1)
		}
	}
	for part := range batches(come) {
		if _, err := o.sp.bgp.AddPath(apiutil.AddPathRequest{Paths: part}); err != nil {
			return err
		}
		for _, p := range part {
			prefix := p.Nlri.(*bgp.IPAddrPrefix).Prefix
			if _, had := o.announced[prefix]; !had {
				o.counts[familyIndex(prefix)].Add(1)
			}
			o.announced[prefix] = wanted[prefix]
		}
	}
	return nil
}

func batches(paths []*apiutil.Path) func(func([]*apiutil.Path) bool) {
	return func(yield func([]*apiutil.Path) bool) {
		for len(paths) > 0 {
			n := min(len(paths), announceBatch)
			if !yield(paths[:n]) {
				return
			}
			paths = paths[n:]
		}
	}
}

// Origins of RFC 4271 4.3.
const (
	originIGP        = 0
	originIncomplete = 2
)

// ownPath is a path of weft's own: its next hop is the address that a neighbor knows
// weft by.
func ownPath(p netip.Prefix, why reasonOf) *apiutil.Path {
	nlri, _ := bgp.NewIPAddrPrefix(p) // it is valid: it was a route
	path := &apiutil.Path{Family: bgp.RF_IPv4_UC, Nlri: nlri, Age: time.Now().Unix()}
	nextHop, origin := netip.IPv4Unspecified(), uint8(originIncomplete)
	if p.Addr().Is6() {
		path.Family, nextHop = bgp.RF_IPv6_UC, netip.IPv6Unspecified()
	}
	if why.network {
		origin = originIGP
	}
	path.Attrs = []bgp.PathAttributeInterface{bgp.NewPathAttributeOrigin(origin)}
	if p.Addr().Is4() {
		hop, _ := bgp.NewPathAttributeNextHop(nextHop)
		path.Attrs = append(path.Attrs, hop)
	} else {
		hop, _ := bgp.NewPathAttributeMpReachNLRI(path.Family, []bgp.PathNLRI{{NLRI: nlri}}, nextHop)
		path.Attrs = append(path.Attrs, hop)
	}
	if why.mark > 0 {
		path.Attrs = append(path.Attrs, bgp.NewPathAttributeLargeCommunities([]*bgp.LargeCommunity{bgp.NewLargeCommunity(markAS, 119, uint32(why.mark))}))
	}
	return path
}
