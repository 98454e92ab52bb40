package fulltable

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"testing"

	"github.com/gaissmai/bart"
)

func TestPrefixes(t *testing.T) {
	v4, v6, err := Prefixes()
	if err != nil {
		t.Fatal(err)
	}
	if len(v4) != 901899 || len(v6) != 160147 {
		t.Errorf("%d IPv4 and %d IPv6 prefixes, want 901899 and 160147", len(v4), len(v6))
	}
	seen := make(map[netip.Prefix]bool, len(v4)+len(v6))
	for _, ps := range [][]netip.Prefix{v4, v6} {
		for _, p := range ps {
			if p != p.Masked() {
				t.Fatalf("%v is not masked", p)
			}
			if seen[p] {
				t.Fatalf("%v appears twice", p)
			}
			seen[p] = true
		}
	}
}

func TestNextHops(t *testing.T) {
	count := make(map[uint32]int)
	for _, h := range NextHops(100_000, 7) {
		count[h]++
	}
	if len(count) != 255 || count[0] != 0 || count[256] != 0 {
		t.Errorf("%d different next hops, %d of them 0 and %d of them 256; want 1..255", len(count), count[0], count[256])
	}
}

// The hash pins the traces: figures of different days and machines are of the same work.
func TestTracesAreTheSameEverywhere(t *testing.T) {
	v4, v6, err := Prefixes()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{
		"ipv4/zipf": 0x57b2e6fab9415f0b,
		"ipv4/pfx":  0x4e014eb883ec8ff5,
		"ipv4/uni":  0x93658b01ce6c74ff,
		"ipv6/zipf": 0x36886a081d1ee397,
		"ipv6/pfx":  0xc4722fb0c54b95ba,
	}
	for _, tr := range Traces(v4, v6, 1) {
		sum := fnv.New64a()
		if err := binary.Write(sum, binary.BigEndian, tr.IPv4); err != nil {
			t.Fatal(err)
		}
		if err := binary.Write(sum, binary.BigEndian, tr.IPv6); err != nil {
			t.Fatal(err)
		}
		if n := len(tr.IPv4) + len(tr.IPv6); n != TraceLen {
			t.Errorf("%s/%s has %d destinations, want %d", tr.Family, tr.Name, n, TraceLen)
		}
		if got := sum.Sum64(); got != want[tr.Family+"/"+tr.Name] {
			t.Errorf("%s/%s hashes to %#x, want %#x", tr.Family, tr.Name, got, want[tr.Family+"/"+tr.Name])
		}
	}
}

func TestDestinationsAreRouted(t *testing.T) {
	v4, v6, err := Prefixes()
	if err != nil {
		t.Fatal(err)
	}
	var routed bart.Lite
	for _, ps := range [][]netip.Prefix{v4, v6} {
		for _, p := range ps {
			routed.Insert(p)
		}
	}
	for _, tr := range Traces(v4, v6, 3) {
		for _, a := range tr.Addrs() {
			if tr.Name == "uni" {
				if b := a.As4(); b[0] == 0 || b[0] > 223 {
					t.Fatalf("uni holds %v, outside 1.0.0.0-223.255.255.255", a)
				}
			} else if !routed.Contains(a) {
				t.Fatalf("%s/%s holds %v, which no prefix covers", tr.Family, tr.Name, a)
			}
		}
	}
}

// One destination in 11.7 (the harmonic number of 65,536) is the most popular one.
func TestZipfIsSkewed(t *testing.T) {
	v4, v6, err := Prefixes()
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[uint32]int)
	most := 0
	for _, a := range Traces(v4, v6, 1)[0].IPv4 {
		count[a]++
		most = max(most, count[a])
	}
	if want := 89_800; most < want*95/100 || most > want*105/100 {
		t.Errorf("the most popular destination appears %d times, want about %d", most, want)
	}
	if len(count) < 50_000 || len(count) > zipfDestinations {
		t.Errorf("%d different destinations, want most of %d", len(count), zipfDestinations)
	}
}
