package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"

	"weft/bpf"
	"weft/fib"
	"weft/test/fulltable"
)

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types weft bpf/weft.c -- -O2 -g -Wall -Werror -mcpu=v3 -I../../bpf/include -idirafter /usr/include/x86_64-linux-gnu

// imageSize holds the full table in either layout, records included.
const imageSize = 64 << 20

// hopGroups is how many next hops the table has: hop n is group n, and group n + hopGroups is another to replace it by.
const hopGroups = 255

var (
	weftBPF = source{
		name: "weft in BPF", root: true, open: openWeftBPF,
		rows: append(lookupRows("bpf", []string{"dep", "ind"}, []string{"weft", "weft_compact"}),
			lookupRows("bpf", []string{"dep", "ind"}, []string{"weft_one"})...),
	}
	weftGo = source{
		name: "weft in Go", open: openWeftGo,
		rows: append(lookupRows("go", []string{"single", "batch"}, []string{"weft", "weft_compact", "weft_one"}),
			"load/full/weft", "update/replace/weft", "switch/900000/weft", "switch/1/weft",
			"memory/full/weft", "memory/full/weft_compact"),
	}
)

// weftTable is one of weft's engines: a table in a layout.
type weftTable struct {
	name   string
	opts   fib.Options
	routes []fib.Route

	unchecked bool
}

// weftTables are the full table in both layouts, and one route that covers all: its rate is what table size costs.
func weftTables(t *table) []weftTable {
	one := []fib.Route{{Prefix: t.ipv4[0], Group: 1}, {Prefix: t.ipv6[0], Group: 1}}
	return []weftTable{
		{name: "weft", routes: t.routes()},
		{name: "weft_compact", opts: fib.Options{Compact: true}, routes: t.routes()},
		{name: "weft_one", routes: one, unchecked: true},
	}
}

// routes is the table as fib takes it.
func (t *table) routes() []fib.Route {
	all := make([]fib.Route, 0, len(t.ipv4)+len(t.ipv6))
	for i, p := range t.ipv4 {
		all = append(all, fib.Route{Prefix: p, Group: fib.GroupID(t.hops4[i])})
	}
	for i, p := range t.ipv6 {
		all = append(all, fib.Route{Prefix: p, Group: fib.GroupID(t.hops6[i])})
	}
	return all
}

// newImage makes an image with the groups of all hops and no routes.
func newImage(mem []byte, opts fib.Options) (*fib.Image, fib.Table, error) {
	im, err := fib.Create(mem, opts)
	if err != nil {
		return nil, fib.Table{}, err
	}
	for range 2 * hopGroups {
		if _, err := im.AddGroup(fib.Group{Kind: fib.Local}); err != nil {
			return nil, fib.Table{}, err
		}
	}
	tab, err := im.Table(0)
	return im, tab, err
}

func (w *weftTable) fill(mem []byte) (*fib.Image, fib.Table, error) {
	im, tab, err := newImage(mem, w.opts)
	if err == nil {
		_, err = tab.Replace(w.routes)
	}
	return im, tab, err
}

func openWeftBPF(_ context.Context, s *setup) (*contest, error) {
	c := new(contest)
	for _, w := range weftTables(s.table) {
		mem, err := bpf.NewImage(imageSize)
		if err != nil {
			return nil, err
		}
		if _, _, err := w.fill(mem.Mem()); err != nil {
			return nil, err
		}
		spec, err := loadWeft()
		if err != nil {
			return nil, err
		}
		maps, err := mem.Use(spec)
		if err != nil {
			return nil, err
		}
		coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: maps})
		if err != nil {
			return nil, fmt.Errorf("load weft's lookup: %w", err)
		}
		engines, err := bpfEngines(coll, map[string]string{"weft": w.name})
		if err != nil {
			return nil, err
		}
		for _, e := range engines {
			e.unchecked = w.unchecked
			c.engines = append(c.engines, e)
		}
	}
	return c, nil
}

func openWeftGo(_ context.Context, s *setup) (*contest, error) {
	c := new(contest)
	out := make([]fib.GroupID, fulltable.TraceLen)
	for _, w := range weftTables(s.table) {
		im, tab, err := w.fill(make([]byte, imageSize))
		if err != nil {
			return nil, err
		}
		single := timed(func(t *trace) (sum uint64) {
			for _, a := range t.addrs {
				sum += uint64(tab.Lookup(a))
			}
			return sum
		})
		c.engines = append(c.engines,
			engine{side: "go", family: "ipv4", mode: "single", name: w.name, unchecked: w.unchecked, run: single},
			engine{side: "go", family: "ipv6", mode: "single", name: w.name, unchecked: w.unchecked, run: single},
			engine{side: "go", family: "ipv4", mode: "batch", name: w.name, unchecked: w.unchecked, run: timed(func(t *trace) uint64 {
				tab.LookupBatch4(t.IPv4, out)
				return sumOf(out)
			})},
			engine{side: "go", family: "ipv6", mode: "batch", name: w.name, unchecked: w.unchecked, run: batch6(tab, out)},
		)
		if !w.unchecked {
			c.figures = append(c.figures, figure{"memory/full/" + w.name, "bytes", func(context.Context) (float64, error) {
				return float64(im.Used() - im.UsedByRecords()), nil
			}})
		}
	}
	c.figures = append(c.figures,
		figure{"load/full/weft", "s", func(context.Context) (float64, error) { return loadTime(s.table) }},
		figure{"update/replace/weft", "1/s", func(ctx context.Context) (float64, error) { return replaceRate(ctx, s.table) }},
		figure{"switch/900000/weft", "ns", func(context.Context) (float64, error) { return switchTime(s.table, 900_000) }},
		figure{"switch/1/weft", "ns", func(context.Context) (float64, error) { return switchTime(s.table, 1) }},
	)
	return c, nil
}

