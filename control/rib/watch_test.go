package rib

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"weft/control/kernel"
)

// Who watches is told of each prefix whose choice may be another, not of those that only
// BGP has.
func TestWatch(t *testing.T) {
	b := newBench(t, Options{})
	b.steps("kernel unicast 192.0.2.0/24 dev 1 proto 2", "kernel unicast 198.51.100.0/24 dev 2 proto 2")
	var told []string
	b.Watch(true, func(keys []Key, links bool) {
		for _, k := range keys {
			told = append(told, k.Prefix().String())
		}
		if links {
			told = append(told, "links")
		}
	})
	for _, step := range []struct{ do, want string }{
		{"static 10.0.0.0/8 via 192.0.2.1 pref 250", "10.0.0.0/8"},
		{"static 10.0.0.0/8 via 192.0.2.1 pref 250", ""},
		{"bgp 172.16.0.0/12 via 192.0.2.1 pref 20", ""},
		{"bgp 172.16.0.0/12 via 198.51.100.1 pref 20", ""},
		{"-bgp 172.16.0.0/12", ""},
		{"bgp 10.0.0.0/8 via 198.51.100.1 pref 20", "10.0.0.0/8"},
		{"-bgp 10.0.0.0/8", "10.0.0.0/8"},
		{"kernel unicast 10.1.0.0/16 via 198.51.100.1 dev 2", "10.1.0.0/16"},
		{"-kernel unicast 10.1.0.0/16 via 198.51.100.1 dev 2", "10.1.0.0/16"},
		{"down 1", "10.0.0.0/8 links"}, // the static route leads nowhere
		{"up 1", "10.0.0.0/8 links"},
	} {
		told = nil
		b.steps(step.do)
		slices.Sort(told)
		if got := strings.Join(told, " "); got != step.want {
			t.Errorf("%s: told of %q, want %q", step.do, got, step.want)
		}
	}
	told = nil
	b.SetAddr(kernel.Addr{Link: 1, Prefix: netip.MustParsePrefix("192.0.2.9/24")})
	b.Publish()
	b.SetAddr(kernel.Addr{Link: 1, Prefix: netip.MustParsePrefix("192.0.2.9/24")})
	b.Publish()
	if len(told) != 1 {
		t.Errorf("an address: told of %q", told)
	}
	b.Watch(false, func(keys []Key, links bool) {
		if len(keys) > 0 || !links {
			t.Errorf("told of %v", keys)
		}
	})
	b.steps("static 10.2.0.0/16 via 192.0.2.1", "down 2")
	b.Watch(false, nil)
	b.steps("up 2")
}

// The route that is chosen says whose it is, and whether it carries packets.
func TestChosenAt(t *testing.T) {
	b := newBench(t, Options{})
	b.steps("kernel unicast 192.0.2.0/24 dev 1 proto 2", "kernel unicast 10.0.0.0/8 dev 2 metric 7 proto 3", "static blackhole 10.9.0.0/16 pref 1",
		"bgp 10.0.0.0/8 via 192.0.2.1 pref 20", "bgp 10.9.0.0/16 via 192.0.2.1 pref 20")
	at := func(p string) string {
		c, ok := b.ChosenAt(KeyOf(0, netip.MustParsePrefix(p)))
		return fmt.Sprintf("%v %s %d up=%v", ok, c.Source, c.Protocol, c.Up)
	}
	for _, want := range []struct{ do, prefix, chosen string }{
		{"", "10.0.0.0/8", "true kernel 3 up=true"},
		{"", "10.9.0.0/16", "true static 119 up=true"},
		{"", "10.8.0.0/16", "false kernel 0 up=false"},
		{"", "224.0.0.0/4", "false kernel 0 up=false"},
		{"down 2", "10.0.0.0/8", "true kernel 3 up=false"},
		{"-kernel unicast 10.0.0.0/8 dev 2 metric 7 proto 3", "10.0.0.0/8", "true bgp 119 up=true"},
		{"down 1", "10.0.0.0/8", "false kernel 0 up=false"},
	} {
		if want.do != "" {
			b.steps(want.do)
		}
		if got := at(want.prefix); got != want.chosen {
			t.Errorf("%s: %s: %s, want %s", want.do, want.prefix, got, want.chosen)
		}
	}
}

// Prefixes are counted by source and family, however many routes of it they have.
func TestCountOf(t *testing.T) {
	b := newBench(t, Options{})
	for _, step := range []struct {
		do         string
		ipv4, ipv6 int
		several    int // prefixes of which BGP has several
	}{
		{"kernel unicast 192.0.2.0/24 dev 1", 0, 0, 0},
		{"bgp:1 10.0.0.0/8 via 192.0.2.1 pref 20", 1, 0, 0},
		{"bgp:2 10.0.0.0/8 via 192.0.2.2 pref 20", 1, 0, 1},
		{"bgp:1 10.0.0.0/8 via 192.0.2.3 pref 200", 1, 0, 1},
		{"static blackhole 10.0.0.0/8 pref 1", 1, 0, 1},
		{"bgp:1 2001:db8::/32 via 2001:db8:1::1 pref 20", 1, 1, 1},
		{"-bgp:1 10.0.0.0/8", 1, 1, 0},
		{"-bgp:2 10.0.0.0/8", 0, 1, 0},
	} {
		b.steps(step.do)
		if ipv4, ipv6 := b.CountOf(BGP); ipv4 != step.ipv4 || ipv6 != step.ipv6 {
			t.Errorf("%s: %d and %d prefixes of BGP, want %d and %d", step.do, ipv4, ipv6, step.ipv4, step.ipv6)
		}
		if b.several != step.several {
			t.Errorf("%s: several routes to %d prefixes, want to %d", step.do, b.several, step.several)
		}
	}
	b.BeginReplay(BGP)
	b.EndReplay(BGP)
	if ipv4, ipv6 := b.CountOf(BGP); ipv4 != 0 || ipv6 != 0 {
		t.Errorf("%d and %d prefixes are left", ipv4, ipv6)
	}
	b.steps("bgp:1 2001:db8::/32 via 2001:db8:1::1 pref 20")
	if got := fmt.Sprint(b.PrefixesOf(BGP, true), b.PrefixesOf(BGP, false), b.PrefixesOf(Static, true)); got != "[] [2001:db8::/32] [10.0.0.0/8]" {
		t.Errorf("prefixes: %s", got)
	}
	if ipv4, _ := b.CountOf(Static); ipv4 != 1 {
		t.Errorf("%d static prefixes, want 1", ipv4)
	}
}

// A route that is several candidates has so many hops as are allowed.
func TestWidth(t *testing.T) {
	b := newBench(t, Options{})
	b.SetWidth(BGP, 2)
	b.steps("kernel unicast 192.0.2.0/24 dev 1", "bgp:1 10.0.0.0/8 via 192.0.2.1 pref 20", "bgp:2 10.0.0.0/8 via 192.0.2.2 pref 20", "bgp:3 10.0.0.0/8 via 192.0.2.3 pref 20")
	two := contents(t, b.RIB, 0)[netip.MustParsePrefix("10.0.0.0/8")]
	b.steps("-bgp:1 10.0.0.0/8")
	after := contents(t, b.RIB, 0)[netip.MustParsePrefix("10.0.0.0/8")]
	if strings.Contains(two, "192.0.2.3") || !strings.Contains(two, "192.0.2.2") || !strings.Contains(after, "192.0.2.3") {
		t.Errorf("%s, then %s", two, after)
	}
}
