package image

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"weft/bpf"
	"weft/fib"
	"weft/test/root"
)

const questions = 4096

// reader is the BPF program that answers questions about one image.
type reader struct {
	coll *ebpf.Collection
}

// newReader makes an image of size bytes, as one value or in chunks, and loads
// the program on it.
func newReader(t testing.TB, size int, chunked bool) (*reader, *bpf.Image) {
	t.Helper()
	root.Require(t)
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	im, err := bpf.NewImage(size)
	if chunked {
		im, err = bpf.NewChunkedImage(size >> 22)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	return loadReader(t, im), im
}

func loadReader(t testing.TB, im *bpf.Image) *reader {
	t.Helper()
	load := loadLookups
	if im.Chunked() {
		load = loadLookupschunked
	}
	spec, err := load()
	if err != nil {
		t.Fatal(err)
	}
	maps, err := im.Use(spec)
	if err != nil {
		t.Fatal(err)
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: maps})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(coll.Close)
	return &reader{coll: coll}
}

// ask runs the program over the questions.
func (r *reader) ask(t testing.TB, qs []lookupsQuestion) []lookupsAnswer {
	t.Helper()
	all := make([]lookupsQuestion, questions)
	copy(all, qs)
	if err := r.coll.Variables["questions"].Set(all); err != nil {
		t.Fatal(err)
	}
	if err := r.coll.Variables["count"].Set(uint32(len(qs))); err != nil {
		t.Fatal(err)
	}
	if _, err := r.coll.Programs["lookups"].Run(&ebpf.RunOptions{Data: make([]byte, 64)}); err != nil {
		t.Fatal(err)
	}
	out := make([]lookupsAnswer, questions)
	if err := r.coll.Variables["answers"].Get(out); err != nil {
		t.Fatal(err)
	}
	return out[:len(qs)]
}

