package fib

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Check finds out whether programs of this version can read an image: it looks
// at the header alone.
//
// Errors: ErrNotImage, ErrByteOrder, ErrVersion, ErrTruncated.
func Check(mem []byte) error {
	if _, err := checkHeader(mem); err != nil {
		return fmt.Errorf("check image: %w", err)
	}
	return nil
}

func checkHeader(mem []byte) (size uint64, err error) {
	if len(mem) < int(headerSize) {
		return 0, fmt.Errorf("%w: %d bytes", ErrTruncated, len(mem))
	}
	head := newHeader(mem)
	switch {
	case head.Magic != magic && isForeignOrder(head.Magic):
		return 0, ErrByteOrder
	case head.Magic != magic:
		return 0, fmt.Errorf("%w: it starts with %#x", ErrNotImage, head.Magic)
	case head.Version != version:
		return 0, fmt.Errorf("%w: %d, this program writes %d", ErrVersion, head.Version, version)
	case head.Size > uint64(len(mem)):
		return 0, fmt.Errorf("%w: %d bytes of %d", ErrTruncated, len(mem), head.Size)
	}
	return head.Size, nil
}

// Open takes over an image that another writer, maybe one that died in the
// middle of a change, has left in mem. Readers may be at work: what they see
// stays right. Open rebuilds all that a writer keeps outside the image, makes
// the tries agree with the route records where a change was under way, and
// frees what was not linked.
//
// Errors: ErrNotImage, ErrByteOrder, ErrVersion, ErrTruncated, ErrSize,
// ErrCorrupt: the image is as it was. ErrFull: a table was being loaded and
// does not fit; the image is usable by readers but not by a writer: fill
// another.
func Open(mem []byte, opts Options) (*Image, error) {
	size, err := checkHeader(mem)
	if err != nil {
		return nil, fmt.Errorf("open image: %w", err)
	}
	mem = mem[:size]
	if err := checkSize(mem); err != nil {
		return nil, fmt.Errorf("open image: %w", err)
	}
	im := newImage(mem, opts)
	s := survey{im: im, seen: make([]uint64, (im.alloc.units+63)/64)}
	if err := s.run(); err != nil {
		return nil, fmt.Errorf("open image: %w", err)
	}
	// gofail: var fibOpenSurveyed struct{}
	if opts.Grace != nil {
		// Readers may still be in what the last writer unlinked.
		for period := opts.Grace.Begin(); !opts.Grace.Over(period); {
			time.Sleep(gracePoll)
		}
	}
	if err := im.adopt(); err != nil {
		return nil, fmt.Errorf("open image: %w", err)
	}
	// gofail: var fibOpenAdopted struct{}
	return im, nil
}

// survey walks an image without trusting it, and marks what is in use.
type survey struct {
	im   *Image
	seen []uint64 // by unit
}

