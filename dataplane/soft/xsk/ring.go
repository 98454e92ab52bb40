package xsk

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is memory shared with the kernel: one of the two produces entries, the other consumes them. The counters
// run freely and wrap around; their difference is how many entries there are.
//
// The side that is ours has its counter in own, too, and what it saw last of the kernel's in theirs: the shared words,
// which are in the kernel's cache, are touched once a batch. A store of ours releases the entries before it, a load
// of the kernel's acquires those before its store: sync/atomic does both.
type ring[E uint64 | unix.XDPDesc] struct {
	mem                       []byte
	producer, consumer, flags *uint32
	entries                   []E
	mask                      uint32
	own, theirs               uint32
}

// mapRing maps one of a socket's rings, which has a power of two of entries.
func mapRing[E uint64 | unix.XDPDesc](fd int, pgoff int64, at unix.XDPRingOffset, size uint32) (*ring[E], error) {
	var e E
	mem, err := unix.Mmap(fd, pgoff, int(at.Desc)+int(size)*int(unsafe.Sizeof(e)), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("map ring of %d entries: %w", size, err)
	}
	return newRing[E](mem, at, size), nil
}

func newRing[E uint64 | unix.XDPDesc](mem []byte, at unix.XDPRingOffset, size uint32) *ring[E] {
	return &ring[E]{
		mem:      mem,
		producer: (*uint32)(unsafe.Pointer(&mem[at.Producer])),
		consumer: (*uint32)(unsafe.Pointer(&mem[at.Consumer])),
		flags:    (*uint32)(unsafe.Pointer(&mem[at.Flags])),
		entries:  unsafe.Slice((*E)(unsafe.Pointer(&mem[at.Desc])), size),
		mask:     size - 1,
	}
}

func (r *ring[E]) unmap() error {
	if r == nil || r.mem == nil {
		return nil
	}
	mem := r.mem
	*r = ring[E]{}
	return unix.Munmap(mem)
}

func (r *ring[E]) size() uint32 { return r.mask + 1 }

// at returns the entry behind the next i: to be written by a producer that has room for it, read by a consumer that has it.
func (r *ring[E]) at(i uint32) *E { return &r.entries[(r.own+i)&r.mask] }

// room tells a producer how many entries it may write, up to want.
func (r *ring[E]) room(want uint32) uint32 {
	free := r.size() - (r.own - r.theirs)
	if free < want {
		r.theirs = atomic.LoadUint32(r.consumer)
		free = r.size() - (r.own - r.theirs)
	}
	return min(free, want)
}

// produce gives the kernel the next n entries.
func (r *ring[E]) produce(n uint32) {
	r.own += n
	atomic.StoreUint32(r.producer, r.own)
}

// waiting tells a producer how many entries the kernel has not taken yet.
func (r *ring[E]) waiting() uint32 {
	r.theirs = atomic.LoadUint32(r.consumer)
	return r.own - r.theirs
}

// ready tells a consumer how many entries it may read, up to want.
func (r *ring[E]) ready(want uint32) uint32 {
	n := r.theirs - r.own
	if n < want {
		r.theirs = atomic.LoadUint32(r.producer)
		n = r.theirs - r.own
	}
	return min(n, want)
}

// consume gives the kernel the places of the next n entries back.
func (r *ring[E]) consume(n uint32) {
	r.own += n
	atomic.StoreUint32(r.consumer, r.own)
}

// needsWakeup tells whether the kernel sleeps until a system call, and does not look at the ring by itself.
func (r *ring[E]) needsWakeup() bool {
	return atomic.LoadUint32(r.flags)&unix.XDP_RING_NEED_WAKEUP != 0
}
