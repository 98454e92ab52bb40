package fib

import "slices"

// paint gives the addresses of one prefix a new answer: all those whose
// present answer does not come from a longer prefix. Inserting, replacing and
// deleting a route are the same walk; a deleted route leaves its addresses to
// the next shorter one.
type paint struct {
	im    *Image
	b     builder
	key   key
	len   int
	value uint32
	owner uint8 // what the answer comes from: len, or less when a route is deleted
}

func (p *paint) matches(owner uint8) bool { return int(owner) <= p.len }

// slot paints the part of the prefix that lies in a slot at depth d. After ErrFull some addresses may be painted, and painting the
// old answer again needs no memory.
func (p *paint) slot(slot uint32, d int, low bool) error {
	if p.len <= d {
		return p.all(slot, d, low)
	}
	im, e := p.im, p.im.load32(slot)
	if isLeaf(e) {
		if !p.matches(im.owner[slot/2]) {
			return nil
		}
		return p.rebuild(slot, d, low)
	}
	off := offset(e)
	switch kind(e) {
	case kindWide:
		s := stride(e)
		i := p.key.index(d, s)
		if p.len > d+s {
			child := off + 4*i
			leaf := isLeaf(im.load32(child))
			if err := p.slot(child, d+s, low); err != nil {
				return err
			}
			if leaf && !isLeaf(im.load32(child)) {
				p.condense(slot, d, low)
			}
			return p.collapse(slot, d, low)
		}
		for end := i + 1<<(d+s-p.len); i < end; i++ {
			if err := p.all(off+4*i, d+s, low); err != nil {
				return err
			}
		}
		return p.collapse(slot, d, low)
	case kindNarrow:
		s := stride(e)
		if p.len > d+s || p.value > 0xffff {
			return p.rebuild(slot, d, low)
		}
		p.leaves(off+2*p.key.index(d, s), 1<<(d+s-p.len))
		return p.collapse(slot, d, low)
	case kindLine:
		return p.rebuild(slot, d, low)
	}
	if err := p.slot(off, 64, true); err != nil {
		return err
	}
	return p.collapse(slot, d, low)
}

// all paints a slot that lies in the prefix with all its addresses.
func (p *paint) all(slot uint32, d int, low bool) error {
	im, e := p.im, p.im.load32(slot)
	if isLeaf(e) {
		if p.matches(im.owner[slot/2]) {
			im.owner[slot/2] = p.owner
			if e != p.value {
				im.store32(slot, p.value)
			}
		}
		return nil
	}
	off := offset(e)
	switch kind(e) {
	case kindWide:
		s := stride(e)
		for i := range uint32(1) << s {
			if err := p.all(off+4*i, d+s, low); err != nil {
				return err
			}
		}
	case kindLow:
		return p.all(off, 64, true)
	default:
		if p.value > 0xffff {
			return p.rebuild(slot, d, low)
		}
		if kind(e) == kindNarrow {
			p.leaves(off, 1<<stride(e))
		} else {
			p.leaves(off+lineLeafOffset, uint32(lineSlots))
		}
	}
	return nil
}

// leaves paints n leaves of 16 bits.
func (p *paint) leaves(off uint32, n uint32) {
	im := p.im
	for end := off + 2*n; off < end; off += 2 {
		if p.matches(im.owner[off/2]) {
			im.owner[off/2] = p.owner
			if im.load16(off) != p.value {
				im.store16(off, p.value)
			}
		}
	}
}

// rebuild paints a slot whose node is small or whose shape has to change: it
// takes the slot's intervals, paints those, and publishes a new node for them.
func (p *paint) rebuild(slot uint32, d int, low bool) error {
	im, old := p.im, p.im.load32(slot)
	line := !isLeaf(old) && kind(old) == kindLine && p.len > d
	if line && int(p.owner) == p.len && p.inLine(offset(old), d) {
		return nil
	}
	im.left = im.collect(im.left[:0], noLimit, slot, p.key.first(d), d, low)
	if p.len > d {
		im.right = p.overlay(im.right[:0], im.left, p.key.last(d))
	} else {
		im.right = im.right[:0]
		for _, iv := range im.left {
			if p.matches(iv.owner) {
				iv.value, iv.owner = p.value, p.owner
			}
			im.right = appendInterval(im.right, iv)
		}
	}
	if slices.Equal(im.left, im.right) {
		return nil
	}
	err := p.b.replace(slot, im.right, d, low)
	if err != nil && line && p.inLine(offset(old), d) {
		return nil // a deletion needs no memory
	}
	return err
}