func (s *survey) run() error {
	im := s.im
	vrfs := im.load64(offVRFs)
	if vrfs < 1 || vrfs > maxVRFs || headerSize+uint32(vrfs)*vrfSize > uint32(im.Size())/2 {
		return fmt.Errorf("%w: %d VRFs", ErrCorrupt, vrfs)
	}
	im.vrfs = uint32(vrfs)
	s.reserve(0, units(im.rootsEnd()))
	s.reserve(im.alloc.units-units(tailSize), im.alloc.units)
	for _, t := range []*table{&im.groups, &im.adjacencies, &im.pages} {
		word := im.load64(t.header)
		count := uint32(word)
		if word>>tableShift >= uint64(im.Size()) || uint64(count)*uint64(t.size) > uint64(im.Size()) || count == 0 {
			return fmt.Errorf("%w: table at header offset %d", ErrCorrupt, t.header)
		}
		t.off, t.count = uint32(word>>tableShift), count
		if err := s.mark(t.off, count*t.size); err != nil {
			return err
		}
	}
	for i := range im.vrfs {
		for f := range family(2) {
			if err := s.trie(im.load32(rootOff(i, f)), 0, f, false, 0); err != nil {
				return fmt.Errorf("VRF %d: %w", i, err)
			}
		}
	}
	for id := range im.adjacencies.count {
		if off := im.load32(im.adjacencies.at(id)); off != 0 {
			if err := s.mark(off, adjacencySize); err != nil {
				return fmt.Errorf("adjacency %d: %w", id, err)
			}
			if a, _ := im.Adjacency(AdjacencyID(id)); a.check() != nil {
				return fmt.Errorf("adjacency %d: %w: %w", id, ErrCorrupt, a.check())
			}
		}
	}
	for id := range im.groups.count {
		if err := s.group(groupWord(im.load64(im.groups.at(id)))); err != nil {
			return fmt.Errorf("group %d: %w", id, err)
		}
	}
	for page := range im.pages.count {
		off := im.load32(im.pages.at(page))
		if off == 0 {
			continue
		}
		if page != im.routes.pages {
			return fmt.Errorf("%w: no page %d, but a page %d", ErrCorrupt, im.routes.pages, page)
		}
		if err := s.mark(off, pageSize); err != nil {
			return fmt.Errorf("page %d: %w", page, err)
		}
		im.routes.pages++
	}
	for unit := uint32(0); unit < im.alloc.units; unit++ {
		if s.seen[unit>>6]&(1<<(unit&63)) == 0 {
			im.alloc.releaseRange(unit, unit+1)
		}
	}
	return nil
}

// reserve counts the units from first up to but not including end in.
func (s *survey) reserve(first, end uint32) {
	for unit := first; unit < end; unit++ {
		s.seen[unit>>6] |= 1 << (unit & 63)
	}
}

// mark counts a block in, which must be in the image, aligned as the allocator
// does, and not counted before.
func (s *survey) mark(off, size uint32) error {
	unit, n := off/uint32(unitSize), uint32(1)<<orderFor(size)
	if unit >= s.im.alloc.units || n > s.im.alloc.units-unit || off&(n*uint32(unitSize)-1) != 0 {
		return fmt.Errorf("%w: a block of %d bytes at offset %d", ErrCorrupt, size, off)
	}
	for ; n > 0; n-- {
		if w := &s.seen[unit>>6]; *w&(1<<(unit&63)) != 0 {
			return fmt.Errorf("%w: what is at offset %d is in use twice", ErrCorrupt, off)
		} else {
			*w |= 1 << (unit & 63)
		}
		unit++
	}
	return nil
}

func (s *survey) trie(e uint32, d int, f family, low bool, steps int) error {
	im, end := s.im, 64
	if low {
		end = 128
	}
	if isLeaf(e) {
		return nil
	}
	if steps++; steps > stepsMax {
		return fmt.Errorf("%w: a path of over %d nodes", ErrCorrupt, steps-1)
	}
	off := offset(e)
	switch kind(e) {
	case kindWide:
		st := stride(e)
		if st < stepStride || st > maxStride || d+st > end {
			return fmt.Errorf("%w: a node of stride %d at depth %d", ErrCorrupt, st, d)
		}
		if err := s.mark(off, 4<<st); err != nil {
			return err
		}
		for i := range uint32(1) << st {
			if err := s.trie(im.load32(off+4*i), d+st, f, low, steps); err != nil {
				return err
			}
		}
		return nil
	case kindNarrow:
		st := stride(e)
		if st != stepStride && st != 2*stepStride || d+st > end {
			return fmt.Errorf("%w: a narrow node of stride %d at depth %d", ErrCorrupt, st, d)
		}
		return s.mark(off, 2<<st)
	case kindLine:
		if d >= end {
			return fmt.Errorf("%w: a line at depth %d", ErrCorrupt, d)
		}
		if err := s.mark(off, lineSize); err != nil {
			return err
		}
		return s.line(off)
	}
	if d != 64 || f != ipv6 || low {
		return fmt.Errorf("%w: a link to the low half at depth %d", ErrCorrupt, d)
	}
	if err := s.mark(off, uint32(unitSize)); err != nil {
		return err
	}
	return s.trie(im.load32(off), d, f, true, steps)
}

