package rib

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// A map by prefix is as Go's map is, also where words crowd and the last slots run
// over into the first.
func TestByPrefix(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	m, want := newByPrefix[int](), map[key]int{}
	random := func() key {
		k := hostKey(uint16(rnd.IntN(2)*65535), netip.AddrFrom4([4]byte{byte(rnd.IntN(2) * 255), 0, byte(rnd.IntN(4)), byte(rnd.Uint32())}))
		if rnd.IntN(8) == 0 {
			k.family = 6
		}
		return k.shortened(uint8(rnd.IntN(33)))
	}
	for i := range 200_000 {
		k := random()
		if rnd.IntN(5) < 2+i/50_000%2 { // it grows, and shrinks
			m.delete(k)
			delete(want, k)
		} else {
			m.set(k, i)
			want[k] = i
		}
		k = random()
		v, ok := m.get(k)
		if w, has := want[k]; v != w || ok != has || m.has(k) != has || m.len() != len(want) {
			t.Fatalf("step %d: %s in VRF %d is %d (%t) of %d, want %d (%t) of %d", i, k.prefix(), k.vrf, v, ok, m.len(), w, has, len(want))
		}
	}
	if got := maps.Collect(m.all()); !maps.Equal(got, want) {
		t.Errorf("%d prefixes are %v, want %d: %v", len(got), got, len(want), want)
	}
	for k := range want {
		m.delete(k)
	}
	if n := m.len(); n != 0 || len(maps.Collect(m.all())) != 0 {
		t.Errorf("%d are left of nothing", n)
	}
}

// Nothing that stands for a prefix in a million slots is 0, and comes back as it was.
func TestPacked(t *testing.T) {
	for _, p := range []string{"0.0.0.0/0", "0.0.0.0/32", "255.255.255.255/32", "128.0.0.0/1", "10.0.0.0/8"} {
		for _, vrf := range []uint16{0, 1, 65535} {
			k := newKey(vrf, netip.MustParsePrefix(p))
			if w := k.packed(); w == 0 || unpacked(w) != k {
				t.Errorf("%s in VRF %d is packed as %x, and comes back as %v", p, vrf, w, unpacked(w))
			}
		}
	}
}
