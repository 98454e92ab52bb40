package fpm

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
)

// key names a route of the peer: zebra tells one of each prefix and table. It is
// free of pointers: there are a million of them.
type key struct {
	addr   [16]byte // IPv4 in the first 4
	table  uint32
	bits   uint8
	family uint8 // AF_INET, AF_INET6
}

func keyOf(r *kernel.Route) key {
	k := key{table: r.Table, bits: uint8(r.Prefix.Bits()), family: unix.AF_INET6}
	if a := r.Prefix.Addr(); a.Is4() {
		four := a.As4()
		k.family = unix.AF_INET
		copy(k.addr[:], four[:])
	} else {
		k.addr = a.As16()
	}
	return k
}

func (k *key) address() []byte {
	if k.family == unix.AF_INET {
		return k.addr[:4]
	}
	return k.addr[:]
}

func (k *key) prefix() netip.Prefix {
	a, _ := netip.AddrFromSlice(k.address())
	return netip.PrefixFrom(a, int(k.bits))
}

// said is what is kept of a route, free of pointers.
type said struct {
	nextHop    uint32 // object, 0: hops
	metric     uint32
	mtu        uint32
	generation uint32 // of the connection
	kind       uint8  // RTN_*
	protocol   uint8
	scope      uint8
}

// route is what the peer says of a prefix.
type route struct {
	said
	hops []kernel.Hop
	gone bool
}

// nextHop is what the peer says of a next-hop object.
type nextHop struct {
	kernel.NextHop
	gone bool
}

// isOurs reports whether a route is one that a FIB by destination can hold. zebra
// leaves out the type of one that is gone.
func isOurs(r *kernel.Route, gone bool) bool {
	if r.Sourced || r.Cached || r.TOS != 0 || r.Prefix.Addr().Is4In6() {
		return false
	}
	switch r.Type {
	case unix.RTN_UNICAST, unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT:
		return true
	}
	return gone && r.Type == unix.RTN_UNSPEC
}

func newRoute(r *kernel.Route, gone bool, generation uint32) route {
	return route{
		said: said{
			nextHop: r.NextHop, metric: r.Metric, mtu: r.MTU, kind: r.Type, protocol: r.Protocol, scope: r.Scope, generation: generation,
		},
		hops: slices.Clone(r.Hops), gone: gone,
	}
}

func (s *said) route(k *key, hops []kernel.Hop) kernel.Route {
	return kernel.Route{
		Prefix: k.prefix(), Table: k.table, Type: s.kind, Protocol: s.protocol, Scope: s.scope, Metric: s.metric, MTU: s.mtu,
		NextHop: s.nextHop, Hops: hops,
	}
}
