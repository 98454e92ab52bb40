package fib

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"unsafe"
)

// Lookup returns the group of the longest prefix that covers the address, 0
// when there is none or the address is not valid or IPv4-mapped. Readers may
// call it.
func (t Table) Lookup(a netip.Addr) GroupID {
	if a.Is4() {
		b := a.As4()
		return t.Lookup4(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	six := Addr6{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
	if !a.IsValid() || six.Hi == 0 && six.Lo>>32 == 0xffff {
		return 0
	}
	return t.Lookup6(six)
}

// Addr6 is an IPv6 address as two numbers, the first bits on top of Hi.
type Addr6 struct{ Hi, Lo uint64 }

// Lookup4 is Lookup of an IPv4 address given as a number, the first byte on top.
func (t Table) Lookup4(a uint32) GroupID {
	return t.im.walk(t.im.load32(t.root(ipv4)), uint64(a)<<32, 0)
}

// Lookup6 is Lookup of an IPv6 address.
func (t Table) Lookup6(a Addr6) GroupID {
	return t.im.walk(t.im.load32(t.root(ipv6)), a.Hi, a.Lo)
}

// walk goes from an entry down to a leaf. Offsets in a published image are
// always inside of it: there are no checks.
func (im *Image) walk(e uint32, hi, lo uint64) GroupID {
	for {
		for e >= kindWide<<kindShift {
			i := uint32(hi >> (-e & 63))
			hi <<= e & 63
			e = im.load32(e&wideOffsetMask + 4*i)
		}
		if kind(e) != kindLow {
			break
		}
		e, hi = im.load32(e&offsetMask), lo
	}
	node := unsafe.Add(im.base, e&offsetMask)
	switch kind(e) {
	case kindNarrow:
		return GroupID(leaf16(node, uintptr(uint32(hi>>32)>>(-e&narrowMask))))
	case kindLine:
		return GroupID(leaf16(unsafe.Add(node, lineLeafOffset), lineIndex(node, uint32(hi>>32))))
	}
	return GroupID(e)
}

// leaf16 reads the word around leaf i: Go has no 16-bit atomics.
func leaf16(leaves unsafe.Pointer, i uintptr) uint32 {
	return atomic.LoadUint32((*uint32)(unsafe.Add(leaves, i>>1*4))) >> (i & 1 * 16) & 0xffff
}

// lineIndex counts the keys up to k. Published keys do not change. There is no
// branch to guess wrong: a comparison is the borrow of a subtraction.
func lineIndex(line unsafe.Pointer, k uint32) uintptr {
	keys := (*[lineKeys]uint32)(line)
	v := uint64(k)
	above := (v-uint64(keys[0]))>>63 + (v-uint64(keys[1]))>>63 +
		(v-uint64(keys[2]))>>63 + (v-uint64(keys[3]))>>63 +
		(v-uint64(keys[4]))>>63 + (v-uint64(keys[5]))>>63 +
		(v-uint64(keys[6]))>>63 + (v-uint64(keys[7]))>>63 +
		(v-uint64(keys[8]))>>63 + (v-uint64(keys[9]))>>63
	return uintptr(uint64(lineKeys) - above)
}
