package peer

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"weft/test/fulltable"
)

// Seed makes tables and destinations the same in every run.
const Seed = 1

// NextHops is how many a Table of more than a route uses.
const NextHops = 16

// Table is what a router knows, of both families: Hops[i], 1 to NextHops, is the next hop of prefix i.
type Table struct {
	IPv4, IPv6   []netip.Prefix
	Hops4, Hops6 []uint32
}

// One has a route of each family, for benchmarking (RFC 2544, RFC 5180).
func One() *Table {
	return &Table{
		IPv4: []netip.Prefix{netip.MustParsePrefix("198.18.0.0/15")}, Hops4: []uint32{1},
		IPv6: []netip.Prefix{netip.MustParsePrefix("2001:2::/48")}, Hops6: []uint32{1},
	}
}

// Full is the Internet's: 901,899 IPv4 and 160,147 IPv6 prefixes.
func Full() (*Table, error) {
	v4, v6, err := fulltable.Prefixes()
	if err != nil {
		return nil, err
	}
	t := &Table{IPv4: v4, Hops4: fulltable.NextHops(len(v4), Seed), IPv6: v6, Hops6: fulltable.NextHops(len(v6), Seed+1)}
	for _, hops := range [][]uint32{t.Hops4, t.Hops6} {
		for i, h := range hops {
			hops[i] = 1 + h%NextHops
		}
	}
	return t, nil
}

// Part has routes prefixes of each family that the Internet's table has, at random, or as many as there are; 1 is One.
func Part(routes int) (*Table, error) {
	if routes == 1 {
		return One(), nil
	}
	t, err := Full()
	if err != nil {
		return nil, err
	}
	t.IPv4, t.Hops4 = some(t.IPv4, t.Hops4, routes)
	t.IPv6, t.Hops6 = some(t.IPv6, t.Hops6, routes)
	return t, nil
}

func some(prefixes []netip.Prefix, hops []uint32, n int) (p []netip.Prefix, h []uint32) {
	if n >= len(prefixes) {
		return prefixes, hops
	}
	for _, i := range rand.New(rand.NewPCG(Seed, 3)).Perm(len(prefixes))[:n] {
		p, h = append(p, prefixes[i]), append(h, hops[i])
	}
	return p, h
}

// Destinations draws n addresses of a family that the table's routes cover: any route, and any address in it. Without r,
// they are always the same.
func (t *Table) Destinations(v6 bool, n int, r *rand.Rand) []netip.Addr {
	if r == nil {
		r = rand.New(rand.NewPCG(Seed, 0))
	}
	prefixes := t.IPv4
	if v6 {
		prefixes = t.IPv6
	}
	all := make([]netip.Addr, n)
	for i := range all {
		all[i] = within(prefixes[r.IntN(len(prefixes))], r)
	}
	return all
}

// within draws an address of a prefix.
func within(p netip.Prefix, r *rand.Rand) netip.Addr {
	if p.Addr().Is4() {
		a := p.Addr().As4()
		host := uint32(r.Uint64() & 0xffffffff >> p.Bits())
		binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(a[:])|host)
		return netip.AddrFrom4(a)
	}
	a := p.Addr().As16()
	high, low := r.Uint64()>>p.Bits(), r.Uint64()>>max(p.Bits()-64, 0)
	binary.BigEndian.PutUint64(a[:8], binary.BigEndian.Uint64(a[:8])|high)
	binary.BigEndian.PutUint64(a[8:], binary.BigEndian.Uint64(a[8:])|low)
	return netip.AddrFrom16(a)
}

// Routes returns how many there are of a family.
func (t *Table) Routes(v6 bool) int {
	if v6 {
		return len(t.IPv6)
	}
	return len(t.IPv4)
}

func (t *Table) String() string {
	return fmt.Sprintf("%d IPv4 and %d IPv6 routes", len(t.IPv4), len(t.IPv6))
}
