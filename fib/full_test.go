package fib

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// fillRoutes inserts until the image is full some times, and returns a prefix
// that did not fit.
func fillRoutes(t testing.TB, r *rand.Rand, im *Image, tab Table, m *model, groups int) netip.Prefix {
	t.Helper()
	for range 200000 {
		p, g := randomPrefix(r, r.IntN(2) == 0), GroupID(1+r.IntN(groups))
		if _, had := m.Get(p); had {
			continue
		}
		err := tab.Insert(p, g)
		if err == nil {
			m.Insert(p, g)
			continue
		}
		wantError(t, err, ErrFull, "insert "+p.String(), "full")
		return p
	}
	t.Fatal("the image did not get full")
	return netip.Prefix{}
}

func TestFullOfRoutes(t *testing.T) {
	for _, compact := range []bool{false, true} {
		for _, grace := range []Grace{nil, new(Readers)} {
			t.Run(fmt.Sprintf("compact=%v/grace=%v", compact, grace != nil), func(t *testing.T) {
				r := seed(t)
				im := newTestImage(t, 128<<10, 20, Options{Compact: compact, Grace: grace})
				tab := mustTable(t, im, 0)
				var m model
				for round := range 12 {
					p := fillRoutes(t, r, im, tab, &m, 20)
					// The route is not installed, and whatever it covers answers as before.
					if _, err := tab.Get(p); !errors.Is(err, ErrNoRoute) {
						t.Fatalf("get %s, which did not fit: %v", p, err)
					}
					before := contentsOf(im)
					for _, a := range edges(p) {
						wantLookup(t, tab, a, m.lookup(a))
					}
					check(t, tab, &m)
					if im.GroupUse(1) == 0 {
						t.Error("no route uses group 1")
					}
					if err := tab.Insert(p, 1); !errors.Is(err, ErrFull) && err != nil {
						t.Fatal(err)
					} else if err == nil {
						m.Insert(p, 1) // the first attempt made the image tidier
					} else if d := contentsOf(im).differs(before); d != "" {
						t.Fatalf("a failed insert changed %s", d)
					}
					// A group of an installed route changes even now.
					for _, q := range m.prefixes()[:10] {
						g := GroupID(1 + r.IntN(20))
						if err := tab.Insert(q, g); err == nil {
							m.Insert(q, g)
						} else if !errors.Is(err, ErrFull) {
							t.Fatal(err)
						}
					}
					check(t, tab, &m)
					checkOwners(t, im)
					// Deletes make room.
					for i, q := range m.prefixes() {
						if i%3 != round%3 {
							continue
						}
						switch err := tab.Delete(q); {
						case err == nil:
							m.Delete(q)
						case !errors.Is(err, ErrFull): // which splitting a leaf may need
							t.Fatal(err)
						}
					}
					check(t, tab, &m)
					if had, ok := m.Get(p); !ok {
						err := tab.Insert(p, 3)
						for errors.Is(err, ErrFull) && m.Size() > 0 { // what is free is in pieces
							q := m.prefixes()[0]
							if err = tab.Delete(q); err == nil {
								m.Delete(q)
								err = tab.Insert(p, 3)
							}
						}
						if err != nil {
							t.Fatalf("after deletes: %v", err)
						}
						m.Insert(p, 3)
					} else if had == 0 {
						t.Fatal("group 0 in the model")
					}
				}
				// What is full opens.
				again, err := Open(append([]byte(nil), im.mem...), im.opts)
				if err != nil {
					t.Fatal(err)
				}
				check(t, Table{again, 0}, &m)
			})
		}
	}
}

