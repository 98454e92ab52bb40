package fib

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// A writer may be killed between any two stores. These tests stop it before
// each one and ask, first the memory as readers see it, then an image opened
// from it.

type crashCase struct {
	name    string
	size    int
	opts    Options
	batch   bool // each route, not all at once, is as before or as after
	stops   int  // most places to stop at; 0: many
	prepare func(t testing.TB, im *Image)
	do      func(t testing.TB, im *Image) error
}

// died is what the hook panics with.
type died struct{}

// dieAfter runs do and stops it before the store that follows n others; it
// returns how many were done.
func dieAfter(t testing.TB, im *Image, n int, do func(testing.TB, *Image) error) (stores int) {
	t.Helper()
	im.stored = func() {
		if stores == n {
			panic(died{})
		}
		stores++
	}
	defer func() {
		im.stored = nil
		if e := recover(); e != nil && e != (died{}) {
			panic(e)
		}
	}()
	if err := do(t, im); err != nil {
		t.Fatal(err)
	}
	return stores
}

// view is what readers of some memory see: it has none of a writer's state.
func view(mem []byte) *Image { return &Image{mem: mem, base: newImage(mem, Options{}).base} }

// readable is all that readers can ask about: the answers at every address
// where one can change, and what groups and adjacencies say.
type readable struct {
	groups      map[vrfAddr]GroupID
	next        map[groupHash]Next
	adjacencies map[AdjacencyID]Adjacency
}

type vrfAddr struct {
	vrf  uint32
	addr netip.Addr
}

type groupHash struct {
	group GroupID
	hash  uint32
}

func readableOf(im *Image, addrs []vrfAddr, groups GroupID, adjacencies AdjacencyID) readable {
	r := readable{map[vrfAddr]GroupID{}, map[groupHash]Next{}, map[AdjacencyID]Adjacency{}}
	for _, a := range addrs {
		r.groups[a] = Table{im, a.vrf}.Lookup(a.addr)
	}
	for id := range groups {
		for h := range uint32(16) {
			at := groupHash{id, h<<28 | 12345}
			r.next[at] = im.Next(id, at.hash)
		}
	}
	for id := range adjacencies {
		r.adjacencies[id], _ = im.Adjacency(id)
	}
	return r
}

// oneOf fails unless each answer is that of before or that of after.
func oneOf[K, V comparable](t testing.TB, what string, got, before, after map[K]V) {
	t.Helper()
	for k, v := range got {
		if v != before[k] && v != after[k] {
			t.Fatalf("%s %v: %v, want %v or %v", what, k, v, before[k], after[k])
		}
	}
}