// inLine paints a line in place, if the prefix begins and ends where intervals
// do.
func (p *paint) inLine(off uint32, d int) bool {
	im := p.im
	if p.len > d+32 || p.value > 0xffff {
		return false
	}
	begin := uint32(p.key.bitsFrom(d) >> 32)
	last := begin | ^uint32(0)>>(p.len-d)
	n := im.load16(off + lineIvsOffset)
	start := func(i uint32) uint64 {
		switch i {
		case 0:
			return 0
		case n:
			return 1 << 32
		}
		return uint64(im.load32(off + 4*(i-1)))
	}
	i := uint32(0)
	for i < n && start(i) < uint64(begin) {
		i++
	}
	end := i
	for end < n && start(end) <= uint64(last) {
		end++
	}
	if i == end || start(i) != uint64(begin) || start(end) != uint64(last)+1 {
		return false
	}
	leaves := end - i
	if end == n {
		leaves = uint32(lineSlots) - i // unused ones follow the last
	}
	p.leaves(off+lineLeafOffset+2*i, leaves)
	return true
}

// overlay appends the intervals of from as they are after painting. They
// cover a slot that the prefix is a part of; last is the slot's last key.
func (p *paint) overlay(to, from []interval, last key) []interval {
	begin, end := p.key, p.key.last(p.len)
	after, inside := end.next()
	if end == last {
		inside = false // the prefix goes to the end of the slot
	}
	for i, iv := range from {
		ends := func(k key) bool { return i+1 < len(from) && !k.less(from[i+1].start) }
		if !p.matches(iv.owner) || ends(begin) || inside && !iv.start.less(after) {
			to = appendInterval(to, iv)
			continue
		}
		start := begin
		if begin.less(iv.start) {
			start = iv.start
		}
		if iv.start.less(start) {
			to = appendInterval(to, iv)
		}
		to = appendInterval(to, interval{start, p.value, p.owner})
		if inside && !ends(after) {
			to = appendInterval(to, interval{after, iv.value, iv.owner})
		}
	}
	return to
}

// condense makes a narrow node of 8 bits of a wide one of 4 that has come to have enough below it, as a build of the whole
// trie would. Without memory the two levels stay, which are as right.
func (p *paint) condense(slot uint32, d int, low bool) {
	im := p.im
	e := im.load32(slot)
	if stride(e) != stepStride {
		return
	}
	n := 0
	for i := range uint32(1) << stepStride {
		switch child := im.load32(offset(e) + 4*i); {
		case isLeaf(child):
		case kind(child) == kindNarrow && stride(child) == stepStride:
			n++
		default:
			return
		}
	}
	if n < p.b.dense {
		return
	}
	im.left = im.collect(im.left[:0], noLimit, slot, p.key.first(d), d, low)
	dense, owner, err := p.b.build(im.left, d, low)
	if err != nil || kind(dense) != kindNarrow { // a leaf may not fit
		im.dropBuilt()
		return
	}
	im.swing(slot, dense, owner)
}

// collapse makes a node smaller after a deletion, when all that is left under
// it fits a smaller one.
func (p *paint) collapse(slot uint32, d int, low bool) error {
	im := p.im
	if int(p.owner) == p.len {
		return nil
	}
	e := im.load32(slot)
	most := lineSlots - 3 // not at the brink of being built again
	switch kind(e) {
	case kindWide:
		if d == 0 || stride(e) > 2*stepStride {
			return nil // shape looks after these
		}
	case kindNarrow, kindLow:
		most = 1
	}
	im.left = im.collect(im.left[:0], most, slot, p.key.first(d), d, low)
	if len(im.left) > most {
		return nil
	}
	small, owner, err := p.b.build(im.left, d, low)
	if err != nil || kind(small) == kindWide {
		im.dropBuilt()
		return nil // the large node is as right
	}
	im.swing(slot, small, owner)
	return nil
}
