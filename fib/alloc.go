package fib

import "math/bits"

// allocator is a buddy allocator over the units of an image. It lives outside
// the image: Open finds again what is in use. The lowest free block is taken
// first, which keeps the image dense.
type allocator struct {
	units uint32
	used  uint32
	free  []bitset // by order: bit i is the block of 2^order units at i << order
}

const maxOrder = 24 // 2^24 units: all that an entry can point to

func newAllocator(units uint32) *allocator {
	a := &allocator{units: units, used: units}
	for order := 0; order <= maxOrder && units>>order > 0; order++ {
		a.free = append(a.free, newBitset(units>>order))
	}
	return a
}

// extend makes free what is free in a smaller allocator. All else is taken.
func (a *allocator) extend(o *allocator) {
	a.used = a.units - (o.units - o.used)
	for order := range o.free {
		a.free[order].extend(&o.free[order])
	}
}

// orderFor returns the order of the smallest block that holds size bytes.
func orderFor(size uint32) int {
	return bits.Len32(units(size) - 1)
}

// units returns how many units hold size bytes.
func units(size uint32) uint32 { return (size + uint32(unitSize) - 1) / uint32(unitSize) }

// alloc returns the first unit of a free block, aligned to its size.
func (a *allocator) alloc(order int) (unit uint32, ok bool) {
	for o := order; o < len(a.free); o++ {
		if a.free[o].count == 0 {
			continue
		}
		i := a.free[o].first()
		a.free[o].clear(i)
		for ; o > order; o-- {
			i <<= 1
			a.free[o-1].set(i + 1)
		}
		a.used += 1 << order
		return i << order, true
	}
	return 0, false
}

func (a *allocator) release(unit uint32, order int) {
	a.used -= 1 << order
	i := unit >> order
	for order+1 < len(a.free) && a.free[order].has(i^1) {
		a.free[order].clear(i ^ 1)
		i >>= 1
		order++
	}
	a.free[order].set(i)
}

// releaseRange releases the units from first up to but not including end.
func (a *allocator) releaseRange(first, end uint32) {
	for first < end {
		order := min(bits.TrailingZeros32(first|1<<maxOrder), bits.Len32(end-first)-1, len(a.free)-1)
		a.release(first, order)
		first += 1 << order
	}
}

// bitset finds its first member by way of two levels of summary.
type bitset struct {
	count uint32
	n     uint32
	words [3][]uint64 // words[1] bit i: words[0][i] is not 0; and so on
}

func newBitset(n uint32) bitset {
	s := bitset{n: n}
	for l := range s.words {
		n = (n + 63) / 64
		s.words[l] = make([]uint64, n)
	}
	return s
}

// extend makes an empty set have the members of a smaller one.
func (s *bitset) extend(o *bitset) {
	s.count = o.count
	for l := range s.words {
		copy(s.words[l], o.words[l])
	}
}

func (s *bitset) has(i uint32) bool {
	return i < s.n && s.words[0][i>>6]&(1<<(i&63)) != 0
}

func (s *bitset) set(i uint32) {
	s.count++
	for l := range s.words {
		s.words[l][i>>6] |= 1 << (i & 63)
		i >>= 6
	}
}

func (s *bitset) clear(i uint32) {
	s.count--
	for l := range s.words {
		w := &s.words[l][i>>6]
		*w &^= 1 << (i & 63)
		if *w != 0 {
			return
		}
		i >>= 6
	}
}

// first returns the lowest member of a set that is not empty.
func (s *bitset) first() uint32 {
	i := uint32(0)
	for s.words[2][i] == 0 {
		i++
	}
	for l := 2; l >= 0; l-- {
		i = i<<6 | uint32(bits.TrailingZeros64(s.words[l][i]))
	}
	return i
}
