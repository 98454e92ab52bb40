package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"time"
	"unsafe"

	"github.com/gaissmai/bart"
	"golang.org/x/sys/unix"

	"weft/test/fulltable"
)

var (
	goBart = source{
		name: "bart", open: openBart,
		rows: lookupRows("go", []string{"single"}, []string{"bart_fast", "bart_table"}),
	}
	goFloor = source{
		name: "floor in Go", open: openGoFloor,
		rows: lookupRows("go", []string{"dep", "ind"}, []string{"floor"}),
	}
)

// timed makes an engine's run from a function that looks up all destinations and adds up their next hops. As in BPF, a
// first pass does not count.
func timed(lookup func(*trace) uint64) func(context.Context, *trace) (float64, uint64, error) {
	return func(ctx context.Context, t *trace) (float64, uint64, error) {
		lookup(t)
		start := time.Now()
		sum := lookup(t)
		return float64(time.Since(start)) / fulltable.TraceLen, sum, ctx.Err()
	}
}

// inserter is what bart's tables have in common.
type inserter interface {
	Insert(netip.Prefix, uint32)
}

func fill[T inserter](t T, tab *table) T {
	for i, p := range tab.ipv4 {
		t.Insert(p, tab.hops4[i])
	}
	for i, p := range tab.ipv6 {
		t.Insert(p, tab.hops6[i])
	}
	return t
}

func openBart(_ context.Context, s *setup) (*contest, error) {
	fast := fill(new(bart.Fast[uint32]), s.table)
	full := fill(new(bart.Table[uint32]), s.table)
	runs := map[string]func(*trace) uint64{
		"bart_fast": func(t *trace) (sum uint64) {
			for _, a := range t.addrs {
				hop, _ := fast.Lookup(a)
				sum += uint64(hop)
			}
			return sum
		},
		"bart_table": func(t *trace) (sum uint64) {
			for _, a := range t.addrs {
				hop, _ := full.Lookup(a)
				sum += uint64(hop)
			}
			return sum
		},
	}
	c := new(contest)
	for _, name := range []string{"bart_fast", "bart_table"} {
		for _, family := range []string{"ipv4", "ipv6"} {
			c.engines = append(c.engines, engine{side: "go", family: family, mode: "single", name: name, run: timed(runs[name])})
		}
	}
	return c, nil
}

// openGoFloor sets up the floor of bpf/peers.c once more, for user space. It is off the Go heap, as weft's image is.
func openGoFloor(_ context.Context, s *setup) (*contest, error) {
	mem, err := unix.Mmap(-1, 0, s.floorBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("map floor: %w", err)
	}
	words := unsafe.Slice((*uint32)(unsafe.Pointer(&mem[0])), len(mem)/4)
	clear(words) // writes: pages that were only read would all be the kernel's one page of zeros
	c := &contest{close: func() { unix.Munmap(mem) }}
	for _, mode := range []string{"dep", "ind"} {
		for _, family := range []string{"ipv4", "ipv6"} {
			c.engines = append(c.engines, engine{
				side: "go", family: family, mode: mode, name: "floor", unchecked: true,
				run: timed(floorLookup(words, family, mode == "dep")),
			})
		}
	}
	return c, nil
}

func floorLookup(words []uint32, family string, dep bool) func(*trace) uint64 {
	shift := 64 - (bits.Len(uint(len(words))) - 1)
	if family == "ipv4" {
		return func(t *trace) (sum uint64) {
			word := uint32(0) // every word is 0, which the CPU learns only when it is there
			for _, a := range t.IPv4 {
				if dep {
					a += word
				}
				word = words[(a*0x9e3779b1)>>(shift-32)]
				sum += uint64(word)
			}
			return sum
		}
	}
	return func(t *trace) (sum uint64) {
		word := uint32(0)
		for i := range t.IPv6 {
			a := binary.NativeEndian.Uint64(t.IPv6[i][:8])
			if dep {
				a += uint64(word)
			}
			word = words[(a*0x9e3779b97f4a7c15)>>shift]
			sum += uint64(word)
		}
		return sum
	}
}
