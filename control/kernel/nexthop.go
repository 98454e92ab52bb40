package kernel

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// NextHop is a next-hop object (Linux 5.3): one hop, a blackhole, or a group of
// such.
type NextHop struct {
	ID        uint32
	Family    uint8 // of the gateway; AF_UNSPEC of a group
	Protocol  uint8
	Blackhole bool
	Hop       Hop // of one that is no group: its Weight is 1
	Members   []NextHopMember
	Resilient bool // Linux 5.13
}

// NextHopMember is an object in a group.
type NextHopMember struct {
	ID     uint32
	Weight int
}

// IsGroup reports whether the object has members instead of a hop.
func (n *NextHop) IsGroup() bool { return n.Members != nil }

// Of linux/nexthop.h.
const (
	nhaFDB              = 11 // NHA_FDB
	groupTypeResilient  = 1  // NEXTHOP_GRP_TYPE_RES
	nextHopMemberLength = 8  // struct nexthop_grp
)

// Decode reads the payload of RTM_NEWNEXTHOP or RTM_DELNEXTHOP.
//
// Errors: ErrMessage, ErrForeign.
func (n *NextHop) Decode(b []byte) error {
	*n = NextHop{}
	if err := short("next hop", b, unix.SizeofNhmsg); err != nil {
		return err
	}
	// struct nhmsg: family, scope, protocol, reserved, flags
	n.Family, n.Protocol = b[0], b[2]
	n.Hop = Hop{Weight: 1, Flags: uint8(binary.NativeEndian.Uint32(b[4:]))}
	foreign := false
	a := newAttributes(b[unix.SizeofNhmsg:])
	for a.next() {
		switch a.kind {
		case unix.NHA_ID:
			n.ID = a.number()
		case unix.NHA_GROUP:
			n.decodeMembers(&a)
		case unix.NHA_GROUP_TYPE:
			n.Resilient = len(a.value) >= 2 && binary.NativeEndian.Uint16(a.value) == groupTypeResilient
		case unix.NHA_BLACKHOLE:
			n.Blackhole = true
		case unix.NHA_OIF:
			n.Hop.Link = a.index()
		case unix.NHA_GATEWAY:
			n.Hop.Gateway = a.gateway(n.Family)
		case unix.NHA_ENCAP, unix.NHA_ENCAP_TYPE:
			n.Hop.Encap = true
		case nhaFDB:
			foreign = true
		}
	}
	switch {
	case a.err != nil:
		return fmt.Errorf("next hop: %w", a.err)
	case n.ID == 0:
		return fmt.Errorf("next hop: %w: it has no identifier", ErrMessage)
	case foreign:
		return fmt.Errorf("next hop %d: %w: of a forwarding database", n.ID, ErrForeign)
	}
	return nil
}

// decodeMembers reads an array of struct nexthop_grp: identifier in 32 bits,
// weight - 1 in 8 bits and, from Linux 6.12 on, 8 more.
func (n *NextHop) decodeMembers(a *attributes) {
	if len(a.value) == 0 || len(a.value)%nextHopMemberLength != 0 {
		a.fail("members of a group")
		return
	}
	n.Members = make([]NextHopMember, 0, len(a.value)/nextHopMemberLength)
	for b := a.value; len(b) > 0; b = b[nextHopMemberLength:] {
		n.Members = append(n.Members, NextHopMember{
			ID:     binary.NativeEndian.Uint32(b),
			Weight: int(b[5])<<8 + int(b[4]) + 1,
		})
	}
}
