package device

import (
	"fmt"
	"sync/atomic"
)

// magazineSize is how many frames a pool takes from a Depot, or gives to it, at once.
const magazineSize = 256

// Depot is the frames that several workers share. Each has a Pool, which is a cache: it goes
// to the Depot once in 256 frames, without a lock. So a frame may come back to another worker
// than the one that had it: who sends a packet need not be who learns that it has gone.
//
// A Pool has at most 512 frames that others do not find.
type Depot struct {
	magazines   []magazine
	full, empty stack
	mask        uint64
	frames      int
	free        atomic.Int64 // magazines that are full
}

// magazine is frames that change hands together. What it has is its holder's.
type magazine struct {
	addresses [magazineSize]uint64
	below     atomic.Uint32 // the next in the stack, and 1; 0: none
}

// stack is Treiber's: the number of the uppermost magazine, and 1, below a count of changes, so
// that one that was taken and came back is not taken for the one that was there all the time.
type stack struct{ top atomic.Uint64 }

// NewDepot takes so many frames, that no pool has, for at most so many pools. Frames are a
// multiple of 256.
//
// Errors: ErrSize.
func (m *Memory) NewDepot(frames, pools int) (*Depot, error) {
	if frames%magazineSize != 0 || pools < 1 {
		return nil, fmt.Errorf("make depot of %d frames for %d pools: %w: want a multiple of %d, and a pool", frames, pools, ErrSize, magazineSize)
	}
	first, err := m.take(frames)
	if err != nil {
		return nil, fmt.Errorf("make depot of %d frames: %w", frames, err)
	}
	d := &Depot{mask: uint64(m.frameSize) - 1, frames: frames / pools}
	full := frames / magazineSize
	d.magazines = make([]magazine, full+pools) // each pool may be about to fill one
	p := d.NewPool()
	for i := len(d.magazines) - 1; i >= 0; i-- { // the first frames are taken first
		if i >= full {
			d.push(&d.empty, i)
			continue
		}
		for k := range magazineSize {
			d.magazines[i].addresses[magazineSize-1-k] = p.address(first + uint64(i*magazineSize+k))
		}
		d.push(&d.full, i)
		d.free.Add(1)
	}
	return d, nil
}

// NewPool makes a worker's.
func (d *Depot) NewPool() *Pool {
	return &Pool{free: make([]uint64, 2*magazineSize), mask: d.mask, all: d.frames, depot: d}
}

// Free is about how many frames there are that no pool has. Any goroutine.
func (d *Depot) Free() int { return int(d.free.Load()) * magazineSize }

func (d *Depot) push(s *stack, n int) {
	for {
		top := s.top.Load()
		d.magazines[n].below.Store(uint32(top))
		if s.top.CompareAndSwap(top, (top>>32+1)<<32|uint64(n+1)) {
			return
		}
	}
}

func (d *Depot) pop(s *stack) (n int, ok bool) {
	for {
		top := s.top.Load()
		n := int(uint32(top)) - 1
		if n < 0 {
			return 0, false
		}
		below := d.magazines[n].below.Load() // wrong if it was taken meanwhile: then the count is another
		if s.top.CompareAndSwap(top, (top>>32+1)<<32|uint64(below)) {
			return n, true
		}
	}
}

// load fills a pool that is empty with one magazine, if there is one.
func (p *Pool) load() bool {
	d := p.depot
	n, ok := d.pop(&d.full)
	if !ok {
		return false
	}
	d.free.Add(-1)
	p.n = copy(p.free, d.magazines[n].addresses[:])
	d.push(&d.empty, n)
	return true
}

// spill takes one magazine out of a pool that is full: what has been there longest.
func (p *Pool) spill() {
	d := p.depot
	n, ok := d.pop(&d.empty)
	if !ok {
		panic("a frame was put into a pool twice")
	}
	copy(d.magazines[n].addresses[:], p.free)
	p.n = copy(p.free, p.free[magazineSize:])
	d.push(&d.full, n)
	d.free.Add(1)
}
