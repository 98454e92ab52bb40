package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Hop is one next hop of a route.
type Hop struct {
	Link    int        // index of the link to leave by; 0: none
	Gateway netip.Addr // invalid: the destination itself is attached. May be IPv6 of an IPv4 route
	Weight  int        // 1 or more
	Flags   uint8      // RTNH_F_*, as the kernel computed them when it answered
	Encap   bool       // the kernel puts a header around (MPLS, SRv6, a tunnel's metadata)
}

// Route is a route as the kernel has it.
type Route struct {
	Prefix   netip.Prefix // masked
	Table    uint32
	Type     uint8 // RTN_*
	Protocol uint8 // RTPROT_*
	Scope    uint8 // RT_SCOPE_*
	TOS      uint8 // not 0: only for packets with this DSCP
	Sourced  bool  // only for packets of some sources (IPv6 subtrees)
	Cached   bool  // a copy that the kernel made for one destination
	Metric   uint32
	MTU      uint32     // of this route, bytes; 0: that of the link
	Source   netip.Addr // that the kernel gives packets of its own; invalid: none
	NextHop  uint32     // identifier of a next-hop object; then Hops are not decoded. 0: none
	Hops     []Hop
}

const rtaNHID = 30 // RTA_NH_ID of linux/rtnetlink.h

// Decode reads the payload of RTM_NEWROUTE or RTM_DELROUTE. It reuses the
// memory of Hops, so that reading a table does not allocate.
//
// Errors: ErrMessage, ErrForeign.
func (r *Route) Decode(b []byte) error {
	*r = Route{Hops: r.Hops[:0]}
	if err := short("route", b, unix.SizeofRtMsg); err != nil {
		return err
	}
	// struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
	family, bits := b[0], int(b[1])
	if bitsOf(family) == 0 {
		return fmt.Errorf("route: %w: of family %d", ErrForeign, family)
	}
	flags := binary.NativeEndian.Uint32(b[8:])
	r.Sourced, r.TOS, r.Table, r.Protocol, r.Scope, r.Type = b[2] != 0, b[3], uint32(b[4]), b[5], b[6], b[7]
	r.Cached = flags&unix.RTM_F_CLONED != 0
	dst := netip.IPv4Unspecified()
	if family == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	one := Hop{Weight: 1, Flags: uint8(flags)}
	several := []byte(nil)
	a := newAttributes(b[unix.SizeofRtMsg:])
	for a.next() {
		switch a.kind {
		case unix.RTA_DST:
			dst = a.addr(family)
		case unix.RTA_TABLE:
			r.Table = a.number()
		case unix.RTA_PREFSRC:
			r.Source = a.addr(family)
		case unix.RTA_PRIORITY:
			r.Metric = a.number()
		case rtaNHID:
			r.NextHop = a.number()
		case unix.RTA_MULTIPATH:
			several = a.value
		case unix.RTA_METRICS:
			r.MTU = a.mtu()
		default:
			one.decode(&a, family)
		}
	}
	switch {
	case r.NextHop != 0: // what else the message says of next hops is for those who do not know objects
	case several != nil:
		if err := r.decodeHops(several, family); err != nil && a.err == nil {
			a.err = err
		}
	case one.Link != 0 || one.Gateway.IsValid():
		r.Hops = append(r.Hops, one)
	}
	r.Prefix = netip.PrefixFrom(dst, bits).Masked()
	switch {
	case a.err != nil:
		return fmt.Errorf("route: %w", a.err)
	case !r.Prefix.IsValid():
		return fmt.Errorf("route: %w: %s with a length of %d", ErrMessage, dst, bits)
	}
	return nil
}

// decode takes an attribute that says something of a next hop.
func (h *Hop) decode(a *attributes, family uint8) {
	switch a.kind {
	case unix.RTA_OIF:
		h.Link = a.index()
	case unix.RTA_GATEWAY:
		h.Gateway = a.gateway(family)
	case unix.RTA_VIA: // struct rtvia: family in 16 bits, address
		if len(a.value) < 2 {
			a.fail("a gateway of another family")
			return
		}
		via := uint8(binary.NativeEndian.Uint16(a.value))
		a.value = a.value[2:]
		h.Gateway = a.gateway(via)
	case unix.RTA_ENCAP, unix.RTA_NEWDST:
		h.Encap = true
	}
}

// gateway reads an address, of which 0.0.0.0 and :: mean that there is none.
func (a *attributes) gateway(family uint8) netip.Addr {
	if g := a.addr(family); !g.IsUnspecified() {
		return g
	}
	return netip.Addr{}
}

// decodeHops reads RTA_MULTIPATH: each hop is a struct rtnexthop (length, flags,
// weight - 1, ifindex) with attributes behind it.
func (r *Route) decodeHops(b []byte, family uint8) error {
	for len(b) > 0 {
		if len(b) < unix.SizeofRtNexthop {
			return fmt.Errorf("%w: %d bytes where a next hop should be", ErrMessage, len(b))
		}
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtNexthop || n > len(b) {
			return fmt.Errorf("%w: next hop of %d bytes in %d", ErrMessage, n, len(b))
		}
		h := Hop{Flags: b[2], Weight: int(b[3]) + 1, Link: int(int32(binary.NativeEndian.Uint32(b[4:])))}
		if h.Link < 0 {
			return fmt.Errorf("%w: next hop on link %d", ErrMessage, h.Link)
		}
		a := newAttributes(b[unix.SizeofRtNexthop:n])
		for a.next() {
			h.decode(&a, family)
		}
		if a.err != nil {
			return a.err
		}
		r.Hops = append(r.Hops, h)
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil
}

// mtu finds RTAX_MTU in RTA_METRICS.
func (a *attributes) mtu() uint32 {
	m := newAttributes(a.value)
	for m.next() {
		if m.kind == unix.RTAX_MTU {
			n := m.number()
			if m.err == nil {
				return n
			}
		}
	}
	if m.err != nil {
		a.err = m.err
	}
	return 0
}
