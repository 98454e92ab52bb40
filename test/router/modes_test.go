package router

import (
	"testing"

	"weft/test/star"
)

// Ports that weft takes packets from behind the driver forward the same bytes.
func TestModes(t *testing.T) {
	for _, mode := range []string{"generic", "tc"} {
		t.Run(mode, func(t *testing.T) {
			n := star.New(t)
			n.Start("--mode", mode)
			n.Until("there are three ports", func() bool { return len(n.Ports()) == 3 })
			n.Before = n.Accounts()
			for name, p := range n.Ports() {
				if p.Mode != mode {
					t.Errorf("%s is %s, want %s", name, p.Mode, mode)
				}
			}
			n.Resolve()
			n.IP("r1", "route add 10.70.0.0/16 nexthop via 10.2.0.2 nexthop via 10.3.0.2")
			n.WantLookup("10.70.0.1", func(l *star.Lookup) bool { return l.Members == 2 })
			p := n.Path(2)
			for _, dst := range []string{"10.2.0.2", "2001:db8:2::2"} {
				d := p.Packet(dst)
				p.Crosses(d)
				d.Payload = 1400
				p.Crosses(d)
				d.Ttl = 1
				n.WantCounted("to-h1", "ttl_value_is_too_small", 1, func() { p.IsLost(d) })
			}
			s := n.Stream("10.70.0.1")
			n.WantCounted("to-h1", "forwarded", flows, func() { s.Burst(flows) })
			s.WantAll()
			s.WantShare(50)
		})
	}
}

// A veth takes no frames from XDP whose other end has neither NAPI nor a program:
// Linux sends them, none is lost, and weft tells what to do about it.
func TestPortWithoutNAPI(t *testing.T) {
	n := star.New(t)
	n.OfXDP("the loop sends by sockets, which every port takes")
	n.Command("h2", "ethtool", "-K", "eth0", "gro", "off")
	n.Start()
	n.IsPort("to-h1")
	n.IsPort("to-h3")
	n.Before = n.Accounts()
	for i := 2; i <= 3; i++ {
		n.Command("r1", "ping", "-q", "-c", "1", "-W", "5", star.HostAddr(i, 4).String())
	}
	n.WantForward("10.3.0.2", "to-h3", "")
	n.WantReason("10.2.0.2", "erif_disabled")
	h2, h3 := n.Path(2), n.Path(3)
	n.WantCounted("to-h1", "erif_disabled", 1, func() { h2.Arrives(h2.Packet("10.2.0.2")) })
	h3.Crosses(h3.Packet("10.3.0.2"))
	if p := n.Ports()["to-h2"]; p.Egress != "kernel" {
		t.Errorf("frames leave by to-h2 through %s", p.Egress)
	}
	if trouble := n.Status().Trouble; len(trouble) != 1 {
		t.Errorf("trouble: %v", trouble)
	}
	n.Command("h2", "ethtool", "-K", "eth0", "gro", "on")
	n.IsPort("to-h2")
	n.WantForward("10.2.0.2", "to-h2", "")
	h2.Crosses(h2.Packet("10.2.0.2"))
}
