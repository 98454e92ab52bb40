package device

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

func newMemory(t testing.TB, frames int) *Memory {
	t.Helper()
	m, err := NewMemory(frames, MinFrameSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func newPool(t testing.TB, m *Memory, frames int) *Pool {
	t.Helper()
	p, err := m.NewPool(frames)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMemoryRefusesSizes(t *testing.T) {
	for _, c := range []struct{ frames, size int }{{0, 2048}, {1 << 20, 4096}, {16, 1024}, {16, 3000}} {
		m, err := NewMemory(c.frames, c.size)
		if !errors.Is(err, ErrSize) || m != nil {
			t.Errorf("%d frames of %d bytes: %v", c.frames, c.size, err)
		}
	}
	m := newMemory(t, 16)
	if uintptr(m.Base())%hugePage != 0 || uintptr(unsafe.Pointer(&m.Bytes()[0])) != uintptr(m.Base()) {
		t.Errorf("the memory begins at %p", m.Base())
	}
	if _, err := m.NewPool(m.Frames() + 1); !errors.Is(err, ErrSize) || !strings.Contains(err.Error(), "are left") {
		t.Errorf("a pool of more frames than there are: %v", err)
	}
}

// Two pools never have the same frame, and what is put back by any address in a frame
// comes out at its beginning.
func TestPool(t *testing.T) {
	m := newMemory(t, 64)
	a, b := newPool(t, m, 16), newPool(t, m, 40)
	seen := map[uint64]bool{}
	for _, p := range []*Pool{a, b} {
		all := make([]uint64, 100)
		n := p.Get(all)
		if n != p.Size() || p.Free() != 0 || p.Get(all) != 0 {
			t.Fatalf("%d frames of a pool of %d, %d left", n, p.Size(), p.Free())
		}
		for _, at := range all[:n] {
			if at%MinFrameSize != Headroom || seen[at] || m.Room(at) != MinFrameSize-Headroom {
				t.Fatalf("frame at %d", at)
			}
			seen[at] = true
			p.Put(at + 1000)
		}
	}
	one := make([]uint64, 1)
	b.Get(one)
	b.Put(one[0] - Headroom)
	two := make([]uint64, 1)
	if b.Get(two); one[0] != two[0] {
		t.Errorf("freed %d last, got %d", one[0], two[0])
	}
	b.Reset()
	if b.Free() != b.Size() {
		t.Errorf("%d frames of %d after a reset", b.Free(), b.Size())
	}
}

func fill(m *Memory, p *Pool, n int) []Descriptor {
	at, d := make([]uint64, n), make([]Descriptor, n)
	for i := range p.Get(at) {
		d[i] = Descriptor{Address: at[i], Length: 60}
		copy(m.Packet(d[i]), fmt.Sprintf("packet %d", i))
	}
	return d
}

// On one pool a packet passes in its own frame.
func TestWireMoves(t *testing.T) {
	m := newMemory(t, 64)
	p := newPool(t, m, 64)
	a, b, err := NewWire(m, [2]uint32{1, 2}, [2]*Pool{p, p}, 8)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]Descriptor, 64)
	for round := range 20 { // through the ring's end, by turns of odd lengths
		sent := fill(m, p, 5+round%4)
		if n := a.Transmit(sent); n != len(sent) {
			t.Fatalf("round %d: sent %d of %d", round, n, len(sent))
		}
		if !b.Arm() || a.Arm() {
			t.Fatal("it does not know that there is something")
		}
		if n := b.Receive(got); n != len(sent) {
			t.Fatalf("round %d: received %d of %d", round, n, len(sent))
		}
		for i, s := range sent {
			if got[i].Address != s.Address || got[i].Length != s.Length || got[i].Port != 2 {
				t.Fatalf("sent %+v, received %+v", s, got[i])
			}
			p.Put(s.Address)
		}
	}
	if n := a.Transmit(fill(m, p, 20)); n != 8 {
		t.Errorf("a ring of 8 takes %d", n)
	}
	if s := a.Stats(); s.Received != 0 || s.Transmitted != 20*6+10+8 {
		t.Errorf("stats %+v", s)
	}
}

// Between two workers packets are copied, frames come back, and none is lost: what is
// transmitted is received or counted.
func TestWireCopies(t *testing.T) {
	m := newMemory(t, 64)
	p, q := newPool(t, m, 32), newPool(t, m, 4)
	a, b, err := NewWire(m, [2]uint32{1, 2}, [2]*Pool{p, q}, 16)
	if err != nil {
		t.Fatal(err)
	}
	const packets = 10_000
	done := make(chan int)
	go func() {
		got, n := make([]Descriptor, 7), 0
		for n+int(b.Stats().LostNoFrame) < packets {
			for _, d := range got[:b.Receive(got)] {
				if !bytes.HasPrefix(m.Packet(d), []byte("packet ")) || d.Address/MinFrameSize < 32 {
					t.Errorf("received %q at %d", m.Packet(d), d.Address)
				}
				q.Put(d.Address)
				n++
			}
			runtime.Gosched()
		}
		done <- n
	}()
	for sent := 0; sent < packets; {
		d := fill(m, p, min(3, p.Free(), packets-sent))
		n := a.Transmit(d)
		for _, one := range d[n:] {
			p.Put(one.Address)
		}
		sent += n
		runtime.Gosched()
	}
	received := <-done
	a.Flush()
	if lost := int(b.Stats().LostNoFrame); received+lost != packets || q.Free() != 4 || p.Free() != 32 || a.Pending() != 0 {
		t.Errorf("of %d packets %d received, %d lost; %d and %d frames free", packets, received, lost, p.Free(), q.Free())
	}
}

func TestWireRefusesSize(t *testing.T) {
	if _, _, err := NewWire(nil, [2]uint32{}, [2]*Pool{}, 12); !errors.Is(err, ErrSize) {
		t.Error(err)
	}
}

func TestNothingAllocates(t *testing.T) {
	m := newMemory(t, 64)
	p := newPool(t, m, 64)
	a, b, err := NewWire(m, [2]uint32{1, 2}, [2]*Pool{p, p}, 64)
	if err != nil {
		t.Fatal(err)
	}
	d := fill(m, p, 32)
	if n := testing.AllocsPerRun(100, func() {
		a.Transmit(d)
		a.Flush()
		b.Receive(d)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Pools of a Depot have frames of their own, which go from one to the other through it, and are all there in the end.
func TestDepot(t *testing.T) {
	m := newMemory(t, 4096)
	if _, err := m.NewDepot(100, 1); !errors.Is(err, ErrSize) {
		t.Errorf("a depot of 100 frames: %v", err)
	}
	const frames, rounds = 2048, 2000
	d, err := m.NewDepot(frames, 3)
	if err != nil {
		t.Fatal(err)
	}
	if p := d.NewPool(); p.Free() != frames || p.Size() != frames/3 {
		t.Errorf("%d frames are free for a pool of %d", p.Free(), p.Size())
	}
	// One has frames, another gives them back, as when a packet has been sent; the third takes and gives.
	sent := make(chan []uint64, 2)
	done := make(chan *Pool, 3)
	go func() {
		p := d.NewPool()
		for range rounds {
			at := make([]uint64, 200)
			sent <- at[:p.Get(at)]
		}
		close(sent)
		done <- p
	}()
	go func() {
		p := d.NewPool()
		for all := range sent {
			for _, at := range all {
				p.Put(at + 60)
			}
		}
		done <- p
	}()
	go func() {
		p := d.NewPool()
		at := make([]uint64, 600)
		for range rounds {
			for _, one := range at[:p.Get(at)] {
				p.Put(one)
			}
		}
		done <- p
	}()
	seen := map[uint64]bool{}
	var last *Pool
	for range 3 {
		last = <-done
		for _, at := range last.free[:last.n] {
			seen[at] = true
		}
		last.n = 0
	}
	one := make([]uint64, 1)
	for last.Get(one) == 1 {
		if at := one[0]; at%MinFrameSize != Headroom || seen[at] {
			t.Fatalf("frame at %d", at)
		}
		seen[one[0]] = true
	}
	if len(seen) != frames || last.Free() != 0 {
		t.Errorf("%d of %d frames are there in the end, %d are said to be free", len(seen), frames, last.Free())
	}
}
