package model

import (
	"encoding/binary"
	"net/netip"

	"weft/dataplane"
	"weft/fib"
)

const (
	header4   = 20
	leastMTU4 = 68 // RFC 791 3.2
	df        = 0x4000
	mf        = 0x2000
	offset    = 0x1fff // units of 8 bytes
)

var (
	everywhere = netip.AddrFrom4([4]byte{255, 255, 255, 255}) // RFC 919
	allSystems = netip.AddrFrom4([4]byte{224, 0, 0, 1})       // RFC 1112
)

// ipv4 is a view of a header that is there.
type ipv4 []byte

func (h ipv4) version() int    { return int(h[0] >> 4) }
func (h ipv4) hlen() int       { return int(h[0]&15) * 4 }
func (h ipv4) length() int     { return be16(h[2:]) }
func (h ipv4) fragment() int   { return be16(h[6:]) }
func (h ipv4) ttl() byte       { return h[8] }
func (h ipv4) protocol() byte  { return h[9] }
func (h ipv4) src() netip.Addr { return netip.AddrFrom4([4]byte(h[12:16])) }
func (h ipv4) dst() netip.Addr { return netip.AddrFrom4([4]byte(h[16:20])) }

// setChecksum computes the header's checksum.
func (h ipv4) setChecksum() {
	put16(h[10:], 0)
	put16(h[10:], checksum(h[:h.hlen()]))
}

// decreaseTTL4 is RFC 1812 5.3.1. The checksum comes out as if it were computed in
// full: RFC 1624.
func decreaseTTL4(h ipv4) {
	h[8]--
	h.setChecksum()
}

// weft4 does the checks of RFC 1812 5.2.2, those of options and addresses, and goes
// on to the route.
func (s *State) weft4(frame []byte, in *Port) Outcome {
	end := func(r dataplane.Reason) Outcome { return Outcome{Reason: r, Frame: frame} }
	h := ipv4(frame[ethLen:])
	switch {
	case len(h) < header4:
		return end(dataplane.IPLengthWrong) // 5.2.2 (1)
	case h.version() != 4 || h.hlen() < header4:
		return end(dataplane.IPHeaderCorrupted) // 5.2.2 (3), (4)
	case h.hlen() > header4 && (h.length() < h.hlen() || h.length() > len(h)):
		return end(dataplane.IPLengthWrong) // 5.2.2 (5)
	case h.hlen() > header4:
		return end(dataplane.IPv4Options) // the kernel handles options, and looks at their checksum
	case checksum(h[:header4]) != 0:
		return end(dataplane.IPv4ChecksumWrong) // 5.2.2 (2)
	case h.length() < header4 || h.length() > len(h):
		return end(dataplane.IPLengthWrong)
	}
	frame = fit(frame, h.length())
	h = frame[ethLen:]
	if r := special4(h.src(), h.dst()); r != dataplane.Forwarded {
		return end(r)
	}
	if !in.IPv4 {
		return end(dataplane.IrifDisabled)
	}
	p := &packet{
		frame: frame, family: 4, src: h.src(), dst: h.dst(), ttl: h.ttl(), length: h.length(),
		l4: ethLen + header4, protocol: h.protocol(),
	}
	ports := uint32(0)
	if h.fragment()&(mf|offset) == 0 { // all fragments of a datagram go one way: checklist 57
		ports = l4Ports(p)
	}
	p.flow = fib.FlowHash4(binary.BigEndian.Uint32(h[12:]), binary.BigEndian.Uint32(h[16:]), ports, h.protocol(), s.HashSeed)
	return s.route(p, in)
}

// special4 says what is wrong with addresses. Class E is not: RFC 6890 leaves it to
// the operator.
func special4(src, dst netip.Addr) dataplane.Reason {
	zero := func(a netip.Addr) bool { return a.As4()[0] == 0 } // RFC 1122 3.2.1.3 (a), (b)
	switch {
	case dst == everywhere:
		return dataplane.Broadcast // RFC 1812 5.3.5.1: never forwarded
	case dst.IsMulticast():
		return dataplane.Multicast
	case src == everywhere:
		return dataplane.IPv4SIPIsLimitedBC // from here on RFC 1812 5.3.7
	case src.IsMulticast():
		return dataplane.SIPIsMC
	case zero(src):
		return dataplane.SIPIsUnspecified
	case src.IsLoopback():
		return dataplane.SIPIsLoopbackAddress
	case zero(dst):
		return dataplane.DIPIsUnspecified
	case dst.IsLoopback():
		return dataplane.DIPIsLoopbackAddress
	}
	return dataplane.Forwarded
}
