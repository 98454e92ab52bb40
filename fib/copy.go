package fib

import (
	"fmt"
	"slices"
	"unsafe"
)

// CopyTo makes, in mem, an image of another size with all that this one holds:
// groups and adjacencies keep their numbers, resilient groups their buckets,
// and the generation goes on. This is how an image grows and how memory is
// given back: the owner fills the copy beside, lets all readers change to it,
// and drops this one, which is not changed. mem is as for Create; opts are
// those of the copy, but the hash seed stays, and VRFs is at least what it was.
// Where nothing has to move it costs what copying the memory costs; else all is built anew.
//
// Errors: ErrSize, ErrFull: mem must be cleared before it is used again.
func (im *Image) CopyTo(mem []byte, opts Options) (*Image, error) {
	opts.VRFs, opts.HashSeed = max(opts.VRFs, int(im.vrfs)), im.HashSeed()
	if err := checkSize(mem); err == nil && len(mem) >= im.Size() && opts.VRFs == int(im.vrfs) && opts.Compact == im.opts.Compact {
		return im.extend(mem, opts), nil
	}
	to, err := Create(mem, opts)
	if err == nil {
		err = im.copyTo(to)
	}
	if err != nil {
		return nil, fmt.Errorf("copy image of %d bytes: %w", im.Size(), err)
	}
	return to, nil
}

func (im *Image) copyTo(to *Image) error {
	for _, t := range [][2]*table{{&to.groups, &im.groups}, {&to.adjacencies, &im.adjacencies}} {
		if t[0].count < t[1].count {
			if err := to.growTable(t[0], t[1].count); err != nil {
				return err
			}
		}
	}
	to.sizeState()
	for id := range im.adjacencies.count {
		if off := im.load32(im.adjacencies.at(id)); off != 0 {
			b, err := to.allocate(orderFor(adjacencySize))
			if err != nil {
				return err
			}
			copyBytes(to, b.offset(), im, off, adjacencySize)
			to.store32(to.adjacencies.at(id), b.offset())
		}
	}
	for id := range im.groups.count {
		w := groupWord(im.load64(im.groups.at(id)))
		if w.kind() == layoutFibGroupKindFIB_GROUP_BUCKETS {
			size := bucketsSize(w.log(), len(im.groupOf(uint64(w)).Members))
			b, err := to.allocate(orderFor(size))
			if err != nil {
				return err
			}
			copyBytes(to, b.offset(), im, w.value(), size)
			w = newGroupWord(w.kind(), w.log(), w.aux(), b.offset())
		}
		to.store64(to.groups.at(id), uint64(w))
	}
	to.countGroups()
	to.routes.expect(im.routes.count)
	var err error
	im.routes.all(func(_ uint32, r route) bool {
		if err = to.routes.reserve(); err == nil {
			to.routes.add(&r)
			to.countRoute(&r)
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	for vrf := range im.vrfs {
		for f := range family(2) {
			from, t := Table{im, vrf}, Table{to, vrf}
			tr := t.trie(f)
			tr.shaped = tr.routes
			b := to.builder(tr.routes)
			ivs := im.collect(im.left[:0], noLimit, from.root(f), key{}, 0, false)
			if err := b.replace(t.root(f), ivs, 0, false); err != nil {
				return err
			}
		}
	}
	to.store64(offGeneration, im.Generation())
	return nil
}

// extend is CopyTo into memory that is no smaller: all stays at its offset. What readers
// of this image may still use, none of the copy's can.
func (im *Image) extend(mem []byte, opts Options) *Image {
	to := newImage(mem, opts)
	used := im.Size() - int(tailSize)
	copy(mem[offMagic+8:used], im.mem[offMagic+8:used])
	copy(to.owner, im.owner)
	to.put64(offSize, uint64(len(mem)))
	to.vrfs, to.groups, to.adjacencies, to.pages = im.vrfs, im.groups, im.adjacencies, im.pages
	to.alloc.extend(im.alloc)
	to.alloc.releaseRange(im.alloc.units-units(tailSize), to.alloc.units-units(tailSize))
	to.groupUse, to.adjacencyUse = slices.Clone(im.groupUse), slices.Clone(im.adjacencyUse)
	to.groupFree, to.adjacencyFree = slices.Clone(im.groupFree), slices.Clone(im.adjacencyFree)
	r := &im.routes
	to.routes = routeStore{im: to, index: slices.Clone(r.index), count: r.count, pages: r.pages, free: slices.Clone(r.free)}
	to.tries = slices.Clone(im.tries)
	for i := range to.tries {
		to.tries[i].lengths = slices.Clone(to.tries[i].lengths)
	}
	to.limbo.bytes = im.limbo.bytes
	for waits := range im.limbo.all() {
		to.reuse(waits)
	}
	// gofail: var fibCopyExtended struct{}
	to.store64(offMagic, magic) // last, as in Create
	for i := range to.tries {
		if tr := &to.tries[i]; tr.cramped {
			Table{to, uint32(i / 2)}.reshape(family(i % 2))
		}
	}
	return to
}

func copyBytes(to *Image, at uint32, from *Image, off, size uint32) {
	copy(unsafe.Slice((*byte)(to.ptr(at)), size), unsafe.Slice((*byte)(from.ptr(off)), size))
}
