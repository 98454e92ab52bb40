package fib

// An entry of a node: see enum fib_entry.

func isLeaf(e uint32) bool { return int32(e) >= 0 }
func kind(e uint32) uint32 { return e >> kindShift }

// stride returns how many bits a wide or a narrow node looks at.
func stride(e uint32) int {
	if kind(e) == kindWide {
		return int(e & strideMask)
	}
	return int(e & narrowMask)
}

func offset(e uint32) uint32 {
	if kind(e) == kindWide {
		return e & wideOffsetMask
	}
	return e & offsetMask
}

func entry(kind uint32, b block) uint32 { return kind<<kindShift | b.offset() }

// indexEntry is the entry of a wide or a narrow node.
func indexEntry(kind uint32, b block, stride int) uint32 { return entry(kind, b) | uint32(stride) }

const (
	maxStride = 20 // 4 MiB: what every kernel gives as one value
	maxFloor  = 16

	// A wide node gets the longest stride at which this share of its slots has
	// something deeper. Longer strides mean fewer steps and more memory; only a
	// root that stays in the second-level cache is a step that costs little.
	// doc.go has the measurements.
	fillRoot    = 1. / 4
	fillFast    = 1. / 128
	fillCompact = 1. / 2

	// A narrow node of 8 bits takes the place of a line, or of a wide node of 4
	// bits over narrow ones, when at least so many of its 16 parts have
	// something deeper: one cache line that is not in the cache instead of two.
	denseFast    = 3
	denseCompact = 17 // never
)

// trie is what the writer keeps of one VRF and family.
type trie struct {
	routes  int      // installed
	shaped  int      // routes at the last build of the whole trie
	cramped bool     // there was no memory for that
	lengths []uint32 // installed routes by length
}

// interval is a run of addresses with one answer: from start to before the
// next interval.
type interval struct {
	start key
	value uint32 // group number
	owner uint8  // length of the prefix that the answer comes from
}

// noLimit is for collecting all intervals.
const noLimit = 1 << 30

// appendInterval keeps neighbors apart only when they differ.
func appendInterval(ivs []interval, iv interval) []interval {
	if n := len(ivs); n > 0 && ivs[n-1].value == iv.value && ivs[n-1].owner == iv.owner {
		return ivs
	}
	return append(ivs, iv)
}

// builder makes the nodes of one subtree. The address range of a slot is
// given by the key it starts at and its depth: the bits of the key that lead to
// it. At depth 64 a slot is either the end of the high half (low false) or the
// start of the low half.
type builder struct {
	im    *Image
	fill  float64
	dense int
	floor int // least stride of a node at depth 0
}

func (im *Image) builder(routes int) builder {
	b := builder{im: im, fill: fillFast, dense: denseFast, floor: stepStride}
	if im.opts.Compact {
		b.fill, b.dense = fillCompact, denseCompact
	}
	for b.floor < maxFloor && routes>>(b.floor+stepStride) > 0 {
		b.floor += stepStride
	}
	return b
}

// build returns the entry, and the owner if it is a leaf, of a slot at depth d
// whose content is ivs: at least one, the first of which covers the slot's
// start. On ErrFull the caller drops what was built.
func (b *builder) build(ivs []interval, d int, low bool) (uint32, uint8, error) {
	if len(ivs) == 1 {
		return ivs[0].value, ivs[0].owner, nil
	}
	if d == 64 && !low {
		return b.buildLow(ivs)
	}
	end, narrow := 0, true // bits that the boundaries need; leaves fit in 16 bits
	for i := range ivs {
		if i > 0 {
			end = max(end, ivs[i].start.length())
		}
		narrow = narrow && ivs[i].value <= 0xffff
	}
	switch {
	case d == 0 && b.floor > stepStride || !narrow:
		return b.buildWide(ivs, d, low)
	case end <= d+stepStride:
		return b.buildNarrow(ivs, d, stepStride)
	case end <= d+2*stepStride && (low || d+2*stepStride <= 64) && b.deeper(ivs, d, stepStride) >= b.dense:
		return b.buildNarrow(ivs, d, 2*stepStride)
	case len(ivs) <= lineSlots && end <= d+32 && (low || end <= 64):
		return b.buildLine(ivs, d)
	}
	return b.buildWide(ivs, d, low)
}