func (c *crashCase) run(t *testing.T) {
	r := seed(t)
	base := newTestImage(t, c.size, 6, c.opts)
	c.prepare(t, base)
	// Every writer of this test starts from a copy of the same memory.
	start := func() *Image {
		im, err := Open(bytes.Clone(base.mem), c.opts)
		if err != nil {
			t.Fatal(err)
		}
		return im
	}
	first := start()
	before := contentsOf(first)
	checkLookups(t, first)
	last := start()
	total := dieAfter(t, last, -1, c.do)
	after := contentsOf(last)
	checkLookups(t, last)
	checkOwners(t, last)
	if total == 0 {
		t.Fatal("the operation stores nothing")
	}

	var addrs []vrfAddr
	for _, cs := range []contents{before, after} {
		for at := range cs.routes {
			for _, a := range edges(at.prefix) {
				addrs = append(addrs, vrfAddr{at.vrf, a})
			}
		}
	}
	groups, adjacencies := GroupID(last.groups.count)+2, AdjacencyID(last.adjacencies.count)+2
	if groups > 1000 {
		groups = 8
	}
	was, is := readableOf(first, addrs, groups, adjacencies), readableOf(last, addrs, groups, adjacencies)

	step, most := 1, rounds(200)
	if c.stops > 0 {
		most = c.stops
	}
	for total/step > most {
		step++
	}
	t.Logf("%d stores, stopped before each %d", total, step)
	seen := map[string]int{}
	for n := r.IntN(step); ; n += step {
		im := start()
		done := dieAfter(t, im, n, c.do)
		if done < n {
			break
		}
		// Readers: before or after, at each address.
		got := readableOf(view(im.mem), addrs, groups, adjacencies)
		oneOf(t, fmt.Sprintf("after %d stores: route of", n), got.groups, was.groups, is.groups)
		oneOf(t, fmt.Sprintf("after %d stores: group", n), got.next, was.next, is.next)
		oneOf(t, fmt.Sprintf("after %d stores: adjacency", n), got.adjacencies, was.adjacencies, is.adjacencies)

		// The next writer.
		again, err := Open(bytes.Clone(im.mem), c.opts)
		if err != nil {
			t.Fatalf("open after %d stores: %v", n, err)
		}
		now := contentsOf(again)
		if c.batch {
			oneOf(t, fmt.Sprintf("after %d stores: route", n), now.routes, before.routes, after.routes)
			for at, g := range before.routes {
				if now.routes[at] == 0 && after.routes[at] == g {
					t.Fatalf("after %d stores: route %v is gone", n, at)
				}
			}
			now.routes = before.routes
		}
		switch {
		case now.differs(before) == "":
			seen["before"]++
		case now.differs(after) == "" || c.batch && now.differs(contents{before.routes, after.groups, after.buckets, after.adjacencies, after.generation, after.hashSeed}) == "":
			seen["after"]++
		default:
			t.Fatalf("after %d stores: neither as before (%s) nor as after (%s)", n, now.differs(before), now.differs(after))
		}
		checkLookups(t, again)
		if n%8 == 0 || total-n < 8 || total < 100 {
			checkOwners(t, again)
			ms := contentsOf(again).models()
			if ms[0] == nil {
				ms[0] = new(model)
			}
			var ids []GroupID
			for id := range again.Groups() {
				ids = append(ids, id)
			}
			randomChanges(t, r, Table{again, 0}, ms[0], ids, 40)
			check(t, Table{again, 0}, ms[0])
			checkOwners(t, again)
		}
	}
	if seen["before"] == 0 {
		t.Error("never found the state of before")
	}
}

func insert(p string, g GroupID) func(testing.TB, *Image) error {
	return func(_ testing.TB, im *Image) error { return Table{im, 0}.Insert(netip.MustParsePrefix(p), g) }
}

func remove(p string) func(testing.TB, *Image) error {
	return func(_ testing.TB, im *Image) error { return Table{im, 0}.Delete(netip.MustParsePrefix(p)) }
}

func routes(g GroupID, prefixes ...string) func(testing.TB, *Image) {
	return func(t testing.TB, im *Image) { mustInsert(t, Table{im, 0}, g, prefixes...) }
}

