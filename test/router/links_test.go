package router

import (
	"testing"

	"weft/test/star"
)

// No test here: VLANs and VRFs as links. The kernels that CI has cannot make them.

// A link that goes down takes its routes along, and brings back those that Linux
// brings back.
func TestLinkDown(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	h2, h3 := n.Path(2), n.Path(3)
	n.IP("r1", "route add 10.70.0.0/16 via 10.2.0.2 metric 10")
	n.IP("r1", "route add 10.70.0.0/16 via 10.3.0.2 metric 20")
	n.WantForward("10.70.0.1", "to-h2", "10.2.0.2")
	h2.Crosses(h2.Packet("10.70.0.1"))
	n.IP("r1", "link set to-h2 down")
	n.WantForward("10.70.0.1", "to-h3", "10.3.0.2")
	h3.Crosses(h3.Packet("10.70.0.1"))
	n.WantReason("10.2.0.2", "ipv4_lpm_miss")
	n.WantReason("2001:db8:2::2", "ipv6_lpm_miss")
	n.WantVerified()
	if n.Ports()["to-h2"].Up {
		t.Error("weft says that to-h2 is up")
	}
	n.IP("r1", "link set to-h2 up")
	n.Until("to-h2 is up", func() bool { return n.Ports()["to-h2"].Up })
	for _, dst := range []string{"10.2.0.2", "2001:db8:2::2"} {
		h2.Arrives(h2.Packet(dst)) // Linux asks for the neighbor
		n.WantForward(dst, "to-h2", "")
		h2.Crosses(h2.Packet(dst))
	}
	n.IP("r1", "route add 10.70.0.0/16 via 10.2.0.2 metric 10")
	n.WantForward("10.70.0.1", "to-h2", "10.2.0.2")
	h2.Crosses(h2.Packet("10.70.0.1"))
}

// The other end of a link goes down and comes back: what cannot be delivered is
// Linux's to account for.
func TestCarrierLost(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	h2, h3 := n.Path(2), n.Path(3)
	n.Sysctl("r1", "net.ipv4.conf.all.ignore_routes_with_linkdown", "1")
	n.IP("r1", "route add 10.70.0.0/16 nexthop via 10.2.0.2 nexthop via 10.3.0.2")
	n.WantLookup("10.70.0.1", func(l *star.Lookup) bool { return l.Members == 2 })
	n.IP("h2", "link set eth0 down")
	n.Until("to-h2 is down", func() bool { return !n.Ports()["to-h2"].Up })
	n.WantVerified()
	n.WantCounted("to-h1", "forwarded", 0, func() { h2.IsLost(h2.Packet("10.2.0.2")) })
	h3.Crosses(h3.Packet("10.3.0.2"))
	n.IP("h2", "link set eth0 up")
	n.IP("h2", "route add default via 10.2.0.1")
	n.Until("to-h2 is up", func() bool { return n.Ports()["to-h2"].Up })
	n.Command("r1", "ping", "-q", "-c", "1", "-W", "5", "10.2.0.2")
	n.WantForward("10.2.0.2", "to-h2", "")
	h2.Arrives(h2.Packet("10.2.0.2"))
	n.Until("frames go out by to-h2 again", func() bool { return n.Ports()["to-h2"].Egress == "native" })
	h2.Crosses(h2.Packet("10.2.0.2"))
}

