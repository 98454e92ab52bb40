package fib

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/gaissmai/bart"
)

// seed returns a seed that the log names, so that a failure can be repeated.
func seed(t testing.TB) *rand.Rand {
	s := uint64(time.Now().UnixNano())
	t.Logf("seed %d", s)
	return rand.New(rand.NewPCG(s, 0))
}

func newTestImage(t testing.TB, size int, groups int, opts Options) *Image {
	t.Helper()
	im, err := Create(make([]byte, size), opts)
	if err != nil {
		t.Fatal(err)
	}
	addTestGroups(t, im, groups)
	return im
}

// addTestGroups makes groups 1 to n.
func addTestGroups(t testing.TB, im *Image, n int) {
	t.Helper()
	for i := range n {
		if id, err := im.AddGroup(Group{Kind: Punt, Reason: uint16(i)}); err != nil || id != GroupID(i+1) {
			t.Fatalf("group %d: got %d, %v", i+1, id, err)
		}
	}
}

// randomPrefix draws from a space small enough that prefixes nest and repeat.
func randomPrefix(r *rand.Rand, v6 bool) netip.Prefix {
	if !v6 {
		b := [4]byte{byte(r.IntN(3)) * 85, byte(r.IntN(4)), byte(r.Uint32()) & 0x93, byte(r.Uint32()) & 0xf1}
		return netip.PrefixFrom(netip.AddrFrom4(b), r.IntN(33)).Masked()
	}
	var b [16]byte
	b[0] = 0x20 | byte(r.IntN(2))
	b[1] = byte(r.IntN(2))
	for i := 2; i < 16; i++ {
		if r.IntN(3) == 0 {
			b[i] = byte(r.Uint32())
		}
	}
	bits := []int{r.IntN(129), 16 + r.IntN(49), 60 + r.IntN(9), 128}[r.IntN(4)]
	return netip.PrefixFrom(netip.AddrFrom16(b), bits).Masked()
}

// edges returns the addresses where an answer about p can change: its first
// and last and those beside it.
func edges(p netip.Prefix) []netip.Addr {
	k, f := keyOf(p.Addr())
	last := k.last(p.Bits()).addr(f)
	out := []netip.Addr{p.Addr(), last}
	if a := p.Addr().Prev(); a.IsValid() {
		out = append(out, a)
	}
	if a := last.Next(); a.IsValid() {
		out = append(out, a)
	}
	// Lookup has no answer for IPv4-mapped ones.
	return slices.DeleteFunc(out, netip.Addr.Is4In6)
}

type model struct {
	bart.Table[GroupID]
}

func (m *model) lookup(a netip.Addr) GroupID {
	g, _ := m.Lookup(a)
	return g
}

// check compares a table with the model: every route, and every address where
// an answer can change.
func check(t testing.TB, tab Table, m *model) {
	t.Helper()
	n := 0
	for p, g := range tab.All() {
		n++
		if want, ok := m.Get(p); !ok || want != g {
			t.Fatalf("All: %s is %d, want %d (%v)", p, g, want, ok)
		}
	}
	if v4, v6 := tab.Len(); n != m.Size() || v4 != m.Size4() || v6 != m.Size6() {
		t.Fatalf("routes: All has %d, Len says %d and %d, want %d and %d", n, v4, v6, m.Size4(), m.Size6())
	}
	var four []uint32
	var six []Addr6
	for p, want := range m.All() {
		if g, err := tab.Get(p); err != nil || g != want {
			t.Fatalf("Get(%s) = %d, %v, want %d", p, g, err, want)
		}
		for _, a := range edges(p) {
			if got, want := tab.Lookup(a), m.lookup(a); got != want {
				t.Fatalf("Lookup(%s) = %d, want %d\n%s", a, got, want, tab.Explain(a))
			}
			if k, f := keyOf(a); f == ipv4 {
				four = append(four, uint32(k.hi>>32))
			} else {
				six = append(six, Addr6{k.hi, k.lo})
			}
		}
	}
	checkBatches(t, tab, four, six)
	withoutAVX512(func() { checkBatches(t, tab, four, six) })
}

