package fpm

import "encoding/binary"

// index numbers prefixes, so that what is kept of them is in arrays by number, and
// looked for once. Eight neighbors of a length stand together in it, for tables are
// told in order: so most look-ups find what the one before has brought into the cache.
type index struct {
	keys  []key    // by number
	slots []uint32 // number + 1, 0: unused; a power of two, probed linearly
	free  []uint32 // numbers of no prefix
}

func (k *key) hash() uint64 {
	hi, lo := binary.BigEndian.Uint64(k.addr[:8]), binary.BigEndian.Uint64(k.addr[8:])
	half, shift := &hi, 64-int(k.bits)
	if shift < 0 {
		half, shift = &lo, shift+64
	}
	last := *half >> shift & 7 // bits of the prefix
	*half ^= last << shift
	h := (hi ^ uint64(k.bits)<<8 ^ uint64(k.table)<<16 ^ lo>>7) * 0x9e3779b97f4a7c15
	h = (h ^ h>>32 ^ lo) * 0xd6e8feb86659fd93
	return (h^h>>32)&^7 | last
}

// find returns the place of a prefix, or the free one where it belongs.
func (x *index) find(k *key) (at int, ok bool) {
	mask := len(x.slots) - 1
	for at = int(k.hash()) & mask; ; at = (at + 1) & mask {
		switch n := x.slots[at]; {
		case n == 0:
			return at, false
		case x.keys[n-1] == *k:
			return at, true
		}
	}
}

// enter returns the number of a prefix, which has one from then on.
func (x *index) enter(k *key) uint32 {
	if len(x.keys)-len(x.free) >= len(x.slots)/8*5 {
		x.grow()
	}
	at, ok := x.find(k)
	if ok {
		return x.slots[at] - 1
	}
	n := uint32(len(x.keys))
	if last := len(x.free) - 1; last >= 0 {
		n, x.free = x.free[last], x.free[:last]
		x.keys[n] = *k
	} else {
		x.keys = append(x.keys, *k)
	}
	x.slots[at] = n + 1
	return n
}

func (x *index) grow() {
	old := x.slots
	x.slots = make([]uint32, max(2*len(old), 16))
	for _, n := range old {
		if n != 0 {
			at, _ := x.find(&x.keys[n-1])
			x.slots[at] = n
		}
	}
}

// forget frees a number.
func (x *index) forget(n uint32) {
	gap, _ := x.find(&x.keys[n])
	x.free = append(x.free, n)
	// Close the gap: a prefix moves back unless it is between its home and the gap.
	mask := len(x.slots) - 1
	for at := (gap + 1) & mask; x.slots[at] != 0; at = (at + 1) & mask {
		if home := int(x.keys[x.slots[at]-1].hash()) & mask; (at-home)&mask >= (at-gap)&mask {
			x.slots[gap], gap = x.slots[at], at
		}
	}
	x.slots[gap] = 0
}