// replace builds the content of a slot and publishes it. After ErrFull the slot
// is as it was.
func (b *builder) replace(slot uint32, ivs []interval, d int, low bool) error {
	e, owner, err := b.build(ivs, d, low)
	if err != nil {
		b.im.dropBuilt()
		return err
	}
	b.im.swing(slot, e, owner)
	return nil
}

func (b *builder) allocate(size uint32) (block, error) {
	blk, err := b.im.allocate(orderFor(size))
	if err == nil {
		b.im.built = append(b.im.built, blk)
	}
	return blk, err
}

func (b *builder) buildLow(ivs []interval) (uint32, uint8, error) {
	blk, err := b.allocate(uint32(unitSize))
	if err != nil {
		return 0, 0, err
	}
	e, owner, err := b.build(ivs, 64, true)
	b.im.putSlot(blk.offset(), e, owner)
	return entry(kindLow, blk), 0, err
}

func (b *builder) buildNarrow(ivs []interval, d, s int) (uint32, uint8, error) {
	blk, err := b.allocate(2 << s)
	if err != nil {
		return 0, 0, err
	}
	err = partition(ivs, d, s, func(i, n uint32, sub []interval) error {
		for end := i + n; i < end; i++ {
			b.im.putLeaf16(blk.offset()+2*i, sub[0].value, sub[0].owner)
		}
		return nil
	})
	return indexEntry(kindNarrow, blk, s), 0, err
}

func (b *builder) buildLine(ivs []interval, d int) (uint32, uint8, error) {
	blk, err := b.allocate(lineSize)
	if err != nil {
		return 0, 0, err
	}
	off := blk.offset()
	for i := range uint32(lineSlots) {
		iv, k := ivs[len(ivs)-1], ^uint32(0)
		if i < uint32(len(ivs)) {
			iv = ivs[i]
			k = uint32(iv.start.bitsFrom(d) >> 32)
		}
		if i > 0 {
			b.im.put32(off+4*(i-1), k)
		}
		b.im.putLeaf16(off+lineLeafOffset+2*i, iv.value, iv.owner)
	}
	b.im.put16(off+lineIvsOffset, uint32(len(ivs)))
	return entry(kindLine, blk), 0, nil
}

func (b *builder) buildWide(ivs []interval, d int, low bool) (uint32, uint8, error) {
	s := b.stride(ivs, d)
	blk, err := b.allocate(4 << s)
	if err != nil {
		return 0, 0, err
	}
	err = partition(ivs, d, s, func(i, n uint32, sub []interval) error {
		e, owner, err := b.build(sub, d+s, low)
		for end := i + n; i < end && err == nil; i++ {
			b.im.putSlot(blk.offset()+4*i, e, owner)
		}
		return err
	})
	return indexEntry(kindWide, blk, s), 0, err
}

// partition divides what a slot at depth d holds between the 2^s slots of a
// node: it calls yield for each run of n slots from i on with what they hold.
// n is over 1 only where that is one interval.
func partition(ivs []interval, d, s int, yield func(i, n uint32, sub []interval) error) error {
	for i, slots := uint32(0), uint32(1)<<s; i < slots; {
		// Slots before the one that the next interval starts in.
		next := slots
		if len(ivs) > 1 {
			next = ivs[1].start.index(d, s)
		}
		if i < next {
			if err := yield(i, next-i, ivs[:1]); err != nil || next == slots {
				return err
			}
			i = next
		}
		// Those that start in slot i, and the one before unless it ended.
		end := 1
		for end < len(ivs) && ivs[end].start.index(d, s) == i {
			end++
		}
		sub := ivs[:end]
		if isSlotStart(ivs[1].start, d+s, d >= 64) {
			sub = sub[1:]
		}
		if err := yield(i, 1, sub); err != nil {
			return err
		}
		ivs = ivs[end-1:]
		i++
	}
	return nil
}

