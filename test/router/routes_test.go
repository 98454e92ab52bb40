package router

import (
	"fmt"
	"testing"

	"weft/test/star"
)

// Each type of route does to a packet what Linux does, and says so.
func TestRouteTypes(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	h2, h3 := n.Path(2), n.Path(3)
	for _, a := range []struct{ node, line string }{
		{"h2", "addr add fe80::2/64 dev eth0 nodad"}, {"h3", "addr add fe80::3/64 dev eth0 nodad"},
		{"h3", "addr add 10.30.7.7/32 dev eth0"},
	} {
		n.IP(a.node, a.line)
	}
	for _, c := range []struct {
		route, dst string
		way        *star.Path
		dev, via   string
	}{
		{"", "10.2.0.2", h2, "to-h2", ""},
		{"", "2001:db8:3::2", h3, "to-h3", ""},
		{"10.20.0.0/16 via 10.2.0.2", "10.20.1.2", h2, "to-h2", "10.2.0.2"},
		{"10.20.1.0/24 via 10.3.0.2", "10.20.1.2", h3, "to-h3", "10.3.0.2"},   // longer
		{"10.21.0.0/16 via 10.2.0.2 metric 10", "10.21.1.2", h2, "to-h2", ""}, // preferred to the next
		{"10.21.0.0/16 via 10.3.0.2 metric 20", "10.21.1.2", h2, "to-h2", ""},
		{"10.22.0.0/16 via 10.3.0.2 dev to-h3 onlink", "10.22.0.1", h3, "to-h3", "10.3.0.2"},
		{"10.30.7.7/32 dev to-h3 scope link", "10.30.7.7", h3, "to-h3", ""},
		{"10.9.0.0/16 via inet6 fe80::2 dev to-h2", "10.9.1.1", h2, "to-h2", "fe80::2"},
		{"10.8.0.0/16 via inet6 2001:db8:3::2", "10.8.1.1", h3, "to-h3", "2001:db8:3::2"},
		{"2001:db8:2000::/40 via 2001:db8:2::2", "2001:db8:2001::1", h2, "to-h2", "2001:db8:2::2"},
		{"2001:db8:2001::/48 via fe80::3 dev to-h3", "2001:db8:2001::1", h3, "to-h3", "fe80::3"},
		{"default via 10.2.0.2", "192.0.2.1", h2, "to-h2", "10.2.0.2"},
		{"default via 2001:db8:3::2", "2001:4860::1", h3, "to-h3", "2001:db8:3::2"},
	} {
		if c.route != "" {
			n.IP("r1", "route add "+c.route)
		}
		if c.via == "fe80::2" || c.via == "fe80::3" { // unknown until the first packet
			n.Command("r1", "ping", "-q", "-c", "1", "-W", "5", c.via+"%"+c.dev)
		}
		if c.dst == "10.30.7.7" {
			n.Command("r1", "ping", "-q", "-c", "1", "-W", "5", c.dst)
		}
		n.WantForward(c.dst, c.dev, c.via)
		c.way.Crosses(c.way.Packet(c.dst))
	}
	// What was preferred goes: the next takes over.
	n.IP("r1", "route del 10.20.1.0/24")
	n.WantForward("10.20.1.2", "to-h2", "10.2.0.2")
	h2.Crosses(h2.Packet("10.20.1.2"))
	n.IP("r1", "route del 10.21.0.0/16 metric 10")
	n.WantForward("10.21.1.2", "to-h3", "10.3.0.2")
	h3.Crosses(h3.Packet("10.21.1.2"))
	n.IP("r1", "route replace 10.21.0.0/16 via 10.2.0.2 metric 20")
	n.WantForward("10.21.1.2", "to-h2", "10.2.0.2")
	h2.Crosses(h2.Packet("10.21.1.2"))
}

// Routes that end packets: silently, or with an ICMP error that Linux sends.
func TestRoutesThatEndPackets(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	p := n.Path(2)
	n.IP("r1", "route add 10.40.0.0/16 via 10.2.0.2")
	n.IP("r1", "-6 route add 2001:db8:40::/44 via 2001:db8:2::2")
	for i, c := range []struct {
		kind, reason string
		code4, code6 int // of the ICMP error; -1: none
	}{
		{"blackhole", "blackhole_route", -1, -1},
		{"unreachable", "reject_route", 1, 0},
		{"prohibit", "reject_route", 13, 1},
	} {
		v4, v6 := fmt.Sprintf("10.40.%d.1", i), fmt.Sprintf("2001:db8:4%d::1", i)
		n.IP("r1", fmt.Sprintf("route add %s 10.40.%d.0/24", c.kind, i))
		n.IP("r1", fmt.Sprintf("-6 route add %s 2001:db8:4%d::/48", c.kind, i))
		for _, dst := range []string{v4, v6} {
			code, kind := c.code4, 3 // RFC 792
			if dst == v6 {
				code, kind = c.code6, 1 // RFC 4443
			}
			n.WantReason(dst, c.reason)
			d := p.Packet(dst)
			n.WantCounted("to-h1", c.reason, 1, func() { p.IsLost(d) })
			wantError(p, d, kind, code)
		}
		// A longer one of another type is another matter.
		n.IP("r1", fmt.Sprintf("route add 10.40.%d.128/25 via 10.2.0.2", i))
		n.WantForward(fmt.Sprintf("10.40.%d.129", i), "to-h2", "10.2.0.2")
		p.Crosses(p.Packet(fmt.Sprintf("10.40.%d.129", i)))
	}
	n.IP("r1", "route add throw 10.50.0.0/16")
	n.WantReason("192.0.2.1", "ipv4_lpm_miss")
	n.WantReason("2001:4860::1", "ipv6_lpm_miss")
	d := p.Packet("192.0.2.1")
	n.WantCounted("to-h1", "ipv4_lpm_miss", 1, func() { p.IsLost(d) })
	wantError(p, d, 3, 0) // network unreachable
	n.IP("r1", "route add 192.0.2.0/24 via 10.2.0.2")
	n.WantForward("192.0.2.1", "to-h2", "10.2.0.2")
	p.Crosses(d)
}

// Packets to the router itself, and to the hosts that are attached.
func TestLocalDelivery(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	n.IP("r1", "addr add 192.0.2.77/32 dev lo")
	for _, dst := range []string{"10.1.0.1", "10.3.0.1", "192.0.2.77", "2001:db8:1::1", "2001:db8:3::1"} {
		n.WantReason(dst, "local_route")
		n.WantCounted("to-h1", "local_route", 3, func() {
			n.Command("h1", "ping", "-q", "-c", "3", "-i", "0.01", "-W", "5", dst)
		})
	}
	n.IP("r1", "addr del 192.0.2.77/32 dev lo")
	n.WantReason("192.0.2.77", "ipv4_lpm_miss")
}
