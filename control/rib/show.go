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

// Route is a route of the RIB, for people.
type Route struct {
	VRF       int
	Prefix    netip.Prefix
	Local     bool // of the kernel's local table
	Type      uint8
	Protocol  uint8
	Scope     uint8
	Metric    uint32
	NextHop   uint32 // identifier of a next-hop object, 0: none
	Hops      []kernel.Hop
	Group     fib.GroupID
	Selected  bool // it is the best of its prefix
	Installed bool // and the image has it
}

// Routes returns all routes, in no order, without the ranges that are weft's
// own.
func (r *RIB) Routes(yield func(Route) bool) {
	for k, best := range r.routes {
		if !r.yield(k, &best, true, yield) {
			return
		}
		if best.several {
			for i := range r.others[k] {
				if !r.yield(k, &r.others[k][i], false, yield) {
					return
				}
			}
		}
	}
}

func (r *RIB) yield(k key, c *candidate, best bool, yield func(Route) bool) bool {
	if c.rank == rankReserved {
		return true
	}
	g := r.groups[c.group]
	_, missing := r.missing[k]
	route := Route{
		VRF: int(k.vrf), Prefix: k.prefix(), Local: c.rank == rankLocal, Type: c.kind, Protocol: c.protocol, Scope: c.scope,
		Metric: c.metric, NextHop: g.nextHop, Group: g.id, Selected: best, Installed: best && !missing,
	}
	hops := g.hops
	if g.nextHop != 0 {
		hops, _, _ = r.objectHops(g.nextHop)
	}
	for _, h := range hops {
		route.Hops = append(route.Hops, kernel.Hop{Link: h.link, Gateway: h.gateway, Weight: h.weight, Encap: h.encap})
	}
	return yield(route)
}
