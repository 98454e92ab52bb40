package rib

import (
	"encoding/binary"
	"net/netip"
)

// key names a prefix in a VRF. It is small and free of pointers: there are a
// million of them.
type key struct {
	hi, lo uint64 // the address, left-aligned; IPv4 in the first 32 bits
	vrf    uint16
	bits   uint8
	family uint8 // 4 or 6
}

func newKey(vrf uint16, p netip.Prefix) key {
	k := key{vrf: vrf, bits: uint8(p.Bits()), family: 6}
	if p.Addr().Is4() {
		b := p.Addr().As4()
		k.family, k.hi = 4, uint64(binary.BigEndian.Uint32(b[:]))<<32
		return k
	}
	b := p.Addr().As16()
	k.hi, k.lo = binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	return k
}

func hostKey(vrf uint16, a netip.Addr) key { return newKey(vrf, netip.PrefixFrom(a, a.BitLen())) }

func (k key) addr() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.hi)
	binary.BigEndian.PutUint64(b[8:], k.lo)
	if k.family == 4 {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrFrom16(b)
}

func (k key) prefix() netip.Prefix { return netip.PrefixFrom(k.addr(), int(k.bits)) }

// width is how many bits an address has.
func (k key) width() uint8 {
	if k.family == 4 {
		return 32
	}
	return 128
}

func (k key) isHost() bool { return k.bits == k.width() }

// shortened returns the prefix of the given length around k.
func (k key) shortened(bits uint8) key {
	k.bits = bits
	if bits < 64 {
		k.hi, k.lo = k.hi&^(^uint64(0)>>bits), 0
	} else {
		k.lo &^= ^uint64(0) >> (bits - 64)
	}
	return k
}

func (k key) covers(o key) bool {
	return k.vrf == o.vrf && k.family == o.family && k.bits <= o.bits && o.shortened(k.bits) == k
}

// compare orders by VRF, family and address, covering prefixes first.
func (k key) compare(o key) int {
	switch {
	case k.vrf != o.vrf:
		return less(k.vrf < o.vrf)
	case k.family != o.family:
		return less(k.family < o.family)
	case k.hi != o.hi:
		return less(k.hi < o.hi)
	case k.lo != o.lo:
		return less(k.lo < o.lo)
	case k.bits != o.bits:
		return less(k.bits < o.bits)
	}
	return 0
}

func less(is bool) int {
	if is {
		return -1
	}
	return 1
}
