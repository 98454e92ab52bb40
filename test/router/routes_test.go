package router

import (
	"fmt"
	"testing"
)

// Each type of route does to a packet what Linux does, and says so.
func TestRouteTypes(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.resolve()
	h2, h3 := n.path(2), n.path(3)
	for _, a := range []struct{ node, line string }{
		{"h2", "addr add fe80::2/64 dev eth0 nodad"}, {"h3", "addr add fe80::3/64 dev eth0 nodad"},
		{"h3", "addr add 10.30.7.7/32 dev eth0"},
	} {
		n.ip(a.node, a.line)
	}
	for _, c := range []struct {
		route, dst string
		way        *path
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
			n.ip("r1", "route add "+c.route)
		}
		if c.via == "fe80::2" || c.via == "fe80::3" { // unknown until the first packet
			n.command("r1", "ping", "-q", "-c", "1", "-W", "5", c.via+"%"+c.dev)
		}
		if c.dst == "10.30.7.7" {
			n.command("r1", "ping", "-q", "-c", "1", "-W", "5", c.dst)
		}
		n.wantForward(c.dst, c.dev, c.via)
		c.way.crosses(c.way.packet(c.dst))
	}
	// What was preferred goes: the next takes over.
	n.ip("r1", "route del 10.20.1.0/24")
	n.wantForward("10.20.1.2", "to-h2", "10.2.0.2")
	h2.crosses(h2.packet("10.20.1.2"))
	n.ip("r1", "route del 10.21.0.0/16 metric 10")
	n.wantForward("10.21.1.2", "to-h3", "10.3.0.2")
	h3.crosses(h3.packet("10.21.1.2"))
	n.ip("r1", "route replace 10.21.0.0/16 via 10.2.0.2 metric 20")
	n.wantForward("10.21.1.2", "to-h2", "10.2.0.2")
	h2.crosses(h2.packet("10.21.1.2"))
}

// Routes that end packets: silently, or with an ICMP error that Linux sends.
func TestRoutesThatEndPackets(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.resolve()
	p := n.path(2)
	n.ip("r1", "route add 10.40.0.0/16 via 10.2.0.2")
	n.ip("r1", "-6 route add 2001:db8:40::/44 via 2001:db8:2::2")
	for i, c := range []struct {
		kind, reason string
		code4, code6 int // of the ICMP error; -1: none
	}{
		{"blackhole", "blackhole_route", -1, -1},
		{"unreachable", "reject_route", 1, 0},
		{"prohibit", "reject_route", 13, 1},
	} {
		v4, v6 := fmt.Sprintf("10.40.%d.1", i), fmt.Sprintf("2001:db8:4%d::1", i)
		n.ip("r1", fmt.Sprintf("route add %s 10.40.%d.0/24", c.kind, i))
		n.ip("r1", fmt.Sprintf("-6 route add %s 2001:db8:4%d::/48", c.kind, i))
		for _, dst := range []string{v4, v6} {
			code, kind := c.code4, 3 // RFC 792
			if dst == v6 {
				code, kind = c.code6, 1 // RFC 4443
			}
			n.wantReason(dst, c.reason)
			d := p.packet(dst)
			n.wantCounted("to-h1", c.reason, 1, func() { p.isLost(d) })
			p.wantError(d, kind, code)
		}
		// A longer one of another type is another matter.
		n.ip("r1", fmt.Sprintf("route add 10.40.%d.128/25 via 10.2.0.2", i))
		n.wantForward(fmt.Sprintf("10.40.%d.129", i), "to-h2", "10.2.0.2")
		p.crosses(p.packet(fmt.Sprintf("10.40.%d.129", i)))
	}
	n.ip("r1", "route add throw 10.50.0.0/16")
	n.wantReason("192.0.2.1", "ipv4_lpm_miss")
	n.wantReason("2001:4860::1", "ipv6_lpm_miss")
	d := p.packet("192.0.2.1")
	n.wantCounted("to-h1", "ipv4_lpm_miss", 1, func() { p.isLost(d) })
	p.wantError(d, 3, 0) // network unreachable
	n.ip("r1", "route add 192.0.2.0/24 via 10.2.0.2")
	n.wantForward("192.0.2.1", "to-h2", "10.2.0.2")
	p.crosses(d)
}

// Packets to the router itself, and to the hosts that are attached.
func TestLocalDelivery(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.resolve()
	n.ip("r1", "addr add 192.0.2.77/32 dev lo")
	for _, dst := range []string{"10.1.0.1", "10.3.0.1", "192.0.2.77", "2001:db8:1::1", "2001:db8:3::1"} {
		n.wantReason(dst, "local_route")
		n.wantCounted("to-h1", "local_route", 3, func() {
			n.command("h1", "ping", "-q", "-c", "3", "-i", "0.01", "-W", "5", dst)
		})
	}
	n.ip("r1", "addr del 192.0.2.77/32 dev lo")
	n.wantReason("192.0.2.77", "ipv4_lpm_miss")
}
