package router

import (
	"testing"

	"weft/test/star"
)

// What weft does not do itself it leaves to Linux: no packet takes a way that
// Linux would not send it.
func TestLeftToLinux(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	h2, h3 := n.Path(2), n.Path(3)

	// Rules: packets from h1 have another table.
	n.IP("r1", "route add 10.70.0.0/16 via 10.2.0.2")
	n.WantForward("10.70.0.1", "to-h2", "10.2.0.2")
	n.IP("r1", "route add 10.70.0.0/16 via 10.3.0.2 table 100")
	n.IP("r1", "rule add from 10.1.0.2 table 100")
	n.WantLookup("10.70.0.1", func(l *star.Lookup) bool { return l.Verdict == "punt" })
	h3.Arrives(h3.Packet("10.70.0.1"))
	h2.Crosses(h2.Packet("2001:db8:2::2")) // the other family has none
	n.IP("r1", "rule del from 10.1.0.2 table 100")
	n.WantForward("10.70.0.1", "to-h2", "10.2.0.2")
	h2.Crosses(h2.Packet("10.70.0.1"))

	// Members of a bridge: packets go through the bridge first.
	n.IP("r1", "link add br0 type bridge")
	n.IP("r1", "link set br0 up")
	n.IP("r1", "link set to-h3 master br0")
	n.Until("to-h3 is no port", func() bool { _, is := n.Ports()["to-h3"]; return !is })
	n.IP("r1", "addr flush dev to-h3")
	n.IP("r1", "addr add 10.3.0.1/24 dev br0")
	h3.Out = n.MAC("r1", "br0")
	n.WantCounted("to-h1", "forwarded", 0, func() { h3.Arrives(h3.Packet("10.3.0.2")) })
	n.IP("r1", "link del br0")
	n.IsPort("to-h3")
	delete(n.Before, n.Ports()["to-h3"].Ifindex)
	n.IP("r1", "addr add 10.3.0.1/24 dev to-h3")
	h3.Out = n.MAC("r1", "to-h3")
	h3.Arrives(h3.Packet("10.3.0.2"))
	n.WantForward("10.3.0.2", "to-h3", "")
	h3.Crosses(h3.Packet("10.3.0.2"))

	// Encapsulation.
	n.IP("r1", "-6 route add 2001:db8:70::/48 encap seg6 mode encap segs 2001:db8:3::2 dev to-h3")
	n.WantLookup("2001:db8:70::1", func(l *star.Lookup) bool { return l.Verdict == "punt" })
}

// An interface whose number is too high for weft stays Linux's, and is told of.
func TestHighIfindex(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	n.IP("r1", "link del to-h3")
	n.Connect(3, "to-h3", "index 1000000")
	var list star.PortList
	n.Until("to-h3 is refused", func() bool {
		n.Ask(&list, "ports")
		return len(list.Refused) == 1 && list.Refused[0].Ifname == "to-h3"
	})
	h3 := n.Path(3)
	h3.Arrives(h3.Packet("10.3.0.2"))
	n.WantCounted("to-h1", "forwarded", 0, func() { h3.Arrives(h3.Packet("10.3.0.2")) })
}
