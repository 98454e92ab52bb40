package router

import (
	"fmt"
	"testing"
)

// No test here: VLANs and VRFs as links. The kernels that CI has cannot make them.

// A link that goes down takes its routes along, and brings back those that Linux
// brings back.
func TestLinkDown(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.resolve()
	h2, h3 := n.path(2), n.path(3)
	n.ip("r1", "route add 10.70.0.0/16 via 10.2.0.2 metric 10")
	n.ip("r1", "route add 10.70.0.0/16 via 10.3.0.2 metric 20")
	n.wantForward("10.70.0.1", "to-h2", "10.2.0.2")
	h2.crosses(h2.packet("10.70.0.1"))
	n.ip("r1", "link set to-h2 down")
	n.wantForward("10.70.0.1", "to-h3", "10.3.0.2")
	h3.crosses(h3.packet("10.70.0.1"))
	n.wantReason("10.2.0.2", "ipv4_lpm_miss")
	n.wantReason("2001:db8:2::2", "ipv6_lpm_miss")
	n.wantVerified()
	if n.ports()["to-h2"].Up {
		t.Error("weft says that to-h2 is up")
	}
	n.ip("r1", "link set to-h2 up")
	n.until("to-h2 is up", func() bool { return n.ports()["to-h2"].Up })
	for _, dst := range []string{"10.2.0.2", "2001:db8:2::2"} {
		h2.arrives(h2.packet(dst)) // Linux asks for the neighbor
		n.wantForward(dst, "to-h2", "")
		h2.crosses(h2.packet(dst))
	}
	n.ip("r1", "route add 10.70.0.0/16 via 10.2.0.2 metric 10")
	n.wantForward("10.70.0.1", "to-h2", "10.2.0.2")
	h2.crosses(h2.packet("10.70.0.1"))
}

// The other end of a link goes down and comes back: what cannot be delivered is
// Linux's to account for.
func TestCarrierLost(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.resolve()
	h2, h3 := n.path(2), n.path(3)
	n.sysctl("r1", "net.ipv4.conf.all.ignore_routes_with_linkdown", "1")
	n.ip("r1", "route add 10.70.0.0/16 nexthop via 10.2.0.2 nexthop via 10.3.0.2")
	n.wantLookup("10.70.0.1", func(l *lookup) bool { return l.Members == 2 })
	n.ip("h2", "link set eth0 down")
	n.until("to-h2 is down", func() bool { return !n.ports()["to-h2"].Up })
	n.wantVerified()
	n.wantCounted("to-h1", "forwarded", 0, func() { h2.isLost(h2.packet("10.2.0.2")) })
	h3.crosses(h3.packet("10.3.0.2"))
	n.ip("h2", "link set eth0 up")
	n.ip("h2", "route add default via 10.2.0.1")
	n.until("to-h2 is up", func() bool { return n.ports()["to-h2"].Up })
	n.command("r1", "ping", "-q", "-c", "1", "-W", "5", "10.2.0.2")
	n.wantForward("10.2.0.2", "to-h2", "")
	h2.arrives(h2.packet("10.2.0.2"))
	n.until("frames go out by to-h2 again", func() bool { return n.ports()["to-h2"].Egress == "native" })
	h2.crosses(h2.packet("10.2.0.2"))
}

// A port by another name, and with another MAC, is the same port.
func TestLinkRenamed(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.resolve()
	p := n.path(2)
	number := n.ports()["to-h2"].Number
	n.ip("r1", "link set to-h2 down")
	n.ip("r1", "link set to-h2 name uplink")
	n.setMAC("r1", "uplink", [6]byte{2, 0, 0, 0, 0, 0x77})
	n.ip("r1", "link set uplink up")
	p.out = [6]byte{2, 0, 0, 0, 0, 0x77}
	p.arrives(p.packet("10.2.0.2"))
	n.wantForward("10.2.0.2", "uplink", "")
	p.crosses(p.packet("10.2.0.2"))
	if got := n.ports()["uplink"].Number; got != number {
		t.Errorf("uplink is port %d, to-h2 was %d", got, number)
	}

	// Where packets come in: those to the MAC before are no longer for the router.
	n.setMAC("r1", "to-h1", [6]byte{2, 0, 0, 0, 0, 0x78})
	n.catchUp()
	old := p.packet("10.2.0.2")
	n.wantCounted("to-h1", "not_our_mac", 1, func() { p.isLost(old) })
	p.in = [6]byte{2, 0, 0, 0, 0, 0x78}
	p.crosses(p.packet("10.2.0.2"))
}

// connect makes a link from the router to a host, as newNetwork does.
func (n *network) connect(host int, name, options string) {
	n.Helper()
	node := fmt.Sprintf("h%d", host)
	n.ip("r1", fmt.Sprintf("link add %s %s type veth peer name eth0 netns %s", name, options, n.lab.Namespace(node)))
	v4, v6 := hostAddr(host, 4), hostAddr(host, 6)
	for _, end := range []struct {
		node, name, v4, v6 string
	}{{"r1", name, v4.Prev().String(), v6.Prev().String()}, {node, "eth0", v4.String(), v6.String()}} {
		n.ip(end.node, fmt.Sprintf("addr add %s/24 dev %s", end.v4, end.name))
		n.ip(end.node, fmt.Sprintf("addr add %s/64 dev %s nodad", end.v6, end.name))
		n.ip(end.node, fmt.Sprintf("link set %s up", end.name))
		n.command(end.node, "ethtool", "-K", end.name, "gro", "on", "tx", "off")
	}
	n.ip(node, "route add default via "+v4.Prev().String())
	n.ip(node, "-6 route add default via "+v6.Prev().String())
}

