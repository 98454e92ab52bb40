package fib

import (
	"net/netip"
	"testing"
)

func TestHotFunctionsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, grace := range []Grace{nil, new(Readers)} {
		r := seed(t)
		im := newTestImage(t, 4<<20, 50, Options{Grace: grace})
		adj := addAdjacencies(t, im, 20)
		id, err := im.AddGroup(equalMembers(Resilient, adj...))
		if err != nil {
			t.Fatal(err)
		}
		tab := mustTable(t, im, 0)
		var ps []netip.Prefix
		for i := range 1000 {
			p := randomPrefix(r, i%2 == 0)
			if err := tab.Insert(p, GroupID(1+r.IntN(50))); err != nil {
				t.Fatal(err)
			}
			ps = append(ps, p)
		}
		a4, a6 := netip.MustParseAddr("85.1.2.3"), netip.MustParseAddr("2000::1234")
		four, six, out := make([]uint32, 1000), make([]Addr6, 1000), make([]GroupID, 1000)
		for i := range four {
			four[i], six[i] = r.Uint32(), Addr6{0x2000<<48 | r.Uint64()>>16, r.Uint64()}
		}
		n, sum := 0, GroupID(0)
		for _, c := range []struct {
			name string
			f    func()
		}{
			{"Lookup", func() { sum += tab.Lookup(a4) + tab.Lookup(a6) }},
			{"Lookup4", func() { sum += tab.Lookup4(four[n%1000]); n++ }},
			{"Lookup6", func() { sum += tab.Lookup6(six[n%1000]); n++ }},
			{"LookupBatch4", func() { tab.LookupBatch4(four, out) }},
			{"LookupBatch6", func() { tab.LookupBatch6(six, out) }},
			{"LookupBatch4 of a few", func() { tab.LookupBatch4(four[:17], out[:17]) }},
			{"LookupBatch6 of a few", func() { tab.LookupBatch6(six[:17], out[:17]) }},
			{"pure Go LookupBatch4", func() { withoutAVX512(func() { tab.LookupBatch4(four, out) }) }},
			{"pure Go LookupBatch6", func() { withoutAVX512(func() { tab.LookupBatch6(six, out) }) }},
			{"Next", func() { sum += GroupID(im.Next(id, uint32(n)*0x9e3779b9).Adjacency); n++ }},
			{"Adjacency", func() { a, _ := im.Adjacency(adj[n%20]); sum += GroupID(a.Port); n++ }},
			{"FlowHash", func() {
				sum += GroupID(FlowHash4(1, uint32(n), 3, 6, 7) ^ FlowHash6(six[0], six[1], 2, uint32(n), 6, 7))
				n++
			}},
			{"Generation", func() { sum += GroupID(im.Generation()) }},
			{"Insert another group", func() {
				n++
				if err := tab.Insert(ps[n%1000], GroupID(1+n/1000%50)); err != nil {
					t.Fatal(err)
				}
			}},
			{"Delete and Insert", func() {
				n++
				g, err := tab.Get(ps[n%1000])
				if err == nil {
					err = tab.Delete(ps[n%1000])
				}
				if err == nil {
					err = tab.Insert(ps[n%1000], g)
				}
				if err != nil {
					t.Fatal(err)
				}
			}},
			{"Publish", func() { im.Publish() }},
		} {
			for range 5000 { // scratch memory grows at first
				c.f()
			}
			if got := testing.AllocsPerRun(2000, c.f); got != 0 {
				t.Errorf("%s, grace %v: %v allocations", c.name, grace != nil, got)
			}
		}
		if sum == 0 {
			t.Error("nothing was found")
		}
	}
}

// The table of one route, toggled: emptying it must not cost memory either.
func TestTogglingOneRouteDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, p := range []string{"0.0.0.0/0", "10.1.2.3/32", "2001:db8::1/128"} {
		im := newTestImage(t, 1<<20, 2, Options{})
		tab, prefix := mustTable(t, im, 0), netip.MustParsePrefix(p)
		toggle := func() {
			if err := tab.Insert(prefix, 1); err != nil {
				t.Fatal(err)
			}
			if err := tab.Delete(prefix); err != nil {
				t.Fatal(err)
			}
		}
		toggle()
		if got := testing.AllocsPerRun(1000, toggle); got != 0 {
			t.Errorf("%s: %v allocations", p, got)
		}
	}
}
