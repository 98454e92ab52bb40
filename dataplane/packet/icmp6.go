package packet

import (
	"encoding/binary"

	"weft/fib"
)

// Types and codes of ICMPv6 errors: RFC 4443 3.
const (
	Unreachable6       = 1
	TooBig6            = 2
	TimeExceeded6      = 3
	NoRoute            = 0
	AddressUnreachable = 3
	leastInformational = 128
)

// MayAnswer6 tells whether there may be an ICMPv6 error about a packet, sent to this
// host alone and from a unicast address: RFC 4443 2.4 (e.1).
func MayAnswer6(about IPv6) bool { return !isError6(about) }

// isError6 tells whether a packet is an ICMPv6 error, as far as Linux can tell: one whose
// type is cut off is one.
func isError6(p IPv6) bool {
	next, at, fragment := p.NextHeader(), IPv6Len, false
	for at <= 1<<16 {
		if next == protocolICMP6 {
			if at >= len(p) {
				return !fragment
			}
			return p[at] < leastInformational
		}
		length := 8
		switch next {
		case nextHopByHop, nextRouting, nextDestination:
			if at+2 > len(p) {
				return false
			}
			length += 8 * int(p[at+1])
		case nextAuth:
			if at+2 > len(p) {
				return false
			}
			length += 4 * int(p[at+1])
		case nextFragment:
			if at+4 > len(p) {
				return false
			}
			offset := binary.BigEndian.Uint16(p[at+2:])
			if offset&^7 != 0 {
				return false
			}
			fragment = offset != 0
		default:
			return false
		}
		next, at = p[at], at+length
	}
	return false
}

// HasFragmentPoint tells whether the headers that each fragment would have (RFC 8200
// 4.5) end within the packet.
func HasFragmentPoint(p IPv6) bool {
	next, at, routed := p.NextHeader(), IPv6Len, false
	for at <= len(p) {
		isPerFragment := next == nextHopByHop || next == nextRouting || next == nextDestination
		switch {
		case !isPerFragment, next == nextDestination && routed:
			return true
		case at+2 > len(p):
			return false
		}
		routed = routed || next == nextRouting
		next, at = p[at], at+8*(int(p[at+1])+1)
	}
	return false
}

// Write6 is Write4 for ICMPv6: RFC 4443 2.4 (c). b has room for MaxError6. The flow label
// is 0.
func (e Error) Write6(b []byte, about IPv6, source fib.Addr6) int {
	quote := about[:min(len(about), LeastMTU6-IPv6Len-errorLen)]
	length := IPv6Len + errorLen + len(quote)
	p := IPv6(b[:length])
	binary.BigEndian.PutUint32(p, 6<<28)
	binary.BigEndian.PutUint16(p[4:], uint16(length-IPv6Len))
	p[6], p[hopLimitAt] = protocolICMP6, errorTTL
	binary.BigEndian.PutUint64(p[8:], source.Hi)
	binary.BigEndian.PutUint64(p[16:], source.Lo)
	copy(p[24:40], about[8:24])
	m := p[IPv6Len:]
	e.header(m)
	copy(m[errorLen:], quote)
	putChecksum(m[2:], ^Fold(Sum(m, pseudo6(p)))) // RFC 8200 8.1
	return length
}
