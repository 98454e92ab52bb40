package xsk

import (
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"weft/dataplane/soft/device"
)

// idle is a socket whose kernel is played by the test: it moves the counters, and the entries stay as they are.
type idle struct {
	Socket
	d []device.Descriptor
}

func newIdle(t testing.TB, size uint32) *idle {
	t.Helper()
	m, err := device.NewMemory(4*int(size), device.MinFrameSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	p, err := m.NewPool(4 * int(size))
	if err != nil {
		t.Fatal(err)
	}
	at := unix.XDPRingOffset{Producer: 0, Consumer: 64, Flags: 128, Desc: 192}
	mem := func() []byte { return make([]byte, 192+16*size) }
	s := &idle{d: make([]device.Descriptor, size)}
	s.pool, s.mode, s.fd, s.scratch = p, unix.XDP_COPY, -1, make([]uint64, size)
	s.rx, s.tx = newRing[unix.XDPDesc](mem(), at, size), newRing[unix.XDPDesc](mem(), at, size)
	s.fill, s.sent = newRing[uint64](mem(), at, size), &completion{ring: newRing[uint64](mem(), at, size)}
	s.refill()
	for i := range size {
		frame := uint64(i) * device.MinFrameSize
		*s.rx.at(i) = unix.XDPDesc{Addr: frame + device.Headroom, Len: 60}
		*s.sent.ring.at(i) = frame
	}
	return s
}

// round receives n packets, and sends them.
func (s *idle) round(n int) {
	atomic.AddUint32(s.fill.consumer, uint32(n))
	atomic.AddUint32(s.rx.producer, uint32(n))
	got := s.Receive(s.d[:n])
	sent := s.Transmit(s.d[:got])
	atomic.AddUint32(s.tx.consumer, uint32(sent)) // none waits: no system call
	atomic.AddUint32(s.sent.ring.producer, uint32(sent))
	s.Flush()
	if got != n || sent != n || s.Pending() != 0 {
		panic("the rings are not as they should be")
	}
}

func TestAllocations(t *testing.T) {
	s := newIdle(t, 256)
	if n := testing.AllocsPerRun(100, func() { s.round(64) }); n != 0 {
		t.Errorf("%v allocations for 64 packets", n)
	}
}

// BenchmarkRings measures our share of a packet's way: Receive, Transmit and Flush, without the kernel.
func BenchmarkRings(b *testing.B) {
	s := newIdle(b, 2048)
	b.ReportAllocs()
	const batch = 256
	for b.Loop() {
		s.round(batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/pkt")
}
