package rib

import (
	"encoding/binary"
	"maps"
	"math/bits"
	"math/rand/v2"
	"net/netip"

	"weft/control/kernel"
)

// Digester tells which routes of the kernel are for a RIB, and what they say, in
// a number. It is not bound to the RIB's goroutine, and is for one other.
type Digester struct {
	vrfs map[uint32]uint16
	rib  RIB // only to translate
}

// NewDigester makes a Digester of the tables that the RIB mirrors now.
func (r *RIB) NewDigester() *Digester {
	return &Digester{maps.Clone(r.vrfs), RIB{options: r.options}}
}

// Digest returns the key of a route, and a number that is the same for routes
// that say the same; ok is false for one that is not for the image.
func (d *Digester) Digest(m *kernel.Route) (k Key, digest uint64, ok bool) {
	vrf, known := d.vrfs[m.Table]
	k = Key{newKey(vrf, m.Prefix)}
	if !known || m.Cached || m.Prefix.Addr().Is4In6() || isReserved(k.key) {
		return Key{}, 0, false
	}
	if m.Protocol == ProtocolWeft && m.Table != tableLocal {
		return k, digestCopy(copied{metric: m.Metric, nextHop: m.NextHop, kind: m.Type}), true
	}
	w, c := d.rib.wishOf(m), kernelCandidate(m)
	return k, digest64(&w, &c), true
}

// Digest returns the sum of the digests of the RIB's routes of the kernel to a
// prefix.
func (r *RIB) Digest(k Key) (sum uint64) {
	for c := range r.inOrder(k.key) {
		if c.isKernels() && c.rank != rankReserved && !c.isCopy() {
			sum += digest64(&r.groups[c.group].wish, c)
		}
	}
	for _, c := range r.copies.at(k.key) {
		sum += digestCopy(c)
	}
	return sum
}

// digest64 tells apart what RIB.name does, and candidates with it. It takes no memory:
// there are a million routes. The kernel gives the hops of a multipath route in an order of
// its own, so their order does not count.
func digest64(w *wish, c *candidate) uint64 {
	sum := mix(uint64(w.kind)|uint64(w.family)<<8|uint64(w.code)<<16|uint64(w.reason)<<24|uint64(w.by)<<40|uint64(w.vrf)<<48,
		uint64(w.mtu)|uint64(w.nextHop)<<32)
	hops := uint64(0)
	for i := range w.hops {
		h := &w.hops[i]
		encap := uint64(0)
		if h.encap {
			encap = 1
		}
		hops += mix(mix(uint64(uint32(h.link))|uint64(uint32(h.weight))<<32, encap), digestAddr(h.gateway))
	}
	sum = mix(sum, hops)
	if w.source.IsValid() {
		sum = mix(sum, digestAddr(w.source))
	}
	return mix(sum, mix(uint64(c.rank)|uint64(c.protocol)<<8|uint64(c.kind)<<16|uint64(c.detail)<<32, uint64(c.metric)))
}

func digestCopy(c copied) uint64 {
	return mix(uint64(c.kind)|ProtocolWeft<<8, uint64(c.metric)|uint64(c.nextHop)<<32)
}

func digestAddr(a netip.Addr) uint64 {
	b := a.As16()
	return mix(mix(binary.NativeEndian.Uint64(b[:8]), binary.NativeEndian.Uint64(b[8:])), uint64(a.BitLen()))
}

// salts make mix another function in each process.
var salts = [2]uint64{rand.Uint64(), rand.Uint64()}

// mix is the step of wyhash: two words are made one, in which each bit counts.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^salts[0], b^salts[1])
	return hi ^ lo
}
