package api

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"weft/dataplane"
)

// probe is a packet that a client asks about.
type probe struct {
	port         dataplane.PortStatus // it comes in by
	tags         []byte               // of VLANs
	src, dst     netip.Addr
	protocol     int
	sport, dport int
	ttl          int
	length       int // of the IP packet; 0: the least
}

const (
	macs         = 12
	etherHeader  = 14
	headerIPv4   = 20
	headerIPv6   = 40
	headerL4     = 8 // that has ports: of UDP, and as much of others
	protocolUDP  = unix.IPPROTO_UDP
	mostIP       = 9000 // what a jumbo frame has
	leastFrame   = 60
	senderOfHost = 0x02 // a locally administered MAC
)

func (p *probe) header() int {
	if p.dst.Is4() {
		return headerIPv4
	}
	return headerIPv6
}

func (p *probe) checkLength() error {
	least := p.header() + headerL4
	if p.length == 0 {
		p.length = least
	}
	if p.length < least || p.length > mostIP {
		return invalid("length %d: want %d to %d bytes of IP packet", p.length, least, mostIP)
	}
	return nil
}

// frame builds the packet, to the port's MAC.
func (p *probe) frame() []byte {
	b := make([]byte, max(etherHeader+len(p.tags)+p.length, leastFrame))
	copy(b, p.port.MAC[:])
	copy(b[6:], []byte{senderOfHost, 0, 0, 0, 0, 1})
	copy(b[macs:], p.tags)
	etherType, ip := b[macs+len(p.tags):], b[etherHeader+len(p.tags):]
	if p.dst.Is4() {
		binary.BigEndian.PutUint16(etherType, unix.ETH_P_IP)
		ip[0] = 0x45
		binary.BigEndian.PutUint16(ip[2:], uint16(p.length))
		ip[8], ip[9] = byte(p.ttl), byte(p.protocol)
		copy(ip[12:], p.src.AsSlice())
		copy(ip[16:], p.dst.AsSlice())
		binary.BigEndian.PutUint16(ip[10:], checksum(ip[:headerIPv4]))
	} else {
		binary.BigEndian.PutUint16(etherType, unix.ETH_P_IPV6)
		ip[0] = 0x60
		binary.BigEndian.PutUint16(ip[4:], uint16(p.length-headerIPv6))
		ip[6], ip[7] = byte(p.protocol), byte(p.ttl)
		copy(ip[8:], p.src.AsSlice())
		copy(ip[24:], p.dst.AsSlice())
	}
	l4 := ip[p.header():]
	binary.BigEndian.PutUint16(l4, uint16(p.sport))
	binary.BigEndian.PutUint16(l4[2:], uint16(p.dport))
	if p.protocol == protocolUDP {
		binary.BigEndian.PutUint16(l4[4:], uint16(p.length-p.header()))
	}
	return b
}

// checksum is the Internet checksum (RFC 1071) of an even number of bytes.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for ; len(b) > 0; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
