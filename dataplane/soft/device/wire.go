package device

import (
	"fmt"
	"sync/atomic"
)

// Wire is one end of a wire in memory: what one end transmits the other receives. Ends
// with the same Pool are of one worker, and a packet passes in the frame that it is in.
// Ends with two are of two, each of which may be a goroutine: a packet is copied when it
// is received, and its frame comes back to the end that sent it.
type Wire struct {
	port uint32
	mem  *Memory
	pool *Pool
	in   *ring // what came in
	out  *ring // what the other end receives
	done *ring // frames that have been sent by this end
	back *ring // frames that this end has copied
	busy int   // frames sent and not back

	received, transmitted, noFrame atomic.Uint64
	scratch                        [1]uint64
}

var _ Queue = (*Wire)(nil)

// NewWire makes both ends of a wire, for ports with these numbers. A packet waits at
// either end while there are less than so many there, a power of two.
//
// Errors: ErrSize.
func NewWire(m *Memory, ports [2]uint32, pools [2]*Pool, packets int) (a, b *Wire, err error) {
	if packets < 1 || packets&(packets-1) != 0 {
		return nil, nil, fmt.Errorf("make wire for %d packets: %w: want a power of two", packets, ErrSize)
	}
	to, from := newRing(packets), newRing(packets)
	// Frames go back one for one; there are never more of them than packets under way, and on their way back.
	doneA, doneB := newRing(2*packets), newRing(2*packets)
	a = &Wire{port: ports[0], mem: m, pool: pools[0], in: from, out: to, done: doneA, back: doneB}
	b = &Wire{port: ports[1], mem: m, pool: pools[1], in: to, out: from, done: doneB, back: doneA}
	if pools[0] == pools[1] {
		a.done, a.back, b.done, b.back = nil, nil, nil, nil
	}
	return a, b, nil
}

// Receive implements Queue.
func (w *Wire) Receive(d []Descriptor) int {
	n := w.in.take(d)
	if w.back != nil {
		n = w.copy(d[:n])
	}
	for i := range n {
		d[i].Port = w.port
	}
	if n > 0 {
		w.received.Store(w.received.Load() + uint64(n))
	}
	return n
}

// copy brings packets into frames of this end. Those for which there is none are lost.
func (w *Wire) copy(d []Descriptor) (n int) {
	for _, from := range d {
		if w.pool.Get(w.scratch[:]) == 1 {
			to := Descriptor{Address: w.scratch[0], Length: from.Length}
			copy(w.mem.Packet(to), w.mem.Packet(from))
			d[n] = to
			n++
		} else {
			w.noFrame.Store(w.noFrame.Load() + 1)
		}
		w.scratch[0] = from.Address
		w.back.put([]Descriptor{from})
	}
	return n
}

// Transmit implements Queue.
func (w *Wire) Transmit(d []Descriptor) int {
	w.reclaim()
	if w.done != nil {
		d = d[:min(len(d), w.done.size()-w.busy)]
	}
	n := w.out.put(d)
	if w.done != nil {
		w.busy += n
	}
	if n > 0 {
		w.transmitted.Store(w.transmitted.Load() + uint64(n))
	}
	return n
}

func (w *Wire) reclaim() {
	if w.done == nil {
		return
	}
	var d [64]Descriptor
	for n := w.done.take(d[:]); n > 0; n = w.done.take(d[:]) {
		for _, one := range d[:n] {
			w.pool.Put(one.Address)
		}
		w.busy -= n
	}
}

// Flush implements Queue.
func (w *Wire) Flush() { w.reclaim() }

// Pending implements Queue.
func (w *Wire) Pending() int { return w.busy }

// FD implements Queue.
func (w *Wire) FD() int { return -1 }

// Arm implements Queue.
func (w *Wire) Arm() bool { return w.in.len() > 0 }

// Stats implements Queue.
func (w *Wire) Stats() Stats {
	return Stats{Received: w.received.Load(), Transmitted: w.transmitted.Load(), LostNoFrame: w.noFrame.Load()}
}

// Close implements Queue.
func (w *Wire) Close() error { return nil }

// ring is a queue between one that puts and one that takes.
type ring struct {
	slots    []Descriptor
	mask     uint32
	_        [32]byte
	produced atomic.Uint32
	_        [60]byte // a cache line each
	consumed atomic.Uint32
	_        [60]byte
}

func newRing(n int) *ring { return &ring{slots: make([]Descriptor, n), mask: uint32(n - 1)} }

func (r *ring) size() int { return len(r.slots) }
func (r *ring) len() int  { return int(r.produced.Load() - r.consumed.Load()) }

func (r *ring) put(d []Descriptor) int {
	at := r.produced.Load()
	d = d[:min(len(d), len(r.slots)-int(at-r.consumed.Load()))]
	r.each(at, len(d), func(slots []Descriptor, from int) { copy(slots, d[from:]) })
	if len(d) > 0 {
		r.produced.Store(at + uint32(len(d)))
	}
	return len(d)
}

func (r *ring) take(d []Descriptor) int {
	at := r.consumed.Load()
	n := min(len(d), int(r.produced.Load()-at))
	r.each(at, n, func(slots []Descriptor, from int) { copy(d[from:n], slots) })
	if n > 0 {
		r.consumed.Store(at + uint32(n))
	}
	return n
}

// each goes through n slots from one on, in one piece or two.
func (r *ring) each(at uint32, n int, f func(slots []Descriptor, from int)) {
	first := int(at & r.mask)
	whole := min(n, len(r.slots)-first)
	f(r.slots[first:first+whole], 0)
	if whole < n {
		f(r.slots[:n-whole], whole)
	}
}
