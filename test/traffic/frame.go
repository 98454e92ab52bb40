package traffic

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// magic begins the payload: "weftraf" and a letter, as TRAFFIC_MAGIC.
const magic = 0x7765667474726166

const (
	ethLen  = 14
	udpLen  = 8
	markLen = 16
)

// frame is a packet to be made from parts. In the template that the program works from, what varies is 0: destination,
// source port, sequence number and checksums.
type frame struct {
	bytes []byte
	ipLen int // of the IP header
}

func newFrame(s *Spec) *frame {
	f := &frame{make([]byte, s.FrameSize), 20}
	b := f.bytes
	copy(b, s.DstMAC[:])
	copy(b[6:], s.SrcMAC[:])
	ip := b[ethLen:]
	if s.Src.Is4() {
		put16(b[12:], unix.ETH_P_IP)
		ip[0], ip[6], ip[8], ip[9] = 0x45, 0x40, s.TTL, unix.IPPROTO_UDP // may not be fragmented, so needs no ID (RFC 6864)
		put16(ip[2:], uint16(len(ip)))
		copy(ip[12:], s.Src.AsSlice())
	} else {
		f.ipLen = 40
		put16(b[12:], unix.ETH_P_IPV6)
		ip[0], ip[6], ip[7] = 0x60, unix.IPPROTO_UDP, s.TTL
		put16(ip[4:], uint16(len(ip)-f.ipLen))
		copy(ip[8:], s.Src.AsSlice())
	}
	udp := f.udp()
	put16(udp[2:], uint16(generateTrafficLimitsTRAFFIC_PORT))
	put16(udp[4:], uint16(len(udp)))
	payload := udp[udpLen:]
	for i := range payload {
		payload[i] = byte(i)
	}
	if f.marked() {
		binary.BigEndian.PutUint64(payload, magic)
		clear(payload[8:markLen])
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
	if f.ipLen != 20 {
		return 0
	}
	return sum(f.bytes[ethLen:][:f.ipLen])
}

// payloadSum is the sum of the pseudo-header (RFC 768, RFC 8200 8.1) and of the datagram.
func (f *frame) payloadSum() uint64 {
	addresses := f.bytes[ethLen+12 : ethLen+20]
	if f.ipLen == 40 {
		addresses = f.bytes[ethLen+8 : ethLen+40]
	}
	udp := f.udp()
	pseudo := binary.BigEndian.AppendUint32(nil, uint32(len(udp)))
	pseudo = binary.BigEndian.AppendUint32(pseudo, unix.IPPROTO_UDP)
	return sum(addresses) + sum(pseudo) + sum(udp)
}

// packet returns the whole frame of one packet, made as the RFCs say, and not as the program does.
func (f *frame) packet(dst netip.Addr, sequence uint64) []byte {
	udp := f.udp()
	put16(udp, sourcePort(sequence))
	if f.marked() {
		binary.BigEndian.PutUint64(udp[udpLen+8:], sequence)
	}
	ip := f.bytes[ethLen:]
	if f.ipLen == 20 {
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
