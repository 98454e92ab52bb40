package model

import (
	"encoding/binary"
	"net/netip"

	"weft/dataplane"
	"weft/fib"
)

const (
	header6    = 40
	hopLimitAt = 7
	leastMTU6  = 1280 // RFC 8200 5

	hopByHop   = 0 // next headers: RFC 8200 4
	routing    = 43
	fragment6  = 44
	icmp6      = 58
	noNext     = 59
	destOpts   = 60
	auth       = 51
	icmp4      = 1
	reservedMC = 0 // scopes of multicast: RFC 4291 2.7
	nodeMC     = 1
)

// ipv6 is a view of a header that is there.
type ipv6 []byte

func (h ipv6) version() int    { return int(h[0] >> 4) }
func (h ipv6) payload() int    { return be16(h[4:]) }
func (h ipv6) next() byte      { return h[6] }
func (h ipv6) ttl() byte       { return h[hopLimitAt] }
func (h ipv6) src() netip.Addr { return netip.AddrFrom16([16]byte(h[8:24])) }
func (h ipv6) dst() netip.Addr { return netip.AddrFrom16([16]byte(h[24:40])) }

// scope is that of a multicast address.
func scope(a netip.Addr) byte { return a.As16()[1] & 15 }

// weft6 does the checks of RFC 8200 3 and 4.3, and those of addresses, and goes on
// to the route.
func (s *State) weft6(frame []byte, in *Port) Outcome {
	end := func(r dataplane.Reason) Outcome { return Outcome{Reason: r, Frame: frame} }
	h := ipv6(frame[ethLen:])
	switch {
	case len(h) < header6:
		return end(dataplane.IPLengthWrong)
	case h.version() != 6:
		return end(dataplane.IPHeaderCorrupted)
	case h.payload() == 0 && h.next() == hopByHop && len(h) > header6:
		return end(dataplane.IPv6HopByHop) // RFC 2675 3: its length may be in an option, so that nothing is padding
	case header6+h.payload() > len(h):
		return end(dataplane.IPLengthWrong)
	}
	if h.payload() == 0 && h.next() == hopByHop {
		return end(dataplane.IPv6HopByHop) // RFC 2675: its length may be in an option
	}
	frame = fit(frame, header6+h.payload())
	h = frame[ethLen:]
	if r := special6(h.src(), h.dst()); r != dataplane.Forwarded {
		return end(r)
	}
	if h.next() == hopByHop {
		return end(dataplane.IPv6HopByHop) // RFC 8200 4.3
	}
	if !in.IPv6 || !in.carries(6) {
		return end(dataplane.IrifDisabled)
	}
	p := &packet{
		frame: frame, family: 6, src: h.src(), dst: h.dst(), ttl: h.ttl(), length: header6 + h.payload(),
		l4: ethLen + header6, protocol: h.next(),
	}
	label := binary.BigEndian.Uint32(h) & 0xfffff // RFC 6438
	p.flow = fib.FlowHash6(words(p.src), words(p.dst), label, l4Ports(p), h.next(), s.HashSeed)
	return s.route(p, in)
}

func words(a netip.Addr) fib.Addr6 {
	b := a.As16()
	return fib.Addr6{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
}

// special6 says what is wrong with addresses: RFC 4291 2.5.2 to 2.5.6 and 2.7.
func special6(src, dst netip.Addr) dataplane.Reason {
	switch {
	case src.IsMulticast():
		return dataplane.SIPIsMC
	case dst.IsMulticast() && scope(dst) == reservedMC:
		return dataplane.IPv6MCDIPReservedScope
	case dst.IsMulticast() && scope(dst) == nodeMC:
		return dataplane.IPv6MCDIPInterfaceLocalScope
	case dst.IsMulticast():
		return dataplane.Multicast
	case src.IsUnspecified():
		return dataplane.SIPIsUnspecified
	case src == netip.IPv6Loopback():
		return dataplane.SIPIsLoopbackAddress
	case src.Is4In6():
		return dataplane.IPv6SIPIsIPv4Mapped
	case dst.IsUnspecified():
		return dataplane.DIPIsUnspecified
	case dst == netip.IPv6Loopback():
		return dataplane.DIPIsLoopbackAddress
	case dst.Is4In6():
		return dataplane.IPv6DIPIsIPv4Mapped
	case dst.IsLinkLocalUnicast():
		return dataplane.IPv6UCDIPLinkLocalScope
	case src.IsLinkLocalUnicast():
		return dataplane.IPv6UCSIPLinkLocalScope
	}
	return dataplane.Forwarded
}
