package rib

import (
	"fmt"
	"net/netip"
	"testing"

	"weft/control/kernel"
)

func object(id uint32, link int, gateway string) kernel.NextHop {
	return kernel.NextHop{ID: id, Hop: kernel.Hop{Link: link, Gateway: netip.MustParseAddr(gateway), Weight: 1}}
}

// Objects go with their routes, and come again with others under the same numbers,
// all before a publication: old routes go, new ones stay.
func TestObjectsComeAgain(t *testing.T) {
	b := newBench(t, Options{})
	for id := range uint32(50) {
		b.SetNextHop(object(100+id, 1, "192.0.2.1"))
		b.SetRoute(route(t, fmt.Sprintf("unicast 10.%d.0.0/16 nhid %d", id, 100+id)), Add)
		b.SetRoute(route(t, fmt.Sprintf("unicast 2001:db8:%d::/48 nhid %d", id, 100+id)), Add)
	}
	b.Publish()
	for id := range uint32(50) {
		b.DeleteNextHop(100 + id) // IPv4 routes go without a word
		b.DeleteRoute(route(t, fmt.Sprintf("unicast 2001:db8:%d::/48 nhid %d", id, 100+id)))
		b.SetNextHop(object(100+id, 2, "198.51.100.1"))
		if id%2 == 0 {
			b.SetRoute(route(t, fmt.Sprintf("unicast 10.%d.0.0/16 nhid %d", id, 100+id)), Add)
		}
	}
	b.Publish()
	checkImage(t, b.RIB)
	for id := range 50 {
		want := absent
		if id%2 == 0 {
			want = "2 198.51.100.1 x1"
		}
		b.wants(fmt.Sprintf("10.%d.0.0/16", id), want, fmt.Sprintf("2001:db8:%d::/48", id), absent)
	}
	if c := b.Counts(); c.Unmatched != 0 || c.Parked != 0 {
		t.Errorf("%+v", c)
	}
}

// The routes of an object that goes are removed some at a time. Meanwhile they lead to the
// kernel, which has none of them; one that comes again in between stays, and is no reason to
// read all again.
func TestManyRoutesOfAnObjectGo(t *testing.T) {
	b := newBench(t, Options{})
	const routes = 2*sweepAtOnce + 10
	text := func(i int) string { return fmt.Sprintf("unicast 10.%d.%d.0/24 nhid 1", i>>8, i&255) }
	b.SetNextHop(object(1, 1, "192.0.2.1"))
	b.add("unicast 10.0.0.0/8 via 192.0.2.9 dev 2")
	for i := range routes {
		b.SetRoute(route(t, text(i)), Add)
	}
	b.Publish()
	b.DeleteNextHop(1)
	b.SetNextHop(object(1, 2, "192.0.2.2"))
	b.Publish()
	kernels := 0
	for _, what := range contents(t, b.RIB, 0) {
		if what == "punt 3" {
			kernels++
		}
	}
	if kernels != routes-sweepAtOnce || !b.IsBehind() {
		t.Errorf("after a publication %d of %d routes lead to the kernel, want all but %d", kernels, routes, sweepAtOnce)
	}
	for i := range routes {
		if i%100 == 0 {
			b.SetRoute(route(t, text(i)), Add)
		}
	}
	b.Publish()
	b.Publish()
	if b.IsBehind() || len(b.doomed) > 0 {
		t.Errorf("after three publications of %d routes each there are more", sweepAtOnce)
	}
	if why := b.TakeStale(); why != "" {
		t.Errorf("all is to be read again: %s", why)
	}
	has := contents(t, b.RIB, 0)
	for i := range routes {
		k, want := route(t, text(i)).Prefix, ""
		if i%100 == 0 {
			want = "2 192.0.2.2 x1"
		}
		if has[k] != want {
			t.Fatalf("%s: %q, want %q", k, has[k], want)
		}
	}
	checkImage(t, b.RIB)
}

// What the kernel has no longer goes some at a time. What comes again in between stays.
func TestManyRoutesAreSwept(t *testing.T) {
	b := newBench(t, Options{})
	const routes = 2*sweepAtOnce + 10
	text := func(i int) string { return fmt.Sprintf("unicast 10.%d.%d.0/24 via 192.0.2.1 dev 1", i>>8, i&255) }
	for i := range routes {
		b.SetRoute(route(t, text(i)), Add)
	}
	b.Publish()
	b.BeginSync()
	for _, n := range []int{1, 2, 3, 9} {
		b.SetLink(testLink(n))
	}
	turns := 0
	b.EndSyncBetween(func() {
		turns++
		for i := range routes {
			if i%100 == turns {
				b.SetRoute(route(t, text(i)), Replace)
			}
		}
		b.Publish()
	})
	if turns != 2 {
		t.Errorf("%d times others had a turn, want 2", turns)
	}
	has := contents(t, b.RIB, 0)
	for i := range routes {
		k, want := route(t, text(i)).Prefix, ""
		if at := i % 100; at == 1 || at == 2 {
			want = "1 192.0.2.1 x1"
		}
		if has[k] != want {
			t.Fatalf("%s: %q, want %q", k, has[k], want)
		}
	}
	checkImage(t, b.RIB)
}
