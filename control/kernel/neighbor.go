package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Neighbor is an entry of the kernel's ARP or neighbor discovery table.
type Neighbor struct {
	Link     int
	Addr     netip.Addr
	MAC      MAC
	HasMAC   bool
	State    uint16 // NUD_*
	Protocol uint8  // RTPROT_* of who made it; 0: not told
}

// usable are the states in which Linux sends to the neighbor (NUD_VALID).
const usable = unix.NUD_PERMANENT | unix.NUD_NOARP | unix.NUD_REACHABLE | unix.NUD_PROBE | unix.NUD_STALE | unix.NUD_DELAY

// IsUsable reports whether packets can be sent to the neighbor.
func (n *Neighbor) IsUsable() bool { return n.HasMAC && n.State&usable != 0 }

// Decode reads the payload of RTM_NEWNEIGH or RTM_DELNEIGH.
//
// Errors: ErrMessage, ErrForeign.
func (n *Neighbor) Decode(b []byte) error {
	*n = Neighbor{}
	if err := short("neighbor", b, unix.SizeofNdMsg); err != nil {
		return err
	}
	// struct ndmsg: family, pads, ifindex, state, flags, type
	family := b[0]
	if bitsOf(family) == 0 || b[10]&unix.NTF_PROXY != 0 {
		return fmt.Errorf("neighbor: %w: family %d, flags %#x", ErrForeign, family, b[10])
	}
	n.Link = int(int32(binary.NativeEndian.Uint32(b[4:])))
	n.State = binary.NativeEndian.Uint16(b[8:])
	a := newAttributes(b[unix.SizeofNdMsg:])
	for a.next() {
		switch a.kind {
		case unix.NDA_DST:
			n.Addr = a.addr(family)
		case unix.NDA_LLADDR:
			if len(a.value) == len(n.MAC) {
				n.MAC, n.HasMAC = MAC(a.value), true
			}
		case ndaProtocol:
			if len(a.value) > 0 {
				n.Protocol = a.value[0]
			}
		}
	}
	switch {
	case a.err != nil:
		return fmt.Errorf("neighbor: %w", a.err)
	case n.Link <= 0 || !n.Addr.IsValid():
		return fmt.Errorf("neighbor: %w: %s on link %d", ErrMessage, n.Addr, n.Link)
	}
	return nil
}
