package traffic

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// magic begins the payload: "weft", as TRAFFIC_MAGIC.
const magic = 0x77656674

const (
	ethLen  = 14
	ipv4Len = 20
	ipv6Len = 40
	udpLen  = 8
	markLen = 18
)

// frame is a packet to be made from parts. In the template that the program works from, what varies is 0: destination,
// source port, sequence number, time and checksums.
type frame struct {
	bytes []byte
	ipLen int // of the IP header
}

func newFrame(s *Spec, k Kind) *frame {
	f := &frame{make([]byte, k.Size), ipv4Len}
	b := f.bytes
	for i := range b {
		b[i] = byte(i)
	}
	clear(b[:ethLen])
	copy(b, s.DstMAC[:])
	copy(b[6:], s.SrcMAC[:])
	ip := b[ethLen:]
	if !k.IPv6 {
		clear(ip[:f.ipLen])
		put16(b[12:], unix.ETH_P_IP)
		ip[0], ip[6], ip[8], ip[9] = 0x45, 0x40, s.TTL, unix.IPPROTO_UDP // may not be fragmented, so needs no ID (RFC 6864)
		put16(ip[2:], uint16(len(ip)))
		copy(ip[12:], s.source(false).AsSlice())
	} else {
		f.ipLen = ipv6Len
		clear(ip[:f.ipLen])
		put16(b[12:], unix.ETH_P_IPV6)
		ip[0], ip[6], ip[7] = 0x60, unix.IPPROTO_UDP, s.TTL
		put16(ip[4:], uint16(len(ip)-f.ipLen))
		copy(ip[8:], s.source(true).AsSlice())
	}
	udp := f.udp()
	clear(udp[:udpLen])
	put16(udp[2:], uint16(generateTrafficLimitsTRAFFIC_PORT))
	put16(udp[4:], uint16(len(udp)))
	if f.marked() {
		payload := udp[udpLen:]
		binary.BigEndian.PutUint32(payload, magic)
		clear(payload[4:markLen])
	}
	return f
}

func (f *frame) udp() []byte { return f.bytes[ethLen+f.ipLen:] }

// marked tells whether the payload has room for the mark.
func (f *frame) marked() bool { return len(f.udp()) >= udpLen+markLen }

// headers returns Ethernet, IP and UDP header as the program copies them.
func (f *frame) headers() (words [8]uint64) {
	var b [64]byte
	copy(b[:], f.bytes[:ethLen+f.ipLen+udpLen])
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return words
}

// sum adds up 16-bit words as they lie in memory of a little-endian machine. The length is even, or a 0 follows.
func sum(b []byte) (s uint64) {
	for len(b) >= 2 {
		s += uint64(binary.LittleEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) > 0 {
		s += uint64(b[0])
	}
	return s
}

func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}

// headerSum is the sum of the IPv4 header.
func (f *frame) headerSum() uint64 {
	if f.ipLen != ipv4Len {
		return 0
	}
	return sum(f.bytes[ethLen:][:f.ipLen])
}

// payloadSum is the sum of the pseudo-header (RFC 768, RFC 8200 8.1) and of the datagram.
func (f *frame) payloadSum() uint64 {
	addresses := f.bytes[ethLen+12 : ethLen+20]
	if f.ipLen == ipv6Len {
		addresses = f.bytes[ethLen+8 : ethLen+40]
	}
	udp := f.udp()
	pseudo := binary.BigEndian.AppendUint32(nil, uint32(len(udp)))
	pseudo = binary.BigEndian.AppendUint32(pseudo, unix.IPPROTO_UDP)
	return sum(addresses) + sum(pseudo) + sum(udp)
}

// packet returns the whole frame of one packet, made as the RFCs say, and not as the program does.
func (f *frame) packet(dst netip.Addr, sequence, stamp uint64, ports int) []byte {
	udp := f.udp()
	put16(udp, sourcePort(sequence, ports))
	if f.marked() {
		mark := udp[udpLen:]
		put16(mark[4:], uint16(sequence>>32))
		binary.BigEndian.PutUint32(mark[6:], uint32(sequence))
		binary.BigEndian.PutUint64(mark[10:], stamp)
	}
	ip := f.bytes[ethLen:]
	if f.ipLen == ipv4Len {
		copy(ip[16:], dst.AsSlice())
		binary.LittleEndian.PutUint16(ip[10:], fold(f.headerSum()))
	} else {
		copy(ip[24:], dst.AsSlice())
	}
	check := fold(f.payloadSum())
	if check == 0 {
		check = 0xffff
	}
	binary.LittleEndian.PutUint16(udp[6:], check)
	return f.bytes
}