func checkBatches(t testing.TB, tab Table, four []uint32, six []Addr6) {
	t.Helper()
	out := make([]GroupID, max(len(four), len(six)))
	tab.LookupBatch4(four, out[:len(four)])
	for i, a := range four {
		if want := tab.Lookup4(a); out[i] != want {
			t.Fatalf("LookupBatch4: %#x is %d, want %d", a, out[i], want)
		}
	}
	tab.LookupBatch6(six, out[:len(six)])
	for i, a := range six {
		if want := tab.Lookup6(a); out[i] != want {
			t.Fatalf("LookupBatch6: %#x is %d, want %d", a, out[i], want)
		}
	}
}

// checkOwners makes sure that the writer knows for each leaf which prefix it
// is of, and that the image holds nothing but what is linked.
func checkOwners(t testing.TB, im *Image) {
	t.Helper()
	im.reclaim(true)
	linked := newImage(im.mem, im.opts)
	s := survey{im: linked, seen: make([]uint64, (linked.alloc.units+63)/64)}
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
	if linked.alloc.used != im.alloc.used {
		t.Fatalf("used %d units, linked %d", im.alloc.used, linked.alloc.used)
	}
	opts := im.opts
	opts.Grace = nil // nobody reads the copy
	again, err := Open(append([]byte(nil), im.mem...), opts)
	if err != nil {
		t.Fatalf("open a copy: %v", err)
	}
	for vrf := range im.vrfs {
		for f := range family(2) {
			tab := Table{im, vrf}
			got := im.collect(nil, noLimit, tab.root(f), key{}, 0, false)
			want := again.collect(nil, noLimit, Table{again, vrf}.root(f), key{}, 0, false)
			if len(got) != len(want) {
				t.Fatalf("VRF %d family %d: %d intervals, want %d", vrf, f, len(got), len(want))
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("VRF %d family %d: interval %+v, want %+v", vrf, f, got[i], want[i])
				}
			}
		}
	}
}

func TestRandomOperations(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, compact := range []bool{false, true} {
			for _, groups := range []int{3, 200} {
				t.Run(fmt.Sprintf("v6=%v/compact=%v/groups=%d", v6, compact, groups), func(t *testing.T) {
					r := seed(t)
					im := newTestImage(t, 8<<20, groups, Options{Compact: compact})
					tab, err := im.Table(7)
					if err != nil {
						t.Fatal(err)
					}
					var m model
					steps := rounds(6000)
					for i := range steps {
						p, g := randomPrefix(r, v6), GroupID(1+r.IntN(groups))
						// Grow for a while, then shrink.
						if r.IntN(steps) > i/2 {
							if err := tab.Insert(p, g); err != nil {
								t.Fatal(err)
							}
							m.Insert(p, g)
						} else {
							if r.IntN(4) > 0 { // one that is there
								for p = range m.All() {
									break
								}
							}
							_, had := m.Get(p)
							m.Delete(p)
							if err := tab.Delete(p); had != (err == nil) || err != nil && !errors.Is(err, ErrNoRoute) {
								t.Fatalf("delete %s: %v, was there: %v", p, err, had)
							}
						}
						for _, a := range edges(p) {
							if got, want := tab.Lookup(a), m.lookup(a); got != want {
								t.Fatalf("step %d: %s: Lookup(%s) = %d, want %d\n%s", i, p, a, got, want, tab.Explain(a))
							}
						}
						if i%(steps/6) == 0 {
							check(t, tab, &m)
							checkOwners(t, im)
						}
					}
					for p := range m.All() {
						if err := tab.Delete(p); err != nil {
							t.Fatal(err)
						}
					}
					if e := im.load32(tab.root(ipv4)) | im.load32(tab.root(ipv6)); e != 0 {
						t.Errorf("an empty table has a root of %#x", e)
					}
				})
			}
		}
	}
}
