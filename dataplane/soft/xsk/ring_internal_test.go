package xsk

import (
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair is both sides of a ring in ordinary memory: what is the kernel's in a socket's is another ring here. The counters
// begin shortly before they wrap around.
func pair(size uint32) (producer, consumer *ring[uint64]) {
	at := unix.XDPRingOffset{Producer: 0, Consumer: 64, Flags: 128, Desc: 192}
	mem := make([]byte, 192+8*size)
	producer, consumer = newRing[uint64](mem, at, size), newRing[uint64](mem, at, size)
	start := uint32(1<<32 - 3)
	for _, r := range []*ring[uint64]{producer, consumer} {
		r.own, r.theirs = start, start
	}
	*producer.producer, *producer.consumer = start, start
	return producer, consumer
}

// TestRing compares with a queue, whatever is produced and consumed, across the wrap of counters and of places.
func TestRing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, size := range []uint32{1, 2, 64} {
		p, c := pair(size)
		var queue []uint64
		next := uint64(0)
		for range 10000 {
			want := random.Uint32N(size + 2)
			if random.IntN(2) == 0 {
				n := p.room(want)
				if n != min(want, size-uint32(len(queue))) {
					t.Fatalf("size %d: room for %d of %d, with %d in it", size, n, want, len(queue))
				}
				for i := range n {
					*p.at(i) = next
					queue = append(queue, next)
					next++
				}
				p.produce(n)
				if w := p.waiting(); w != uint32(len(queue)) {
					t.Fatalf("size %d: %d are waiting, want %d", size, w, len(queue))
				}
				continue
			}
			n := c.ready(want)
			if n != min(want, uint32(len(queue))) {
				t.Fatalf("size %d: %d of %d are ready, with %d in it", size, n, want, len(queue))
			}
			for i := range n {
				if got := *c.at(i); got != queue[i] {
					t.Fatalf("size %d: got %d, want %d", size, got, queue[i])
				}
			}
			queue = queue[n:]
			c.consume(n)
		}
		if next < 1000 {
			t.Errorf("size %d: %d entries", size, next)
		}
	}
}

// TestRingConcurrent has a goroutine at either end: entries arrive as they were written, in order.
func TestRingConcurrent(t *testing.T) {
	const entries = 50_000
	p, c := pair(64)
	go func() {
		for next := uint64(0); next < entries; {
			n := p.room(17)
			for i := range n {
				*p.at(i) = next
				next++
			}
			p.produce(n)
			runtime.Gosched()
		}
	}()
	for want := uint64(0); want < entries; {
		n := c.ready(13)
		for i := range n {
			if got := *c.at(i); got != want {
				t.Fatalf("got %d, want %d", got, want)
			}
			want++
		}
		c.consume(n)
		runtime.Gosched()
	}
}

func TestNeedsWakeup(t *testing.T) {
	p, _ := pair(64)
	if p.needsWakeup() {
		t.Error("nobody has asked for a wakeup")
	}
	atomic.StoreUint32(p.flags, unix.XDP_RING_NEED_WAKEUP)
	if !p.needsWakeup() {
		t.Error("the kernel has asked for a wakeup")
	}
}
