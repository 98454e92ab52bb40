package rib

import (
	"net/netip"
	"testing"
)

// Linux keeps routes of one metric that differ in protocol alone, and drops one at a time.
func TestRoutesThatDifferInProtocol(t *testing.T) {
	b := newBench(t, Options{})
	k := KeyOf(0, netip.MustParsePrefix("20.0.0.0/8"))
	first, second := route(t, "unicast 20.0.0.0/8 via 10.0.1.2 dev 1"), route(t, "unicast 20.0.0.0/8 via 10.0.1.2 dev 1")
	second.Protocol = 186
	b.SetRoute(first, Add)
	b.SetRoute(second, Append)
	if got := b.At(k); len(got) != 2 {
		t.Errorf("the RIB has %+v, want two routes", got)
	}
	b.DeleteRoute(first)
	if got := b.At(k); len(got) != 1 || got[0].Protocol != 186 {
		t.Errorf("the RIB has %+v, want the second", got)
	}
}

// A change that a dump has shown already, told behind it, takes away no route beside it; what cannot
// be known asks for another look.
func TestReplacementThatIsLate(t *testing.T) {
	for _, c := range []struct {
		family, a, b string
		lost         bool // until the other look
	}{
		{"IPv4", "unicast 20.0.0.0/8 via 10.0.1.2 dev 1", "unicast 20.0.0.0/8 via 10.0.1.3 dev 1", false},
		{"IPv6", "blackhole 2001:db8:8::/48", "unicast 2001:db8:8::/48 dev 1", true},
	} {
		b := newBench(t, Options{})
		first, second := route(t, c.a), route(t, c.b)
		k := KeyOf(0, first.Prefix)
		b.TakeStale()
		b.BeginSync()
		for _, n := range []int{1, 2, 3, 9} {
			b.SetLink(testLink(n))
		}
		b.SetRoute(first, Dumped)
		b.SetRoute(second, Dumped)
		b.SetRoute(first, Replace)
		b.EndSync()
		if got := b.At(k); len(got) != 2 && !c.lost {
			t.Errorf("%s: the RIB has %+v, want two routes", c.family, got)
		}
		if why := b.TakeStale(); why != RoutesAtOdds {
			t.Errorf("%s: another look is asked for because of %q, want %q", c.family, why, RoutesAtOdds)
		}
	}
}

// A route that comes, and another one instead, told behind a dump that shows the last,
// is no reason to look again.
func TestReplacementBehindItsDump(t *testing.T) {
	for _, prefix := range []string{"20.0.0.0/8", "2001:db8:8::/48"} {
		b := newBench(t, Options{})
		b.TakeStale()
		b.BeginSync()
		for _, n := range []int{1, 2, 3, 9} {
			b.SetLink(testLink(n))
		}
		last := route(t, "unicast "+prefix+" dev 1")
		b.SetRoute(last, Dumped)
		b.SetRoute(route(t, "blackhole "+prefix), Add)
		b.SetRoute(last, Replace)
		b.EndSync()
		if got := b.At(KeyOf(0, last.Prefix)); len(got) != 1 || got[0].Type != last.Type {
			t.Errorf("the RIB has %+v, want what the dump has shown", got)
		}
		if why := b.TakeStale(); why != "" {
			t.Errorf("%s: another look is asked for: %s", prefix, why)
		}
	}
}

// What a dump with gaps has not shown stays for a while.
func TestGaps(t *testing.T) {
	b := newBench(t, Options{})
	four, six := route(t, "blackhole 20.0.0.0/8"), route(t, "blackhole 2001:db8:8::/48")
	b.SetRoute(four, Add)
	b.SetRoute(six, Add)
	for n := 1; n <= spared+1; n++ {
		b.BeginSync()
		b.ExpectGaps()
		b.EndSync()
		if len(b.At(KeyOf(0, four.Prefix))) != 0 {
			t.Error("an IPv4 route that was not shown is still there")
		}
		if got, want := len(b.At(KeyOf(0, six.Prefix))), 1; (got == want) != (n <= spared) {
			t.Errorf("after %d synchronizations there are %d IPv6 routes", n, got)
		}
	}
}
