package device

import (
	"fmt"
	"math/bits"
)

// Pool is the frames that are free, of one worker. The one freed last is the first to
// be used again: it is in the cache. Of a Depot's, it is a cache of that.
type Pool struct {
	free  []uint64 // addresses of frames, with Headroom added
	n     int
	mask  uint64
	first uint64 // frames that are the pool's, also while they are not in it
	all   int
	depot *Depot // nil: the pool has its frames to itself
}

// NewPool takes so many frames, that no pool has, for a new one.
//
// Errors: ErrSize.
func (m *Memory) NewPool(frames int) (*Pool, error) {
	first, err := m.take(frames)
	if err != nil {
		return nil, fmt.Errorf("make pool of %d frames: %w", frames, err)
	}
	p := &Pool{free: make([]uint64, frames), mask: uint64(m.frameSize) - 1, first: first, all: frames}
	p.Reset()
	return p, nil
}

// take gives away so many frames, and returns the first.
func (m *Memory) take(frames int) (first uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if left := m.Frames() - m.taken; frames < 1 || frames > left {
		return 0, fmt.Errorf("%w: %d are left", ErrSize, left)
	}
	first = uint64(m.taken)
	m.taken += frames
	return first, nil
}

// address is where a packet may begin in a frame.
func (p *Pool) address(frame uint64) uint64 { return frame<<bits.Len64(p.mask) + Headroom }

// Reset makes all frames of the pool free, whoever had them. It is not for a Depot's.
func (p *Pool) Reset() {
	for i := range p.free {
		// The last is taken first: so they go out in the order of their addresses.
		p.free[i] = p.address(p.first + uint64(p.all-1-i))
	}
	p.n = p.all
}

// Get takes free frames, and returns how many: fewer when there are no more. What it
// gives are addresses where a packet may begin, with Headroom before it.
func (p *Pool) Get(addresses []uint64) (n int) {
	for {
		some := min(p.n, len(addresses)-n)
		p.n -= some
		copy(addresses[n:n+some], p.free[p.n:])
		n += some
		if n == len(addresses) || p.depot == nil || !p.load() {
			return n
		}
	}
}

// Put gives a frame back, by the address of any byte in it.
func (p *Pool) Put(address uint64) {
	if p.n == len(p.free) {
		p.spill()
	}
	p.free[p.n] = address&^p.mask + Headroom
	p.n++
}

// Free is how many frames are free: of a Depot's pool, those of the Depot, too.
func (p *Pool) Free() int {
	if p.depot != nil {
		return p.n + p.depot.Free()
	}
	return p.n
}

// Size is how many frames the pool has, free or not: of a Depot's, its share.
func (p *Pool) Size() int { return p.all }
