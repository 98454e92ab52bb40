package router

import (
	"fmt"
	"testing"
)

const flows = 1 << 14 // as many as the generator has source ports

// share asserts what part of the packets have come to h2, in percent.
func (s *stream) wantShare(percent int) {
	s.Helper()
	at2, sent := int(s.counts("h2").Packets), int(s.gen.Sent())
	if got := 100 * float64(at2) / float64(sent); got < float64(percent)-3 || got > float64(percent)+3 {
		s.Errorf("%d of %d packets have come to h2: %.1f %%, want %d", at2, sent, got, percent)
	}
}

// Flows are shared among the next hops by weight, and each stays where it is.
func TestECMP(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.resolve()
	for _, c := range []struct {
		dst, route string
		at2        int // percent
	}{
		{"10.70.0.1", "route add 10.70.0.0/16 nexthop via 10.2.0.2 nexthop via 10.3.0.2", 50},
		{"10.70.0.1", "route replace 10.70.0.0/16 nexthop via 10.2.0.2 weight 3 nexthop via 10.3.0.2 weight 1", 75},
		{"10.70.0.1", "route replace 10.70.0.0/16 nexthop via 10.2.0.2 nexthop via 10.2.0.2 nexthop via 10.3.0.2", 67},
		{"2001:db8:70::1", "-6 route add 2001:db8:70::/48 nexthop via 2001:db8:2::2 nexthop via 2001:db8:3::2", 50},
		{"10.72.0.1", "route add 10.72.0.0/16 nexthop via inet6 2001:db8:2::2 nexthop via 10.3.0.2", 50},
	} {
		n.ip("r1", c.route)
		n.wantLookup(c.dst, func(l *lookup) bool { return l.Verdict == "forward" && l.Members > 1 })
		n.catchUp()
		s := n.stream(c.dst)
		n.wantCounted("to-h1", "forwarded", flows, func() { s.burst(flows) })
		s.wantAll()
		s.wantShare(c.at2)
		before := s.at("h2")
		s.close()

		s = n.stream(c.dst)
		s.burst(flows)
		moved := 0
		for q := range s.at("h2") {
			if !before[q] {
				moved++
			}
		}
		if moved != 0 {
			t.Errorf("%s: %d of %d flows have moved without a reason", c.route, moved, flows)
		}
		s.close()
	}
}

// A next-hop object that changes takes along all routes that lead to it, and no
// packet is lost on the way.
func TestNextHopObjects(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.resolve()
	n.ip("r1", "nexthop add id 2 via 10.2.0.2 dev to-h2")
	n.ip("r1", "nexthop add id 3 via 10.3.0.2 dev to-h3")
	n.ip("r1", "nexthop add id 10 group 2/3")
	n.ip("r1", "nexthop add id 20 via 10.2.0.2 dev to-h2")
	n.ip("r1", "route add 10.70.0.0/16 nhid 10")
	for i := range 64 {
		n.ip("r1", fmt.Sprintf("route add 10.71.%d.0/24 nhid 20", i))
	}
	n.wantLookup("10.70.0.1", func(l *lookup) bool { return l.Members == 2 })
	n.wantForward("10.71.63.1", "to-h2", "10.2.0.2")

	s := n.stream("10.70.0.1", "10.71.1.1", "10.71.30.1", "10.71.63.1")
	before := n.count("to-h1", "forwarded")
	s.begin()
	for range 20 {
		n.ip("r1", "nexthop replace id 20 via 10.3.0.2 dev to-h3")
		n.ip("r1", "nexthop replace id 10 group 3")
		n.ip("r1", "nexthop replace id 10 group 3/2,3")
		n.ip("r1", "nexthop replace id 20 via 10.2.0.2 dev to-h2")
		n.ip("r1", "nexthop replace id 10 group 2/3")
	}
	s.stop()
	if sent := s.wantAll(); n.count("to-h1", "forwarded")-before != sent {
		t.Errorf("%d packets went by XDP, want all %d", n.count("to-h1", "forwarded")-before, sent)
	}
	s.close()

	for _, c := range []struct {
		change string
		at2    int
	}{
		{"nexthop replace id 20 via 10.3.0.2 dev to-h3", 12},
		{"nexthop replace id 10 group 2", 25},
		{"nexthop replace id 10 group 2/3", 12},
		{"nexthop del id 2", 0},
	} {
		n.ip("r1", c.change)
		n.catchUp()
		s := n.stream("10.70.0.1", "10.71.1.1", "10.71.30.1", "10.71.63.1")
		s.burst(flows)
		s.wantAll()
		s.wantShare(c.at2)
		s.close()
	}
	n.ip("r1", "nexthop del id 20") // and its routes
	n.wantReason("10.71.63.1", "ipv4_lpm_miss")
}

// A member whose link goes down takes no more packets; the others' flows stay.
func TestECMPMemberDown(t *testing.T) {
	n := newNetwork(t)
	n.run()
	n.resolve()
	n.ip("r1", "route add 10.70.0.0/16 nexthop via 10.2.0.2 nexthop via 10.3.0.2")
	n.wantLookup("10.70.0.1", func(l *lookup) bool { return l.Members == 2 })
	s := n.stream("10.70.0.1")
	s.burst(flows)
	s.wantShare(50)
	before := s.at("h2")
	s.close()

	n.ip("r1", "link set to-h3 down")
	n.wantForward("10.70.0.1", "to-h2", "10.2.0.2")
	s = n.stream("10.70.0.1")
	n.wantCounted("to-h1", "forwarded", flows, func() { s.burst(flows) })
	s.wantAll()
	s.wantShare(100)
	s.close()

	n.ip("r1", "link set to-h3 up")
	n.command("r1", "ping", "-q", "-c", "1", "-W", "5", "10.3.0.2")
	n.wantLookup("10.70.0.1", func(l *lookup) bool { return l.Members == 2 && l.Verdict == "forward" })
	n.wantForward("10.3.0.2", "to-h3", "")
	s = n.stream("10.70.0.1")
	s.burst(flows)
	s.wantAll()
	s.wantShare(50)
	moved := 0
	for q := range s.at("h2") {
		if !before[q] {
			moved++
		}
	}
	if moved != 0 {
		t.Errorf("%d of %d flows are not where they were before the link went down", moved, flows)
	}
}
