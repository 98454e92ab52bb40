package fib

import (
	"fmt"
	"net/netip"
	"testing"
)

// TestCondense inserts routes one by one and wants the nodes that a build of them all makes: a lookup loads as little.
func TestCondense(t *testing.T) {
	for _, c := range []struct {
		name    string
		root    int // bits of the address before what changes
		prefix  func(i int) netip.Prefix
		address string
	}{
		{"ipv4", 16, func(i int) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i)}), 24) }, "10.1.2.3"},
		{"ipv6", 40, func(i int) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7, byte(i)}), 48)
		}, "2001:db8:702::"},
	} {
		t.Run(c.name, func(t *testing.T) {
			im := newWideImage(t, 16<<20, Options{})
			tab := mustTable(t, im, 0)
			var m model
			insert := func(p netip.Prefix, g GroupID) {
				t.Helper()
				if err := tab.Insert(p, g); err != nil {
					t.Fatal(err)
				}
				m.Insert(p, g)
			}
			insert(c.prefix(0), 1)
			// Two of 16 parts: more than a line has, and too few for a node of 256 leaves.
			for i := 1; i < 32; i++ {
				insert(c.prefix(i), GroupID(1+i%3))
			}
			way := func() (s string) {
				for _, step := range tab.Explain(netip.MustParseAddr(c.address)).Steps {
					if step.Depth >= c.root {
						s += fmt.Sprint(step.Node, step.Stride, " ")
					}
				}
				return s
			}
			want := func(nodes string) {
				t.Helper()
				if got := way(); got != nodes {
					t.Fatalf("%d routes: %q, want %q", len(m.prefixes()), got, nodes)
				}
			}
			want("wide4 narrow4 ")
			insert(c.prefix(32), 2)
			want("narrow8 ")
			for i := 33; i < 60; i++ { // at 64 the whole trie is built again
				insert(c.prefix(i), GroupID(1+i%3))
			}
			want("narrow8 ")
			check(t, tab, &m)
			insert(c.prefix(40), 70000) // does not fit a leaf of 16 bits
			want("wide4 narrow4 ")
			check(t, tab, &m)
			checkOwners(t, im)
		})
	}
}
