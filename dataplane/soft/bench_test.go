package soft

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"weft/dataplane"
	"weft/dataplane/packet"
	"weft/dataplane/soft/device"
	"weft/fib"
	"weft/test/fulltable"
)

// A packet's way here is from the ring of one port to the ring of another, in memory:
// vectors of 256, checksums verified, counters on. What makes the packets and takes them
// out again is not in the time.

const (
	benchRing    = 16 * VectorSize
	benchImage   = 64 << 20
	benchHops    = 255
	benchPackets = 60 // bytes: with its checksum 64
)

// bench is a Worker between two wires.
type bench struct {
	w       *Worker
	mem     *device.Memory
	pool    *device.Pool
	in, out *device.Wire // their far ends
	im      *fib.Image
	frames  [benchRing]device.Descriptor
	limit   *limited // port 1's queue
}

func newBenchImage(b testing.TB) (*fib.Image, fib.Table) {
	b.Helper()
	im, err := fib.Create(make([]byte, benchImage), fib.Options{})
	if err != nil {
		b.Fatal(err)
	}
	t, err := im.Table(0)
	if err != nil {
		b.Fatal(err)
	}
	for n := range benchHops {
		a := fib.Adjacency{Port: 2, MTU: 1500, Complete: true, RewriteLen: 14}
		copy(a.Rewrite[:], []byte{2, 0, 0, 9, 0, byte(n), 2, 0, 0, 0, 0, 2, 8, 0})
		id, err := im.AddAdjacency(a)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := im.AddGroup(fib.Group{Kind: fib.Forward, Members: []fib.Member{{Adjacency: id, Weight: 1}}}); err != nil {
			b.Fatal(err)
		}
	}
	return im, t
}

func newBench(b testing.TB, im *fib.Image) *bench {
	b.Helper()
	m, err := device.NewMemory(2*benchRing, device.MinFrameSize)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.Close() })
	pool, err := m.NewPool(2 * benchRing)
	if err != nil {
		b.Fatal(err)
	}
	x := &bench{mem: m, pool: pool, im: im, w: NewWorker(Options{Memory: m, Pool: pool})}
	pools := [2]*device.Pool{pool, pool}
	c := &Config{Image: im}
	for n, far := range map[uint32]**device.Wire{1: &x.in, 2: &x.out} {
		host, port, err := device.NewWire(m, [2]uint32{0, n}, pools, benchRing)
		if err != nil {
			b.Fatal(err)
		}
		*far = host
		queue := &limited{port, VectorSize}
		if n == 1 {
			x.limit = queue
		}
		if err := x.w.Attach(n, queue, nil); err != nil {
			b.Fatal(err)
		}
		c.Ports = append(c.Ports, Port{Port: dataplane.Port{Number: n, MAC: dataplane.MAC{2, 0, 0, 0, 0, byte(n)}, IPv4: true, IPv6: true}})
	}
	if err := x.w.Set(c); err != nil {
		b.Fatal(err)
	}
	at := make([]uint64, benchRing)
	pool.Get(at)
	for i := range x.frames {
		x.frames[i] = device.Descriptor{Address: at[i], Length: benchPackets}
	}
	return x
}

// limited is a queue that gives so many packets at a time: a port that is less busy.
type limited struct {
	device.Queue
	n int
}

func (l *limited) Receive(d []device.Descriptor) int { return l.Queue.Receive(d[:min(len(d), l.n)]) }

// load writes a packet to each frame and puts them into the ring of port 1.
func (x *bench) load(b testing.TB, write func(i int, f []byte)) {
	for i, d := range x.frames {
		write(i, x.mem.Packet(d))
	}
	if n := x.in.Transmit(x.frames[:]); n != benchRing {
		b.Fatalf("%d packets put in", n)
	}
}

// unload takes the packets out of the ring of port 2, and puts back the frames of those
// that had no route.
func (x *bench) unload(b testing.TB, routed int) {
	var at [1]uint64
	n := x.out.Receive(x.frames[:])
	if n < benchRing*routed/100 {
		b.Fatalf("%d of %d packets came out", n, benchRing)
	}
	for i := n; i < benchRing; i++ {
		if x.pool.Get(at[:]) == 0 {
			b.Fatal("frames are lost")
		}
		x.frames[i] = device.Descriptor{Address: at[0], Length: benchPackets}
	}
}

var (
	benchFrame4 = func() []byte {
		f := make([]byte, benchPackets)
		copy(f, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 1, 8, 0, 0x45, 0, 0, benchPackets - 14, 0, 0, 0, 0, 64, 17, 0, 0, 198, 18, 0, 1})
		return f
	}()
	benchFrame6 = func() []byte {
		f := make([]byte, benchPackets)
		copy(f, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, benchPackets - 54, 17, 64, 0x20, 1, 0xd, 0xb8})
		return f
	}()
)

