package fib

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// countStores returns how many stores to the image f makes.
func countStores(im *Image, f func()) (n int) {
	im.stored = func() { n++ }
	defer func() { im.stored = nil }()
	f()
	return n
}

func TestReplaceWritesWhatDiffers(t *testing.T) {
	r := seed(t)
	im := newTestImage(t, 8<<20, 100, Options{})
	tab := mustTable(t, im, 5)
	other := mustTable(t, im, 6)
	mustInsert(t, other, 1, "0.0.0.0/0", "::/0") // never touched
	var m model
	for m.Size() < rounds(5000) {
		m.Insert(randomPrefix(r, m.Size()%2 == 0), GroupID(1+r.IntN(100)))
	}
	list := func() (rs []Route) {
		for p, g := range m.All() {
			rs = append(rs, Route{p, g})
		}
		r.Shuffle(len(rs), func(i, j int) { rs[i], rs[j] = rs[j], rs[i] })
		return rs
	}
	replace := func(rs []Route, want Difference, most int) {
		t.Helper()
		var got Difference
		var err error
		stores := countStores(im, func() { got, err = tab.Replace(rs) })
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Fatalf("difference %+v, want %+v", got, want)
		}
		if stores > most {
			t.Fatalf("%d stores for %+v, want at most %d", stores, want, most)
		}
		check(t, tab, &m)
		checkOwners(t, im)
	}
	replace(list(), Difference{Added: m.Size()}, 1<<30)
	replace(list(), Difference{Same: m.Size()}, 0)

	// Groups of long prefixes change: a few stores each, whatever the table's size.
	changed := 0
	for _, p := range m.prefixes() {
		if long := p.Addr().BitLen()-p.Bits() <= 4; long && changed < 20 {
			g, _ := m.Get(p)
			m.Insert(p, g%100+1)
			changed++
		}
	}
	replace(list(), Difference{Changed: changed, Same: m.Size() - changed}, 64*changed)

	// Some come, some go, some change.
	d := Difference{}
	for i, p := range m.prefixes() {
		switch i % 50 {
		case 0:
			m.Delete(p)
			d.Removed++
		case 1:
			g, _ := m.Get(p)
			m.Insert(p, g%100+1)
			d.Changed++
		}
	}
	d.Same = m.Size() - d.Changed
	for d.Added < 30 {
		p := randomPrefix(r, d.Added%2 == 0)
		if _, err := tab.Get(p); err == nil {
			continue
		}
		if _, had := m.Get(p); had {
			continue
		}
		m.Insert(p, 9)
		d.Added++
	}
	replace(list(), d, 1<<30)

	mustLookup(t, other, "1.2.3.4", 1)
	n := m.Size()
	m = model{}
	replace(nil, Difference{Removed: n}, 1<<30)
	replace(nil, Difference{}, 4)
	mustLookup(t, other, "1.2.3.4", 1)
}

// Of a prefix that stands twice the last counts, in a load and in a change.
func TestReplaceDuplicates(t *testing.T) {
	p, q := netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")
	im := newTestImage(t, 1<<20, 9, Options{})
	tab := mustTable(t, im, 0)
	for _, c := range []struct {
		routes []Route
		want   Difference
		p, q   GroupID
	}{
		{[]Route{{p, 1}, {q, 2}, {p, 3}, {p, 4}}, Difference{Added: 2}, 4, 2},
		{[]Route{{p, 4}, {q, 5}, {q, 2}}, Difference{Same: 2}, 4, 2},
		{[]Route{{p, 1}, {p, 2}, {p, 3}, {q, 7}, {p, 9}}, Difference{Changed: 2}, 9, 7},
		{[]Route{{q, 1}, {q, 7}}, Difference{Same: 1, Removed: 1}, 0, 7},
	} {
		got, err := tab.Replace(c.routes)
		if err != nil || got != c.want {
			t.Fatalf("%v: %+v, %v, want %+v", c.routes, got, err, c.want)
		}
		mustLookup(t, tab, "10.1.1.1", c.p)
		mustLookup(t, tab, "2001:db8::1", c.q)
		if use := im.GroupUse(c.q); use != 1 {
			t.Errorf("group %d: used by %d", c.q, use)
		}
	}
	checkOwners(t, im)
}

