package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/gaissmai/bart"

	"weft/test/fulltable"
)

// seed makes table and traces the same in every run.
const seed = 1

// table is the full table with its next hops: hops4[i] (1..255) is the next hop of ipv4[i], and likewise for IPv6.
type table struct {
	ipv4, ipv6   []netip.Prefix
	hops4, hops6 []uint32
}

// trace is what engines look up, with the answers.
type trace struct {
	fulltable.Trace
	addrs []netip.Addr // the same destinations, for engines that take a netip.Addr
	sum   uint64       // of the next hops of all destinations, no route counting 0
}

// engine is one way to look destinations up; each trace of its family gives a row.
type engine struct {
	side   string // "bpf" or "go": where it runs
	family string // "ipv4" or "ipv6"
	mode   string // "dep", "ind", "single" or "batch"
	name   string

	// run looks up every destination of the trace once. It returns the time per lookup and the sum of the next hops.
	run func(ctx context.Context, t *trace) (ns float64, sum uint64, err error)

	// unchecked: the engine does not look up in the full table, or cannot tell the sum.
	unchecked bool
}

func (e *engine) row(t *trace) string {
	return rowName(e.side, e.family, e.mode, t.Name, e.name)
}

func rowName(side, family, mode, trace, engine string) string {
	return side + "/" + family + "/" + mode + "/" + trace + "/" + engine
}

// figure is a row that no trace belongs to.
type figure struct {
	name    string // as load/full/weft
	unit    string // "s", "ns", "1/s" or "bytes"
	measure func(ctx context.Context) (float64, error)
}

// source sets up engines and figures that share a table in memory or in the kernel. It is opened only if one of its rows
// is asked for.
type source struct {
	name string
	rows []string // all that it can give
	root bool     // needs root
	open func(ctx context.Context, s *setup) (*contest, error)
}

// lookupRows returns the rows of all families and traces.
func lookupRows(side string, modes, engines []string) []string {
	var rows []string
	for _, trace := range []string{"ipv4/zipf", "ipv4/pfx", "ipv4/uni", "ipv6/zipf", "ipv6/pfx"} {
		family, name, _ := strings.Cut(trace, "/")
		for _, mode := range modes {
			for _, engine := range engines {
				rows = append(rows, rowName(side, family, mode, name, engine))
			}
		}
	}
	return rows
}

// setup is what a source is made from.
type setup struct {
	table *table
	cpu   int // the only one that measurements may use

	// floorBytes is the size of the floor's buffer, a power of two: that of weft's fast image, rounded down.
	floorBytes int
}

// contest is what one source puts up.
type contest struct {
	engines []engine
	figures []figure
	note    string // why rows are absent, if they are
	close   func() // nil if there is nothing to undo
}

func loadTable() (*table, []*trace, error) {
	v4, v6, err := fulltable.Prefixes()
	if err != nil {
		return nil, nil, err
	}
	tab := &table{
		ipv4: v4, hops4: fulltable.NextHops(len(v4), seed),
		ipv6: v6, hops6: fulltable.NextHops(len(v6), seed+1),
	}
	oracle := fill(new(bart.Fast[uint32]), tab)
	var traces []*trace
	for _, t := range fulltable.Traces(v4, v6, seed) {
		tr := &trace{Trace: t, addrs: t.Addrs()}
		for _, a := range tr.addrs {
			hop, _ := oracle.Lookup(a)
			tr.sum += uint64(hop)
		}
		traces = append(traces, tr)
	}
	return tab, traces, nil
}

// check compares the engine's sum with the right one, so that no figure is of a lookup that answers wrongly.
func (e *engine) check(t *trace, sum uint64) error {
	if e.unchecked || sum == t.sum {
		return nil
	}
	return fmt.Errorf("check %s: next hops add up to %d, want %d", e.row(t), sum, t.sum)
}
