package fib

import (
	"iter"
	"sync"
	"sync/atomic"
	"time"
)

// Grace tells when readers can no longer be in memory that was unlinked
// before. The kernel's readers have one (package bpf), goroutines have Readers.
type Grace interface {
	// Begin starts a grace period and returns its number. It does not block.
	Begin() uint64
	// Over reports whether all readers that were at work at Begin are done.
	Over(period uint64) bool
}

// Graces is several kinds of readers at once. It holds the numbers of the
// periods that have begun, so one Graces serves one image.
type Graces struct {
	all     []Grace
	periods [][]uint64
	first   uint64 // number of periods[0]
}

// NewGraces joins the given kinds of readers.
func NewGraces(all ...Grace) *Graces { return &Graces{all: all} }

// Begin implements Grace.
func (g *Graces) Begin() uint64 {
	p := make([]uint64, len(g.all))
	for i, one := range g.all {
		p[i] = one.Begin()
	}
	g.periods = append(g.periods, p)
	return g.first + uint64(len(g.periods)) - 1
}

// Over implements Grace.
func (g *Graces) Over(period uint64) bool {
	if period < g.first {
		return true
	}
	for i, one := range g.all {
		if !one.Over(g.periods[period-g.first][i]) {
			return false
		}
	}
	// A period is over only after those before it.
	done := period - g.first + 1
	g.periods = append(g.periods[:0], g.periods[done:]...)
	g.first += done
	return true
}

// Readers are the goroutines that read an image while it changes. The zero
// value has none and is ready to use.
type Readers struct {
	mu     sync.Mutex
	all    []*Reader
	period atomic.Uint64
}

// Reader is one goroutine's leave to read: it must call Quiesce now and then
// (a packet loop: once a vector), outside of which it holds nothing that it
// read from the image; writers wait for it before they use memory again.
type Reader struct {
	readers *Readers
	seen    atomic.Uint64 // period at the last quiescent point; offline: not reading
	_       [48]byte      // one cache line each
}

const offline = ^uint64(0)

// gracePoll is how often a writer that has to wait looks for the end of a
// grace period.
const gracePoll = 50 * time.Microsecond

// Join makes a new reader, online.
func (r *Readers) Join() *Reader {
	one := &Reader{readers: r}
	r.mu.Lock()
	defer r.mu.Unlock()
	one.seen.Store(r.period.Load())
	r.all = append(r.all, one)
	return one
}

// Leave ends the reader.
func (one *Reader) Leave() {
	r := one.readers
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.all {
		if r.all[i] == one {
			r.all = append(r.all[:i], r.all[i+1:]...)
			return
		}
	}
}

// Quiesce says that the reader holds nothing from before. It costs one store
// when a writer waits and a load when none does.
func (one *Reader) Quiesce() {
	if p := one.readers.period.Load(); one.seen.Load() != p {
		one.seen.Store(p)
	}
}

// Offline says that the reader will not read until Quiesce: it may sleep.
func (one *Reader) Offline() { one.seen.Store(offline) }

// Begin implements Grace.
func (r *Readers) Begin() uint64 { return r.period.Add(1) }

// Over implements Grace.
func (r *Readers) Over(period uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.all {
		if one.seen.Load() < period {
			return false
		}
	}
	return true
}

// retired is what waits in limbo until no reader can be using it: a block, or
// the number of a group or adjacency (in block.unit).
type retired struct {
	block
	kind uint8
}

const (
	retiredBlock = iota
	retiredGroup
	retiredAdjacency
)

// limboBatch is how many retired things share a grace period.
const limboBatch = 512

// limbo keeps the retired in the order of their grace periods.
type limbo struct {
	open    []retired
	closed  []limboPeriod
	recycle [][]retired
	bytes   int // of the blocks in it
}

type limboPeriod struct {
	period  uint64
	retired []retired
}

func (im *Image) retire(r retired) {
	if r.kind == retiredBlock {
		im.limbo.bytes += unitSize << r.order
	}
	if im.opts.Grace == nil {
		im.reuse(r)
		return
	}
	im.limbo.open = append(im.limbo.open, r)
	if len(im.limbo.open) >= limboBatch {
		im.closeLimbo()
	}
}

func (im *Image) closeLimbo() {
	l := &im.limbo
	l.closed = append(l.closed, limboPeriod{im.opts.Grace.Begin(), l.open})
	// gofail: var fibPeriodBegun struct{}
	l.open = nil
	if n := len(l.recycle); n > 0 {
		l.open, l.recycle = l.recycle[n-1], l.recycle[:n-1]
	}
}

// reclaim takes back what readers have left. With wait it takes back all.
func (im *Image) reclaim(wait bool) {
	l := &im.limbo
	if wait && len(l.open) > 0 {
		im.closeLimbo()
	}
	done := 0
	for _, p := range l.closed {
		for !im.opts.Grace.Over(p.period) {
			if !wait {
				l.drop(done)
				return
			}
			time.Sleep(gracePoll)
		}
		for _, r := range p.retired {
			im.reuse(r)
		}
		l.recycle = append(l.recycle, p.retired[:0])
		done++
	}
	l.drop(done)
}

func (l *limbo) drop(n int) {
	if n > 0 {
		l.closed = append(l.closed[:0], l.closed[n:]...)
	}
}

// all yields what waits.
func (l *limbo) all() iter.Seq[retired] {
	return func(yield func(retired) bool) {
		for _, p := range append(l.closed[:len(l.closed):len(l.closed)], limboPeriod{retired: l.open}) {
			for _, r := range p.retired {
				if !yield(r) {
					return
				}
			}
		}
	}
}

func (im *Image) reuse(r retired) {
	switch r.kind {
	case retiredBlock:
		im.alloc.release(r.unit, int(r.order))
		im.limbo.bytes -= unitSize << r.order
	case retiredGroup:
		im.groupFree = append(im.groupFree, r.unit)
	case retiredAdjacency:
		im.adjacencyFree = append(im.adjacencyFree, r.unit)
	}
}
