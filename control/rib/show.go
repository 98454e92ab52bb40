package rib

import (
	"net/netip"

	"weft/control/kernel"
	"weft/fib"
)

// Link returns a link.
func (r *RIB) Link(index int) (kernel.Link, bool) {
	if l := r.links[index]; l != nil {
		return l.Link, true
	}
	return kernel.Link{}, false
}

// Links returns the links, in no order. The caller must not change them.
func (r *RIB) Links(yield func(*kernel.Link) bool) {
	for _, l := range r.links {
		if !yield(&l.Link) {
			return
		}
	}
}

// Addrs returns the addresses, in no order.
func (r *RIB) Addrs(yield func(kernel.Addr) bool) {
	for _, a := range r.addrs {
		if !yield(a.Addr) {
			return
		}
	}
}

// Neighbors returns the neighbors, in no order.
func (r *RIB) Neighbors(yield func(kernel.Neighbor) bool) {
	for _, p := range r.peers {
		if p.known && !yield(p.Neighbor) {
			return
		}
	}
}

// Candidate is a route to a prefix, for people.
type Candidate struct {
	VRF       int
	Prefix    netip.Prefix
	Local     bool // of the kernel's local table
	Type      uint8
	Protocol  uint8
	Scope     uint8
	Metric    uint32
	NextHop   uint32 // identifier of a next-hop object, 0: none
	MTU       uint32
	Source    netip.Addr // see kernel.Route
	Hops      []kernel.Hop
	Group     fib.GroupID
	Selected  bool // it is the best of its prefix
	Installed bool // and the image has it

	Offered  Source
	Origin   uint32       // of a source other than the kernel
	Eligible bool         // it leads somewhere
	Resolved []kernel.Hop // of a source other than the kernel: what its hops come to, each with a link
	Why      string       // it was chosen, or was not
}

// Key names a prefix in a VRF.
type Key struct{ key key }

// VRF returns the VRF's number.
func (k Key) VRF() int { return int(k.key.vrf) }

// Prefix returns the prefix.
func (k Key) Prefix() netip.Prefix { return k.key.prefix() }

// Compare orders by VRF, family and address, covering prefixes first.
func (k Key) Compare(o Key) int { return k.key.compare(o.key) }

// Is4 reports whether the prefix is IPv4.
func (k Key) Is4() bool { return k.key.family == 4 }

// SameAddr reports whether two prefixes begin with one address of one VRF.
func (k Key) SameAddr(o Key) bool {
	return k.key.hi == o.key.hi && k.key.lo == o.key.lo && k.key.vrf == o.key.vrf && k.key.family == o.key.family
}

// Keys returns the prefixes that there are routes to and that satisfy a
// condition, nil for all, in no order. A million of them are 24 MB, and take
// some 50 ms.
func (r *RIB) Keys(is func(Key) bool) []Key {
	keys := make([]Key, 0, r.routes.len())
	for k, c := range r.routes.all() {
		if c.rank != rankReserved && (is == nil || is(Key{k})) {
			keys = append(keys, Key{k})
		}
	}
	return keys
}

// KeyOf returns the key of a prefix.
func KeyOf(vrf int, p netip.Prefix) Key { return Key{newKey(uint16(vrf), p)} }

// At returns the routes to a prefix, best first.
func (r *RIB) At(k Key) (routes []Candidate) {
	list := r.candidates(k.key)
	for i := range list {
		if list[i].rank != rankReserved {
			routes = append(routes, r.show(k.key, &list[i]))
		}
	}
	return routes
}

// Table returns the kernel's table that a VRF mirrors, beside the local one.
func (r *RIB) Table(vrf int) uint32 {
	for table, v := range r.vrfs {
		if int(v) == vrf && table != tableLocal {
			return table
		}
	}
	return 0
}

// Answer returns the group that the image is to hold for a prefix.
func (r *RIB) Answer(k Key) (fib.GroupID, bool) {
	at, ok := r.wanted(k.key)
	if !ok {
		return 0, false
	}
	return r.groups[at].id, true
}

// HostAnswer returns the group of the route that an attached host has of its own.
func (r *RIB) HostAnswer(vrf int, addr netip.Addr) (fib.GroupID, bool) {
	k := hostKey(uint16(vrf), addr)
	if _, ok := r.derived[k]; !ok {
		return 0, false
	}
	return r.Answer(Key{k})
}

// IsUsed reports whether routes or hosts lead to a neighbor.
func (r *RIB) IsUsed(link int, addr netip.Addr) bool {
	p := r.peers[peerKey{link, addr}]
	return p != nil && len(p.adjacencies) > 0
}

func (r *RIB) show(k key, c *candidate) Candidate {
	g, taken := r.groups[c.group], r.isTaken(k, c)
	route := Candidate{
		VRF: int(k.vrf), Prefix: k.prefix(), Local: c.rank == rankLocal, Type: c.kind, Protocol: c.protocol, Scope: c.scope(),
		Metric: c.metric, NextHop: g.nextHop, MTU: g.mtu, Source: g.source, Group: g.id,
		Selected: taken, Installed: taken && r.isInstalled(k),
		Offered: c.source(), Eligible: r.eligible(c), Why: r.why(k, c),
	}
	if !c.isKernels() {
		route.Origin, route.Resolved = c.detail, showHops(g.flat.hops)
	}
	hops := g.hops
	switch {
	case g.kind != toHops:
		return route
	case g.nextHop != 0:
		hops, _, _ = r.objectHopsOf(g.by, g.nextHop)
	}
	route.Hops = showHops(hops)
	return route
}

func showHops(hops []hop) (shown []kernel.Hop) {
	for _, h := range hops {
		shown = append(shown, kernel.Hop{Link: h.link, Gateway: h.gateway, Weight: h.weight, Encap: h.encap})
	}
	return shown
}

// VRFs returns the numbers of the VRFs there are, in no order.
func (r *RIB) VRFs(yield func(int) bool) {
	for table, vrf := range r.vrfs {
		if table != tableLocal && !yield(int(vrf)) {
			return
		}
	}
}
