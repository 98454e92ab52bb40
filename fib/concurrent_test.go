package fib

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// Groups of the table that is read while it changes. Each region of the
// address space has its own few, so that an answer from anywhere else shows.
const (
	anyDefault0 = 1 + iota // 0.0.0.0/0 and ::/0 are always there, and of one of two groups
	anyDefault1
	stableCover  // 10.0.0.0/8, 2001:db8::/32
	stableHost   // a host route in the middle of the churn
	nested       // more-specifics that come and go below the stable cover
	churned      // many routes that come and go in 11.0.0.0/8, 2001:db9::/32
	toggled0     // 12.0.0.0/8, 2001:dba::/32: of one of two groups
	toggled1     //
	foreign      // another VRF's, from here on
	testGroups   = 40
	regionStable = "10.0.0.0/8"
)

// question is an address and the set of its legal answers, by bit.
type question struct {
	addr  netip.Addr
	legal uint64
}

func legal(groups ...GroupID) (set uint64) {
	for _, g := range groups {
		set |= 1 << g
	}
	return set
}

// concurrent is a table under change.
type concurrent struct {
	tab, other Table
	nested     []netip.Prefix // inside the stable covers' upper halves
	churned    []netip.Prefix
	questions  []question
}

func randomIn(r *rand.Rand, cover string, least, most int) netip.Prefix {
	c := netip.MustParsePrefix(cover)
	k, f := keyOf(c.Addr())
	if f == ipv4 {
		k.hi |= uint64(r.Uint32()) << 32 >> c.Bits()
		k.hi &^= 1<<32 - 1
	} else {
		k.hi |= r.Uint64() >> c.Bits() & 0xffff00ff0000ffff
		k.lo = r.Uint64() & 0xff000000000000ff
	}
	p, _ := k.addr(f).Prefix(least + r.IntN(most-least+1))
	return p
}

func newConcurrent(t testing.TB, r *rand.Rand, im *Image) *concurrent {
	t.Helper()
	c := &concurrent{tab: mustTable(t, im, 0), other: mustTable(t, im, 9)}
	mustInsert(t, c.tab, anyDefault0, "0.0.0.0/0", "::/0")
	mustInsert(t, c.tab, stableCover, regionStable, "2001:db8::/32")
	mustInsert(t, c.tab, toggled0, "12.0.0.0/8", "2001:dba::/32")
	mustInsert(t, c.tab, stableHost, "10.200.1.1/32", "11.1.1.1/32", "2001:db8:8000::1/128", "2001:db9::1/128")
	ask := func(a netip.Addr, set uint64) { c.questions = append(c.questions, question{a, set}) }
	for _, a := range []string{"10.200.1.1", "11.1.1.1", "2001:db8:8000::1", "2001:db9::1"} {
		ask(netip.MustParseAddr(a), legal(stableHost))
	}
	defaults := legal(anyDefault0, anyDefault1)
	for range 150 {
		// The lower halves have nothing nested.
		ask(randomIn(r, "10.0.0.0/9", 32, 32).Addr(), legal(stableCover))
		ask(randomIn(r, "2001:db8::/33", 128, 128).Addr(), legal(stableCover))
		ask(randomIn(r, "12.0.0.0/8", 32, 32).Addr(), legal(toggled0, toggled1))
		ask(randomIn(r, "2001:dba::/32", 128, 128).Addr(), legal(toggled0, toggled1))
		ask(randomIn(r, "64.0.0.0/8", 32, 32).Addr(), defaults)
		ask(randomIn(r, "4000::/8", 128, 128).Addr(), defaults)
	}
	for range 120 {
		for _, p := range []netip.Prefix{randomIn(r, "10.128.0.0/9", 10, 32), randomIn(r, "2001:db8:8000::/33", 34, 128)} {
			c.nested = append(c.nested, p)
			for _, a := range edges(p) {
				if (netip.MustParsePrefix("10.128.0.0/9")).Contains(a) || netip.MustParsePrefix("2001:db8:8000::/33").Contains(a) {
					ask(a, legal(stableCover, stableHost, nested))
				}
			}
		}
	}
	for range 400 {
		for _, p := range []netip.Prefix{randomIn(r, "11.0.0.0/8", 9, 32), randomIn(r, "2001:db9::/32", 33, 128)} {
			c.churned = append(c.churned, p)
			ask(p.Addr(), defaults|legal(stableHost, churned))
		}
	}
	for i := range c.questions {
		q := &c.questions[i]
		if q.addr == netip.MustParseAddr("10.200.1.1") || q.addr == netip.MustParseAddr("2001:db8:8000::1") {
			q.legal = legal(stableHost)
		}
	}
	return c
}

