package router

import (
	"testing"
)

// Ports that weft takes packets from behind the driver forward the same bytes.
func TestModes(t *testing.T) {
	for _, mode := range []string{"generic", "tc"} {
		t.Run(mode, func(t *testing.T) {
			n := newNetwork(t)
			n.start("--mode", mode)
			n.until("there are three ports", func() bool { return len(n.ports()) == 3 })
			n.before = n.accounts()
			for name, p := range n.ports() {
				if p.Mode != mode {
					t.Errorf("%s is %s, want %s", name, p.Mode, mode)
				}
			}
			n.resolve()
			n.ip("r1", "route add 10.70.0.0/16 nexthop via 10.2.0.2 nexthop via 10.3.0.2")
			n.wantLookup("10.70.0.1", func(l *lookup) bool { return l.Members == 2 })
			p := n.path(2)
			for _, dst := range []string{"10.2.0.2", "2001:db8:2::2"} {
				d := p.packet(dst)
				p.crosses(d)
				d.payload = 1400
				p.crosses(d)
				d.ttl = 1
				n.wantCounted("to-h1", "ttl_value_is_too_small", 1, func() { p.isLost(d) })
			}
			s := n.stream("10.70.0.1")
			n.wantCounted("to-h1", "forwarded", flows, func() { s.burst(flows) })
			s.wantAll()
			s.wantShare(50)
		})
	}
}

// A veth takes no frames from XDP whose other end has neither NAPI nor a program:
// Linux sends them, none is lost, and weft tells what to do about it.
func TestPortWithoutNAPI(t *testing.T) {
	n := newNetwork(t)
	n.command("h2", "ethtool", "-K", "eth0", "gro", "off")
	n.start()
	n.isPort("to-h1")
	n.isPort("to-h3")
	n.before = n.accounts()
	for i := 2; i <= 3; i++ {
		n.command("r1", "ping", "-q", "-c", "1", "-W", "5", hostAddr(i, 4).String())
	}
	n.wantForward("10.3.0.2", "to-h3", "")
	n.wantReason("10.2.0.2", "erif_disabled")
	h2, h3 := n.path(2), n.path(3)
	n.wantCounted("to-h1", "erif_disabled", 1, func() { h2.arrives(h2.packet("10.2.0.2")) })
	h3.crosses(h3.packet("10.3.0.2"))
	if p := n.ports()["to-h2"]; p.Egress != "kernel" {
		t.Errorf("frames leave by to-h2 through %s", p.Egress)
	}
	if trouble := n.status().Trouble; len(trouble) != 1 {
		t.Errorf("trouble: %v", trouble)
	}
	n.command("h2", "ethtool", "-K", "eth0", "gro", "on")
	n.isPort("to-h2")
	n.wantForward("10.2.0.2", "to-h2", "")
	h2.crosses(h2.packet("10.2.0.2"))
}