// An address that a change leads from one answer to another meets no third one
// on the way.
func TestReplaceShowsNoThirdAnswer(t *testing.T) {
	r := seed(t)
	for range rounds(60) {
		im := newTestImage(t, 1<<20, 50, Options{})
		tab := mustTable(t, im, 0)
		random := func() (rs []Route) {
			for range 40 {
				rs = append(rs, Route{randomPrefix(r, r.IntN(2) == 0), GroupID(1 + r.IntN(50))})
			}
			return rs
		}
		from, to := random(), random()
		if len(from) > 10 {
			to = append(to, from[:10]...)
		}
		if _, err := tab.Replace(from); err != nil {
			t.Fatal(err)
		}
		var addrs []netip.Addr
		for _, rt := range append(append([]Route(nil), from...), to...) {
			addrs = append(addrs, edges(rt.Prefix)...)
		}
		var target model
		for _, rt := range to {
			target.Insert(rt.Prefix, rt.Group)
		}
		before := map[netip.Addr]GroupID{}
		for _, a := range addrs {
			before[a] = tab.Lookup(a)
		}
		n := 0
		im.stored = func() {
			if n++; n%7 != 0 {
				return
			}
			for _, a := range addrs {
				if g := tab.Lookup(a); g != before[a] && g != target.lookup(a) {
					t.Fatalf("%s: %d on the way from %d to %d", a, g, before[a], target.lookup(a))
				}
			}
		}
		if _, err := tab.Replace(to); err != nil {
			t.Fatal(err)
		}
		im.stored = nil
		check(t, tab, &target)
	}
}

func TestApply(t *testing.T) {
	p := netip.MustParsePrefix
	im := newTestImage(t, 1<<20, 3, Options{})
	tab := mustTable(t, im, 0)
	g := im.Generation()
	made, err := tab.Apply([]Change{
		{Route: Route{p("10.0.0.0/8"), 1}}, {Route: Route{p("11.0.0.0/8"), 2}},
		{Route: Route{Prefix: p("10.0.0.0/8")}, Delete: true}, {Route: Route{p("10.0.0.0/8"), 3}},
	})
	if made != 4 || err != nil || im.Generation() != g+1 {
		t.Fatalf("made %d, %v, generation %d after %d", made, err, im.Generation(), g)
	}
	mustLookup(t, tab, "10.1.1.1", 3)
	mustLookup(t, tab, "11.1.1.1", 2)
	made, err = tab.Apply([]Change{{Route: Route{p("12.0.0.0/8"), 1}}, {Route: Route{p("13.0.0.0/8"), 200}}, {Route: Route{p("14.0.0.0/8"), 1}}})
	wantError(t, err, ErrNoGroup, "insert 13.0.0.0/8")
	if made != 1 {
		t.Errorf("made %d", made)
	}
	mustLookup(t, tab, "12.1.1.1", 1)
	mustLookup(t, tab, "14.1.1.1", 0)
	checkOwners(t, im)
}

// Records of pages that come and go are found again: the index moves entries
// back over gaps.
func TestRecordsUnderChurn(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	im := newTestImage(t, 4<<20, 3, Options{})
	tab := mustTable(t, im, 0)
	var m model
	for i := range rounds(20000) {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(4)), byte(r.IntN(256))}), 32)
		if _, had := m.Get(p); had {
			m.Delete(p)
			if err := tab.Delete(p); err != nil {
				t.Fatalf("change %d: %v", i, err)
			}
		} else {
			m.Insert(p, 1)
			if err := tab.Insert(p, 1); err != nil {
				t.Fatalf("change %d: %v", i, err)
			}
		}
	}
	check(t, tab, &m)
	checkOwners(t, im)
}