func sumOf(groups []fib.GroupID) (sum uint64) {
	for _, g := range groups {
		sum += uint64(g)
	}
	return sum
}

// batch6 keeps the addresses of the trace that it was last run on as numbers: turning them is not part of a lookup.
func batch6(tab fib.Table, out []fib.GroupID) func(context.Context, *trace) (float64, uint64, error) {
	var of *trace
	var dst []fib.Addr6
	run := timed(func(*trace) uint64 {
		tab.LookupBatch6(dst, out)
		return sumOf(out)
	})
	return func(ctx context.Context, t *trace) (float64, uint64, error) {
		if of != t {
			of, dst = t, make([]fib.Addr6, len(t.IPv6))
			for i, a := range t.IPv6 {
				dst[i] = fib.Addr6{Hi: binary.BigEndian.Uint64(a[:8]), Lo: binary.BigEndian.Uint64(a[8:])}
			}
		}
		return run(ctx, t)
	}
}

// loadTime fills an empty image with the parsed table. The image's pages are there, as those of an array map are.
func loadTime(t *table) (float64, error) {
	routes := t.routes()
	mem := make([]byte, imageSize)
	for i := 0; i < len(mem); i += 4096 {
		mem[i] = 0
	}
	_, tab, err := newImage(mem, fib.Options{})
	if err != nil {
		return 0, err
	}
	start := time.Now()
	_, err = tab.Replace(routes)
	return time.Since(start).Seconds(), err
}

// replaceRate gives random prefixes of the full table another group, while a goroutine on whichever CPU is free looks
// destinations up and knows which two answers each may have.
func replaceRate(ctx context.Context, t *table) (float64, error) {
	const replacements = 1 << 21
	routes := t.routes()
	var readers fib.Readers
	im, tab, err := newImage(make([]byte, imageSize), fib.Options{Grace: &readers})
	if err == nil {
		_, err = tab.Replace(routes)
	}
	if err != nil {
		return 0, err
	}
	dst := fulltable.Traces(t.ipv4, t.ipv6, seed)[1].IPv4
	before := make([]fib.GroupID, len(dst))
	tab.LookupBatch4(dst, before)

	var stop atomic.Bool
	wrong := make(chan error, 1)
	go func() {
		me := readers.Join()
		defer me.Leave()
		out := make([]fib.GroupID, 256)
		for at := 0; !stop.Load(); at = (at + len(out)) % len(dst) {
			tab.LookupBatch4(dst[at:at+len(out)], out)
			for i, g := range out {
				if want := before[at+i]; g != want && g != want+hopGroups {
					wrong <- fmt.Errorf("look up %#x while it changes: group %d, want %d or %d", dst[at+i], g, want, want+hopGroups)
					return
				}
			}
			me.Quiesce()
		}
		wrong <- nil
	}()

	r := rand.New(rand.NewPCG(seed, 0))
	order := make([]uint32, replacements)
	for i := range order {
		order[i] = r.Uint32N(uint32(len(routes)))
	}
	start := time.Now()
	for _, i := range order {
		rt := &routes[i]
		if rt.Group <= hopGroups {
			rt.Group += hopGroups
		} else {
			rt.Group -= hopGroups
		}
		if err = tab.Insert(rt.Prefix, rt.Group); err != nil {
			break
		}
	}
	took := time.Since(start)
	stop.Store(true)
	im.Publish()
	return replacements / took.Seconds(), errors.Join(err, <-wrong, ctx.Err())
}

// switchTime changes a group that n prefixes use to another port, until a reader sees it: here, one on the same CPU.
func switchTime(t *table, n int) (float64, error) {
	im, tab, err := newImage(make([]byte, imageSize), fib.Options{})
	if err != nil {
		return 0, err
	}
	var next [2]fib.Group
	for i := range next {
		id, err := im.AddAdjacency(fib.Adjacency{Port: uint32(i + 1), MTU: 1500})
		if err != nil {
			return 0, err
		}
		next[i] = fib.Group{Kind: fib.Forward, Members: []fib.Member{{Adjacency: id, Weight: 1}}}
	}
	group, err := im.AddGroup(next[0])
	if err != nil {
		return 0, err
	}
	routes := t.routes()[:n]
	for i := range routes {
		routes[i].Group = group
	}
	if _, err := tab.Replace(routes); err != nil {
		return 0, err
	}
	const switches = 10_000
	dst := routes[n/2].Prefix.Addr()
	start := time.Now()
	for i := range switches {
		g := next[(i+1)%2]
		if err := im.SetGroup(group, g); err != nil {
			return 0, err
		}
		if got := im.Next(tab.Lookup(dst), 0).Adjacency; got != g.Members[0].Adjacency {
			return 0, fmt.Errorf("switch group: lookup still gives adjacency %d", got)
		}
	}
	return float64(time.Since(start).Nanoseconds()) / switches, nil
}
