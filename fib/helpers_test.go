package fib

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// rounds scales a number of random steps to what the race detector can bear.
func rounds(n int) int {
	if raceEnabled {
		return max(1, n/20)
	}
	return n
}

func mustTable(t testing.TB, im *Image, vrf int) Table {
	t.Helper()
	tab, err := im.Table(vrf)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func mustInsert(t testing.TB, tab Table, g GroupID, prefixes ...string) {
	t.Helper()
	for _, p := range prefixes {
		if err := tab.Insert(netip.MustParsePrefix(p), g); err != nil {
			t.Fatal(err)
		}
	}
}

func mustDelete(t testing.TB, tab Table, prefixes ...string) {
	t.Helper()
	for _, p := range prefixes {
		if err := tab.Delete(netip.MustParsePrefix(p)); err != nil {
			t.Fatal(err)
		}
	}
}

// mustLookup asks in all the ways there are.
func mustLookup(t testing.TB, tab Table, addr string, want GroupID) {
	t.Helper()
	a := netip.MustParseAddr(addr)
	wantLookup(t, tab, a, want)
}

func wantLookup(t testing.TB, tab Table, a netip.Addr, want GroupID) {
	t.Helper()
	if got := tab.Lookup(a); got != want {
		t.Fatalf("Lookup(%s) = %d, want %d\n%s", a, got, want, tab.Explain(a))
	}
	k, f := keyOf(a)
	single := GroupID(0)
	if f == ipv4 {
		single = tab.Lookup4(uint32(k.hi >> 32))
	} else {
		single = tab.Lookup6(Addr6{k.hi, k.lo})
	}
	if single != want {
		t.Fatalf("Lookup4 or Lookup6 of %s = %d, want %d", a, single, want)
	}
}

func addAdjacencies(t testing.TB, im *Image, n int) []AdjacencyID {
	t.Helper()
	ids := make([]AdjacencyID, n)
	for i := range ids {
		id, err := im.AddAdjacency(testAdjacency(uint32(i + 1)))
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = id
	}
	return ids
}

// testAdjacency makes one in which every field tells the same number, so that
// a mixture of two shows.
func testAdjacency(n uint32) Adjacency {
	a := Adjacency{Port: n, MTU: 1000 + n, Complete: n%2 == 1, RewriteLen: uint8(n % uint32(MaxRewrite+1))}
	for i := range a.Rewrite {
		a.Rewrite[i] = byte(n)
	}
	switch n % 3 {
	case 1:
		a.Neighbor = netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	case 2:
		a.Neighbor = netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 14: byte(n >> 8), 15: byte(n)})
	}
	return a
}

// equalMembers makes a group of members of weight 1.
func equalMembers(mode Mode, ids ...AdjacencyID) Group {
	g := Group{Kind: Forward, Mode: mode}
	for _, id := range ids {
		g.Members = append(g.Members, Member{id, 1})
	}
	return g
}

// vrfPrefix names a route of an image.
type vrfPrefix struct {
	vrf    uint32
	prefix netip.Prefix
}

// contents is all that an image says, in Go's own structures.
type contents struct {
	routes      map[vrfPrefix]GroupID
	groups      map[GroupID]Group
	buckets     map[GroupID][]AdjacencyID // of each bucket in turn
	adjacencies map[AdjacencyID]Adjacency
	generation  uint64
	hashSeed    uint32
}

func contentsOf(im *Image) contents {
	c := contents{
		routes:      map[vrfPrefix]GroupID{},
		groups:      maps.Collect(im.Groups()),
		buckets:     map[GroupID][]AdjacencyID{},
		adjacencies: maps.Collect(im.Adjacencies()),
		generation:  im.Generation(),
		hashSeed:    im.HashSeed(),
	}
	im.routes.all(func(_ uint32, r route) bool {
		c.routes[vrfPrefix{uint32(r.vrf), netip.PrefixFrom(r.key.addr(r.family), r.len)}] = GroupID(r.group)
		return true
	})
	for id := range c.groups {
		if w := groupWord(im.load64(im.groups.at(uint32(id)))); w.kind() == layoutFibGroupKindFIB_GROUP_BUCKETS {
			for i := range uint32(1) << w.log() {
				c.buckets[id] = append(c.buckets[id], AdjacencyID(im.load32(w.value()+4*i)))
			}
		}
	}
	return c
}

