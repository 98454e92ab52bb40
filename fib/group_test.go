package fib

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

// flow is what a packet's header says of its flow.
type flow struct {
	src, dst     Addr6 // IPv4 in the low half of Hi
	label, ports uint32
	proto        uint8
}

func (f *flow) hash(v6 bool, seed uint32) uint32 {
	if v6 {
		return FlowHash6(f.src, f.dst, f.label, f.ports, f.proto, seed)
	}
	return FlowHash4(uint32(f.src.Hi), uint32(f.dst.Hi), f.ports, f.proto, seed)
}

// flowsOf makes n flows as networks have them: most fields alike, few counting.
func flowsOf(r *rand.Rand, pattern string, n int) []flow {
	base := flow{Addr6{0x20010db800000001, 7}, Addr6{0x20010db800000002, 9}, 0, 40000<<16 | 443, 6}
	fs := make([]flow, n)
	for i := range fs {
		f := base
		switch pattern {
		case "random":
			f = flow{Addr6{r.Uint64(), r.Uint64()}, Addr6{r.Uint64(), r.Uint64()}, r.Uint32N(1 << 20), r.Uint32(), []uint8{6, 17}[i%2]}
		case "clients": // of one server: addresses count, ports are random
			f.src.Hi += uint64(i)
			f.ports = r.Uint32()<<16 | 443
		case "hosts": // addresses count, nothing else differs
			f.src.Hi += uint64(i)
		case "ports": // of two hosts: source and destination ports count
			f.ports = uint32(1024+i%50000)<<16 | uint32(80+i/50000)
		case "servers":
			f.dst.Hi += uint64(i) << 8
		}
		fs[i] = f
	}
	return fs
}

