package fib

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"
)

const (
	// MinSize and MaxSize bound an image, in bytes. An entry has 24 bits for a
	// unit of 32 bytes, and BPF reaches 512 MiB behind one address.
	MinSize = 64 << 10
	MaxSize = 512 << 20

	magic = uint64('w') | 'e'<<8 | 'f'<<16 | 't'<<24 | '-'<<32 | 'f'<<40 | 'i'<<48 | 'b'<<56

	defaultVRFs        = 1024
	defaultGroups      = 256
	defaultAdjacencies = 256
	maxVRFs            = 1 << 16
)

// Options are chosen when an image is created or opened. The zero value is
// usable.
type Options struct {
	// Compact prefers a small image to the fastest lookups: about half of
	// the memory on the Internet table.
	Compact bool
	// VRFs is how many VRFs there is room for, at 8 bytes each: 0 means 1,024,
	// 65,536 is the most. Open keeps the image's own.
	VRFs int
	// HashSeed goes into every flow hash, so that routers in a row do not all
	// choose alike (RFC 2992). Open keeps the image's own.
	HashSeed uint32
	// Reserve is how many bytes new routes leave free, so that what there is can
	// change, and go, in an image that is full. Groups and adjacencies leave half.
	Reserve int
	// Grace tells when readers have left freed memory. With nil there must not
	// be readers while the image changes.
	Grace Grace
}

// Image is a FIB in one block of memory: see the package documentation.
//
// One goroutine at a time may call its methods, except those that its
// documentation gives to readers.
type Image struct {
	mem   []byte
	base  unsafe.Pointer
	opts  Options
	alloc *allocator
	limbo limbo

	// owner holds, for each leaf of the tries, the length of the prefix that
	// the leaf stands for: at half of the leaf's offset. Writer's knowledge,
	// kept outside the image.
	owner []uint8

	vrfs                       uint32
	groups, adjacencies, pages table

	routes routeStore
	tries  []trie // by 2 * VRF + family

	groupUse      []uint32 // routes that name the group
	adjacencyUse  []uint32 // members that name the adjacency
	groupFree     []uint32
	adjacencyFree []uint32

	left, right []interval // scratch of one update
	built       []block    // blocks of an update that is not published yet

	stored func() // tests: called before each store to the image
}

// Create makes an empty image in mem, which must be all zero, stay in place
// and be aligned to 8 bytes. Its length is the size of the image: a multiple
// of 4096 between MinSize and MaxSize. Without a file or a map behind it, mem
// may be an ordinary slice.
//
// Errors: ErrSize.
func Create(mem []byte, opts Options) (*Image, error) {
	if opts.VRFs == 0 {
		opts.VRFs = defaultVRFs
	}
	err := checkSize(mem)
	if err == nil && (opts.VRFs < 1 || opts.VRFs > maxVRFs) {
		err = fmt.Errorf("%w: room for %d VRFs, want 1 to %d", ErrSize, opts.VRFs, maxVRFs)
	}
	if err == nil && headerSize+uint32(opts.VRFs)*vrfSize > uint32(len(mem))/2 {
		err = fmt.Errorf("%w: %d bytes for %d VRFs", ErrSize, len(mem), opts.VRFs)
	}
	if err != nil {
		return nil, fmt.Errorf("create image: %w", err)
	}
	im := newImage(mem, opts)
	im.vrfs = uint32(opts.VRFs)
	im.put64(offSize, uint64(len(mem)))
	im.put32(offVersion, version)
	im.put32(offHashSeed, opts.HashSeed)
	im.put64(offVRFs, uint64(im.vrfs))
	im.alloc.releaseRange(units(im.rootsEnd()), im.alloc.units-units(tailSize))
	for _, t := range []struct {
		table *table
		count uint32
	}{{&im.groups, defaultGroups}, {&im.adjacencies, defaultAdjacencies}, {&im.pages, 8}} {
		if err := im.growTable(t.table, t.count); err != nil {
			return nil, fmt.Errorf("create image of %d bytes: %w", len(mem), err)
		}
	}
	im.sizeState()
	// A group number of 0 in a leaf means no route.
	im.groupFree = im.groupFree[:len(im.groupFree)-1]
	im.adjacencyFree = im.adjacencyFree[:len(im.adjacencyFree)-1]
	// gofail: var fibCreated struct{}
	im.store64(offMagic, magic) // last: what is not complete is not an image
	return im, nil
}

