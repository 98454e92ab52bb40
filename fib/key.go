package fib

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
)

// key is an address, left-aligned in 128 bits: an IPv4 address fills the first
// 32 bits of hi, and the rest is 0.
type key struct{ hi, lo uint64 }

func (k key) less(o key) bool { return k.hi < o.hi || k.hi == o.hi && k.lo < o.lo }

// next returns the key after k; ok is false when k is the last of all.
func (k key) next() (n key, ok bool) {
	lo, carry := bits.Add64(k.lo, 1, 0)
	hi, carry := bits.Add64(k.hi, 0, carry)
	return key{hi, lo}, carry == 0
}

// last returns the last key that shares the first n bits with k.
func (k key) last(n int) key {
	if n < 64 {
		return key{k.hi | ^uint64(0)>>n, ^uint64(0)}
	}
	return key{k.hi, k.lo | ^uint64(0)>>(n-64)}
}

// first returns the first key that shares the first n bits with k.
func (k key) first(n int) key {
	if n < 64 {
		return key{k.hi &^ (^uint64(0) >> n), 0}
	}
	return key{k.hi, k.lo &^ (^uint64(0) >> (n - 64))}
}

// bitsFrom returns the bits of k from bit d on, left-aligned, as far as the
// half that d is in has them. A depth of 64 is in the low half.
func (k key) bitsFrom(d int) uint64 {
	if d < 64 {
		return k.hi << d
	}
	return k.lo << (d - 64)
}

// index returns the s bits of k from bit d on.
func (k key) index(d, s int) uint32 { return uint32(k.bitsFrom(d) >> (64 - s)) }

// child returns the first key of slot i of a node of stride s at depth d,
// whose first key is k.
func (k key) child(d, s int, i uint32) key {
	left := uint64(i) << (64 - s)
	if d < 64 {
		return key{k.hi | left>>d, 0}
	}
	return key{k.hi, k.lo | left>>(d-64)}
}

// length returns the bits that k needs: those up to its last 1.
func (k key) length() int {
	if k.lo != 0 {
		return 128 - bits.TrailingZeros64(k.lo)
	}
	return 64 - bits.TrailingZeros64(k.hi)
}

// family is an index into what a VRF has twice.
type family uint8

const (
	ipv4 family = iota
	ipv6
)

func (f family) width() int { return 32 + 96*int(f) }

func keyOf(a netip.Addr) (key, family) {
	if a.Is4() {
		b := a.As4()
		return key{hi: uint64(binary.BigEndian.Uint32(b[:])) << 32}, ipv4
	}
	b := a.As16()
	return key{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}, ipv6
}

func (k key) addr(f family) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.hi)
	binary.BigEndian.PutUint64(b[8:], k.lo)
	if f == ipv4 {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrFrom16(b)
}

func prefixKey(p netip.Prefix) (key, family, error) {
	a := p.Addr()
	switch {
	case !p.IsValid():
		return key{}, 0, fmt.Errorf("%w: it is the zero value or has no valid length", ErrPrefix)
	case a.Is4In6():
		return key{}, 0, fmt.Errorf("%w: IPv4-mapped; give it as IPv4", ErrPrefix)
	case a.Zone() != "":
		return key{}, 0, fmt.Errorf("%w: it has a zone", ErrPrefix)
	case p != p.Masked():
		return key{}, 0, fmt.Errorf("%w: bits are set after the length; %s is the prefix", ErrPrefix, p.Masked())
	}
	k, f := keyOf(a)
	return k, f, nil
}

func addrKey(a netip.Addr) (key, family, error) {
	switch {
	case !a.IsValid():
		return key{}, 0, fmt.Errorf("%w: it is the zero value", ErrAddress)
	case a.Is4In6():
		return key{}, 0, fmt.Errorf("%w: %s is IPv4-mapped; give it as IPv4", ErrAddress, a)
	}
	k, f := keyOf(a)
	return k, f, nil
}
