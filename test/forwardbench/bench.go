package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	report "weft/test/benchreport"
	"weft/test/bench/peer"
	"weft/test/fulltable"
	"weft/test/traffic"
)

// Packets of a measurement. A call of the generator costs some 25 ms beside its packets, which the sink's rate leaves out.
const (
	frameSize    = 64
	warmPackets  = 1 << 18
	countPackets = 1 << 20
)

// bench measures the wanted rows in turns.
type bench struct {
	report.Options
	stderr  io.Writer
	samples *report.Samples
	env     report.Environment
	allCPUs unix.CPUSet
	lost    map[string]float64 // share of a row's packets, at most
}

// contest is rows that one stream of packets gives.
type contest struct {
	family, table string
	engines       []string
	dst           []netip.Addr
}

func (c *contest) row(engine string) string { return rowName(c.family, c.table, engine) }

// engineNames are in the order in which they are measured.
var engineNames = []string{"linux", "fib_lookup", "lpm_trie", "ceiling", "weft_xdp"}

func (c *contest) stream() peer.Stream {
	if c.family == "ipv6" {
		return peer.Stream{Dst6: c.dst, Pattern: []traffic.Kind{{Size: frameSize, IPv6: true}}}
	}
	return peer.Stream{Dst4: c.dst, Pattern: []traffic.Kind{{Size: frameSize}}}
}

func contests(table string) (all []*contest) {
	for _, family := range []string{"ipv4", "ipv6"} {
		all = append(all, &contest{family: family, table: table, engines: engineNames})
		if table == "full" {
			all = append(all, &contest{family: family, table: "full_zipf", engines: []string{"ceiling", "weft_xdp"}})
		}
	}
	return all
}

func allRows() (rows []string) {
	for _, c := range append(contests("one"), contests("full")...) {
		for _, e := range c.engines {
			rows = append(rows, c.row(e))
		}
	}
	return append(rows, rowSync, rowDump, rowMemory, rowIdle)
}

func (b *bench) wantsAny(rows ...string) bool { return slices.ContainsFunc(rows, b.Only.MatchString) }

func (b *bench) wanted(table string) (wanted []*contest) {
	for _, c := range contests(table) {
		c.engines = slices.DeleteFunc(slices.Clone(c.engines), func(e string) bool { return !b.Only.MatchString(c.row(e)) })
		if len(c.engines) > 0 {
			wanted = append(wanted, c)
		}
	}
	return wanted
}

func (b *bench) measure(ctx context.Context) error {
	one, full := b.wanted("one"), b.wanted("full")
	for _, c := range one {
		c.dst = peer.One().Destinations(c.family == "ipv6", fulltable.TraceLen, nil)
	}
	var rOne, rFull *peer.Network
	var err error
	if len(one) > 0 {
		if rOne, err = b.newNetwork(ctx, "one", peer.One()); err != nil {
			return err
		}
		defer rOne.Close()
	}
	daemon := b.wantsAny(rowSync, rowDump, rowMemory, rowIdle)
	if len(full) > 0 || daemon {
		tab, err := peer.Full()
		if err != nil {
			return err
		}
		for _, t := range fulltable.Traces(tab.IPv4, tab.IPv6, peer.Seed) {
			for _, c := range full {
				if c.family == t.Family && t.Name == map[string]string{"full": "pfx", "full_zipf": "zipf"}[c.table] {
					c.dst = t.Addrs()
				}
			}
		}
		if rFull, err = b.newNetwork(ctx, "full", tab); err != nil {
			return err
		}
		defer rFull.Close()
	}
	if err := b.forward(ctx, rOne, rFull, append(one, full...)); err != nil || !daemon {
		return err
	}
	return b.daemon(ctx, rFull)
}

func (b *bench) newNetwork(ctx context.Context, name string, tab *peer.Table) (*peer.Network, error) {
	start := time.Now()
	r, err := peer.New(ctx, peer.Options{Table: tab})
	if err != nil {
		return nil, fmt.Errorf("set up table %s: %w", name, err)
	}
	fmt.Fprintf(b.stderr, "forwardbench: set up table %s in %.1f s\n", name, time.Since(start).Seconds())
	return r, nil
}

// forward takes all rows in each round: full is compared with one, too.
func (b *bench) forward(ctx context.Context, one, full *peer.Network, cs []*contest) error {
	generators := make([]*traffic.Generator, len(cs))
	routers := make([]*peer.Network, len(cs))
	for i, c := range cs {
		if routers[i] = full; c.table == "one" {
			routers[i] = one
		}
		g, err := routers[i].Generator(c.stream())
		if err != nil {
			return err
		}
		defer g.Close()
		generators[i] = g
	}
	// No garbage is made from here on that would matter; a collection in the middle of a measurement would.
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for round := range b.Rounds {
		for i, c := range cs {
			fmt.Fprintf(b.stderr, "forwardbench: %s/%s, %d rows, round %d of %d\n", c.family, c.table, len(c.engines), round+1, b.Rounds)
			for _, e := range c.engines {
				if err := ctx.Err(); err != nil {
					return err
				}
				counts, err := routers[i].Forward(ctx, e, generators[i], warmPackets, countPackets)
				if err != nil {
					return fmt.Errorf("measure %s: %w", c.row(e), err)
				}
				b.samples.Add(c.row(e), "Mpps", counts.Rate/1e6)
				b.lost[c.row(e)] = max(b.lost[c.row(e)], 1-float64(counts.Packets)/countPackets)
			}
		}
	}
	return nil
}

// noteLosses tells of rows in which packets did not arrive: the rate is of those that did.
func (b *bench) noteLosses() {
	for _, row := range slices.Sorted(maps.Keys(b.lost)) {
		if share := b.lost[row]; share > 0.001 {
			b.env.Notes = append(b.env.Notes, fmt.Sprintf("%s: %.1f %% of the packets were lost in a round", row, 100*share))
		}
	}
}

// daemon measures 'weft run' with the full table.
func (b *bench) daemon(ctx context.Context, r *peer.Network) error {
	dir, err := os.MkdirTemp("", "forwardbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return onCPUs(&b.allCPUs, func() error {
		binary, err := buildDaemon(ctx, dir)
		if err != nil {
			return err
		}
		for round := range b.Rounds {
			fmt.Fprintf(b.stderr, "forwardbench: weft run, round %d of %d\n", round+1, b.Rounds)
			err := r.InRouter(func() error { return b.daemonRound(ctx, binary) })
			if err != nil {
				return fmt.Errorf("measure weft run: %w", err)
			}
		}
		return nil
	})
}

func (b *bench) daemonRound(ctx context.Context, binary string) error {
	var f daemonFigures
	var dump time.Duration
	var errs [2]error
	if b.wantsAny(rowSync, rowMemory, rowIdle) {
		f, errs[0] = measureDaemon(ctx, binary, b.Only.MatchString(rowIdle))
	}
	if b.Only.MatchString(rowDump) {
		dump, errs[1] = timeDump()
	}
	for _, figure := range []struct {
		row, unit string
		value     float64
	}{
		{rowSync, "s", f.sync.Seconds()}, {rowDump, "s", dump.Seconds()},
		{rowMemory, "bytes", float64(f.memory)}, {rowIdle, "%", f.idle},
	} {
		if b.Only.MatchString(figure.row) {
			b.samples.Add(figure.row, figure.unit, figure.value)
		}
	}
	return errors.Join(errs[:]...)
}
