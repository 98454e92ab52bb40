package conformance

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"weft/dataplane"
	"weft/test/traffic"
)

// Lengths of headers, bytes.
const (
	ethLen   = 14
	ip4Len   = 20
	ip6Len   = 40
	udpLen   = 8
	icmpLen  = 8
	ethLeast = 60 // what the shortest frame has, without its check sequence
)

// packet is an IP packet to be made. What is not given is filled in.
type packet struct {
	src, dst string
	tos      byte   // 0: 0xb9
	ttl      int    // 0: 64; -1: 0
	protocol int    // 0: UDP; -1: 0. The next header of IPv6
	id       uint16 // of IPv4
	fragment uint16 // of IPv4: flags and offset
	label    uint32 // of IPv6; 0: 0x12345
	options  []byte // of IPv4
	before   []byte // IPv6's extension headers, of which protocol names the first
	payload  []byte // nil: UDP
}

func (p packet) bytes() []byte {
	if p.tos == 0 {
		p.tos = 46<<2 | 1
	}
	ttl := byte(64)
	if p.ttl != 0 {
		ttl = byte(max(p.ttl, 0))
	}
	protocol := byte(unix.IPPROTO_UDP)
	if p.protocol != 0 {
		protocol = byte(max(p.protocol, 0))
	}
	src, dst := netip.MustParseAddr(p.src), netip.MustParseAddr(p.dst)
	if p.payload == nil {
		p.payload = datagram(src, dst, 32)
	}
	if src.Is4() {
		return p.ipv4(ttl, protocol, src, dst)
	}
	if p.label == 0 {
		p.label = 0x12345
	}
	b := binary.BigEndian.AppendUint32(nil, 6<<28|uint32(p.tos)<<20|p.label)
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.before)+len(p.payload)))
	b = append(b, protocol, ttl)
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	return append(append(b, p.before...), p.payload...)
}

func (p packet) ipv4(ttl, protocol byte, src, dst netip.Addr) []byte {
	if p.id == 0 {
		p.id = 0xbeef
	}
	b := []byte{0x40 | byte(5+len(p.options)/4), p.tos, 0, 0}
	b = binary.BigEndian.AppendUint16(b, p.id)
	b = binary.BigEndian.AppendUint16(b, p.fragment)
	b = append(b, ttl, protocol, 0, 0)
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	b = append(b, p.options...)
	hlen := len(b)
	b = append(b, p.payload...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[10:], traffic.Checksum(b[:hlen]))
	return b
}

// with returns a copy with bytes from an offset on replaced.
func with(b []byte, at int, v ...byte) []byte {
	c := append([]byte{}, b...)
	copy(c[at:], v)
	return c
}

// summed is with, and the IPv4 header's checksum made right.
func summed(b []byte, at int, v ...byte) []byte {
	c := with(b, at, v...)
	copy(c[10:], []byte{0, 0})
	binary.BigEndian.PutUint16(c[10:], traffic.Checksum(c[:min(len(c), max(ip4Len, int(c[0]&15)*4))]))
	return c
}

func pad(b []byte, n int) []byte { return append(append([]byte{}, b...), make([]byte, n)...) }

// datagram is a UDP datagram with so much payload, its checksum right.
func datagram(src, dst netip.Addr, payload int) []byte {
	b := []byte{0x9c, 0x40, 0x1e, 0x61, 0, 0, 0, 0} // port 40000 to 7777
	for i := range payload {
		b = append(b, byte(i*7))
	}
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	sum := transport(src, dst, unix.IPPROTO_UDP, b)
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(b[6:], sum)
	return b
}

// transport is the checksum of a message with its pseudo header (RFC 768, RFC 8200 8.1).
func transport(src, dst netip.Addr, protocol byte, message []byte) uint16 {
	pseudo := binary.BigEndian.AppendUint32(append(src.AsSlice(), dst.AsSlice()...), uint32(len(message)))
	return traffic.Checksum(append(pseudo, 0, 0, 0, protocol), message)
}

// icmp6 is an ICMPv6 message of a type and code with its checksum.
func icmp6(src, dst string, kind, code byte, body ...byte) []byte {
	b := append([]byte{kind, code, 0, 0}, body...)
	binary.BigEndian.PutUint16(b[2:], transport(netip.MustParseAddr(src), netip.MustParseAddr(dst), unix.IPPROTO_ICMPV6, b))
	return b
}

// icmp4 is an ICMP message.
func icmp4(kind, code byte, body ...byte) []byte {
	b := append([]byte{kind, code, 0, 0}, body...)
	binary.BigEndian.PutUint16(b[2:], traffic.Checksum(b))
	return b
}

// ether puts a packet into a frame.
func ether(dst, src dataplane.MAC, etherType uint16, payload []byte) []byte {
	b := append(append([]byte{}, dst[:]...), src[:]...)
	return append(binary.BigEndian.AppendUint16(b, etherType), payload...)
}

func etherTypeOf(ip []byte) uint16 {
	if ip[0]>>4 == 6 {
		return unix.ETH_P_IPV6
	}
	return unix.ETH_P_IP
}

// hop is what a router makes of a packet's header (RFC 1812 5.3.1, RFC 8200 3): its
// time is 1 less, the checksum computed anew.
func hop(ip []byte) []byte {
	if ip[0]>>4 == 6 {
		return with(ip, 7, ip[7]-1)
	}
	return summed(ip, 8, ip[8]-1)
}

// arp is an ARP packet (RFC 826) for IPv4 over Ethernet.
type arp struct {
	operation  uint16
	sha, tha   dataplane.MAC
	spa, tpa   string
	hardware   uint16 // 0: Ethernet
	hlen, plen byte   // 0: 6 and 4
}

const (
	arpRequest = 1
	arpReply   = 2
)

func (a arp) bytes() []byte {
	if a.hardware == 0 {
		a.hardware = 1
	}
	if a.hlen == 0 {
		a.hlen = 6
	}
	if a.plen == 0 {
		a.plen = 4
	}
	b := binary.BigEndian.AppendUint16(nil, a.hardware)
	b = append(b, 0x08, 0x00, a.hlen, a.plen)
	b = binary.BigEndian.AppendUint16(b, a.operation)
	b = append(append(b, a.sha[:]...), netip.MustParseAddr(a.spa).AsSlice()...)
	return append(append(b, a.tha[:]...), netip.MustParseAddr(a.tpa).AsSlice()...)
}
