package fpm

import (
	"context"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"weft/control"
	"weft/control/kernel"
	"weft/control/rib"
)

// Preference is that of routes whose message does not name one: zebra always does.
const Preference = 20

// follower is a Sink: the RIB that a Follower owns.
type follower struct{ *control.Follower }

// Into returns the Sink that puts routes into the RIB of a Follower.
func Into(f *control.Follower) Sink { return follower{f} }

// Apply implements Sink.
func (f follower) Apply(ctx context.Context, b *Batch) error {
	return f.Update(ctx, func(r *rib.RIB) {
		for _, n := range b.NextHops {
			r.SetNextHopOf(rib.FPM, n)
		}
		var hops []rib.Hop
		for i := range b.Routes {
			hops = setRoute(r, &b.Routes[i], hops[:0])
		}
		for _, id := range b.Gone {
			r.DeleteNextHopOf(rib.FPM, id)
		}
	}, func(r *rib.RIB, _ uint64) {
		for i := range b.Routes {
			b.Routes[i].Became = became(r, &b.Routes[i])
		}
	})
}

// setRoute makes a change. It returns the memory of hops.
func setRoute(r *rib.RIB, c *Change, hops []rib.Hop) []rib.Hop {
	vrf, ok := r.VRFOf(c.Route.Table)
	if !ok {
		return hops
	}
	m := newRIBRoute(&c.Route, vrf, hops)
	if c.Gone || isDisguised(m.Hops) {
		r.Unset(&m)
	} else if err := r.Set(&m); err != nil { // a prefix that is never forwarded, or no sense: packets are Linux's then
		r.Unset(&m)
	}
	return m.Hops
}

// disguise is what zebra tells in a route's own next hops instead of a link-local IPv6
// gateway of an IPv4 route. Only the kernel's copy of the route says which it is.
var disguise = netip.AddrFrom4([4]byte{169, 254, 0, 1})

func isDisguised(hops []rib.Hop) bool {
	return slices.ContainsFunc(hops, func(h rib.Hop) bool { return h.Gateway == disguise })
}

// newRIBRoute translates a route.
func newRIBRoute(from *kernel.Route, vrf uint16, hops []rib.Hop) rib.Route {
	for _, h := range from.Hops {
		hops = append(hops, rib.Hop{Gateway: h.Gateway, Link: h.Link, Weight: h.Weight, Encap: h.Encap})
	}
	m := rib.Route{
		VRF: vrf, Prefix: from.Prefix, Source: rib.FPM, Protocol: from.Protocol, Preference: from.Metric, Hops: hops, NextHop: from.NextHop, MTU: from.MTU,
	}
	if m.Preference == 0 {
		m.Preference = Preference
	}
	switch from.Type {
	case unix.RTN_BLACKHOLE:
		m.Kind = rib.Blackhole
	case unix.RTN_UNREACHABLE:
		m.Kind = rib.Unreachable
	case unix.RTN_PROHIBIT:
		m.Kind = rib.Prohibit
	}
	return m
}

func became(r *rib.RIB, c *Change) State {
	vrf, ok := r.VRFOf(c.Route.Table)
	switch {
	case !ok:
		return Parked
	case r.State(vrf, c.Route.Prefix, rib.FPM, 0) == rib.Installed:
		return Installed
	}
	return NotInstalled
}
