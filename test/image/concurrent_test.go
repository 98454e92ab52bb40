package image

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weft/bpf"
	"weft/fib"
)

// Groups of the table that BPF reads while it changes: what each region may
// answer with.
const (
	anyDefault0 = 1 + iota // the default routes are always there, of one of two groups
	anyDefault1
	stableCover // 10.0.0.0/8 and 2001:db8::/32
	stableHost
	nested  // comes and goes below the stable covers
	churned // comes and goes in 11.0.0.0/8 and 2001:db9::/32
	foreign // another VRF's
	specials
)

// asked is a question and the set of groups that may answer it.
type asked struct {
	question lookupsQuestion
	legal    uint64
}

func randomIn(r *rand.Rand, cover string, least int) netip.Prefix {
	c := netip.MustParsePrefix(cover)
	a := c.Addr().AsSlice()
	for i := range a {
		keep := min(8, max(0, c.Bits()-8*i))
		if i < 4 || r.IntN(3) == 0 {
			a[i] |= byte(r.Uint32()) & (0xff >> keep)
		}
	}
	addr, _ := netip.AddrFromSlice(a)
	p, _ := addr.Prefix(least + r.IntN(addr.BitLen()-least+1))
	return p
}

// lastOf returns the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	a := p.Addr().AsSlice()
	for i := range a {
		a[i] |= byte(0xff >> min(8, max(0, p.Bits()-8*i)))
	}
	addr, _ := netip.AddrFromSlice(a)
	return addr
}

// churn is an image under change, and what its readers may see.
type churn struct {
	im         *fib.Image
	tab, other fib.Table
	nested     []netip.Prefix
	churned    []netip.Prefix
	forward    fib.GroupID // its members change all the time
	mine       []fib.AdjacencyID
	asked      []asked
}

func newChurn(t testing.TB, r *rand.Rand, im *fib.Image) *churn {
	t.Helper()
	c := &churn{im: im}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	c.tab, err = im.Table(0)
	must(err)
	c.other, err = im.Table(77)
	must(err)
	for g := fib.GroupID(1); g < specials; g++ {
		id, err := im.AddGroup(fib.Group{Kind: fib.Punt, Reason: uint16(g)})
		must(err)
		if id != g {
			t.Fatalf("group %d, want %d", id, g)
		}
	}
	for i := range 6 {
		id, err := im.AddAdjacency(fib.Adjacency{Port: uint32(i + 1), MTU: uint32(1000 + i + 1), Complete: true})
		must(err)
		c.mine = append(c.mine, id)
	}
	c.forward, err = im.AddGroup(c.members(r))
	must(err)
	insert := func(g fib.GroupID, ps ...string) {
		for _, p := range ps {
			must(c.tab.Insert(netip.MustParsePrefix(p), g))
		}
	}
	insert(anyDefault0, "0.0.0.0/0", "::/0")
	insert(stableCover, "10.0.0.0/8", "2001:db8::/32")
	insert(stableHost, "10.200.1.1/32", "2001:db8:8000::1/128")
	insert(c.forward, "13.0.0.0/8", "2001:dbb::/32")

	ask := func(a netip.Addr, groups ...fib.GroupID) {
		src := netip.MustParseAddr("192.0.2.1")
		if a.Is6() {
			src = netip.MustParseAddr("2001:db8::99")
		}
		q := asked{question: question(0, src, a, 5, r.Uint32(), 6)}
		for _, g := range groups {
			q.legal |= 1 << g
		}
		if len(c.asked) < questions {
			c.asked = append(c.asked, q)
		}
	}
	for range 20 {
		ask(netip.MustParseAddr("10.200.1.1"), stableHost)
		ask(netip.MustParseAddr("2001:db8:8000::1"), stableHost)
	}
	for range 200 {
		ask(randomIn(r, "10.0.0.0/9", 32).Addr(), stableCover)
		ask(randomIn(r, "2001:db8::/33", 128).Addr(), stableCover)
		ask(randomIn(r, "64.0.0.0/8", 32).Addr(), anyDefault0, anyDefault1)
		ask(randomIn(r, "4000::/8", 128).Addr(), anyDefault0, anyDefault1)
		ask(randomIn(r, "13.0.0.0/8", 32).Addr(), c.forward)
		ask(randomIn(r, "2001:dbb::/32", 128).Addr(), c.forward)
	}
	for range 150 {
		for _, p := range []netip.Prefix{randomIn(r, "10.128.0.0/9", 10), randomIn(r, "2001:db8:8000::/33", 34)} {
			c.nested = append(c.nested, p)
			ask(p.Addr(), stableCover, stableHost, nested)
			ask(lastOf(p), stableCover, stableHost, nested)
		}
	}
	for range 500 {
		for _, p := range []netip.Prefix{randomIn(r, "11.0.0.0/8", 9), randomIn(r, "2001:db9::/32", 33)} {
			c.churned = append(c.churned, p)
			ask(p.Addr(), anyDefault0, anyDefault1, churned)
			ask(lastOf(p), anyDefault0, anyDefault1, churned)
		}
	}
	return c
}

