package fib

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// newWideImage makes one with 70,000 groups: numbers above 65,535 do not fit
// the 16-bit leaves of narrow nodes and lines.
func newWideImage(t testing.TB, size int, opts Options) *Image {
	t.Helper()
	im, err := Create(make([]byte, size), opts)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 70000 {
		if id, err := im.AddGroup(Group{Kind: Blackhole}); err != nil || id != GroupID(i+1) {
			t.Fatalf("group %d: got %d, %v", i+1, id, err)
		}
	}
	return im
}

// anyWidth draws a group number, on both sides of what 16 bits hold and
// closest to it most often.
func anyWidth(r *rand.Rand) GroupID {
	near := []GroupID{1, 2, 65534, 65535, 65536, 65537, 65538, 70000}
	if r.IntN(4) > 0 {
		return near[r.IntN(len(near))]
	}
	return GroupID(1 + r.IntN(70000))
}

func TestGroupsBeyond16Bits(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("v6=%v", v6), func(t *testing.T) {
			r := seed(t)
			im := newWideImage(t, 16<<20, Options{})
			tab := mustTable(t, im, 0)
			var m model
			steps := rounds(4000)
			for i := range steps {
				p := randomPrefix(r, v6)
				if r.IntN(3) == 0 { // replace or delete one that is there
					for p = range m.All() {
						break
					}
				}
				_, had := m.Get(p)
				if r.IntN(steps) > i/2 || !had {
					g := anyWidth(r)
					if err := tab.Insert(p, g); err != nil {
						t.Fatal(err)
					}
					m.Insert(p, g)
				} else {
					if err := tab.Delete(p); err != nil {
						t.Fatal(err)
					}
					m.Delete(p)
				}
				for _, a := range edges(p) {
					wantLookup(t, tab, a, m.lookup(a))
				}
				if i%max(1, steps/4) == 0 {
					check(t, tab, &m)
				}
			}
			check(t, tab, &m)
			checkOwners(t, im)
		})
	}
}

// The same nodes change between narrow and wide as a route inside them goes
// from a small number to a large one and back.
func TestReplaceAcross16Bits(t *testing.T) {
	for _, prefixes := range [][]string{
		{"10.0.0.0/28", "10.0.0.16/28", "10.0.0.8/29"},
		{"10.0.0.0/8", "10.1.2.3/32", "10.200.0.0/14", "10.3.0.0/17"}, // a line
		{"2001:db8::/32", "2001:db8::1/128", "2001:db8:0:1::/64", "2001:db8:0:0:8000::/65"},
	} {
		im := newWideImage(t, 4<<20, Options{})
		tab := mustTable(t, im, 0)
		var m model
		set := func(p string, g GroupID) {
			t.Helper()
			mustInsert(t, tab, g, p)
			m.Insert(netip.MustParsePrefix(p), g)
			check(t, tab, &m)
		}
		for i, p := range prefixes {
			set(p, GroupID(i+1))
		}
		for _, p := range prefixes {
			for _, g := range []GroupID{65535, 65536, 65537, 7, 70000, 65535} {
				set(p, g)
			}
		}
		for _, p := range prefixes {
			set(p, 66000)
		}
		checkOwners(t, im)
		for _, p := range prefixes {
			mustDelete(t, tab, p)
			m.Delete(netip.MustParsePrefix(p))
			check(t, tab, &m)
		}
		checkOwners(t, im)
	}
}

// crowd takes memory until less than leave bytes are free, with groups of ever
// fewer buckets.
func crowd(t testing.TB, im *Image, leave int) {
	t.Helper()
	adj := addAdjacencies(t, im, 2)
	for weight := 1 << 15; weight > 16; {
		free := unitSize * int(im.alloc.units-im.alloc.used)
		if free-8*weight < leave {
			weight /= 2
			continue
		}
		_, err := im.AddGroup(Group{Kind: Forward, Members: []Member{{adj[0], 1}, {adj[1], weight - 1}}})
		if errors.Is(err, ErrFull) {
			weight /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// A change that needs wide nodes and does not get them is taken back whole.
func TestUndoAcross16Bits(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		r := seed(t)
		im := newWideImage(t, 2<<20+64<<10, Options{})
		crowd(t, im, 48<<10)
		tab := mustTable(t, im, 0)
		var m model
		full := 0
		for i := range rounds(20000) {
			p := randomPrefix(r, v6)
			if i%2 == 0 {
				for p = range m.All() {
					break
				}
			}
			// Small ones for a while, so that narrow nodes and lines fill the image;
			// then large ones on short prefixes, which change many of them.
			g := GroupID(1 + r.IntN(60000))
			if i > 2000 {
				g = anyWidth(r)
			}
			err := tab.Insert(p, g)
			if err == nil {
				m.Insert(p, g)
			} else if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			} else if full++; full%16 == 0 {
				check(t, tab, &m)
				for _, q := range m.prefixes() {
					if r.IntN(4) > 0 {
						continue
					}
					err := tab.Delete(q)
					if err == nil {
						m.Delete(q)
					} else if !errors.Is(err, ErrFull) {
						t.Fatal(err)
					}
				}
			}
			for _, a := range edges(p) {
				wantLookup(t, tab, a, m.lookup(a))
			}
			if full >= 400 {
				break
			}
		}
		t.Logf("full %d times", full)
		if full == 0 && !raceEnabled {
			t.Error("the image did not get full")
		}
		check(t, tab, &m)
		checkOwners(t, im)
	}
}