func checkSize(mem []byte) error {
	switch {
	case len(mem) < MinSize || len(mem) > MaxSize:
		return fmt.Errorf("%w: %d bytes, want %d to %d", ErrSize, len(mem), MinSize, MaxSize)
	case len(mem)%4096 != 0:
		return fmt.Errorf("%w: %d bytes, want a multiple of 4096", ErrSize, len(mem))
	case uintptr(unsafe.Pointer(unsafe.SliceData(mem)))%8 != 0:
		return fmt.Errorf("%w: memory not aligned to 8 bytes", ErrSize)
	}
	return nil
}

func newImage(mem []byte, opts Options) *Image {
	im := &Image{
		mem:   mem,
		base:  unsafe.Pointer(unsafe.SliceData(mem)),
		opts:  opts,
		alloc: newAllocator(uint32(len(mem) / unitSize)),
		owner: make([]uint8, len(mem)/2),
	}
	im.routes.im = im
	im.groups = table{header: offGroups, size: 8}
	im.adjacencies = table{header: offAdjacencies, size: 4}
	im.pages = table{header: offPages, size: 4}
	return im
}

// sizeState makes the writer's own state as long as the tables of the image.
// New numbers are handed out lowest first.
func (im *Image) sizeState() {
	if im.tries == nil {
		im.tries = make([]trie, 2*im.vrfs)
	}
	im.groupFree = sizeNumbers(&im.groupUse, im.groupFree, im.groups.count)
	im.adjacencyFree = sizeNumbers(&im.adjacencyUse, im.adjacencyFree, im.adjacencies.count)
}

// rootOff returns the offset of a root: roots follow the header and never move.
func rootOff(vrf uint32, f family) uint32 { return headerSize + vrf*vrfSize + 4*uint32(f) }

// rootsEnd returns where blocks may begin.
func (im *Image) rootsEnd() uint32 { return rootOff(im.vrfs, ipv4) }

func sizeNumbers(use *[]uint32, free []uint32, count uint32) []uint32 {
	old := uint32(len(*use))
	*use = append(*use, make([]uint32, count-old)...)
	for n := count; n > old; n-- {
		free = append(free, n-1)
	}
	return free
}

// Size returns the size of the image in bytes.
func (im *Image) Size() int { return len(im.mem) }

// Used returns how many bytes of the image are taken. Memory that waits for a
// grace period counts.
func (im *Image) Used() int { return unitSize * int(im.alloc.used) }

// Available returns how many bytes are free, or will be when readers have left.
func (im *Image) Available() int { return im.Size() - im.Used() + im.limbo.bytes }

// UsedByRecords returns how many of them are for the records of routes, which
// readers never touch.
func (im *Image) UsedByRecords() int {
	return unitSize * (int(im.routes.pages)<<orderFor(pageSize) + 1<<orderFor(im.pages.count*im.pages.size))
}

// HashSeed returns the seed of the flow hash. Readers may call it.
func (im *Image) HashSeed() uint32 { return im.load32(offHashSeed) }

// Generation returns the number of publications so far. Readers may call it.
func (im *Image) Generation() uint64 { return im.load64(offGeneration) }

// Publish ends a set of changes: it counts the generation up and returns it.
// Each change was visible to readers when its call returned; the generation
// lets them, and those who wait for an acknowledgement, name a state.
func (im *Image) Publish() uint64 {
	g := im.load64(offGeneration) + 1
	// gofail: var fibPublish struct{}
	im.store64(offGeneration, g)
	return g
}