func addr6(a netip.Addr) fib.Addr6 {
	b := a.As16()
	return fib.Addr6{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
}

func addr4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func question(vrf int, src, dst netip.Addr, label, ports uint32, proto uint8) lookupsQuestion {
	q := lookupsQuestion{Vrf: uint32(vrf), Family: 6, Label: label, Ports: ports, Proto: uint32(proto)}
	if dst.Is4() {
		q.Family = 4
		q.SrcHi, q.DstHi = uint64(addr4(src)), uint64(addr4(dst))
		return q
	}
	s, d := addr6(src), addr6(dst)
	q.SrcHi, q.SrcLo, q.DstHi, q.DstLo = s.Hi, s.Lo, d.Hi, d.Lo
	return q
}

// goAnswer is what package fib says to a question.
func goAnswer(t testing.TB, im *fib.Image, q *lookupsQuestion) lookupsAnswer {
	t.Helper()
	var a lookupsAnswer
	tab, err := im.Table(int(q.Vrf))
	if err != nil {
		t.Fatal(err)
	}
	seed := im.HashSeed()
	if q.Family == 4 {
		a.Group = uint32(tab.Lookup4(uint32(q.DstHi)))
		a.Hash = fib.FlowHash4(uint32(q.SrcHi), uint32(q.DstHi), q.Ports, uint8(q.Proto), seed)
	} else {
		src, dst := fib.Addr6{Hi: q.SrcHi, Lo: q.SrcLo}, fib.Addr6{Hi: q.DstHi, Lo: q.DstLo}
		a.Group = uint32(tab.Lookup6(dst))
		a.Hash = fib.FlowHash6(src, dst, q.Label, q.Ports, uint8(q.Proto), seed)
	}
	n := im.Next(fib.GroupID(a.Group), a.Hash)
	a.Adjacency, a.Port = uint32(n.Adjacency), n.Port
	if adj, ok := im.Adjacency(n.Adjacency); ok {
		a.Port, a.Mtu = adj.Port, adj.MTU
		if adj.Complete {
			a.State = 1
		}
	}
	a.Aux = uint32(n.Code) + uint32(n.Reason)
	return a
}

// comparable leaves out what BPF sees of a group's word and Go does not say.
func (a lookupsAnswer) comparable() lookupsAnswer {
	const single, buckets = 1, 2
	if a.Kind == single || a.Kind == buckets {
		a.Aux = 0
	}
	a.Kind = 0
	return a
}

func randomAddr(r *rand.Rand, v6 bool) netip.Addr {
	if !v6 {
		return netip.AddrFrom4([4]byte{10, byte(r.IntN(4)), byte(r.Uint32()), byte(r.Uint32())})
	}
	var b [16]byte
	b[0], b[1] = 0x20, 0x01
	for i := 3; i < 16; i++ {
		if r.IntN(3) == 0 {
			b[i] = byte(r.Uint32())
		}
	}
	return netip.AddrFrom16(b)
}

func randomBits(r *rand.Rand, v6 bool) int {
	if v6 {
		return r.IntN(129)
	}
	return r.IntN(33)
}

// fill makes groups of every kind and random routes of both families in two VRFs.
func fill(t testing.TB, im *fib.Image, r *rand.Rand, routes int) []fib.GroupID {
	t.Helper()
	var adjacencies []fib.AdjacencyID
	for i := range 300 {
		id, err := im.AddAdjacency(fib.Adjacency{Port: uint32(i + 1), MTU: uint32(1280 + i), Complete: i%5 > 0})
		if err != nil {
			t.Fatal(err)
		}
		adjacencies = append(adjacencies, id)
	}
	groups := []fib.Group{
		{Kind: fib.Local}, {Kind: fib.Glean, Port: 77}, {Kind: fib.Blackhole},
		{Kind: fib.Reject, Code: 13}, {Kind: fib.Punt, Reason: 515},
	}
	for _, n := range []int{1, 2, 3, 7, 16, 256} {
		for _, mode := range []fib.Mode{fib.HashThreshold, fib.Resilient} {
			g := fib.Group{Kind: fib.Forward, Mode: mode}
			for _, i := range r.Perm(len(adjacencies))[:n] {
				g.Members = append(g.Members, fib.Member{Adjacency: adjacencies[i], Weight: 1 + r.IntN(9)})
			}
			groups = append(groups, g)
		}
	}
	var ids []fib.GroupID
	for _, g := range groups {
		id, err := im.AddGroup(g)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	for i := range routes {
		v6 := i%2 == 1
		tab, err := im.Table(i % 3 * 100)
		if err != nil {
			t.Fatal(err)
		}
		p := netip.PrefixFrom(randomAddr(r, v6), randomBits(r, v6)).Masked()
		if err := tab.Insert(p, ids[r.IntN(len(ids))]); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

func TestBPFAnswersAsGo(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		t.Run(fmt.Sprintf("chunked=%v", chunked), func(t *testing.T) {
			rd, mem := newReader(t, 8<<20, chunked)
			im, err := fib.Create(mem.Mem(), fib.Options{HashSeed: 0x5eed})
			if err != nil {
				t.Fatal(err)
			}
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 0))
			fill(t, im, r, 20000)
			kinds := map[uint32]int{}
			for range 16 {
				var qs []lookupsQuestion
				for i := range questions {
					v6 := i%2 == 1
					qs = append(qs, question(i%4*100, randomAddr(r, v6), randomAddr(r, v6), r.Uint32N(1<<20), r.Uint32(), uint8(r.Uint32())))
				}
				for i, got := range rd.ask(t, qs) {
					kinds[got.Kind]++
					if want := goAnswer(t, im, &qs[i]); got.comparable() != want.comparable() {
						t.Fatalf("question %+v: BPF %+v, Go %+v", qs[i], got, want)
					}
				}
			}
			if len(kinds) < 8 {
				t.Errorf("kinds of groups met: %v, want all 8", kinds)
			}
		})
	}
}

func TestUseRefusesForeignObject(t *testing.T) {
	_, im := newReader(t, 1<<20, false)
	if _, err := im.Use(&ebpf.CollectionSpec{}); err == nil {
		t.Error("Use accepted an object without fib.h")
	}
}
