package fulltable

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"

	"weft/test/testdata"
)

// Prefixes returns the table's 901,899 IPv4 and 160,147 IPv6 prefixes in file order. They are masked and distinct. The
// table is parsed once, about 0.2 s, and shared: callers must not change the slices. Safe for concurrent use.
func Prefixes() (v4, v6 []netip.Prefix, err error) {
	t, err := load()
	return t.v4, t.v6, err
}

type table struct{ v4, v6 []netip.Prefix }

var load = sync.OnceValues(func() (table, error) {
	var t table
	text, err := gzip.NewReader(bytes.NewReader(testdata.PrefixesGZ))
	if err != nil {
		return t, fmt.Errorf("open full table: %w", err)
	}
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		p, err := netip.ParsePrefix(strings.TrimSpace(lines.Text()))
		if err != nil {
			return t, fmt.Errorf("parse full table: %w", err)
		}
		if p.Addr().Is4() {
			t.v4 = append(t.v4, p)
		} else {
			t.v6 = append(t.v6, p)
		}
	}
	if err := lines.Err(); err != nil {
		return t, fmt.Errorf("read full table: %w", err)
	}
	return t, nil
})

// NextHops returns n next hops, each 1..255 at random: the i-th is the next hop of the i-th prefix of a family.
func NextHops(n int, seed uint64) []uint32 {
	r := rand.New(rand.NewPCG(seed, 0))
	hops := make([]uint32, n)
	for i := range hops {
		hops[i] = 1 + r.Uint32N(255)
	}
	return hops
}