// table is one of the tables that the header names: elements of one size, at
// a place that moves when the table grows.
type table struct {
	header uint32 // offset of its word in the header
	size   uint32 // of an element, bytes
	off    uint32
	count  uint32
}

func (t *table) at(i uint32) uint32 { return t.off + i*t.size }

// growTable moves a table to a place with room for at least count elements.
func (im *Image) growTable(t *table, count uint32) error {
	order := orderFor(count * t.size)
	count = uint32(unitSize<<order) / t.size
	b, err := im.allocate(order)
	if err != nil {
		return err
	}
	off := b.offset()
	for i := uint32(0); i < count*t.size; i += 4 {
		v := uint32(0)
		if i < t.count*t.size {
			v = im.load32(t.off + i)
		}
		im.put32(off+i, v)
	}
	// gofail: var fibTableCopied struct{}
	im.store64(t.header, uint64(off)<<tableShift|uint64(count))
	// gofail: var fibTableMoved struct{}
	if t.count > 0 {
		im.discard(newBlock(t.off, t.count*t.size))
	}
	t.off, t.count = off, count
	return nil
}

// block is a piece of the image: 2^order units.
type block struct {
	unit  uint32
	order uint8
}

// newBlock returns the block that was allocated at off for size bytes.
func newBlock(off, size uint32) block {
	return block{off / uint32(unitSize), uint8(orderFor(size))}
}

func (b block) offset() uint32 { return b.unit * uint32(unitSize) }

// allocate takes a block, waiting for readers to leave freed ones if that is
// the only way.
func (im *Image) allocate(order int) (block, error) {
	im.reclaim(false)
	unit, ok := im.alloc.alloc(order)
	if !ok {
		im.reclaim(true)
		if unit, ok = im.alloc.alloc(order); !ok {
			return block{}, ErrFull
		}
	}
	return block{unit, uint8(order)}, nil
}

// discard gives a block back as soon as no reader can be in it.
func (im *Image) discard(b block) { im.retire(retired{b, retiredBlock}) }

func (im *Image) ptr(off uint32) unsafe.Pointer { return unsafe.Add(im.base, off) }

func (im *Image) load32(off uint32) uint32 { return atomic.LoadUint32((*uint32)(im.ptr(off))) }
func (im *Image) load64(off uint32) uint64 { return atomic.LoadUint64((*uint64)(im.ptr(off))) }

// load16 reads the aligned word around the half: Go has no 16-bit atomics.
func (im *Image) load16(off uint32) uint32 {
	return im.load32(off&^3) >> (off & 2 * 8) & 0xffff
}

// store32 and its kin publish: readers see all that was put before.
func (im *Image) store32(off, v uint32) {
	im.beforeStore()
	atomic.StoreUint32((*uint32)(im.ptr(off)), v)
}

func (im *Image) store64(off uint32, v uint64) {
	im.beforeStore()
	atomic.StoreUint64((*uint64)(im.ptr(off)), v)
}

func (im *Image) store16(off uint32, v uint32) {
	shift := off & 2 * 8
	im.store32(off&^3, im.load32(off&^3)&^(0xffff<<shift)|v<<shift)
}

// put32 and its kin write what no reader can reach yet.
func (im *Image) put32(off, v uint32) {
	im.beforeStore()
	*(*uint32)(im.ptr(off)) = v
}

func (im *Image) put64(off uint32, v uint64) {
	im.beforeStore()
	*(*uint64)(im.ptr(off)) = v
}

func (im *Image) put16(off, v uint32) {
	im.beforeStore()
	*(*uint16)(im.ptr(off)) = uint16(v)
}

func (im *Image) beforeStore() {
	if im.stored != nil {
		im.stored()
	}
}

// isForeignOrder tells a magic number written by a machine of the other byte
// order.
func isForeignOrder(m uint64) bool { return bits.ReverseBytes64(m) == magic }

// newHeader reads the header of what may not be an image.
func newHeader(mem []byte) layoutFibHeader {
	var h layoutFibHeader
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&h)), headerSize), mem)
	return h
}
