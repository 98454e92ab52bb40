package fulltable

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sort"
)

const (
	// TraceLen is the number of destinations in a trace.
	TraceLen = 1 << 20

	// zipfDestinations is how many different destinations a zipf trace draws from.
	zipfDestinations = 1 << 16
)

// Trace is a sequence of TraceLen destinations of one family, in the order in which they are looked up.
type Trace struct {
	Name   string     // "zipf", "pfx" or "uni"
	Family string     // "ipv4" or "ipv6"
	IPv4   []uint32   // host byte order; nil in an IPv6 trace
	IPv6   [][16]byte // network byte order; nil in an IPv4 trace
}

// Addrs returns a new slice with the destinations as netip.Addr.
func (t *Trace) Addrs() []netip.Addr {
	addrs := make([]netip.Addr, 0, TraceLen)
	for _, a := range t.IPv4 {
		addrs = append(addrs, netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, a))))
	}
	for _, a := range t.IPv6 {
		addrs = append(addrs, netip.AddrFrom16(a))
	}
	return addrs
}

// Traces returns the traces zipf, pfx and uni for v4 and zipf and pfx for v6. Neither slice of prefixes may be empty.
func Traces(v4, v6 []netip.Prefix, seed uint64) []Trace {
	return []Trace{
		{Name: "zipf", Family: "ipv4", IPv4: zipf(func(r *rand.Rand) uint32 { return inside4(v4, r) }, seed)},
		{Name: "pfx", Family: "ipv4", IPv4: each(func(r *rand.Rand) uint32 { return inside4(v4, r) }, seed)},
		{Name: "uni", Family: "ipv4", IPv4: each(unicast4, seed)},
		{Name: "zipf", Family: "ipv6", IPv6: zipf(func(r *rand.Rand) [16]byte { return inside6(v6, r) }, seed)},
		{Name: "pfx", Family: "ipv6", IPv6: each(func(r *rand.Rand) [16]byte { return inside6(v6, r) }, seed)},
	}
}

// each draws every destination of the trace anew.
func each[A any](draw func(*rand.Rand) A, seed uint64) []A {
	r := rand.New(rand.NewPCG(seed, 1))
	dsts := make([]A, TraceLen)
	for i := range dsts {
		dsts[i] = draw(r)
	}
	return dsts
}

// zipf draws zipfDestinations destinations, then makes the k-th most popular one appear in proportion to 1/k.
// math/rand's Zipf cannot do that: it wants an exponent greater than 1.
func zipf[A any](draw func(*rand.Rand) A, seed uint64) []A {
	r := rand.New(rand.NewPCG(seed, 2))
	ranked := make([]A, zipfDestinations)
	cumulated := make([]float64, zipfDestinations)
	sum := 0.0
	for k := range ranked {
		ranked[k] = draw(r)
		sum += 1 / float64(k+1)
		cumulated[k] = sum
	}
	dsts := make([]A, TraceLen)
	for i := range dsts {
		// Float64 < 1, so the product is less than the last element, except for rounding.
		k := sort.SearchFloat64s(cumulated, r.Float64()*sum)
		dsts[i] = ranked[min(k, zipfDestinations-1)]
	}
	return dsts
}

// inside4 draws a prefix, then an address inside it.
func inside4(prefixes []netip.Prefix, r *rand.Rand) uint32 {
	p := prefixes[r.IntN(len(prefixes))]
	a := p.Addr().As4()
	return binary.BigEndian.Uint32(a[:]) | uint32(r.Uint64()&0xffffffff>>p.Bits())
}

// inside6 is inside4 for IPv6.
func inside6(prefixes []netip.Prefix, r *rand.Rand) [16]byte {
	p := prefixes[r.IntN(len(prefixes))]
	a := p.Addr().As16()
	// A shift by 64 or more is 0 in Go, so either half is right for every length.
	hi, lo := r.Uint64()>>p.Bits(), r.Uint64()>>max(p.Bits()-64, 0)
	binary.BigEndian.PutUint64(a[:8], binary.BigEndian.Uint64(a[:8])|hi)
	binary.BigEndian.PutUint64(a[8:], binary.BigEndian.Uint64(a[8:])|lo)
	return a
}

// unicast4 draws an address from 1.0.0.0 to 223.255.255.255.
func unicast4(r *rand.Rand) uint32 {
	return 1<<24 + r.Uint32N(223<<24)
}
