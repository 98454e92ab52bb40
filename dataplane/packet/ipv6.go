package packet

import (
	"encoding/binary"

	"weft/dataplane"
	"weft/fib"
)

// IPv6: RFC 8200.
const (
	IPv6Len    = 40
	LeastMTU6  = 1280
	hopLimitAt = 7

	nextHopByHop    = 0
	nextRouting     = 43
	nextFragment    = 44
	nextAuth        = 51
	nextDestination = 60
)

// IPv6 is a packet from its IP header on.
type IPv6 []byte

// Len is the packet's length in bytes, as its header says.
func (p IPv6) Len() int { return int(binary.BigEndian.Uint16(p[4:])) + IPv6Len }

// NextHeader is what follows the fixed header.
func (p IPv6) NextHeader() byte { return p[6] }

// Source and Destination are addresses as numbers.
func (p IPv6) Source() fib.Addr6 {
	return fib.Addr6{Hi: binary.BigEndian.Uint64(p[8:]), Lo: binary.BigEndian.Uint64(p[16:])}
}

// Destination is the same for the other address.
func (p IPv6) Destination() fib.Addr6 {
	return fib.Addr6{Hi: binary.BigEndian.Uint64(p[24:]), Lo: binary.BigEndian.Uint64(p[32:])}
}

// Forward decreases the hop limit, which is at least 2.
func (p IPv6) Forward() { p[hopLimitAt]-- }

// CheckIPv6 does RFC 8200 3 and 4.3 with a frame whose EtherType is IPv6, and looks at
// its addresses (RFC 4291). It is the twin of CheckIPv4.
func CheckIPv6(frame []byte) (r dataplane.Reason, length int) {
	if len(frame) < EthernetLen+IPv6Len {
		return dataplane.IPLengthWrong, len(frame)
	}
	p := IPv6(frame[EthernetLen:])
	if p[0]>>4 != 6 {
		return dataplane.IPHeaderCorrupted, len(frame)
	}
	length = len(frame)
	if p.Len() != len(p) {
		// Length 0 and hop-by-hop: an option may say the length (RFC 2675). What follows is no padding then.
		if p.Len() == IPv6Len && p.NextHeader() == nextHopByHop {
			return dataplane.IPv6HopByHop, length
		}
		var ok bool
		if length, ok = fit(len(frame), p.Len()); !ok {
			return dataplane.IPLengthWrong, length
		}
	}
	if r := special6(p.Source(), p.Destination()); r != dataplane.Forwarded {
		return r, length
	}
	if p.NextHeader() == nextHopByHop {
		return dataplane.IPv6HopByHop, length
	}
	return dataplane.Forwarded, length
}

func isMulticast6(a fib.Addr6) bool { return a.Hi>>56 == 0xff }
func isLinkLocal(a fib.Addr6) bool  { return a.Hi>>54 == 0xfe80>>6 }
func isMapped(a fib.Addr6) bool     { return a.Hi == 0 && a.Lo>>32 == 0xffff }

// special6 says what is wrong with addresses: RFC 4291 2.5.2 to 2.5.6 and 2.7.
func special6(src, dst fib.Addr6) dataplane.Reason {
	unspecified, loopback := fib.Addr6{}, fib.Addr6{Lo: 1}
	switch {
	case isMulticast6(src):
		return dataplane.SIPIsMC
	case isMulticast6(dst):
		return multicastScope(dst)
	case src == unspecified:
		return dataplane.SIPIsUnspecified
	case src == loopback:
		return dataplane.SIPIsLoopbackAddress
	case isMapped(src):
		return dataplane.IPv6SIPIsIPv4Mapped
	case dst == unspecified:
		return dataplane.DIPIsUnspecified
	case dst == loopback:
		return dataplane.DIPIsLoopbackAddress
	case isMapped(dst):
		return dataplane.IPv6DIPIsIPv4Mapped
	case isLinkLocal(dst):
		return dataplane.IPv6UCDIPLinkLocalScope
	case isLinkLocal(src):
		return dataplane.IPv6UCSIPLinkLocalScope
	}
	return dataplane.Forwarded
}

func multicastScope(dst fib.Addr6) dataplane.Reason {
	switch dst.Hi >> 48 & 15 {
	case 0:
		return dataplane.IPv6MCDIPReservedScope
	case 1:
		return dataplane.IPv6MCDIPInterfaceLocalScope
	}
	return dataplane.Multicast
}

// IsPlain6 tells that two addresses, of which only the first byte matters, are both in
// 2000::/3, where none is special.
func IsPlain6(src, dst byte) bool { return ((src^0x20)|(dst^0x20))&0xe0 == 0 }
