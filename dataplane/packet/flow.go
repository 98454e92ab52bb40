package packet

import (
	"encoding/binary"

	"weft/fib"
)

// ports are source port << 16 | destination port of what follows n bytes of frame, 0
// for protocols without and where they are cut off.
func ports(frame []byte, n int, protocol byte) uint32 {
	switch protocol {
	case protocolTCP, protocolUDP, protocolDCCP, protocolSCTP, protocolUDPLite:
		if len(frame) >= n+4 {
			return binary.BigEndian.Uint32(frame[n:])
		}
	}
	return 0
}

// Flow4 is the hash of an IPv4 packet's flow. All fragments of a datagram have the same.
func Flow4(frame []byte, seed uint32) uint32 {
	p, l4 := IPv4(frame[EthernetLen:]), uint32(0)
	if !p.IsFragment() {
		l4 = ports(frame, EthernetLen+IPv4Len, p.Protocol())
	}
	return fib.FlowHash4(p.Source(), p.Destination(), l4, p.Protocol(), seed)
}

// Flow6 is the hash of an IPv6 packet's flow. Extension headers are not looked behind:
// there are no ports then, but the flow label (RFC 6438).
func Flow6(frame []byte, seed uint32) uint32 {
	p := IPv6(frame[EthernetLen:])
	label := binary.BigEndian.Uint32(p) & 0xfffff
	l4 := ports(frame, EthernetLen+IPv6Len, p.NextHeader())
	return fib.FlowHash6(p.Source(), p.Destination(), label, l4, p.NextHeader(), seed)
}
