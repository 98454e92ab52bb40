package xdp

import (
	"math/rand/v2"
	"testing"
)

// looks are what Linux and weft have counted, one look after the other.
type looks [][2]int64

func (l looks) unaccounted() uint64 {
	var a account
	for _, n := range l {
		a.take(n[0], n[1])
	}
	return a.unaccounted
}

func TestAccount(t *testing.T) {
	for name, c := range map[string]struct {
		looks
		want uint64
	}{
		"nothing came in":                   {looks{{0, 0}, {0, 0}, {0, 0}}, 0},
		"all counted":                       {looks{{10, 10}, {20, 20}, {30, 30}, {30, 30}}, 0},
		"Linux has begun earlier":           {looks{{1000, 0}, {1000, 0}, {1100, 100}, {1100, 100}}, 0},
		"on their way to weft":              {looks{{0, 0}, {0, 0}, {64, 0}, {64, 64}}, 0},
		"on their way to Linux":             {looks{{0, 0}, {0, 64}, {64, 64}, {128, 128}, {128, 128}}, 0},
		"Linux counts now and then":         {looks{{0, 0}, {0, 50}, {100, 100}, {100, 150}, {200, 200}, {200, 200}}, 0},
		"before there was something to see": {looks{{0, 0}, {7, 0}, {7, 0}, {7, 0}}, 0},
		"got away":                          {looks{{0, 0}, {0, 0}, {7, 0}, {7, 0}}, 7},
		"got away twice":                    {looks{{0, 0}, {0, 0}, {7, 0}, {7, 0}, {12, 2}, {12, 2}}, 10},
		"got away under way":                {looks{{0, 0}, {0, 0}, {100, 93}, {100, 93}, {200, 193}}, 7},
		"Linux does not count some":         {looks{{0, 0}, {0, 0}, {10, 50}, {10, 50}, {17, 50}, {17, 50}}, 7},
		"Linux's counter begins anew":       {looks{{90, 90}, {90, 90}, {97, 90}, {97, 90}, {0, 90}, {5, 95}, {5, 95}, {8, 95}, {8, 95}}, 10},
		"weft's counter begins anew":        {looks{{90, 90}, {90, 90}, {90, 0}, {95, 5}, {95, 5}}, 90},
	} {
		if got := c.unaccounted(); got != c.want {
			t.Errorf("%s: %d unaccounted, want %d", name, got, c.want)
		}
	}
}

// TestAccountRestart has counters that are not to be compared with those before.
func TestAccountRestart(t *testing.T) {
	var a account
	for _, n := range (looks{{0, 0}, {0, 0}, {3, 0}, {3, 0}}) {
		a.take(n[0], n[1])
	}
	a.restart()
	for _, n := range (looks{{500, 0}, {500, 0}, {504, 0}}) {
		a.take(n[0], n[1])
	}
	if a.unaccounted != 3 {
		t.Errorf("%d unaccounted, want what was found before, 3", a.unaccounted)
	}
	if grown := a.take(504, 0); grown != 4 || a.unaccounted != 7 {
		t.Errorf("%d more unaccounted, %d in all, want 4 and 7", grown, a.unaccounted)
	}
}

// TestAccountModel has traffic of which some is under way at each look, and some
// gets away: it is never told of more, and of all once there is silence.
func TestAccountModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		var a account
		var came, away, counted, linux int64
		began := r.Int64N(1000)
		look := func(most int64) {
			// By now both have counted what had come in by the last look, and may have more.
			linux, counted = came, came-away
			if most > 0 {
				n := r.Int64N(most)
				lost := int64(0)
				if a.bounded && r.IntN(4) == 0 {
					lost = r.Int64N(n + 1)
				}
				came, away = came+n, away+lost
				linux += r.Int64N(n + 1)
				counted += r.Int64N(n - lost + 1)
			}
			a.take(began+linux, counted)
			if a.unaccounted > uint64(away) {
				t.Fatalf("%d unaccounted, %d got away", a.unaccounted, away)
			}
		}
		look(0)
		look(0)
		for range r.IntN(20) {
			look(1 + r.Int64N(1000))
		}
		look(0)
		look(0)
		if a.unaccounted != uint64(away) {
			t.Fatalf("%d unaccounted in silence, want %d", a.unaccounted, away)
		}
	}
}

func TestDecodeStats(t *testing.T) {
	good := make([]byte, statsMessageSize+4+8*8)
	good[4] = 7
	good[12], good[14] = 4+8*8, 1 // IFLA_STATS_LINK_64
	good[16+8*rxPackets], good[16+8*rxDropped] = 100, 3
	if ifindex, r, ok := decodeStats(good); !ok || ifindex != 7 || r != (received{100, 3}) {
		t.Errorf("%d: %v, %t", ifindex, r, ok)
	}
	for n := range len(good) {
		if _, r, ok := decodeStats(good[:n]); ok {
			t.Errorf("%d of %d bytes are %v", n, len(good), r)
		}
	}
	other := append([]byte{}, good...)
	other[14] = 2
	if _, _, ok := decodeStats(other); ok {
		t.Error("another attribute is one of statistics")
	}
}