func write4(f []byte, dst uint32) {
	copy(f, benchFrame4)
	binary.BigEndian.PutUint32(f[30:], dst)
	sum := packet.Checksum(f[14:34])
	binary.LittleEndian.PutUint16(f[24:], sum)
}

func write6(f []byte, dst [16]byte) {
	copy(f, benchFrame6)
	copy(f[38:], dst[:])
}

// run measures rounds.
func (x *bench) run(b *testing.B, round func() int, tr *fulltable.Trace) {
	b.ReportAllocs()
	took := make([]time.Duration, 0, 1<<16)
	at, routed, write := 0, 100, writer(tr)
	if tr.Name == "uni" { // not all of the address space is
		routed = 50
	}
	for b.Loop() {
		x.load(b, func(i int, f []byte) { write(at+i, f) })
		at = (at + benchRing) % fulltable.TraceLen
		start := time.Now()
		for round() > 0 {
		}
		if len(took) < cap(took) {
			took = append(took, time.Since(start))
		}
		x.unload(b, routed)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/benchRing, "ns/pkt") // others have the core in some of them
	b.ReportMetric(float64(took[0].Nanoseconds())/benchRing, "best-ns/pkt")
}

// withoutLookup is Round with lookup and rewrite removed: what all else costs.
func (x *bench) withoutLookup() int {
	w, v := x.w, &x.w.v
	n := w.receive()
	if n == 0 {
		return 0
	}
	t := w.stages.start()
	v.begin(n)
	s := w.state.Load()
	w.input(s)
	t = w.stages.end(stageInput, n, t)
	l := w.link(2)
	for k := range v.four.n {
		l.add(v.packets[v.four.index[k%VectorSize]])
	}
	for k := range v.six.n {
		l.add(v.packets[v.six.index[k%VectorSize]])
	}
	w.deliver(s, t)
	return n
}

func BenchmarkMem(b *testing.B) {
	v4, v6, err := fulltable.Prefixes()
	if err != nil {
		b.Fatal(err)
	}
	traces := fulltable.Traces(v4, v6, 1)
	one, table := newBenchImage(b)
	for _, p := range []string{"0.0.0.0/0", "::/0"} {
		if err := table.Insert(mustPrefix(p), 1); err != nil {
			b.Fatal(err)
		}
	}
	full, table := newBenchImage(b)
	var routes []fib.Route
	for i, hop := range fulltable.NextHops(len(v4), 1) {
		routes = append(routes, fib.Route{Prefix: v4[i], Group: fib.GroupID(hop)})
	}
	for i, hop := range fulltable.NextHops(len(v6), 2) {
		routes = append(routes, fib.Route{Prefix: v6[i], Group: fib.GroupID(hop)})
	}
	if _, err := table.Replace(routes); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		im   *fib.Image
	}{{"one", one}, {"full", full}} {
		x := newBench(b, c.im)
		if c.im == one { // what the loop does is the same whatever the addresses are
			for _, tr := range traces {
				if tr.Name == "pfx" {
					b.Run(tr.Family+"/one/no_lookup", func(b *testing.B) { x.run(b, x.withoutLookup, &tr) })
					b.Run(tr.Family+"/one/round", func(b *testing.B) { x.run(b, x.w.Round, &tr) })
					for _, n := range []int{32, 8, 1} {
						x.limit.n = n
						b.Run(fmt.Sprintf("%s/one/vectors_of_%d", tr.Family, n), func(b *testing.B) { x.run(b, x.w.Round, &tr) })
					}
					x.limit.n = VectorSize
				}
			}
			continue
		}
		for _, tr := range traces {
			b.Run(tr.Family+"/full/"+tr.Name, func(b *testing.B) { x.run(b, x.w.Round, &tr) })
		}
	}
	b.Run("floor/dependent_load", benchFloor)
}

func writer(tr *fulltable.Trace) func(i int, f []byte) {
	if len(tr.IPv4) > 0 {
		return func(i int, f []byte) { write4(f, tr.IPv4[i]) }
	}
	return func(i int, f []byte) { write6(f, tr.IPv6[i]) }
}

// benchFloor is one load after the other from memory as large as the table.
func benchFloor(b *testing.B) {
	const n = 16 << 20 / 4
	next := make([]uint32, n)
	order := rand.New(rand.NewPCG(1, 0)).Perm(n)
	for i, at := range order {
		next[at] = uint32(order[(i+1)%n])
	}
	at := uint32(0)
	for b.Loop() {
		for range VectorSize {
			at = next[at]
		}
	}
	if at > n {
		b.Fatal("out of bounds")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*VectorSize), "ns/load")
}
