package rib

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

func TestGateways(t *testing.T) {
	b := newBench(t, Options{})
	b.steps("up 1", "up 2", "kernel unicast 192.0.2.0/24 dev 1", "kernel unicast 198.51.100.0/24 dev 2")
	b.steps("bgp 10.0.0.0/8 via 192.0.2.1", "bgp 10.1.0.0/16 via 203.0.113.1", "bgp 10.2.0.0/16 via 192.0.2.9 dev 1", "static 10.3.0.0/16 via 203.0.113.9")
	wants := func(want string) {
		t.Helper()
		var all []string
		for a := range b.GatewaysOf(BGP) {
			all = append(all, fmt.Sprint(a, " ", b.Leads(a)))
		}
		slices.Sort(all)
		if got := fmt.Sprint(slices.Compact(all)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	wants("[192.0.2.1 true 203.0.113.1 false]")
	b.steps("static 203.0.113.0/24 via 198.51.100.1")
	wants("[192.0.2.1 true 203.0.113.1 true]")
	b.steps("down 2", "-bgp 10.0.0.0/8")
	wants("[203.0.113.1 false]")
	if !b.Leads(netip.MustParseAddr("192.0.2.77")) || b.Leads(netip.MustParseAddr("2001:db8::1")) {
		t.Error("a gateway that no route names")
	}
}