// members makes a group of some of the adjacencies.
func (c *churn) members(r *rand.Rand) fib.Group {
	g := fib.Group{Kind: fib.Forward, Mode: fib.Mode(r.IntN(2))}
	for _, i := range r.Perm(len(c.mine))[:1+r.IntN(len(c.mine))] {
		g.Members = append(g.Members, fib.Member{Adjacency: c.mine[i], Weight: 1 + r.IntN(2)})
	}
	return g
}

func (c *churn) change(r *rand.Rand, i int) error {
	set := func(tab fib.Table, p netip.Prefix, g fib.GroupID, del bool) error {
		if !del {
			return tab.Insert(p, g)
		}
		if _, err := tab.Get(p); err != nil {
			return nil
		}
		return tab.Delete(p)
	}
	emptying := i/2000%2 == 1
	switch r.IntN(9) {
	case 0:
		p := netip.MustParsePrefix([]string{"0.0.0.0/0", "::/0"}[r.IntN(2)])
		return c.tab.Insert(p, fib.GroupID(anyDefault0+r.IntN(2)))
	case 1, 2:
		return set(c.tab, c.nested[r.IntN(len(c.nested))], nested, r.IntN(2) == 0)
	case 3:
		return set(c.other, c.churned[r.IntN(len(c.churned))], foreign, r.IntN(2) == 0)
	case 4:
		return c.im.SetGroup(c.forward, c.members(r))
	case 5:
		k := r.Uint32N(1000) * 100
		id := c.mine[r.IntN(len(c.mine))]
		return c.im.SetAdjacency(id, fib.Adjacency{Port: k + uint32(id), MTU: 1000 + k + uint32(id), Complete: true})
	default:
		return set(c.tab, c.churned[r.IntN(len(c.churned))], churned, r.IntN(10) > 0 == emptying)
	}
}

// wrong tells what is wrong with an answer; "" if nothing.
func (c *churn) wrong(q *asked, a *lookupsAnswer) string {
	switch {
	case a.Group >= 64 || q.legal>>a.Group&1 == 0:
		return fmt.Sprintf("group %d, legal %b", a.Group, q.legal)
	case fib.GroupID(a.Group) != c.forward:
		if a.Aux != a.Group {
			return fmt.Sprintf("group %d has reason %d", a.Group, a.Aux)
		}
	case a.Adjacency < uint32(c.mine[0]) || a.Adjacency > uint32(c.mine[len(c.mine)-1]):
		return fmt.Sprintf("adjacency %d", a.Adjacency)
	case a.Port%100 != a.Adjacency || a.State != 1:
		return fmt.Sprintf("adjacency %d has port %d, state %d", a.Adjacency, a.Port, a.State)
	}
	return ""
}

