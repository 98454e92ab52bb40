package rib

import (
	"testing"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
)

func vlanLink(index, parent int, tpid, vid uint16) kernel.Link {
	l := testLink(index)
	l.Kind, l.Parent, l.TPID, l.VLAN = "vlan", parent, tpid, vid
	return l
}

// TestVLAN has routes over VLANs: their frames leave with tags, outermost first,
// from the MAC of the VLAN's own link.
func TestVLAN(t *testing.T) {
	b := newBench(t, Options{})
	b.SetLink(vlanLink(4, 1, unix.ETH_P_8021Q, 100))
	b.SetLink(vlanLink(5, 1, unix.ETH_P_8021AD, 5))
	b.SetLink(vlanLink(6, 5, unix.ETH_P_8021Q, 4094))
	b.SetLink(vlanLink(7, 6, unix.ETH_P_8021Q, 1)) // three tags: no engine makes it a port
	for link := 4; link <= 7; link++ {
		b.SetNeighbor(neighbor(link, "192.0.2.1", unix.NUD_REACHABLE))
		b.SetNeighbor(neighbor(link, "2001:db8::1", unix.NUD_REACHABLE))
	}
	b.add("unicast 10.4.0.0/16 via 192.0.2.1 dev 4")
	b.add("unicast 10.5.0.0/16 via 192.0.2.1 dev 5")
	b.add("unicast 10.6.0.0/16 via 192.0.2.1 dev 6")
	b.add("unicast 10.7.0.0/16 via 192.0.2.1 dev 7")
	b.add("unicast 2001:db8:6::/48 via 2001:db8::1 dev 6")
	b.add("unicast 10.60.0.0/16 via 192.0.2.1 dev 6 mtu 1400")

	b.want("10.4.0.0/16", "4 192.0.2.1 x1 020000010001"+"020000000004"+"81000064"+"0800")
	b.want("10.5.0.0/16", "5 192.0.2.1 x1 020000010001"+"020000000005"+"88a80005"+"0800")
	b.want("10.6.0.0/16", "6 192.0.2.1 x1 mtu 1496 020000010001"+"020000000006"+"88a80005"+"81000ffe"+"0800")
	b.want("10.60.0.0/16", "6 192.0.2.1 x1 mtu 1400 020000010001"+"020000000006"+"88a80005"+"81000ffe"+"0800")
	b.want("2001:db8:6::/48", "6 2001:db8::1 x1 mtu 1496 020000010001"+"020000000006"+"88a80005"+"81000ffe"+"86dd")
	b.want("10.7.0.0/16", "7 192.0.2.1 x1") // incomplete: the kernel has it

	// The VLAN's own MTU counts, and that of the wire for two tags.
	narrow := vlanLink(4, 1, unix.ETH_P_8021Q, 100)
	narrow.MTU = 1300
	b.SetLink(narrow)
	wide := testLink(1)
	wide.MTU = 1504
	b.SetLink(wide)
	b.want("10.4.0.0/16", "4 192.0.2.1 x1 mtu 1300 020000010001"+"020000000004"+"81000064"+"0800")
	b.want("10.6.0.0/16", "6 192.0.2.1 x1 020000010001"+"020000000006"+"88a80005"+"81000ffe"+"0800")

	// The middle goes, and comes back as another.
	b.DeleteLink(5)
	b.want("10.6.0.0/16", "6 192.0.2.1 x1")
	b.SetLink(vlanLink(5, 1, unix.ETH_P_8021Q, 6))
	b.want("10.6.0.0/16", "6 192.0.2.1 x1 020000010001"+"020000000006"+"81000006"+"81000ffe"+"0800")
}

// TestVLANBeforeItsParent is told of the links in the other order.
func TestVLANBeforeItsParent(t *testing.T) {
	b := newBench(t, Options{})
	b.SetLink(vlanLink(6, 5, unix.ETH_P_8021Q, 100))
	b.SetNeighbor(neighbor(6, "192.0.2.1", unix.NUD_REACHABLE))
	b.add("unicast 10.6.0.0/16 via 192.0.2.1 dev 6")
	b.want("10.6.0.0/16", "6 192.0.2.1 x1")
	b.SetLink(vlanLink(5, 4, unix.ETH_P_8021AD, 5))
	b.want("10.6.0.0/16", "6 192.0.2.1 x1")
	b.SetLink(testLink(4))
	b.want("10.6.0.0/16", "6 192.0.2.1 x1 mtu 1496 020000010001"+"020000000006"+"88a80005"+"81000064"+"0800")
}

// TestVLANOfItself is a link that no kernel has.
func TestVLANOfItself(t *testing.T) {
	b := newBench(t, Options{})
	b.SetLink(vlanLink(6, 6, unix.ETH_P_8021Q, 100))
	b.SetNeighbor(neighbor(6, "192.0.2.1", unix.NUD_REACHABLE))
	b.add("unicast 10.6.0.0/16 via 192.0.2.1 dev 6")
	b.want("10.6.0.0/16", "6 192.0.2.1 x1")
}
