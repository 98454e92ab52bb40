package kernel

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// MAC is an Ethernet address.
type MAC [6]byte

func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// Link is a network device as the kernel has it.
type Link struct {
	Index    int
	Name     string
	Kind     string // of a virtual one: "veth", "vlan", "vrf"...; "" of hardware and lo
	Type     uint16 // ARPHRD_*
	Flags    uint32 // IFF_*
	MTU      uint32 // bytes of IP packet
	MAC      MAC
	HasMAC   bool   // it has an Ethernet address
	Master   int    // index of the bridge, bond or VRF that it belongs to, 0: none
	Parent   int    // index of the link below (IFLA_LINK), 0: none, or in another namespace
	VLAN     uint16 // identifier of a "vlan", else 0
	TPID     uint16 // protocol of a "vlan"'s tag: 0x8100 (802.1Q) or 0x88a8 (802.1ad), else 0
	VRFTable uint32 // table of a "vrf", else 0
}

// IsUp reports whether the link is set up.
func (l *Link) IsUp() bool { return l.Flags&unix.IFF_UP != 0 }

// HasCarrier reports whether the link can carry packets now.
func (l *Link) HasCarrier() bool { return l.Flags&unix.IFF_LOWER_UP != 0 }

// Names of linux/if_link.h.
const (
	iflaVLANID       = 1
	iflaVLANProtocol = 5 // in network order
	maxVLAN          = 1<<12 - 1
)

// Decode reads the payload of RTM_NEWLINK or RTM_DELLINK.
//
// Errors: ErrMessage, ErrForeign.
func (l *Link) Decode(b []byte) error {
	*l = Link{}
	if err := short("link", b, unix.SizeofIfInfomsg); err != nil {
		return err
	}
	// struct ifinfomsg: family, pad, type, index, flags, change
	if b[0] != unix.AF_UNSPEC {
		return fmt.Errorf("link: %w: of family %d", ErrForeign, b[0]) // such as: it has left a bridge
	}
	l.Type = binary.NativeEndian.Uint16(b[2:])
	l.Index = int(int32(binary.NativeEndian.Uint32(b[4:])))
	l.Flags = binary.NativeEndian.Uint32(b[8:])
	if l.Index <= 0 {
		return fmt.Errorf("%w: link %d", ErrMessage, l.Index)
	}
	a := newAttributes(b[unix.SizeofIfInfomsg:])
	foreignParent := false
	for a.next() {
		switch a.kind {
		case unix.IFLA_IFNAME:
			l.Name = a.text()
		case unix.IFLA_MTU:
			l.MTU = a.number()
		case unix.IFLA_ADDRESS:
			if l.Type == unix.ARPHRD_ETHER && len(a.value) == len(l.MAC) {
				l.MAC, l.HasMAC = MAC(a.value), true
			}
		case unix.IFLA_MASTER:
			l.Master = a.index()
		case unix.IFLA_LINK:
			l.Parent = a.index()
		case unix.IFLA_LINK_NETNSID:
			foreignParent = true
		case unix.IFLA_LINKINFO:
			if err := l.decodeKind(a.value); err != nil {
				return fmt.Errorf("link %d: %w", l.Index, err)
			}
		}
	}
	if foreignParent {
		l.Parent = 0
	}
	if a.err != nil {
		return fmt.Errorf("link %d: %w", l.Index, a.err)
	}
	return nil
}

func (l *Link) decodeKind(b []byte) error {
	var data []byte
	a := newAttributes(b)
	for a.next() {
		switch a.kind {
		case unix.IFLA_INFO_KIND:
			l.Kind = a.text()
		case unix.IFLA_INFO_DATA:
			data = a.value
		}
	}
	if a.err != nil || l.Kind != "vrf" && l.Kind != "vlan" {
		return a.err
	}
	if l.Kind == "vlan" {
		l.TPID = unix.ETH_P_8021Q // before Linux 3.10 there was no other
	}
	a = newAttributes(data)
	for a.next() {
		switch {
		case l.Kind == "vrf" && a.kind == unix.IFLA_VRF_TABLE:
			l.VRFTable = a.number()
		case l.Kind == "vlan" && a.kind == iflaVLANID && len(a.value) >= 2:
			l.VLAN = binary.NativeEndian.Uint16(a.value)
		case l.Kind == "vlan" && a.kind == iflaVLANProtocol && len(a.value) >= 2:
			l.TPID = binary.BigEndian.Uint16(a.value)
		}
	}
	if a.err == nil && l.VLAN > maxVLAN {
		return fmt.Errorf("%w: VLAN %d", ErrMessage, l.VLAN)
	}
	return a.err
}