// Groups and adjacencies until nothing fits; what is there stays, and what is
// deleted makes room.
func TestFullOfGroups(t *testing.T) {
	for _, grace := range []Grace{nil, new(Readers)} {
		for _, c := range []struct {
			name  string
			group func(adj []AdjacencyID) Group
		}{
			{"special", func([]AdjacencyID) Group { return Group{Kind: Local} }},
			{"single", func(adj []AdjacencyID) Group { return equalMembers(HashThreshold, adj[0]) }},
			{"two members", func(adj []AdjacencyID) Group { return equalMembers(HashThreshold, adj[0], adj[1]) }},
			{"resilient", func(adj []AdjacencyID) Group { return equalMembers(Resilient, adj[0], adj[1], adj[2]) }},
			{"256 members", func(adj []AdjacencyID) Group { return equalMembers(HashThreshold, adj...) }},
		} {
			t.Run(fmt.Sprintf("%s/grace=%v", c.name, grace != nil), func(t *testing.T) {
				im := newTestImage(t, 256<<10, 0, Options{Grace: grace})
				adj := addAdjacencies(t, im, 256)
				g := c.group(adj)
				var ids []GroupID
				for {
					id, err := im.AddGroup(g)
					if err != nil {
						wantError(t, err, ErrFull, "add group")
						break
					}
					ids = append(ids, id)
				}
				if len(ids) < 10 {
					t.Fatalf("room for %d groups", len(ids))
				}
				before := contentsOf(im)
				if len(before.groups) != len(ids) {
					t.Fatalf("%d groups there, %d made", len(before.groups), len(ids))
				}
				// What needs more memory than there is changes nothing.
				big := Group{Kind: Forward, Members: []Member{{adj[0], 1}, {adj[1], MaxWeight}}} // 256 KiB of buckets
				wantError(t, im.SetGroup(ids[0], big), ErrFull, fmt.Sprintf("set group %d", ids[0]))
				if d := contentsOf(im).differs(before); d != "" {
					t.Fatalf("a failed change changed %s", d)
				}
				checkOwners(t, im)
				// One goes, one comes: the number is free again.
				for i := range 5 {
					if err := im.DeleteGroup(ids[i*2]); err != nil {
						t.Fatal(err)
					}
					id, err := im.AddGroup(g)
					if err != nil {
						t.Fatalf("after a delete: %v", err)
					}
					ids[i*2] = id
				}
				checkOwners(t, im)
			})
		}
	}
}

func TestFullOfAdjacencies(t *testing.T) {
	for _, grace := range []Grace{nil, new(Readers)} {
		t.Run(fmt.Sprintf("grace=%v", grace != nil), func(t *testing.T) {
			im := newTestImage(t, 64<<10, 2, Options{Grace: grace})
			want := map[AdjacencyID]Adjacency{}
			for {
				a := testAdjacency(uint32(len(want) + 1))
				id, err := im.AddAdjacency(a)
				if err != nil {
					wantError(t, err, ErrFull, "add adjacency")
					break
				}
				want[id] = a
			}
			wantAll := func() {
				t.Helper()
				if got := maps.Collect(im.Adjacencies()); !maps.Equal(got, want) {
					t.Fatalf("adjacencies %v, want %v", got, want)
				}
			}
			wantAll()
			for i := range AdjacencyID(5) {
				if err := im.DeleteAdjacency(100 + i); err != nil {
					t.Fatal(err)
				}
				delete(want, 100+i)
				a := testAdjacency(5000 + uint32(i))
				id, err := im.AddAdjacency(a)
				if err != nil {
					t.Fatalf("after a delete: %v", err)
				}
				want[id] = a
				wantAll()
			}
			if err := im.SetAdjacency(1, testAdjacency(9)); err == nil {
				want[1] = testAdjacency(9)
			} else {
				wantError(t, err, ErrFull, "set adjacency 1")
			}
			wantAll()
			checkOwners(t, im)
		})
	}
}