// isSlotStart tells whether k has no bits from depth d on.
func isSlotStart(k key, d int, low bool) bool {
	if low {
		return d == 128 || k.lo<<(d-64) == 0
	}
	return k.lo == 0 && k.hi<<d == 0
}

// stride chooses the stride of a wide node.
func (b *builder) stride(ivs []interval, d int) int {
	floor := stepStride
	if d == 0 {
		floor = b.floor
	}
	width, fill := 64, b.fill
	if d >= 64 {
		width = 128
	}
	if d == 0 {
		fill = fillRoot
	}
	for s := min(maxStride, width-d); s > floor; s -= stepStride {
		if float64(b.deeper(ivs, d, s)) >= fill*float64(uint32(1)<<s) {
			return s
		}
	}
	return floor
}

// deeper returns how many of the 2^s slots of a node at depth d would have more
// than one answer.
func (b *builder) deeper(ivs []interval, d, s int) int {
	n, last := 0, ^uint32(0)
	for _, iv := range ivs[1:] {
		i := iv.start.index(d, s)
		if i != last && !isSlotStart(iv.start, d+s, d >= 64) {
			n++
			last = i
		}
	}
	return n
}

// putSlot writes an entry that no reader can reach yet.
func (im *Image) putSlot(off, e uint32, owner uint8) {
	im.put32(off, e)
	im.owner[off/2] = owner
}

func (im *Image) putLeaf16(off, value uint32, owner uint8) {
	im.put16(off, value)
	im.owner[off/2] = owner
}

// dropBuilt gives back what a failed build left.
func (im *Image) dropBuilt() {
	for _, blk := range im.built {
		im.alloc.release(blk.unit, int(blk.order))
	}
	im.built = im.built[:0]
}

// swing publishes what was built: it replaces the content of a slot by one
// store, then gives back what was there.
func (im *Image) swing(slot, e uint32, owner uint8) {
	old := im.load32(slot)
	im.owner[slot/2] = owner
	im.store32(slot, e)
	im.built = im.built[:0]
	im.discardTree(old)
}

func (im *Image) discardTree(e uint32) {
	if isLeaf(e) {
		return
	}
	off, size := offset(e), uint32(unitSize)
	switch kind(e) {
	case kindWide:
		size = 4 << stride(e)
		for i := uint32(0); i < size; i += 4 {
			if child := im.load32(off + i); !isLeaf(child) {
				im.discardTree(child)
			}
		}
	case kindNarrow:
		size = 2 << stride(e)
	case kindLine:
		size = lineSize
	case kindLow:
		im.discardTree(im.load32(off))
	}
	im.discard(newBlock(off, size))
}

// collect appends the intervals of a slot, and stops early when there are
// more than most.
func (im *Image) collect(ivs []interval, most int, slot uint32, base key, d int, low bool) []interval {
	e := im.load32(slot)
	if isLeaf(e) {
		return appendInterval(ivs, interval{base, e, im.owner[slot/2]})
	}
	off := offset(e)
	switch kind(e) {
	case kindWide:
		s := stride(e)
		for s > 2*stepStride && most < noLimit && len(ivs) <= most {
			ivs = append(ivs, interval{}) // more than most, surely: it is not to be searched with each deletion
		}
		for i := uint32(0); i < 1<<s && len(ivs) <= most; i++ {
			ivs = im.collect(ivs, most, off+4*i, base.child(d, s, i), d+s, low)
		}
	case kindNarrow:
		s := stride(e)
		for i := uint32(0); i < 1<<s && len(ivs) <= most; i++ {
			leaf := off + 2*i
			ivs = appendInterval(ivs, interval{base.child(d, s, i), im.load16(leaf), im.owner[leaf/2]})
		}
	case kindLine:
		for i := range im.load16(off + lineIvsOffset) {
			start := base
			if i > 0 {
				start = base.child(d, 32, im.load32(off+4*(i-1)))
			}
			leaf := off + lineLeafOffset + 2*i
			ivs = appendInterval(ivs, interval{start, im.load16(leaf), im.owner[leaf/2]})
		}
	case kindLow:
		ivs = im.collect(ivs, most, off, base, 64, true)
	}
	return ivs
}