// change makes the i-th random change.
func (c *concurrent) change(r *rand.Rand, i int) error {
	set := func(tab Table, p netip.Prefix, g GroupID, del bool) error {
		if del {
			if _, err := tab.Get(p); err != nil {
				return nil
			}
			return tab.Delete(p)
		}
		return tab.Insert(p, g)
	}
	both := func(v4, v6 string, g GroupID) error {
		if err := c.tab.Insert(netip.MustParsePrefix(v4), g); err != nil {
			return err
		}
		return c.tab.Insert(netip.MustParsePrefix(v6), g)
	}
	// Waves: fill, then empty, so that nodes grow and collapse and whole tries
	// are built anew.
	emptying := i/1500%2 == 1
	switch r.IntN(8) {
	case 0:
		return both("0.0.0.0/0", "::/0", GroupID(anyDefault0+r.IntN(2)))
	case 1:
		return both("12.0.0.0/8", "2001:dba::/32", GroupID(toggled0+r.IntN(2)))
	case 2, 3:
		return set(c.tab, c.nested[r.IntN(len(c.nested))], nested, r.IntN(2) == 0)
	case 4:
		// Another VRF takes and gives back the same memory.
		p := c.churned[r.IntN(len(c.churned))]
		return set(c.other, p, GroupID(foreign+r.IntN(testGroups-foreign)), r.IntN(2) == 0)
	default:
		return set(c.tab, c.churned[r.IntN(len(c.churned))], churned, r.IntN(10) > 0 == emptying)
	}
}

// read asks all questions in both ways, and tells the first wrong answer.
func (c *concurrent) read(four []uint32, six []Addr6, at4, at6 []int, out []GroupID) string {
	for i := range c.questions {
		q := &c.questions[i]
		if g := c.tab.Lookup(q.addr); g >= 64 || q.legal>>g&1 == 0 {
			return fmt.Sprintf("Lookup(%s) = %d, legal %b", q.addr, g, q.legal)
		}
	}
	c.tab.LookupBatch4(four, out[:len(four)])
	for i, at := range at4 {
		if g := out[i]; g >= 64 || c.questions[at].legal>>g&1 == 0 {
			return fmt.Sprintf("LookupBatch4 of %s: %d, legal %b", c.questions[at].addr, g, c.questions[at].legal)
		}
	}
	c.tab.LookupBatch6(six, out[:len(six)])
	for i, at := range at6 {
		if g := out[i]; g >= 64 || c.questions[at].legal>>g&1 == 0 {
			return fmt.Sprintf("LookupBatch6 of %s: %d, legal %b", c.questions[at].addr, g, c.questions[at].legal)
		}
	}
	return ""
}

// reader reads until stop, and says how often it did.
func (c *concurrent) reader(t *testing.T, rs *Readers, stop *atomic.Bool, passes *atomic.Int64) {
	var four []uint32
	var six []Addr6
	var at4, at6 []int
	for i := range c.questions {
		if k, f := keyOf(c.questions[i].addr); f == ipv4 {
			four, at4 = append(four, uint32(k.hi>>32)), append(at4, i)
		} else {
			six, at6 = append(six, Addr6{k.hi, k.lo}), append(at6, i)
		}
	}
	out := make([]GroupID, len(c.questions))
	one := rs.Join()
	defer func() { one.Leave() }()
	for n := 0; !stop.Load(); n++ {
		if wrong := c.read(four, six, at4, at6, out); wrong != "" {
			t.Error(wrong)
			stop.Store(true)
			return
		}
		passes.Add(1)
		switch n % 50 {
		case 48:
			one.Offline()
			runtime.Gosched()
			one.Quiesce() // before it reads again
		case 49:
			one.Leave()
			one = rs.Join()
		default:
			one.Quiesce()
		}
	}
}