// line checks that a line's keys ascend, and that unused ones are the highest.
func (s *survey) line(off uint32) error {
	n := int(s.im.load16(off + lineIvsOffset))
	if n < 1 || n > lineSlots {
		return fmt.Errorf("%w: a line of %d intervals", ErrCorrupt, n)
	}
	last := uint32(0)
	for i := range lineKeys {
		k := s.im.load32(off + 4*uint32(i))
		if i < n-1 && k <= last || i >= n-1 && k != ^uint32(0) {
			return fmt.Errorf("%w: key %d of a line of %d intervals is %#x", ErrCorrupt, i, n, k)
		}
		last = k
	}
	return nil
}

func (s *survey) group(w groupWord) error {
	im := s.im
	if w == 0 {
		return nil
	}
	if w.kind() > layoutFibGroupKindFIB_GROUP_PUNT {
		return fmt.Errorf("%w: kind %d", ErrCorrupt, w.kind())
	}
	if w.kind() == layoutFibGroupKindFIB_GROUP_BUCKETS {
		end := uint64(w.value()) + 4<<w.log() + 8
		if w.log() < 1 || w.log() > maxLog || end > uint64(im.Size()) || w.value()%uint32(unitSize) != 0 {
			return fmt.Errorf("%w: buckets", ErrCorrupt)
		}
		n := im.load32(w.value() + 4<<w.log() + 4)
		if n < 1 || n > MaxMembers {
			return fmt.Errorf("%w: %d members", ErrCorrupt, n)
		}
		if err := s.mark(w.value(), bucketsSize(w.log(), int(n))); err != nil {
			return err
		}
		for i := range uint32(1) << w.log() {
			if id := im.load32(w.value() + 4*i); !im.hasAdjacency(AdjacencyID(id)) {
				return fmt.Errorf("%w: bucket %d leads to adjacency %d, which is not there", ErrCorrupt, i, id)
			}
		}
	}
	g := im.groupOf(uint64(w))
	if err := im.checkGroup(&g); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

// adopt rebuilds the writer's state from a surveyed image.
func (im *Image) adopt() error {
	im.sizeState()
	im.countGroups()
	for page := im.routes.pages; page > 0; page-- {
		im.routes.addFree(page - 1)
	}
	all := make([]route, 0, im.routes.pages*pageRoutes-uint32(len(im.routes.free)))
	im.routes.expect(cap(all))
	var bad error
	im.routes.all(func(record uint32, r route) bool {
		if bad = im.checkRecord(record, &r); bad != nil {
			return false
		}
		all = append(all, r)
		im.routes.enter(&r, record)
		im.countRoute(&r)
		return true
	})
	if bad != nil {
		return bad
	}
	slices.SortFunc(all, func(a, b route) int {
		if c := cmp.Compare(a.vrf, b.vrf); c != 0 {
			return c
		}
		return compareRoutes(a, b)
	})
	for i := 1; i < len(all); i++ {
		if all[i-1].vrf == all[i].vrf && compareRoutes(all[i-1], all[i]) == 0 {
			return fmt.Errorf("%w: two records of %s in VRF %d", ErrCorrupt, &all[i], all[i].vrf)
		}
	}
	for vrf := range im.vrfs {
		for f := range family(2) {
			t := Table{im, vrf}
			tr := t.trie(f)
			tr.shaped = tr.routes
			r := repair{im, im.builder(tr.routes)}
			if err := r.slot(t.root(f), sweep(all[:tr.routes]), 0, false); err != nil {
				return fmt.Errorf("repair VRF %d: %w", vrf, err)
			}
			all = all[tr.routes:]
		}
	}
	return nil
}

// countGroups finds which numbers are free, and who uses the others.
func (im *Image) countGroups() {
	im.groupFree, im.adjacencyFree = im.groupFree[:0], im.adjacencyFree[:0]
	for id := im.groups.count - 1; id > 0; id-- {
		if !im.hasGroup(GroupID(id)) {
			im.groupFree = append(im.groupFree, id)
			continue
		}
		for _, m := range im.groupOf(im.load64(im.groups.at(id))).Members {
			im.adjacencyUse[m.Adjacency]++
		}
	}
	for id := im.adjacencies.count - 1; id > 0; id-- {
		if !im.hasAdjacency(AdjacencyID(id)) {
			im.adjacencyFree = append(im.adjacencyFree, id)
		}
	}
}

// countRoute counts a route in whose record is there.
func (im *Image) countRoute(r *route) {
	t := Table{im, uint32(r.vrf)}
	im.groupUse[r.group]++
	t.lengths(r.family)[r.len]++
	t.trie(r.family).routes++
}

func (im *Image) checkRecord(record uint32, r *route) error {
	mapped := r.family == ipv6 && r.key.hi == 0 && r.key.lo>>32 == 0xffff
	switch {
	case r.len > r.family.width() || r.key != r.key.first(r.len) || mapped || r.tail() != im.load64(im.routes.off(record)+routeTail):
		return fmt.Errorf("%w: a record of %s", ErrCorrupt, r)
	case uint32(r.vrf) >= im.vrfs:
		return fmt.Errorf("%w: route %s in VRF %d, which is not there", ErrCorrupt, r, r.vrf)
	case !im.hasGroup(GroupID(r.group)):
		return fmt.Errorf("%w: route %s names group %d, which is not there", ErrCorrupt, r, r.group)
	}
	return nil
}

// repair makes a trie agree with the intervals that its routes come to, and
// learns the owners of its leaves. Where nothing was under way it only reads.
type repair struct {
	im *Image
	b  builder
}

func (r *repair) slot(slot uint32, ivs []interval, d int, low bool) error {
	im, e := r.im, r.im.load32(slot)
	if len(ivs) == 1 || isLeaf(e) {
		if len(ivs) == 1 && e == ivs[0].value {
			im.owner[slot/2] = ivs[0].owner
			return nil
		}
		return r.b.replace(slot, ivs, d, low)
	}
	off := offset(e)
	switch kind(e) {
	case kindWide:
		s := stride(e)
		return partition(ivs, d, s, func(i, n uint32, sub []interval) error {
			for end := i + n; i < end; i++ {
				if err := r.slot(off+4*i, sub, d+s, low); err != nil {
					return err
				}
			}
			return nil
		})
	case kindLow:
		return r.slot(off, ivs, 64, true)
	}
	if r.leaves(e, ivs, d) {
		return nil
	}
	return r.b.replace(slot, ivs, d, low)
}

// leaves checks the leaves of a narrow node or a line; it returns false if
// they are not what they should be.
func (r *repair) leaves(e uint32, ivs []interval, d int) bool {
	im, off, n := r.im, offset(e), uint32(1)<<stride(e)
	start := func(i uint32) uint32 { return i << (32 - stride(e)) }
	if kind(e) == kindLine {
		n = uint32(lineSlots)
		start = func(i uint32) uint32 {
			if i == 0 {
				return 0
			}
			return im.load32(off + 4*(i-1))
		}
	}
	leaf := off
	if kind(e) == kindLine {
		leaf += lineLeafOffset
	}
	j := 0
	for i := range n {
		for at := start(i); j+1 < len(ivs) && uint32(ivs[j+1].start.bitsFrom(d)>>32) <= at; j++ {
			if ivs[j+1].start.length() > d+32 || uint32(ivs[j+1].start.bitsFrom(d)>>32) != at {
				return false // it starts between two leaves
			}
		}
		if im.load16(leaf) != ivs[j].value {
			return false
		}
		im.owner[leaf/2] = ivs[j].owner
		leaf += 2
	}
	return j+1 == len(ivs)
}