// A port by another name, and with another MAC, is the same port.
func TestLinkRenamed(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	p := n.Path(2)
	number := n.Ports()["to-h2"].Number
	n.IP("r1", "link set to-h2 down")
	n.IP("r1", "link set to-h2 name uplink")
	n.SetMAC("r1", "uplink", [6]byte{2, 0, 0, 0, 0, 0x77})
	n.IP("r1", "link set uplink up")
	p.Out = [6]byte{2, 0, 0, 0, 0, 0x77}
	p.Arrives(p.Packet("10.2.0.2"))
	n.WantForward("10.2.0.2", "uplink", "")
	p.Crosses(p.Packet("10.2.0.2"))
	if got := n.Ports()["uplink"].Number; got != number {
		t.Errorf("uplink is port %d, to-h2 was %d", got, number)
	}

	// Where packets come in: those to the MAC before are no longer for the router.
	n.SetMAC("r1", "to-h1", [6]byte{2, 0, 0, 0, 0, 0x78})
	n.CatchUp()
	old := p.Packet("10.2.0.2")
	n.WantCounted("to-h1", "not_our_mac", 1, func() { p.IsLost(old) })
	p.In = [6]byte{2, 0, 0, 0, 0, 0x78}
	p.Crosses(p.Packet("10.2.0.2"))
}

// A port that is moved to another namespace takes no program along.
func TestLinkMovedAway(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	n.IP("r1", "link set to-h3 netns "+n.Lab.Namespace("h2"))
	n.Until("to-h3 is no port", func() bool { _, is := n.Ports()["to-h3"]; return !is })
	n.WantReason("10.3.0.2", "ipv4_lpm_miss")
	if x := n.Link("h2", "to-h3").Attrs().Xdp; x != nil && x.Attached {
		t.Errorf("program %d is still attached to it", x.ProgId)
	}
	p := n.Path(2)
	p.Crosses(p.Packet("10.2.0.2"))
}

// Interfaces that come later are ports; those that forward only one family do so.
func TestPortsFollowSysctls(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	p := n.Path(2)
	n.Sysctl("r1", "net.ipv4.conf.to-h1.forwarding", "0")
	n.Until("to-h1 does not forward IPv4", func() bool { return !n.Ports()["to-h1"].IPv4 })
	d := p.Packet("10.2.0.2")
	n.WantCounted("to-h1", "irif_disabled", 1, func() { p.IsLost(d) })
	p.Crosses(p.Packet("2001:db8:2::2"))
	n.Sysctl("r1", "net.ipv4.conf.to-h1.forwarding", "1")
	n.Until("to-h1 forwards IPv4", func() bool { return n.Ports()["to-h1"].IPv4 })
	p.Crosses(d)

	n.Sysctl("r1", "net.ipv4.ip_forward", "0")
	n.Until("no port forwards IPv4", func() bool {
		for _, p := range n.Ports() {
			if p.IPv4 {
				return false
			}
		}
		return true
	})
	p.IsLost(d)
	p.Crosses(p.Packet("2001:db8:2::2"))
	n.Sysctl("r1", "net.ipv6.conf.all.forwarding", "0")
	n.Until("there are no ports", func() bool { return len(n.Ports()) == 0 })
	p.IsLost(d)
	p.IsLost(p.Packet("2001:db8:2::2"))
	n.Sysctl("r1", "net.ipv4.ip_forward", "1")
	n.Sysctl("r1", "net.ipv6.conf.all.forwarding", "1")
	for _, name := range []string{"to-h1", "to-h2", "to-h3"} {
		n.IsPort(name)
	}
	n.Before = n.Accounts()
	n.WantForward("10.2.0.2", "to-h2", "")
	p.Crosses(d)
	p.Crosses(p.Packet("2001:db8:2::2"))
}

// A port whose interface is left out by name stays Linux's, and is reachable.
func TestPortsByName(t *testing.T) {
	n := star.New(t)
	n.Start("--ports", "to-h1", "--ports", "*h2")
	n.IsPort("to-h1")
	n.IsPort("to-h2")
	if _, is := n.Ports()["to-h3"]; is {
		t.Error("to-h3 is a port")
	}
	n.Before = n.Accounts()
	n.Command("r1", "ping", "-q", "-c", "1", "-W", "5", "10.2.0.2")
	n.WantForward("10.2.0.2", "to-h2", "")
	h2, h3 := n.Path(2), n.Path(3)
	h2.Crosses(h2.Packet("10.2.0.2"))
	n.WantCounted("to-h1", "forwarded", 0, func() { h3.Arrives(h3.Packet("10.3.0.2")) })
}