func TestWeights(t *testing.T) {
	const n = 100000
	vectors := map[string][]int{
		"1:1": {1, 1}, "1:2:3": {1, 2, 3}, "1:1:1": {1, 1, 1}, "1:100": {1, 100}, "100:1": {100, 1},
		"5:3:2:7:11": {5, 3, 2, 7, 11}, "256 equal": slices.Repeat([]int{1}, 256), "255 equal": slices.Repeat([]int{9}, 255),
		"1:65536": {1, MaxWeight}, "heaviest": {MaxWeight, MaxWeight, MaxWeight},
	}
	r := seed(t)
	im := newTestImage(t, 16<<20, 0, Options{})
	adj := addAdjacencies(t, im, 256)
	for name, weights := range vectors {
		for _, mode := range []Mode{HashThreshold, Resilient} {
			t.Run(fmt.Sprintf("%s/mode=%d", name, mode), func(t *testing.T) {
				g, total := Group{Kind: Forward, Mode: mode}, 0
				for i, w := range weights {
					g.Members = append(g.Members, Member{adj[i], w})
					total += w
				}
				id, err := im.AddGroup(g)
				if err != nil {
					t.Fatal(err)
				}
				// Of the hash space: exactly.
				buckets := contentsOf(im).buckets[id]
				count := map[AdjacencyID]int{}
				for _, a := range buckets {
					count[a]++
				}
				for _, m := range g.Members {
					exact := float64(m.Weight) / float64(total) * float64(len(buckets))
					if d := math.Abs(float64(count[m.Adjacency]) - exact); d > max(1, exact/100) {
						t.Errorf("member of weight %d has %d of %d buckets, want %.1f", m.Weight, count[m.Adjacency], len(buckets), exact)
					}
				}
				// Of the flows: within 5 %, or 6.5 sigma where they are few.
				for _, v6 := range []bool{false, true} {
					for _, pattern := range []string{"random", "clients", "hosts", "ports", "servers"} {
						seed := r.Uint32()
						got := map[AdjacencyID]int{}
						for _, f := range flowsOf(r, pattern, n) {
							got[im.Next(id, f.hash(v6, seed)).Adjacency]++
						}
						for _, m := range g.Members {
							want := float64(count[m.Adjacency]) / float64(len(buckets)) * n
							if d := math.Abs(float64(got[m.Adjacency]) - want); d > max(want*0.05, 6.5*math.Sqrt(want)) {
								t.Errorf("%s, v6=%v, seed %#x: member of weight %d has %d flows, want %.0f", pattern, v6, seed, m.Weight, got[m.Adjacency], want)
							}
						}
					}
				}
				if err := im.DeleteGroup(id); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// bucketsOf returns where each stretch of 2^-16 of the hash space goes.
func bucketsOf(im *Image, id GroupID) []AdjacencyID {
	out := make([]AdjacencyID, 1<<16)
	for i := range out {
		out[i] = im.Next(id, uint32(i)<<16|0x8000).Adjacency
	}
	return out
}

// bucketSize returns how much of bucketsOf one bucket of the group is.
func bucketSize(im *Image, id GroupID) float64 {
	w := groupWord(im.load64(im.groups.at(uint32(id))))
	return float64(int(1<<16) >> w.log())
}

// Flows of a resilient group move only when they must, through a long history
// of members that come and go.
func TestResilient(t *testing.T) {
	r := seed(t)
	im := newTestImage(t, 16<<20, 0, Options{})
	adj := addAdjacencies(t, im, 300)
	for _, heaviest := range []int{1, 3, 100, MaxWeight} {
		for _, most := range []int{3, 20, MaxMembers} {
			t.Run(fmt.Sprintf("members=%d/weights=%d", most, heaviest), func(t *testing.T) {
				g := Group{Kind: Forward, Mode: Resilient}
				in := map[AdjacencyID]bool{}
				add := func() {
					a := adj[r.IntN(len(adj))]
					for in[a] {
						a = adj[r.IntN(len(adj))]
					}
					in[a] = true
					g.Members = slices.Insert(slices.Clone(g.Members), r.IntN(len(g.Members)+1), Member{a, 1 + r.IntN(heaviest)})
				}
				for range (most + 1) / 2 {
					add()
				}
				id, err := im.AddGroup(g)
				if err != nil {
					t.Fatal(err)
				}
				for step := range rounds(60) {
					old, size := bucketsOf(im, id), bucketSize(im, id)
					var gone, come AdjacencyID
					if len(g.Members) > 1 && (len(g.Members) == most || r.IntN(2) == 0) {
						i := r.IntN(len(g.Members))
						gone = g.Members[i].Adjacency
						delete(in, gone)
						g.Members = slices.Delete(slices.Clone(g.Members), i, i+1)
					} else {
						before := slices.Clone(g.Members)
						add()
						for _, m := range g.Members {
							if !slices.Contains(before, m) {
								come = m.Adjacency
							}
						}
					}
					if err := im.SetGroup(id, g); err != nil {
						t.Fatal(err)
					}
					moved, other, share := 0, 0, 0
					total := 0
					for _, m := range g.Members {
						total += m.Weight
						if m.Adjacency == come {
							share = m.Weight
						}
					}
					for i, a := range bucketsOf(im, id) {
						if a == gone && gone != 0 {
							t.Fatalf("step %d: flows still go to %d, which is gone", step, gone)
						}
						if a != old[i] {
							moved++
							if old[i] != gone && a != come {
								other++
							}
						}
					}
					// Few may where a member comes, or where there are more buckets than
					// before and shares are finer: 0.2 %.
					most := 0
					if come != 0 || bucketSize(im, id) != size {
						most = 1 << 16 / 500
					}
					if other > most {
						t.Fatalf("step %d: %d members, gone %d, come %d: %d of 65536 flows moved between members that stay", step, len(g.Members), gone, come, other)
					}
					if come != 0 {
						want := float64(share) / float64(total) * (1 << 16)
						if bucket := bucketSize(im, id); math.Abs(float64(moved-other)-want) > max(bucket, want*0.02)+bucket {
							t.Fatalf("step %d: %d members: %d of 65536 flows moved to a member whose share is %.1f", step, len(g.Members), moved, want)
						}
					}
				}
				// The shares are still right at the end.
				got, total := map[AdjacencyID]int{}, 0
				for _, a := range bucketsOf(im, id) {
					got[a]++
				}
				for _, m := range g.Members {
					total += m.Weight
				}
				for _, m := range g.Members {
					want := float64(m.Weight) / float64(total) * (1 << 16)
					if d := math.Abs(float64(got[m.Adjacency]) - want); d > max(bucketSize(im, id), want*0.02)+bucketSize(im, id) {
						t.Errorf("adjacency %d has %d of 65536 flows, want %.1f", m.Adjacency, got[m.Adjacency], want)
					}
				}
				if err := im.DeleteGroup(id); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
	checkOwners(t, im)
}

// RFC 2992, section 3.1: removing or adding one of N members moves from 1/4
// to 1/2 of all flows.
func TestHashThresholdDisruption(t *testing.T) {
	im := newTestImage(t, 4<<20, 0, Options{})
	adj := addAdjacencies(t, im, 16)
	for n := 2; n <= len(adj); n++ {
		for gone := range n {
			id, err := im.AddGroup(equalMembers(HashThreshold, adj[:n]...))
			if err != nil {
				t.Fatal(err)
			}
			old := bucketsOf(im, id)
			if err := im.SetGroup(id, equalMembers(HashThreshold, slices.Delete(slices.Clone(adj[:n]), gone, gone+1)...)); err != nil {
				t.Fatal(err)
			}
			moved := 0
			for i, a := range bucketsOf(im, id) {
				if a != old[i] {
					moved++
				}
			}
			// A member in the middle leaves its flows to both sides.
			if part := float64(moved) / (1 << 16); part > 0.5+0.02 || part < 0.25-0.02 {
				t.Errorf("member %d of %d goes: %.3f of the flows move, want 0.25 to 0.5", gone, n, part)
			}
			if err := im.DeleteGroup(id); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestNextOfSpecialGroups(t *testing.T) {
	im := newTestImage(t, 1<<20, 0, Options{})
	adj := addAdjacencies(t, im, 2)
	for _, c := range []struct {
		group Group
		want  Next
	}{
		{Group{Kind: Local}, Next{Kind: Local}},
		{Group{Kind: Glean, Port: 1<<32 - 1}, Next{Kind: Glean, Port: 1<<32 - 1}},
		{Group{Kind: Blackhole}, Next{Kind: Blackhole}},
		{Group{Kind: Reject, Code: 15}, Next{Kind: Reject, Code: 15}},
		{Group{Kind: Reject}, Next{Kind: Reject}},
		{Group{Kind: Punt, Reason: 65535}, Next{Kind: Punt, Reason: 65535}},
		{Group{Kind: Forward, Members: []Member{{adj[1], MaxWeight}}}, Next{Kind: Forward, Adjacency: adj[1]}},
		{Group{Kind: Forward, Mode: Resilient, Members: []Member{{adj[0], 3}}}, Next{Kind: Forward, Adjacency: adj[0]}},
	} {
		id, err := im.AddGroup(c.group)
		if err != nil {
			t.Fatal(err)
		}
		for _, hash := range []uint32{0, 1, 1 << 31, 1<<32 - 1} {
			if got := im.Next(id, hash); got != c.want {
				t.Errorf("%+v: Next is %+v, want %+v", c.group, got, c.want)
			}
		}
		got, err := im.Group(id)
		if err != nil || got.Kind != c.group.Kind || got.Mode != c.group.Mode || got.Port != c.group.Port ||
			got.Code != c.group.Code || got.Reason != c.group.Reason || !slices.Equal(got.Members, c.group.Members) {
			t.Errorf("group is %+v, %v, want %+v", got, err, c.group)
		}
		if err := im.DeleteGroup(id); err != nil {
			t.Fatal(err)
		}
		if got := im.Next(id, 1); got != (Next{}) {
			t.Errorf("a deleted group: Next is %+v", got)
		}
	}
	for _, id := range []GroupID{0, 255, 256, 1 << 31, 1<<32 - 1} {
		if got := im.Next(id, 1); got != (Next{}) {
			t.Errorf("group %d, which is not there: Next is %+v", id, got)
		}
	}
}

// Each bit of a flow turns about half of the hash's bits, the top ones too:
// they choose the bucket.
func TestHashAvalanche(t *testing.T) {
	r := seed(t)
	for _, v6 := range []bool{false, true} {
		inputs := 32 + 32 + 32 + 8 + 32 // addresses, ports, protocol, seed
		if v6 {
			inputs = 128 + 128 + 20 + 32 + 8 + 32
		}
		const samples = 4000
		for bit := range inputs {
			var turned [32]int
			for range samples {
				f, s := flowsOf(r, "random", 1)[0], r.Uint32()
				if !v6 {
					f.src.Hi, f.dst.Hi = f.src.Hi&0xffffffff, f.dst.Hi&0xffffffff
				}
				g, z := f, s
				b := bit
				take := func(n int) bool {
					b -= n
					return b < 0
				}
				half := map[bool]int{false: 32, true: 64}[v6]
				switch {
				case take(half):
					g.src.Hi ^= 1 << (b + half)
				case take(half):
					g.dst.Hi ^= 1 << (b + half)
				case take(32):
					g.ports ^= 1 << (b + 32)
				case take(8):
					g.proto ^= 1 << (b + 8)
				case take(32):
					z ^= 1 << (b + 32)
				case take(64):
					g.src.Lo ^= 1 << (b + 64)
				case take(64):
					g.dst.Lo ^= 1 << (b + 64)
				default:
					g.label ^= 1 << b
				}
				d := f.hash(v6, s) ^ g.hash(v6, z)
				for d != 0 {
					turned[bits.TrailingZeros32(d)]++
					d &= d - 1
				}
			}
			for out, n := range turned[16:] { // 2^16 buckets at most
				if p := float64(n) / samples; p < 0.3 || p > 0.7 {
					t.Errorf("v6=%v: input bit %d turns output bit %d with probability %.2f", v6, bit, 16+out, p)
				}
			}
		}
	}
}

// Two routers in a row: the second spreads what the first sent one way, if
// their seeds differ. With equal seeds it would not.
func TestNoPolarization(t *testing.T) {
	r := seed(t)
	im := newTestImage(t, 4<<20, 0, Options{})
	adj := addAdjacencies(t, im, 4)
	id, err := im.AddGroup(equalMembers(HashThreshold, adj...))
	if err != nil {
		t.Fatal(err)
	}
	const n = 400000
	for _, v6 := range []bool{false, true} {
		for _, seeds := range [][2]uint32{{1, 2}, {0, 1}, {0, 1 << 31}, {r.Uint32(), r.Uint32()}} {
			var got [5][5]int
			for _, f := range flowsOf(r, "clients", n) {
				got[im.Next(id, f.hash(v6, seeds[0])).Adjacency][im.Next(id, f.hash(v6, seeds[1])).Adjacency]++
			}
			for i := 1; i <= 4; i++ {
				for j := 1; j <= 4; j++ {
					if d := math.Abs(float64(got[i][j]) - n/16); d > n/16*0.05 {
						t.Errorf("v6=%v, seeds %#x: %d flows take %d and then %d, want %d", v6, seeds, got[i][j], i, j, n/16)
					}
				}
			}
		}
		same := map[AdjacencyID]bool{}
		for _, f := range flowsOf(r, "clients", 1000) {
			if a := im.Next(id, f.hash(v6, 7)).Adjacency; a == adj[0] {
				same[im.Next(id, f.hash(v6, 7)).Adjacency] = true
			}
		}
		if len(same) != 1 {
			t.Error("the same flow and seed choose differently")
		}
	}
}

func TestHashSeed(t *testing.T) {
	im := newTestImage(t, MinSize, 0, Options{HashSeed: 0xabcd})
	if im.HashSeed() != 0xabcd {
		t.Errorf("seed %#x", im.HashSeed())
	}
}