// richImage makes an image with something of everything.
func richImage(t testing.TB, r *rand.Rand, size, routes int, opts Options) *Image {
	t.Helper()
	im, err := Create(make([]byte, size), opts)
	if err != nil {
		t.Fatal(err)
	}
	adj := addAdjacencies(t, im, 40)
	var ids []GroupID
	add := func(g Group) {
		id, err := im.AddGroup(g)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	for _, g := range []Group{
		{Kind: Local}, {Kind: Glean, Port: 7}, {Kind: Blackhole}, {Kind: Reject, Code: 13}, {Kind: Punt, Reason: 99},
		{Kind: Forward, Members: []Member{{adj[0], MaxWeight}}},
	} {
		add(g)
	}
	for _, n := range []int{1, 2, 3, 5, 17} {
		for _, mode := range []Mode{HashThreshold, Resilient} {
			g := Group{Kind: Forward, Mode: mode}
			for _, i := range r.Perm(len(adj))[:n] {
				g.Members = append(g.Members, Member{adj[i], 1 + r.IntN(4)})
			}
			add(g)
		}
	}
	// Resilient groups whose buckets tell of their past.
	for id, g := range im.Groups() {
		if g.Mode == Resilient && len(g.Members) > 2 {
			g.Members = g.Members[1:]
			if err := im.SetGroup(id, g); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Holes in the numbers.
	if err := im.DeleteGroup(ids[2]); err != nil {
		t.Fatal(err)
	}
	ids = append(ids[:2], ids[3:]...)
	for i := range routes {
		tab := mustTable(t, im, []int{0, 1, 40}[i%3])
		if err := tab.Insert(randomPrefix(r, i%2 == 0), ids[r.IntN(len(ids))]); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			im.Publish()
		}
	}
	return im
}

func TestCopyTo(t *testing.T) {
	r := seed(t)
	im := richImage(t, r, 1<<20, 1500, Options{HashSeed: 0xfeed, VRFs: 100})
	before, mem := contentsOf(im), append([]byte(nil), im.mem...)
	for _, c := range []struct {
		name string
		size int
		opts Options
	}{
		{"larger", 4 << 20, Options{}},
		{"same size", 1 << 20, Options{}},
		{"smaller, compact", 512 << 10, Options{Compact: true}},
		{"another seed is not taken", 2 << 20, Options{HashSeed: 1}},
		{"more VRFs", 2 << 20, Options{VRFs: 3000}},
		{"fewer VRFs are not taken", 2 << 20, Options{VRFs: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			to, err := im.CopyTo(make([]byte, c.size), c.opts)
			if err != nil {
				t.Fatal(err)
			}
			if d := contentsOf(to).differs(before); d != "" {
				t.Fatalf("the copy differs in %s", d)
			}
			if to.Size() != c.size || int(to.vrfs) != max(100, c.opts.VRFs) {
				t.Errorf("size %d, VRFs %d", to.Size(), to.vrfs)
			}
			checkLookups(t, to)
			checkOwners(t, to)
			for id := range before.groups {
				for range 100 {
					if h := r.Uint32(); to.Next(id, h) != im.Next(id, h) {
						t.Fatalf("group %d sends hash %#x elsewhere", id, h)
					}
				}
				if to.GroupUse(id) != im.GroupUse(id) {
					t.Errorf("group %d: used by %d routes, want %d", id, to.GroupUse(id), im.GroupUse(id))
				}
			}
			// The copy lives on, and in-use counts came along.
			for id := range before.groups {
				if im.GroupUse(id) > 0 {
					wantError(t, to.DeleteGroup(id), ErrInUse)
				}
			}
			var m model
			for at, g := range before.routes {
				if at.vrf == 1 {
					m.Insert(at.prefix, g)
				}
			}
			randomChanges(t, r, mustTable(t, to, 1), &m, []GroupID{1, 2, 4, 5}, 300)
			check(t, mustTable(t, to, 1), &m)
			checkOwners(t, to)
			if to.Publish() != before.generation+1 {
				t.Error("the generation does not go on")
			}
			if _, err := to.AddAdjacency(testAdjacency(1)); err != nil {
				t.Error(err)
			}
		})
	}
	for _, c := range []struct {
		name string
		mem  []byte
		is   error
	}{
		{"too small for the routes", make([]byte, MinSize), ErrFull},
		{"no size", make([]byte, 100), ErrSize},
	} {
		to, err := im.CopyTo(c.mem, Options{})
		if to != nil {
			t.Errorf("%s: there is a copy", c.name)
		}
		wantError(t, err, c.is, "copy image of 1048576 bytes")
	}
	if string(im.mem) != string(mem) {
		t.Error("copying changed the source")
	}
	checkLookups(t, im)
	checkOwners(t, im)
}

// Growing from full to a larger image, and back when routes have gone: memory
// is given back.
func TestCopyGrowsAndShrinks(t *testing.T) {
	r := seed(t)
	im := newTestImage(t, 128<<10, 20, Options{})
	tab := mustTable(t, im, 0)
	var m model
	p := fillRoutes(t, r, im, tab, &m, 20)
	larger, err := im.CopyTo(make([]byte, 1<<20), Options{})
	if err != nil {
		t.Fatal(err)
	}
	tab = mustTable(t, larger, 0)
	if err := tab.Insert(p, 5); err != nil {
		t.Fatalf("in the larger image: %v", err)
	}
	m.Insert(p, 5)
	check(t, tab, &m)
	for i, q := range m.prefixes() {
		if i%4 > 0 {
			if err := tab.Delete(q); err != nil {
				t.Fatal(err)
			}
			m.Delete(q)
		}
	}
	smaller, err := larger.CopyTo(make([]byte, 128<<10), Options{})
	if err != nil {
		t.Fatal(err)
	}
	check(t, mustTable(t, smaller, 0), &m)
	checkOwners(t, smaller)
}

// A small router needs little.
func TestHundredRoutes(t *testing.T) {
	for _, size := range []int{MinSize, 512 << 10} {
		r := seed(t)
		im := newTestImage(t, size, 10, Options{})
		adj := addAdjacencies(t, im, 10)
		if _, err := im.AddGroup(equalMembers(Resilient, adj[:4]...)); err != nil {
			t.Fatal(err)
		}
		tab := mustTable(t, im, 0)
		var m model
		for m.Size() < 100 {
			p := randomPrefix(r, m.Size()%2 == 0)
			if err := tab.Insert(p, GroupID(1+r.IntN(11))); err != nil {
				t.Fatalf("%d routes in %d bytes: %v", m.Size(), size, err)
			}
			g, _ := tab.Get(p)
			m.Insert(p, g)
		}
		check(t, tab, &m)
		checkOwners(t, im)
	}
}

// A load that does not fit leaves the table empty, and usable.
func TestLoadTooLarge(t *testing.T) {
	r := seed(t)
	im := newTestImage(t, 128<<10, 20, Options{})
	tab := mustTable(t, im, 0)
	var routes []Route
	for range 20000 {
		routes = append(routes, Route{randomPrefix(r, r.IntN(2) == 0), GroupID(1 + r.IntN(20))})
	}
	_, err := tab.Replace(routes)
	wantError(t, err, ErrFull, "load table 0")
	check(t, tab, new(model))
	if im.GroupUse(1) != 0 {
		t.Errorf("%d routes use group 1", im.GroupUse(1))
	}
	checkOwners(t, im)
	// Room for the records and for the IPv4 trie, but not for the IPv6 one.
	for n := 10; n < 2000; n += 10 {
		part := routes[:n]
		_, err := tab.Replace(part)
		var m model
		if err == nil {
			for _, rt := range part {
				m.Insert(rt.Prefix, rt.Group)
			}
		} else if !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		check(t, tab, &m)
		checkOwners(t, im)
		if _, e := tab.Replace(nil); e != nil {
			t.Fatal(e)
		}
		check(t, tab, new(model))
		if err != nil {
			break
		}
	}
	checkOwners(t, im)
	// Into a table that has routes: those that fit are there, none is gone.
	mustInsert(t, tab, 1, "10.0.0.0/8")
	_, err = tab.Replace(routes)
	wantError(t, err, ErrFull, "replace table 0: insert")
	if g, err := tab.Get(netip.MustParsePrefix("10.0.0.0/8")); err != nil || g != 1 {
		t.Errorf("10.0.0.0/8 is %d, %v", g, err)
	}
	checkLookups(t, im)
	checkOwners(t, im)
}