// differs tells in what two contents differ; "" when they do not.
func (c contents) differs(o contents) string {
	switch {
	case !maps.Equal(c.routes, o.routes):
		return fmt.Sprintf("routes (%d and %d)", len(c.routes), len(o.routes))
	case !reflect.DeepEqual(c.groups, o.groups):
		return fmt.Sprintf("groups: %v and %v", c.groups, o.groups)
	case !reflect.DeepEqual(c.buckets, o.buckets):
		return "buckets"
	case !maps.Equal(c.adjacencies, o.adjacencies):
		return fmt.Sprintf("adjacencies: %v and %v", c.adjacencies, o.adjacencies)
	case c.generation != o.generation:
		return fmt.Sprintf("generation: %d and %d", c.generation, o.generation)
	case c.hashSeed != o.hashSeed:
		return fmt.Sprintf("hash seed: %#x and %#x", c.hashSeed, o.hashSeed)
	}
	return ""
}

// models returns the oracle of every VRF that has routes.
func (c contents) models() map[uint32]*model {
	ms := map[uint32]*model{}
	for at, g := range c.routes {
		if ms[at.vrf] == nil {
			ms[at.vrf] = new(model)
		}
		ms[at.vrf].Insert(at.prefix, g)
	}
	return ms
}

// prefixes returns all routes: the model must not change while one goes
// through it.
func (m *model) prefixes() []netip.Prefix {
	var ps []netip.Prefix
	for p := range m.All() {
		ps = append(ps, p)
	}
	return ps
}

// checkLookups compares all lookups of an image with what its routes say.
func checkLookups(t testing.TB, im *Image) {
	t.Helper()
	for vrf, m := range contentsOf(im).models() {
		check(t, Table{im, vrf}, m)
	}
}

// randomChanges changes a table for a while, beside the oracle.
func randomChanges(t testing.TB, r *rand.Rand, tab Table, m *model, groups []GroupID, n int) {
	t.Helper()
	for i := range n {
		p, g := randomPrefix(r, r.IntN(2) == 0), groups[r.IntN(len(groups))]
		if r.IntN(2) == 0 {
			for had := range m.All() { // one that is there
				p = had
				break
			}
		}
		_, had := m.Get(p)
		var err error
		if r.IntN(2) == 0 {
			if err = tab.Insert(p, g); err == nil {
				m.Insert(p, g)
			}
		} else if err = tab.Delete(p); err == nil {
			m.Delete(p)
		} else if !had && errors.Is(err, ErrNoRoute) {
			err = nil
		}
		if err != nil && !errors.Is(err, ErrFull) {
			t.Fatalf("change %d: %s: %v", i, p, err)
		}
		for _, a := range edges(p) {
			if got, want := tab.Lookup(a), m.lookup(a); got != want {
				t.Fatalf("change %d: %s: Lookup(%s) = %d, want %d\n%s", i, p, a, got, want, tab.Explain(a))
			}
		}
	}
}

// wantError checks an error's kind, and that its text names the subject and
// the cause.
func wantError(t testing.TB, err error, is error, text ...string) {
	t.Helper()
	if !errors.Is(err, is) {
		t.Fatalf("error %v, want one that wraps %q", err, is)
	}
	for _, s := range text {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q does not say %q", err, s)
		}
	}
}

// wantUnchanged runs f and makes sure that it leaves every byte as it was.
func wantUnchanged(t testing.TB, im *Image, f func()) {
	t.Helper()
	before, used := bytes.Clone(im.mem), int(im.alloc.used)*unitSize
	f()
	if !bytes.Equal(before, im.mem) {
		t.Errorf("the image has changed")
	}
	if int(im.alloc.used)*unitSize != used {
		t.Errorf("%d bytes used, %d before", int(im.alloc.used)*unitSize, used)
	}
}