// isPort waits until frames come in and go out by a port in XDP.
func (n *network) isPort(name string) {
	n.Helper()
	n.until(name+" is a port", func() bool {
		p := n.ports()[name]
		return p.Mode == "native" && p.Egress == "native"
	})
}

// A port goes with its interface. Another one of its name, also one of its
// number, is a port of its own.
func TestLinkDeletedAndMadeAgain(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.resolve()
	h3 := n.path(3)
	n.ip("r1", "route add 10.70.0.0/16 via 10.3.0.2 metric 20")
	ifindex := n.ports()["to-h2"].Ifindex
	for _, options := range []string{"", fmt.Sprintf("index %d", ifindex)} {
		n.ip("r1", "route add 10.70.0.0/16 via 10.2.0.2 metric 10")
		n.ip("r1", "link del to-h2")
		n.until("to-h2 is no port", func() bool { _, is := n.ports()["to-h2"]; return !is })
		n.wantForward("10.70.0.1", "to-h3", "10.3.0.2")
		h3.crosses(h3.packet("10.70.0.1"))
		n.wantVerified()
		n.connect(2, "to-h2", options)
		n.isPort("to-h2")
		delete(n.before, n.ports()["to-h2"].Ifindex) // it has counters of its own
		h2 := n.path(2)
		for _, dst := range []string{"10.2.0.2", "2001:db8:2::2"} {
			h2.arrives(h2.packet(dst))
			n.wantForward(dst, "to-h2", "")
			h2.crosses(h2.packet(dst))
		}
	}
	if got := n.ports()["to-h2"].Ifindex; got != ifindex {
		t.Errorf("ifindex %d, want %d again", got, ifindex)
	}
}

// A port that is moved to another namespace takes no program along.
func TestLinkMovedAway(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.resolve()
	n.ip("r1", "link set to-h3 netns "+n.lab.Namespace("h2"))
	n.until("to-h3 is no port", func() bool { _, is := n.ports()["to-h3"]; return !is })
	n.wantReason("10.3.0.2", "ipv4_lpm_miss")
	if x := n.link("h2", "to-h3").Attrs().Xdp; x != nil && x.Attached {
		t.Errorf("program %d is still attached to it", x.ProgId)
	}
	p := n.path(2)
	p.crosses(p.packet("10.2.0.2"))
}

// Interfaces that come later are ports; those that forward only one family do so.
func TestPortsFollowSysctls(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.resolve()
	p := n.path(2)
	n.sysctl("r1", "net.ipv4.conf.to-h1.forwarding", "0")
	n.until("to-h1 does not forward IPv4", func() bool { return !n.ports()["to-h1"].IPv4 })
	d := p.packet("10.2.0.2")
	n.wantCounted("to-h1", "irif_disabled", 1, func() { p.isLost(d) })
	p.crosses(p.packet("2001:db8:2::2"))
	n.sysctl("r1", "net.ipv4.conf.to-h1.forwarding", "1")
	n.until("to-h1 forwards IPv4", func() bool { return n.ports()["to-h1"].IPv4 })
	p.crosses(d)

	n.sysctl("r1", "net.ipv4.ip_forward", "0")
	n.until("no port forwards IPv4", func() bool {
		for _, p := range n.ports() {
			if p.IPv4 {
				return false
			}
		}
		return true
	})
	p.isLost(d)
	p.crosses(p.packet("2001:db8:2::2"))
	n.sysctl("r1", "net.ipv6.conf.all.forwarding", "0")
	n.until("there are no ports", func() bool { return len(n.ports()) == 0 })
	p.isLost(d)
	p.isLost(p.packet("2001:db8:2::2"))
	n.sysctl("r1", "net.ipv4.ip_forward", "1")
	n.sysctl("r1", "net.ipv6.conf.all.forwarding", "1")
	for _, name := range []string{"to-h1", "to-h2", "to-h3"} {
		n.isPort(name)
	}
	n.before = n.accounts()
	n.wantForward("10.2.0.2", "to-h2", "")
	p.crosses(d)
	p.crosses(p.packet("2001:db8:2::2"))
}

// A port whose interface is left out by name stays Linux's, and is reachable.
func TestPortsByName(t *testing.T) {
	n := newNetwork(t)
	n.start("--ports", "to-h1", "--ports", "*h2")
	n.isPort("to-h1")
	n.isPort("to-h2")
	if _, is := n.ports()["to-h3"]; is {
		t.Error("to-h3 is a port")
	}
	n.before = n.accounts()
	n.command("r1", "ping", "-q", "-c", "1", "-W", "5", "10.2.0.2")
	n.wantForward("10.2.0.2", "to-h2", "")
	h2, h3 := n.path(2), n.path(3)
	h2.crosses(h2.packet("10.2.0.2"))
	n.wantCounted("to-h1", "forwarded", 0, func() { h3.arrives(h3.packet("10.3.0.2")) })
}