// randomRoutes fills table 0 with the same routes each time.
func randomRoutes(n int) func(testing.TB, *Image) {
	return func(t testing.TB, im *Image) {
		r := rand.New(rand.NewPCG(3, 4))
		tab := Table{im, 0}
		for v4, v6 := tab.Len(); v4+v6 < n; v4, v6 = tab.Len() {
			if err := tab.Insert(randomPrefix(r, r.IntN(2) == 0), GroupID(1+r.IntN(6))); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func randomRouteList(n int, s uint64) []Route {
	r := rand.New(rand.NewPCG(3, s))
	var list []Route
	for range n {
		list = append(list, Route{randomPrefix(r, r.IntN(2) == 0), GroupID(1 + r.IntN(6))})
	}
	return list
}

func TestCrash(t *testing.T) {
	nothing := func(testing.TB, *Image) {}
	twenty := func(t testing.TB, im *Image) { addAdjacencies(t, im, 20) }
	lineRoutes := []string{"10.0.0.0/8", "10.1.2.3/32", "10.50.0.0/16", "10.100.7.0/24", "10.200.0.1/32"}
	with := func(fs ...func(testing.TB, *Image)) func(testing.TB, *Image) {
		return func(t testing.TB, im *Image) {
			for _, f := range fs {
				f(t, im)
			}
		}
	}
	addGroup := func(g Group) func(testing.TB, *Image) {
		return func(t testing.TB, im *Image) {
			if _, err := im.AddGroup(g); err != nil {
				t.Fatal(err)
			}
		}
	}
	setGroup := func(id GroupID, g Group) func(testing.TB, *Image) error {
		return func(_ testing.TB, im *Image) error { return im.SetGroup(id, g) }
	}
	const k = 1 << 10
	for _, c := range []crashCase{
		{name: "insert into an empty table", prepare: nothing, do: insert("10.0.0.0/8", 1)},
		{name: "insert a default", prepare: nothing, do: insert("0.0.0.0/0", 1)},
		{name: "insert a narrow node's", prepare: routes(1, "10.0.0.0/24", "10.0.0.0/28"), do: insert("10.0.0.16/28", 2)},
		{name: "insert into a line", prepare: routes(1, lineRoutes...), do: insert("10.77.1.0/24", 2)},
		{name: "insert into a full line", prepare: routes(1, append(lineRoutes, "10.60.0.0/14", "10.70.0.0/15")...), do: insert("10.77.1.0/24", 2)},
		{name: "insert below a leaf of a wide node", prepare: randomRoutes(150), do: insert("85.3.255.255/32", 2)},
		{name: "insert into the low half", prepare: routes(1, "2001:db8::/64"), do: insert("2001:db8::8000:0:0:1/128", 2)},
		{name: "insert over a filled table", prepare: randomRoutes(150), do: insert("0.0.0.0/1", 3)},
		{name: "insert ::/1 over a filled table", prepare: randomRoutes(150), do: insert("::/1", 3)},
		{name: "replace", prepare: routes(1, lineRoutes...), do: insert("10.0.0.0/8", 2)},
		{name: "replace over a filled table", prepare: with(randomRoutes(150), routes(1, "0.0.0.0/1")), do: insert("0.0.0.0/1", 2)},
		{name: "delete from a line", prepare: routes(1, lineRoutes...), do: remove("10.50.0.0/16")},
		{name: "delete over a filled table", prepare: with(randomRoutes(150), routes(2, "0.0.0.0/1")), do: remove("0.0.0.0/1")},
		{name: "delete collapses a narrow node", prepare: routes(1, "10.0.0.0/24", "10.0.0.16/28"), do: remove("10.0.0.16/28")},
		{name: "delete collapses the low half", prepare: with(routes(1, "2001:db8::/64"), routes(2, "2001:db8::1/128")), do: remove("2001:db8::1/128")},
		{name: "delete collapses wide nodes", prepare: with(randomRoutes(20), routes(2, "10.0.0.0/8"), routes(3, "10.1.2.3/32", "10.9.9.9/32", "10.77.3.0/24", "10.99.4.0/23", "10.128.0.0/15", "10.255.255.255/32")),
			do: remove("10.99.4.0/23")},
		{name: "delete the last route", prepare: routes(1, "10.1.2.3/32"), do: remove("10.1.2.3/32")},
		{name: "reshape as the table grows", prepare: func(t testing.TB, im *Image) {
			for i := range 63 {
				mustInsert(t, Table{im, 0}, GroupID(1+i%6), fmt.Sprintf("10.%d.%d.0/24", i, i*7%256))
			}
		}, do: insert("11.0.0.0/9", 2)},
		{name: "reserve a page", prepare: func(t testing.TB, im *Image) {
			for i := range pageRoutes {
				mustInsert(t, Table{im, 0}, 1, fmt.Sprintf("10.0.%d.0/24", i))
			}
		}, do: insert("11.0.0.0/8", 2)},
		{name: "grow the table of pages", size: 512 * k, prepare: func(t testing.TB, im *Image) {
			for i := range 8 * pageRoutes {
				mustInsert(t, Table{im, 0}, 1, fmt.Sprintf("10.%d.%d.0/24", i/256, i%256))
			}
		}, do: insert("11.0.0.0/8", 2)},
		{name: "load an empty table", batch: true, prepare: nothing, do: func(_ testing.TB, im *Image) error {
			_, err := Table{im, 0}.Replace(randomRouteList(100, 1))
			return err
		}},
		{name: "replace a table", batch: true, prepare: randomRoutes(80), do: func(_ testing.TB, im *Image) error {
			list := randomRouteList(80, 2)
			for p, g := range (Table{im, 0}).All() { // half of the old ones stay, some change
				if len(list)%2 == 0 {
					list = append(list, Route{p, 1 + g%6})
				}
				list = append(list, Route{p, g})[:len(list)+int(p.Addr().AsSlice()[1]&1)]
			}
			_, err := Table{im, 0}.Replace(list)
			return err
		}},
		{name: "empty a table", batch: true, prepare: randomRoutes(80), do: func(_ testing.TB, im *Image) error {
			_, err := Table{im, 0}.Replace(nil)
			return err
		}},
		{name: "add a group", prepare: twenty, do: func(_ testing.TB, im *Image) error {
			_, err := im.AddGroup(equalMembers(Resilient, 1, 2, 3))
			return err
		}},
		{name: "add a single group", prepare: twenty, do: func(_ testing.TB, im *Image) error {
			_, err := im.AddGroup(equalMembers(HashThreshold, 1))
			return err
		}},
		{name: "grow the table of groups", prepare: func(t testing.TB, im *Image) {
			for len(im.groupFree) > 0 {
				addGroup(Group{Kind: Local})(t, im)
			}
			mustInsert(t, Table{im, 0}, 200, "10.0.0.0/8")
		}, do: func(_ testing.TB, im *Image) error {
			_, err := im.AddGroup(Group{Kind: Glean, Port: 3})
			return err
		}},
		{name: "set a group: single to buckets", prepare: with(twenty, addGroup(equalMembers(HashThreshold, 1)), routes(7, "10.0.0.0/8")),
			do: setGroup(7, equalMembers(HashThreshold, 2, 3, 4))},
		{name: "set a group: buckets to single", prepare: with(twenty, addGroup(equalMembers(HashThreshold, 2, 3, 4))), do: setGroup(7, equalMembers(HashThreshold, 1))},
		{name: "set a group: a member goes", prepare: with(twenty, addGroup(equalMembers(Resilient, 2, 3, 4))), do: setGroup(7, equalMembers(Resilient, 2, 4))},
		{name: "set a group: to local", prepare: with(twenty, addGroup(equalMembers(Resilient, 2, 3, 4))), do: setGroup(7, Group{Kind: Local})},
		{name: "delete a group", prepare: with(twenty, addGroup(equalMembers(Resilient, 2, 3, 4))),
			do: func(_ testing.TB, im *Image) error { return im.DeleteGroup(7) }},
		{name: "add an adjacency", prepare: twenty, do: func(_ testing.TB, im *Image) error {
			_, err := im.AddAdjacency(testAdjacency(100))
			return err
		}},
		{name: "set an adjacency", prepare: with(twenty, addGroup(equalMembers(Resilient, 2, 3, 4))),
			do: func(_ testing.TB, im *Image) error { return im.SetAdjacency(3, testAdjacency(100)) }},
		{name: "delete an adjacency", prepare: twenty, do: func(_ testing.TB, im *Image) error { return im.DeleteAdjacency(3) }},
		{name: "grow the table of adjacencies", prepare: func(t testing.TB, im *Image) { addAdjacencies(t, im, 255) },
			do: func(_ testing.TB, im *Image) error {
				_, err := im.AddAdjacency(testAdjacency(256))
				return err
			}},
		{name: "publish", prepare: nothing, do: func(_ testing.TB, im *Image) error { im.Publish(); return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.size == 0 {
				c.size = 128 << 10
			}
			c.opts.VRFs = 3
			c.run(t)
		})
	}
	for _, c := range []crashCase{
		{name: "small to large group", prepare: with(randomRoutes(100), routes(1, "0.0.0.0/1")), do: insert("0.0.0.0/1", 66000)},
		{name: "large to small group", prepare: with(randomRoutes(100), routes(66000, "0.0.0.0/1")), do: insert("0.0.0.0/1", 1)},
		{name: "delete of a large group's", prepare: with(randomRoutes(100), routes(66000, "0.0.0.0/1")), do: remove("0.0.0.0/1")},
	} {
		t.Run(c.name, func(t *testing.T) {
			if raceEnabled {
				t.Skip("70,000 groups for every store take the race detector too long")
			}
			prepare := c.prepare
			c.size, c.opts.VRFs, c.stops = 4<<20, 3, 12
			c.prepare = func(t testing.TB, im *Image) {
				for range 66000 {
					addGroup(Group{Kind: Local})(t, im)
				}
				prepare(t, im)
			}
			c.run(t)
		})
	}
}
