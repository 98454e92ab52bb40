package fib

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	im := newTestImage(t, 1<<20, 9, Options{})
	tab := mustTable(t, im, 0)
	mustInsert(t, tab, 1, "0.0.0.0/0")
	mustInsert(t, tab, 2, "10.0.0.0/8")
	mustInsert(t, tab, 3, "2001:db8::/64")
	mustInsert(t, tab, 4, "2001:db8::1/128")
	at := regexp.MustCompile(`at 0x[0-9a-f]+`) // where nodes lie is the allocator's affair
	for _, c := range []struct{ addr, want string }{
		{"10.1.2.3", "1 line   bits 0-32 at X: entry 1\n10.1.2.3: 10.0.0.0/8, group 2"},
		{"9.255.255.255", "1 line   bits 0-32 at X: entry 0\n9.255.255.255: 0.0.0.0/0, group 1"},
		{"11.0.0.0", "1 line   bits 0-32 at X: entry 2\n11.0.0.0: 0.0.0.0/0, group 1"},
		{"::1", "::1: no route"},
		{"2001:db8::1", "2001:db8::1: 2001:db8::1/128, group 4"},
		{"2001:db8::2", "2001:db8::2: 2001:db8::/64, group 3"},
		{"::ffff:10.1.2.3", "::ffff:10.1.2.3: no route"},
	} {
		got := at.ReplaceAllString(tab.Explain(netip.MustParseAddr(c.addr)).String(), "at X")
		if !strings.HasSuffix(strings.TrimSpace(got), c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", c.addr, got, c.want)
		}
	}
	if x := tab.Explain(netip.Addr{}); x.Group != 0 || len(x.Steps) != 0 || x.Prefix.IsValid() {
		t.Errorf("no address: %+v", x)
	}
	if got := tab.Explain(netip.MustParseAddr("2001:db8::1")).String(); !strings.Contains(got, "low ") {
		t.Errorf("the way to the low half is not told:\n%s", got)
	}
}

// The route that Explain names is the one that the oracle finds.
func TestExplainNamesTheRoute(t *testing.T) {
	for _, compact := range []bool{false, true} {
		r := seed(t)
		im := newTestImage(t, 8<<20, 50, Options{Compact: compact})
		tab := mustTable(t, im, 0)
		var m model
		for range rounds(3000) {
			p, g := randomPrefix(r, r.IntN(2) == 0), GroupID(1+r.IntN(50))
			if err := tab.Insert(p, g); err != nil {
				t.Fatal(err)
			}
			m.Insert(p, g)
		}
		nodes := map[string]bool{}
		for range rounds(20000) {
			a := randomPrefix(r, r.IntN(2) == 0).Addr()
			if r.IntN(2) == 0 {
				a = a.Next()
			}
			if a.Is4In6() {
				continue
			}
			x := tab.Explain(a)
			want, g, _ := m.LookupPrefixLPM(netip.PrefixFrom(a, a.BitLen()))
			if x.Prefix != want || x.Group != g || x.Addr != a {
				t.Fatalf("%s: %s, group %d, want %s, group %d", a, x.Prefix, x.Group, want, g)
			}
			d := 0
			for _, s := range x.Steps {
				nodes[s.Node] = true
				if s.Depth != d {
					t.Fatalf("%s: a step at depth %d after one that ended at %d\n%s", a, s.Depth, d, x)
				}
				d += s.Stride
			}
		}
		for _, n := range []string{"wide", "narrow", "line", "low"} {
			if !nodes[n] && !raceEnabled {
				t.Errorf("no %s node was met", n)
			}
		}
	}
}
