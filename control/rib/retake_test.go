package rib

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"weft/control/kernel"
)

// slowKernel is what the kernel has of one prefix: the next hop of each metric.
type slowKernel map[uint32]int

// change makes a random change and returns how the kernel tells of it; nil: none.
func (s slowKernel) change(t *testing.T, random *rand.Rand, prefix string) (m *kernel.Route, there bool) {
	metric, hop := uint32(random.IntN(2)), 2+random.IntN(3)
	line := func(hop int) *kernel.Route {
		return route(t, fmt.Sprintf("unicast %s via 10.0.1.%d dev 1 metric %d", prefix, hop, metric))
	}
	if old, ok := s[metric]; ok && random.IntN(2) == 0 {
		delete(s, metric)
		return line(old), false
	}
	s[metric] = hop
	return line(hop), true
}

func (s slowKernel) dump(t *testing.T, prefix string) (all []*kernel.Route) {
	for metric, hop := range s {
		all = append(all, route(t, fmt.Sprintf("unicast %s via 10.0.1.%d dev 1 metric %d", prefix, hop, metric)))
	}
	return all
}

// Changes that are taken while a dump is under way and once more behind it come to
// what the kernel has, whatever was lost before, and whichever of them the dump shows;
// packets see none of what is between.
func TestRetake(t *testing.T) {
	const prefix = "20.0.0.0/8"
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		b := newBench(t, Options{})
		k, has := KeyOf(0, netip.MustParsePrefix(prefix)), slowKernel{}
		type change struct {
			m     *kernel.Route
			there bool
		}
		take := func(c change) {
			if c.there {
				b.SetRoute(c.m, Replace)
			} else {
				b.DeleteRoute(c.m)
			}
		}
		some := func(f func(change)) {
			for range random.IntN(5) {
				m, there := has.change(t, random, prefix)
				f(change{m, there})
			}
		}
		some(take)
		some(func(change) {}) // lost
		b.BeginSync()
		for _, n := range []int{1, 2, 3, 9} {
			b.SetLink(testLink(n))
		}
		var changes []change
		taken := func(c change) {
			changes = append(changes, c)
			take(c)
		}
		some(taken)
		dumped := has.dump(t, prefix)
		some(taken)
		before, _ := b.Answer(k)
		table, err := b.Image().Table(0)
		if err != nil {
			t.Fatal(err)
		}
		during := func() {
			if g, err := table.Get(k.Prefix()); err == nil && g != before || err != nil && before != 0 {
				t.Fatalf("seed %d: packets go to group %d meanwhile, want %d (%v)", seed, g, before, err)
			}
		}
		b.Retake(k, false, func() {
			for _, m := range dumped {
				b.SetRoute(m, Dumped)
				during()
			}
		}, func() {
			during()
			for _, c := range changes {
				take(c)
				during()
			}
		})
		b.EndSync()
		if got, want := showRoutes(b.At(k)), showKernel(has); !slices.Equal(got, want) {
			t.Fatalf("seed %d: the RIB has %v, want %v", seed, got, want)
		}
		if want, have, err := b.CheckPrefix(k); want != have || err != nil {
			t.Fatalf("seed %d: the image has group %d, want %d: %v", seed, have, want, err)
		}
		refs := 0
		for _, g := range b.groups {
			if g != nil && g.kind == toHops {
				refs += g.refs
			}
		}
		if refs != len(has) {
			t.Fatalf("seed %d: %d routes hold groups %d times", seed, len(has), refs)
		}
		if b.TakeStale() != "" {
			t.Fatalf("seed %d: another look is asked for", seed)
		}
	}
}

func showRoutes(routes []Candidate) (all []string) {
	for _, m := range routes {
		all = append(all, fmt.Sprintf("metric %d via %s", m.Metric, m.Hops[0].Gateway))
	}
	slices.Sort(all)
	return all
}

func showKernel(s slowKernel) (all []string) {
	for metric, hop := range s {
		all = append(all, fmt.Sprintf("metric %d via 10.0.1.%d", metric, hop))
	}
	slices.Sort(all)
	return all
}
