package packet

import (
	"encoding/binary"

	"weft/dataplane"
)

// Ethernet: IEEE 802.3, 802.1Q.
const (
	EthernetLen   = 14
	EthernetLeast = 60 // the shortest frame, without its checksum
	TagLen        = 4
	MaxTags       = 2 // that lead to a port
	macLen        = 6
	typeAt        = 12

	TypeIPv4  = 0x0800
	TypeARP   = 0x0806
	TypeIPv6  = 0x86dd
	Type8021Q = 0x8100
	Type8021A = 0x88a8 // 802.1ad
)

// IsGroup tells whether a frame, of 1 byte and more, was sent to a multicast or
// broadcast MAC.
func IsGroup(frame []byte) bool { return frame[0]&1 != 0 }

// EtherType of a frame of 14 bytes and more.
func EtherType(frame []byte) int { return int(binary.BigEndian.Uint16(frame[typeAt:])) }

// Other is the reason to punt what is not IP, by its EtherType.
func Other(etherType int) dataplane.Reason {
	switch etherType {
	case TypeARP:
		return dataplane.ARP
	case Type8021Q, Type8021A:
		return dataplane.VLANUnknown
	}
	return dataplane.NonIP
}

// Tag is a VLAN tag as it lies in a frame: protocol 31..16, priority and identifier.
type Tag uint32

// TPID is the tag's protocol.
func (t Tag) TPID() uint16 { return uint16(t >> 16) }

// ID is the VLAN's identifier, 0 of a tag that has a priority only.
func (t Tag) ID() uint16 { return uint16(t & 0xfff) }

// TagAt reads the tag of a frame behind n others, and tells whether there is one, with
// an EtherType behind it.
func TagAt(frame []byte, n int) (t Tag, ok bool) {
	at := typeAt + n*TagLen
	if len(frame) < at+TagLen+2 {
		return 0, false
	}
	t = Tag(binary.BigEndian.Uint32(frame[at:]))
	return t, t.TPID() == Type8021Q || t.TPID() == Type8021A
}

// PopTags moves a frame's MACs behind its first n tags: what is left of it begins
// n*TagLen bytes later.
func PopTags(frame []byte, n int) {
	copy(frame[n*TagLen:], frame[:2*macLen])
}

// PushTags is the reverse: frame begins n*TagLen bytes before the Ethernet header, and
// has the tags between MACs and EtherType then.
func PushTags(frame []byte, tags []Tag) {
	skip := len(tags) * TagLen
	copy(frame, frame[skip:skip+2*macLen])
	for i, t := range tags {
		binary.BigEndian.PutUint32(frame[2*macLen+i*TagLen:], uint32(t))
	}
}

// fit is the length of a frame without padding that goes: RFC 1812 5.2.2 wants none
// forwarded, but what the shortest frame has. ok is false if the frame is too short.
func fit(bytes, packet int) (length int, ok bool) {
	packet += EthernetLen
	return min(bytes, max(packet, EthernetLeast)), packet <= bytes
}
