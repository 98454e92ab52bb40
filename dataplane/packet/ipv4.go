package packet

import (
	"encoding/binary"

	"weft/dataplane"
)

// IPv4: RFC 791.
const (
	IPv4Len       = 20
	leastMTU4     = 68
	dontFragment  = 0x4000
	moreFragments = 0x2000
	offsetMask    = 0x1fff // units of 8 bytes

	protocolICMP    = 1
	protocolTCP     = 6
	protocolUDP     = 17
	protocolDCCP    = 33
	protocolICMP6   = 58
	protocolSCTP    = 132
	protocolUDPLite = 136
)

// IPv4 is a packet from its IP header on.
type IPv4 []byte

// HeaderLen is the header's length in bytes, as it says itself.
func (p IPv4) HeaderLen() int { return int(p[0]&15) * 4 }

// Len is the packet's length in bytes, as its header says.
func (p IPv4) Len() int { return int(binary.BigEndian.Uint16(p[2:])) }

// Protocol is the one behind the header.
func (p IPv4) Protocol() byte { return p[9] }

// Source and Destination are addresses as numbers, the first byte on top.
func (p IPv4) Source() uint32      { return binary.BigEndian.Uint32(p[12:]) }
func (p IPv4) Destination() uint32 { return binary.BigEndian.Uint32(p[16:]) }

func (p IPv4) fragment() int { return int(binary.BigEndian.Uint16(p[6:])) }

// IsFragment tells whether a packet is one of several, the first one included.
func (p IPv4) IsFragment() bool { return p.fragment()&(moreFragments|offsetMask) != 0 }

// MayFragment tells whether it may be divided.
func (p IPv4) MayFragment() bool { return p.fragment()&dontFragment == 0 }

// Forward decreases the TTL, which is at least 2.
func (p IPv4) Forward() {
	binary.LittleEndian.PutUint32(p[8:], DecrementTTL(binary.LittleEndian.Uint32(p[8:])))
}

func (p IPv4) setChecksum() {
	putChecksum(p[10:], 0)
	putChecksum(p[10:], Checksum(p[:p.HeaderLen()]))
}

// CheckIPv4 does RFC 1812 5.2.2 with a frame whose EtherType is IPv4, and looks at its
// addresses (5.3.4 to 5.3.7). With Forwarded the packet goes on, and its frame is so
// long without padding. Its destination is looked up before a family that is
// disabled shows, but for nothing.
func CheckIPv4(frame []byte) (r dataplane.Reason, length int) {
	if len(frame) < EthernetLen+IPv4Len {
		return dataplane.IPLengthWrong, len(frame)
	}
	p := IPv4(frame[EthernetLen:])
	if p[0] != 0x45 {
		return long4(p), len(frame)
	}
	if Fold(Sum(p[:IPv4Len], 0)) != 0xffff {
		return dataplane.IPv4ChecksumWrong, len(frame)
	}
	if p.Len() < IPv4Len {
		return dataplane.IPLengthWrong, len(frame)
	}
	length, ok := fit(len(frame), p.Len())
	if !ok {
		return dataplane.IPLengthWrong, len(frame)
	}
	return special4(p.Source(), p.Destination()), length
}

// long4 is for headers that are not 20 bytes of version 4.
func long4(p IPv4) dataplane.Reason {
	switch hlen := p.HeaderLen(); {
	case p[0]>>4 != 4 || hlen < IPv4Len:
		return dataplane.IPHeaderCorrupted
	case p.Len() < hlen || p.Len() > len(p):
		return dataplane.IPLengthWrong
	}
	return dataplane.IPv4Options
}

func isMulticast4(a uint32) bool { return a>>28 == 14 }

// special4 says what is wrong with addresses. Class E is not: RFC 6890 leaves it to the
// operator, and Linux routes it.
func special4(src, dst uint32) dataplane.Reason {
	const everywhere = 0xffffffff // RFC 919
	switch {
	case dst == everywhere:
		return dataplane.Broadcast
	case isMulticast4(dst):
		return dataplane.Multicast
	case src == everywhere:
		return dataplane.IPv4SIPIsLimitedBC
	case isMulticast4(src):
		return dataplane.SIPIsMC
	case src>>24 == 0:
		return dataplane.SIPIsUnspecified
	case src>>24 == 127:
		return dataplane.SIPIsLoopbackAddress
	case dst>>24 == 0:
		return dataplane.DIPIsUnspecified
	case dst>>24 == 127:
		return dataplane.DIPIsLoopbackAddress
	}
	return dataplane.Forwarded
}

// IsPlain4 tells that two addresses are not special, of nearly all that are not, without
// a branch: it is by their first 6 bits. 0/6, 124/6, 224/4 and 252/6 have some that are.
func IsPlain4(src, dst uint32) bool {
	const special = uint64(1<<0 | 1<<31 | 15<<56 | 1<<63)
	return (special>>(src>>26)|special>>(dst>>26))&1 == 0
}