func TestConcurrentReaders(t *testing.T) {
	for _, avx512 := range []bool{true, false} {
		for _, compact := range []bool{false, true} {
			t.Run(fmt.Sprintf("avx512=%v/compact=%v", avx512, compact), func(t *testing.T) {
				test := func() {
					r := seed(t)
					var rs Readers
					// Small: freed memory is soon used again.
					im := newTestImage(t, 512<<10, testGroups, Options{Compact: compact, Grace: &rs})
					c := newConcurrent(t, r, im)
					var stop atomic.Bool
					var passes atomic.Int64
					var done sync.WaitGroup
					for range 2 {
						done.Go(func() { c.reader(t, &rs, &stop, &passes) })
					}
					for i := 0; i < rounds(60000) || passes.Load() < 20; i++ {
						if stop.Load() {
							break
						}
						if err := c.change(r, i); err != nil {
							t.Error(err)
							break
						}
					}
					stop.Store(true)
					done.Wait()
					t.Logf("%d passes of %d questions", passes.Load(), len(c.questions))
					checkLookups(t, im)
					checkOwners(t, im)
				}
				if avx512 {
					test()
				} else {
					withoutAVX512(test)
				}
			})
		}
	}
}

// What a route's group and its adjacency say is of one moment as well, while
// groups change, go, and give their numbers and memory to others.
func TestConcurrentGroups(t *testing.T) {
	r := seed(t)
	var rs Readers
	im, err := Create(make([]byte, 512<<10), Options{Grace: &rs})
	if err != nil {
		t.Fatal(err)
	}
	tab := mustTable(t, im, 0)
	mine, others := addAdjacencies(t, im, 8), addAdjacencies(t, im, 8)
	// Adjacency n has a port that is n modulo 1000: it says whose it is.
	legalPort := func(id AdjacencyID, a *Adjacency) bool {
		return a.Port%1000 == uint32(id) && *a == testAdjacency(a.Port)
	}
	for i, id := range append(mine, others...) {
		if err := im.SetAdjacency(id, testAdjacency(uint32(i+1))); err != nil {
			t.Fatal(err)
		}
	}
	subset := func(of []AdjacencyID) Group {
		g := Group{Kind: Forward, Mode: Mode(r.IntN(2))}
		for _, i := range r.Perm(len(of))[:1+r.IntN(len(of))] {
			g.Members = append(g.Members, Member{of[i], 1 + r.IntN(5)})
		}
		return g
	}
	stable, err := im.AddGroup(subset(mine))
	if err != nil {
		t.Fatal(err)
	}
	if err := tab.Insert(netip.MustParsePrefix("10.0.0.0/8"), stable); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	var passes atomic.Int64
	var done sync.WaitGroup
	isMine := func(id AdjacencyID) bool { return id >= mine[0] && id <= mine[len(mine)-1] }
	for range 2 {
		done.Go(func() {
			one := rs.Join()
			defer one.Leave()
			fail := func(format string, args ...any) {
				t.Errorf(format, args...)
				stop.Store(true)
			}
			for h := uint32(1); !stop.Load(); h = h*0x9e3779b9 + 1 {
				one.Quiesce()
				passes.Add(1)
				n := im.Next(tab.Lookup4(10<<24|h>>8), h)
				if n.Kind != Forward || !isMine(n.Adjacency) {
					fail("the stable route leads to %+v", n)
					return
				}
				if a, ok := im.Adjacency(n.Adjacency); !ok || !legalPort(n.Adjacency, &a) {
					fail("adjacency %d is %+v", n.Adjacency, a)
					return
				}
				// A route that comes and goes with its group, which may be gone by now, but is no other's.
				g := tab.Lookup4(11<<24 | h>>8)
				if g == 0 {
					continue
				}
				if n := im.Next(g, h); n.Kind != 0 && (n.Kind != Punt || n.Reason != 11) {
					fail("group %d of the route that comes and goes is %+v", g, n)
					return
				}
			}
		})
	}
	p := netip.MustParsePrefix("11.0.0.0/8")
	must := func(err error) {
		if err != nil {
			t.Error(err)
			stop.Store(true)
		}
	}
	for i := 0; (i < rounds(3000) || passes.Load() < 1000) && !stop.Load(); i++ {
		must(im.SetGroup(stable, subset(mine)))
		id := mine[r.IntN(len(mine))]
		must(im.SetAdjacency(id, testAdjacency(uint32(id)+1000*r.Uint32N(1000))))
		g, err := im.AddGroup(Group{Kind: Punt, Reason: 11})
		must(err)
		must(tab.Insert(p, g))
		foreign, err := im.AddGroup(subset(others))
		must(err)
		must(tab.Delete(p))
		must(im.DeleteGroup(g))
		must(im.DeleteGroup(foreign))
	}
	stop.Store(true)
	done.Wait()
	t.Logf("%d passes", passes.Load())
	checkOwners(t, im)
}
