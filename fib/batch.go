package fib

import (
	"sync/atomic"
	"unsafe"
)

// vector is how many lookups of a batch are under way at once: enough for the
// cache misses of one step to overlap, few enough for their state to stay in
// the first-level cache.
const vector = 64

// LookupBatch4 looks up len(dst) IPv4 addresses, each a number with the first
// byte on top, and writes their groups to out, which must be as long. Readers
// may call it; it does not allocate.
func (t Table) LookupBatch4(dst []uint32, out []GroupID) {
	out = out[:len(dst)]
	root := t.im.load32(t.root(ipv4))
	n := t.im.lanes4(root, dst, out)
	dst, out = dst[n:], out[n:]
	for len(dst) > vector {
		t.im.vector4(root, dst[:vector], out)
		dst, out = dst[vector:], out[vector:]
	}
	t.im.vector4(root, dst, out)
}

// vector4 takes all addresses through the first node, then all to their leaf.
// Leaves and narrow nodes, the only things that most tables have there, are
// told apart without a branch: where they alternate it would be guessed wrong.
func (im *Image) vector4(root uint32, dst []uint32, out []GroupID) {
	if kind(root) != kindWide {
		for i, a := range dst {
			out[i] = im.walk(root, uint64(a)<<32, 0)
		}
		return
	}
	var entries [vector]uint32
	first := unsafe.Add(im.base, root&wideOffsetMask)
	for i, a := range dst {
		entries[i%vector] = atomic.LoadUint32((*uint32)(unsafe.Add(first, uintptr(a>>(-root&31))*4)))
	}
	for i, a := range dst {
		e, rest := entries[i%vector], a<<(root&31)
		if k := kind(e); k >= kindLow && k != kindNarrow {
			out[i] = im.walk(e, uint64(rest)<<32, 0)
			continue
		}
		node := uint32(int32(e) >> 31) // all ones, or 0 for a leaf: it reads the header and forgets it
		off := (e&offsetMask + rest>>(-e&narrowMask)*2) & node
		leaf := im.load16(off)
		out[i] = GroupID(leaf&node | e&^node)
	}
}

// LookupBatch6 is LookupBatch4 for IPv6.
func (t Table) LookupBatch6(dst []Addr6, out []GroupID) {
	out = out[:len(dst)]
	root := t.im.load32(t.root(ipv6))
	n := t.im.lanes6(root, dst, out)
	dst, out = dst[n:], out[n:]
	for len(dst) > vector {
		t.im.vector6(root, dst[:vector], out)
		dst, out = dst[vector:], out[vector:]
	}
	t.im.vector6(root, dst, out)
}

// cursor is a lookup on its way: what it has come to, and the bits that are left.
type cursor struct {
	key   uint64
	entry uint32
	lane  uint32
}

// vector6 takes all addresses one wide node further until none is at one, then
// all to their leaf. The addresses still on their way are kept together: no
// branch depends on where one of them is.
func (im *Image) vector6(root uint32, dst []Addr6, out []GroupID) {
	var on, end [vector + 1]cursor
	n, ended := len(dst), 0
	for i := range dst {
		on[i%vector] = cursor{dst[i].Hi, root, uint32(i)}
	}
	if kind(root) != kindWide {
		copy(end[:], on[:n])
		n, ended = 0, n
	}
	for n > 0 {
		wide := 0
		for i := range n {
			c := on[i%vector]
			off := c.entry&wideOffsetMask + uint32(c.key>>(-c.entry&63))*4
			c.key <<= c.entry & 63
			c.entry = im.load32(off)
			// It goes to the end of one list; the other's length stays.
			is := 1
			if c.entry < kindWide<<kindShift {
				is = 0
			}
			on[wide%vector] = c
			end[ended%(vector+1)] = c
			wide += is
			ended += 1 - is
		}
		n = wide
	}
	for i := range ended {
		c := &end[i%vector]
		node := unsafe.Add(im.base, c.entry&offsetMask)
		switch kind(c.entry) {
		case kindLine:
			c.entry = leaf16(unsafe.Add(node, lineLeafOffset), lineIndex(node, uint32(c.key>>32)))
		case kindNarrow:
			c.entry = leaf16(node, uintptr(uint32(c.key>>32)>>(-c.entry&narrowMask)))
		case kindLow:
			c.entry = uint32(im.walk(c.entry, c.key, dst[c.lane].Lo))
		}
		out[c.lane%vector] = GroupID(c.entry)
	}
}
