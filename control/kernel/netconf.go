package kernel

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Netconf is what the kernel says of a link's settings (sysctl
// net.ipv4.conf.LINK, net.ipv6.conf.LINK).
type Netconf struct {
	Link       int
	Family     uint8
	Forwarding bool // packets of the family that come in by the link are forwarded
	Known      bool // the message says so
}

// Of linux/netconf.h.
const (
	netconfHeader      = 1 // struct netconfmsg: family
	netconfIfindex     = 1 // NETCONFA_IFINDEX
	netconfForwarding  = 2 // NETCONFA_FORWARDING
	netconfAttributeAt = 4
)

// Decode reads the payload of RTM_NEWNETCONF or RTM_DELNETCONF. Messages about
// all links, or about new ones, are ErrForeign: the kernel tells of each link, too.
//
// Errors: ErrMessage, ErrForeign.
func (c *Netconf) Decode(b []byte) error {
	*c = Netconf{}
	if err := short("netconf", b, netconfHeader); err != nil {
		return err
	}
	c.Family = b[0]
	index := int32(0)
	a := newAttributes(b[min(netconfAttributeAt, len(b)):])
	for a.next() {
		switch a.kind {
		case netconfIfindex:
			index = int32(a.number())
		case netconfForwarding:
			c.Forwarding, c.Known = a.number() != 0, true
		}
	}
	switch {
	case a.err != nil:
		return fmt.Errorf("netconf: %w", a.err)
	case bitsOf(c.Family) == 0 || index <= 0:
		return fmt.Errorf("netconf: %w: family %d, link %d", ErrForeign, c.Family, index)
	}
	c.Link = int(index)
	return nil
}

// Netconfs of links, by family.
var (
	NetconfsIPv4 = Table{unix.RTM_GETNETCONF, netconfOf(unix.AF_INET)}
	NetconfsIPv6 = Table{unix.RTM_GETNETCONF, netconfOf(unix.AF_INET6)}
)

// netconfOf asks for a family: a struct netconfmsg, padded.
func netconfOf(family byte) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(family)) }