// BPF reads while Go changes the image: each answer is one of before or after
// some change. With both, a Go reader is at work too, and freed memory waits
// for the two kinds of readers.
func TestBPFReadsWhileGoWrites(t *testing.T) {
	for _, c := range []struct {
		name          string
		chunked, both bool
	}{{"direct", false, false}, {"chunked", true, false}, {"direct, with a Go reader", false, true}} {
		t.Run(c.name, func(t *testing.T) {
			rd, mem := newReader(t, 4<<20, c.chunked)
			grace := bpf.NewGrace()
			defer grace.Close()
			var readers fib.Readers
			opts := fib.Options{Grace: grace}
			if c.both {
				opts.Grace = fib.NewGraces(grace, &readers)
			}
			// The image is smaller than the map: freed memory is soon used again.
			im, err := fib.Create(mem.Mem()[:512<<10], opts)
			if err != nil {
				t.Fatal(err)
			}
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			ch := newChurn(t, rand.New(rand.NewPCG(seed, 0)), im)

			var stop atomic.Bool
			var changes, passes atomic.Int64
			var done sync.WaitGroup
			done.Go(func() {
				r := rand.New(rand.NewPCG(seed, 1))
				for i := 0; !stop.Load(); i++ {
					if err := ch.change(r, i); err != nil {
						t.Error(err)
						stop.Store(true)
					}
					changes.Add(1)
				}
			})
			if c.both {
				done.Go(func() {
					one := readers.Join()
					defer one.Leave()
					for ; !stop.Load(); passes.Add(1) {
						for i := range ch.asked {
							q := &ch.asked[i]
							g := fib.GroupID(0)
							if q.question.Family == 4 {
								g = ch.tab.Lookup4(uint32(q.question.DstHi))
							} else {
								g = ch.tab.Lookup6(fib.Addr6{Hi: q.question.DstHi, Lo: q.question.DstLo})
							}
							if g >= 64 || q.legal>>g&1 == 0 {
								t.Errorf("Go: %+v: group %d, legal %b", q.question, g, q.legal)
								stop.Store(true)
								return
							}
						}
						one.Quiesce()
					}
				})
			}
			qs := make([]lookupsQuestion, len(ch.asked))
			for i := range qs {
				qs[i] = ch.asked[i].question
			}
			runs := 0
			for ; (changes.Load() < 40000 || runs < 50) && !stop.Load(); runs++ {
				for i, a := range rd.ask(t, qs) {
					if wrong := ch.wrong(&ch.asked[i], &a); wrong != "" {
						t.Errorf("run %d: %+v: %s", runs, qs[i], wrong)
						stop.Store(true)
						break
					}
				}
			}
			stop.Store(true)
			done.Wait()
			t.Logf("%d runs of %d questions, %d Go passes, %d changes", runs, len(qs), passes.Load(), changes.Load())
			// At rest both agree, and the image is whole.
			for i, got := range rd.ask(t, qs) {
				if want := goAnswer(t, im, &qs[i]); got.comparable() != want.comparable() {
					t.Fatalf("question %+v: BPF %+v, Go %+v", qs[i], got, want)
				}
			}
			if _, err := fib.Open(append([]byte(nil), mem.Mem()[:512<<10]...), fib.Options{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// An image that a BPF program reads lives on when its writer has gone: the
// next one opens it in place.
func TestOpenUnderBPF(t *testing.T) {
	rd, mem := newReader(t, 8<<20, false)
	im, err := fib.Create(mem.Mem(), fib.Options{HashSeed: 0x5eed})
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	fill(t, im, r, 5000)
	var qs []lookupsQuestion
	for i := range questions {
		v6 := i%2 == 1
		qs = append(qs, question(i%4*100, randomAddr(r, v6), randomAddr(r, v6), r.Uint32N(1<<20), r.Uint32(), uint8(r.Uint32())))
	}
	before := rd.ask(t, qs)
	grace := bpf.NewGrace()
	defer grace.Close()
	again, err := fib.Open(mem.Mem(), fib.Options{Grace: grace})
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range rd.ask(t, qs) {
		if got != before[i] {
			t.Fatalf("question %+v: %+v after Open, %+v before", qs[i], got, before[i])
		}
	}
	tab, err := again.Table(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := tab.Insert(netip.MustParsePrefix("0.0.0.0/0"), 1); err != nil {
		t.Fatal(err)
	}
	for i, got := range rd.ask(t, qs) {
		if want := goAnswer(t, again, &qs[i]); got.comparable() != want.comparable() {
			t.Fatalf("question %+v: BPF %+v, Go %+v", qs[i], got, want)
		}
	}
}
