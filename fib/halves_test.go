package fib

import (
	"net/netip"
	"testing"
)

// No node looks at bits of both halves of an address, when a few prefixes a bit longer than
// the first half would make one node of all that is under a shorter one.
func TestPrefixesAroundTheMiddle(t *testing.T) {
	r := seed(t)
	for range rounds(1000) {
		im := newTestImage(t, 1<<20, 100, Options{})
		tab := mustTable(t, im, 0)
		var m model
		put := func() {
			a := netip.MustParseAddr("2001:db8::20:0:0:0:0").As16()
			a[7] |= byte(r.IntN(16) | r.IntN(2)<<6)
			a[8] = byte(r.Uint32())
			p := netip.PrefixFrom(netip.AddrFrom16(a), 61+r.IntN(8)).Masked()
			g := GroupID(1 + r.IntN(100))
			m.Insert(p, g)
			if err := tab.Insert(p, g); err != nil {
				t.Fatal(err)
			}
		}
		for range 4 + r.IntN(8) {
			put()
		}
		check(t, tab, &m)
		var all []Route
		for p, g := range m.All() {
			all = append(all, Route{p, g})
		}
		whole := mustTable(t, im, 1)
		if _, err := whole.Replace(all); err != nil {
			t.Fatal(err)
		}
		check(t, whole, &m)
	}
}
