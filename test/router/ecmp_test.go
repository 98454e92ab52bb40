package router

import (
	"fmt"
	"testing"

	"weft/test/star"
)

const flows = 1 << 14 // as many as the generator has source ports

// Flows are shared among the next hops by weight, and each stays where it is.
func TestECMP(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
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
		n.IP("r1", c.route)
		n.WantLookup(c.dst, func(l *star.Lookup) bool { return l.Verdict == "forward" && l.Members > 1 })
		n.CatchUp()
		s := n.Stream(c.dst)
		n.WantCounted("to-h1", "forwarded", flows, func() { s.Burst(flows) })
		s.WantAll()
		s.WantShare(c.at2)
		before := s.At("h2")
		s.Close()

		s = n.Stream(c.dst)
		s.Burst(flows)
		moved := 0
		for q := range s.At("h2") {
			if !before[q] {
				moved++
			}
		}
		if moved != 0 {
			t.Errorf("%s: %d of %d flows have moved without a reason", c.route, moved, flows)
		}
		s.Close()
	}
}

// A next-hop object that changes takes along all routes that lead to it, and no
// packet is lost on the way.
func TestNextHopObjects(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	n.IP("r1", "nexthop add id 2 via 10.2.0.2 dev to-h2")
	n.IP("r1", "nexthop add id 3 via 10.3.0.2 dev to-h3")
	n.IP("r1", "nexthop add id 10 group 2/3")
	n.IP("r1", "nexthop add id 20 via 10.2.0.2 dev to-h2")
	n.IP("r1", "route add 10.70.0.0/16 nhid 10")
	for i := range 64 {
		n.IP("r1", fmt.Sprintf("route add 10.71.%d.0/24 nhid 20", i))
	}
	n.WantLookup("10.70.0.1", func(l *star.Lookup) bool { return l.Members == 2 })
	n.WantForward("10.71.63.1", "to-h2", "10.2.0.2")

	s := n.Stream("10.70.0.1", "10.71.1.1", "10.71.30.1", "10.71.63.1")
	before := n.Count("to-h1", "forwarded")
	s.Begin()
	for range 20 {
		n.IP("r1", "nexthop replace id 20 via 10.3.0.2 dev to-h3")
		n.IP("r1", "nexthop replace id 10 group 3")
		n.IP("r1", "nexthop replace id 10 group 3/2,3")
		n.IP("r1", "nexthop replace id 20 via 10.2.0.2 dev to-h2")
		n.IP("r1", "nexthop replace id 10 group 2/3")
	}
	s.Stop()
	if sent := s.WantAll(); n.Count("to-h1", "forwarded")-before != sent {
		t.Errorf("%d packets went by XDP, want all %d", n.Count("to-h1", "forwarded")-before, sent)
	}
	s.Close()

	for _, c := range []struct {
		change string
		at2    int
	}{
		{"nexthop replace id 20 via 10.3.0.2 dev to-h3", 12},
		{"nexthop replace id 10 group 2", 25},
		{"nexthop replace id 10 group 2/3", 12},
		{"nexthop del id 2", 0},
	} {
		n.IP("r1", c.change)
		n.CatchUp()
		s := n.Stream("10.70.0.1", "10.71.1.1", "10.71.30.1", "10.71.63.1")
		s.Burst(flows)
		s.WantAll()
		s.WantShare(c.at2)
		s.Close()
	}
	n.IP("r1", "nexthop del id 20") // and its routes
	n.WantReason("10.71.63.1", "ipv4_lpm_miss")
}

// A member whose link goes down takes no more packets; the others' flows stay.
func TestECMPMemberDown(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	n.IP("r1", "route add 10.70.0.0/16 nexthop via 10.2.0.2 nexthop via 10.3.0.2")
	n.WantLookup("10.70.0.1", func(l *star.Lookup) bool { return l.Members == 2 })
	s := n.Stream("10.70.0.1")
	s.Burst(flows)
	s.WantShare(50)
	before := s.At("h2")
	s.Close()

	n.IP("r1", "link set to-h3 down")
	n.WantForward("10.70.0.1", "to-h2", "10.2.0.2")
	s = n.Stream("10.70.0.1")
	n.WantCounted("to-h1", "forwarded", flows, func() { s.Burst(flows) })
	s.WantAll()
	s.WantShare(100)
	s.Close()

	n.IP("r1", "link set to-h3 up")
	n.Command("r1", "ping", "-q", "-c", "1", "-W", "5", "10.3.0.2")
	n.WantLookup("10.70.0.1", func(l *star.Lookup) bool { return l.Members == 2 && l.Verdict == "forward" })
	n.WantForward("10.3.0.2", "to-h3", "")
	s = n.Stream("10.70.0.1")
	s.Burst(flows)
	s.WantAll()
	s.WantShare(50)
	moved := 0
	for q := range s.At("h2") {
		if !before[q] {
			moved++
		}
	}
	if moved != 0 {
		t.Errorf("%d of %d flows are not where they were before the link went down", moved, flows)
	}
}
