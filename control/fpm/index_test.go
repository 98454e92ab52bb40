package fpm

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"weft/control/kernel"
)

func randomKey(r *rand.Rand) key {
	var b [16]byte
	for i := range b {
		b[i] = byte(r.IntN(8)) * 0x21 // some are near each other
	}
	a := netip.AddrFrom16(b)
	if r.IntN(2) == 0 {
		a = netip.AddrFrom4([4]byte(b[:4]))
	}
	p, _ := a.Prefix(r.IntN(a.BitLen() + 1))
	return keyOf(&kernel.Route{Prefix: p, Table: uint32(r.IntN(3))})
}

// Prefixes have numbers of their own until they are forgotten: as with a map.
func TestIndex(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var x index
	numbers, keys := map[key]uint32{}, map[uint32]key{}
	for most := range 3000 {
		k := randomKey(r)
		if len(numbers) > most/4 {
			for k = range numbers { // one that is there
				break
			}
		}
		n := x.enter(&k)
		had, known := numbers[k]
		switch {
		case known && had != n:
			t.Fatalf("%s had number %d, has %d", k.prefix(), had, n)
		case !known && keys[n] != (key{}):
			t.Fatalf("%s has number %d of %+v", k.prefix(), n, keys[n])
		case x.keys[n] != k:
			t.Fatalf("number %d is of %+v, want %+v", n, x.keys[n], k)
		}
		numbers[k], keys[n] = n, k
		if r.IntN(3) == 0 {
			x.forget(n)
			delete(numbers, k)
			delete(keys, n)
		}
	}
	for k, n := range numbers {
		if at, ok := x.find(&k); !ok || x.slots[at]-1 != n {
			t.Errorf("%s with number %d is not found", k.prefix(), n)
		}
	}
	if there := len(x.keys) - len(x.free); there != len(numbers) {
		t.Errorf("%d prefixes, want %d", there, len(numbers))
	}
}

// Of a prefix the last waits that was said, in the place of the first; what was taken
// does not wait; a prefix that has gone is forgotten, but not while something waits.
func TestInbox(t *testing.T) {
	b := &inbox{filled: make(chan struct{}, 1)}
	nth := func(i int) key {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
		return keyOf(&kernel.Route{Prefix: p})
	}
	say := func(i int, metric uint32, gone bool) {
		b.add(func() { b.put(nth(i), route{said: said{metric: metric}, gone: gone}) })
	}
	wait := func(want ...int) {
		t.Helper()
		if n, _ := b.status(); n != want[0] {
			t.Errorf("%d wait or are in work, want %d", n, want[0])
		}
		if n := len(b.index.keys) - len(b.index.free); n != want[1] {
			t.Errorf("%d prefixes have numbers, want %d", n, want[1])
		}
	}
	const n = chunk + 10
	for metric := range uint32(2) {
		for i := range n {
			say(i, metric, false)
		}
	}
	wait(n, n)
	_, pages := b.take()
	if len(pages) != 2 || len(pages[0]) != chunk || len(pages[1]) != 10 {
		t.Fatalf("%d pages", len(pages))
	}
	for i, p := range append(pages[0][:len(pages[0]):len(pages[0])], pages[1]...) {
		if p.key != nth(i) || p.metric != 1 || b.waiting(p.number) != nil {
			t.Fatalf("%d is %+v", i, p)
		}
	}
	wait(n, n)
	say(0, 7, true)
	b.done(pages)
	wait(1, n)
	_, pages = b.take()
	say(0, 8, false) // again, while that it has gone is in work
	b.done(pages)
	wait(1, n)
	_, pages = b.take()
	if len(pages) != 1 || fmt.Sprint(pages[0][0].metric, pages[0][0].gone) != "8 false" {
		t.Fatalf("%+v", pages)
	}
	b.done(pages)
	say(0, 9, true)
	_, pages = b.take()
	b.done(pages)
	wait(0, n-1)
	say(n, 1, false) // gets the number of the one that has gone
	wait(1, n)
}
