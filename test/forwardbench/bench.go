package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/bench/peer"
	report "weft/test/benchreport"
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
	soft          bool // router and sink have a CPU of their own
	latency       bool // how long packets are under way, not how many arrive
	dst           []netip.Addr
}

func (c *contest) row(engine string) string {
	switch {
	case c.latency:
		return latencyRow(c.family, c.table, engine)
	case c.soft:
		return softRow(c.family, c.table, engine)
	}
	return rowName(c.family, c.table, engine)
}

// engineNames and softNames are in the order in which they are measured.
var (
	engineNames = []string{"linux", "fib_lookup", "lpm_trie", "ceiling", "weft_xdp"}
	softNames   = []string{"linux", "weft_xdp", "weft_soft", "testpmd_af_xdp", "testpmd_af_packet"}
)

func (c *contest) stream() peer.Stream {
	if c.latency {
		return peer.Stream{Dst4: c.dst, Pattern: []traffic.Kind{{Size: frameSize}}, Stamp: latencyStamp}
	}
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
		if family == "ipv4" || table == "full" {
			all = append(all, &contest{family: family, table: table, engines: softNames, soft: true})
		}
		if family == "ipv4" {
			all = append(all, &contest{family: family, table: table, engines: latencyNames, soft: true, latency: true})
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
	rows = append(rows, slices.Sorted(maps.Values(memRows))...)
	return append(rows, rowSync, rowDump, rowMemory, rowIdle, rowIdleSoft)
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
	one, full := b.able(b.wanted("one")), b.able(b.wanted("full"))
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
	daemon := b.wantsAny(rowSync, rowDump, rowMemory, rowIdle, rowIdleSoft)
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
	if err := b.forward(ctx, rOne, rFull, append(one, full...)); err != nil {
		return err
	}
	if b.wantsAny(slices.Collect(maps.Values(memRows))...) {
		if err := b.memory(ctx); err != nil {
			return err
		}
	}
	if !daemon {
		return nil
	}
	return b.daemon(ctx, rFull)
}

// able leaves out what cannot be measured here, and notes why.
func (b *bench) able(wanted []*contest) (can []*contest) {
	for _, c := range wanted {
		if c.soft && b.allCPUs.Count() < 2 {
			b.note("soft/...: router and sink on a CPU of their own need another one for the generator: left out")
			continue
		}
		c.engines = slices.DeleteFunc(c.engines, func(e string) bool {
			s, _ := peer.Find(e)
			why := s.Missing()
			if why != "" {
				b.note(fmt.Sprintf("rows of %s: left out: %s", e, why))
			}
			return why != ""
		})
		if len(c.engines) > 0 {
			can = append(can, c)
		}
	}
	return can
}

func (b *bench) note(text string) {
	if !slices.Contains(b.env.Notes, text) {
		b.env.Notes = append(b.env.Notes, text)
	}
}

func (b *bench) newNetwork(ctx context.Context, name string, tab *peer.Table) (*peer.Network, error) {
	start := time.Now()
	r, err := peer.New(ctx, peer.Options{Table: tab, RouterCPU: b.CPU})
	if err != nil {
		return nil, fmt.Errorf("set up table %s: %w", name, err)
	}
	fmt.Fprintf(b.stderr, "forwardbench: set up table %s in %.1f s\n", name, time.Since(start).Seconds())
	return r, nil
}

// forward takes all rows in each round: full is compared with one, too.
func (b *bench) forward(ctx context.Context, one, full *peer.Network, cs []*contest) error {
	lanes := make([]map[string]lane, len(cs))
	for i, c := range cs {
		r := full
		if c.table == "one" {
			r = one
		}
		var err error
		if lanes[i], err = c.lanes(r); err != nil {
			return err
		}
		defer closeAll(lanes[i])
	}
	others := b.allCPUs
	others.Clear(b.CPU)
	// No garbage is made from here on that would matter; a collection in the middle of a measurement would.
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for round := range b.Rounds {
		for i, c := range cs {
			fmt.Fprintf(b.stderr, "forwardbench: %s, %d rows, round %d of %d\n", path.Dir(c.row("")), len(c.engines), round+1, b.Rounds)
			if c.latency {
				if err := b.latencies(ctx, lanes[i][c.engines[0]], c, &others); err != nil {
					return fmt.Errorf("measure %s: %w", path.Dir(c.row("")), err)
				}
				continue
			}
			for _, e := range c.engines {
				if err := ctx.Err(); err != nil {
					return err
				}
				counts, err := b.forwardOnce(ctx, lanes[i][e], c, e, &others)
				if err != nil {
					return fmt.Errorf("measure %s: %w", c.row(e), err)
				}
				b.samples.Add(c.row(e), "Mpps", counts.Rate/1e6)
				if c.soft { // packets are made faster than forwarded: some are lost before
					continue
				}
				b.lost[c.row(e)] = max(b.lost[c.row(e)], 1-float64(counts.Packets)/countPackets)
			}
		}
	}
	return nil
}

// lane is a network, and what makes packets in it.
type lane struct {
	network   *peer.Network
	generator *traffic.Generator
}

// lanes are those of each engine: not all can be in the same network.
func (c *contest) lanes(n *peer.Network) (all map[string]lane, err error) {
	all = map[string]lane{}
	for _, e := range c.engines {
		l := lane{}
		if l.network, err = n.Of(e); err == nil {
			l.generator, err = l.network.Generator(c.stream())
		}
		if err != nil {
			closeAll(all)
			return nil, err
		}
		all[e] = l
	}
	return all, nil
}

func closeAll(lanes map[string]lane) {
	for _, l := range lanes {
		l.generator.Close()
	}
}

// forwardOnce measures a row in a round.
func (b *bench) forwardOnce(ctx context.Context, l lane, c *contest, engine string, others *unix.CPUSet) (counts traffic.Counts, err error) {
	l.network.SetApart(c.soft, b.CPU)
	forward := func() error {
		counts, err = l.network.Forward(ctx, engine, l.generator, warmPackets, countPackets)
		return err
	}
	if c.soft {
		return counts, peer.OnCPUs(others, forward)
	}
	return counts, forward()
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
	return peer.OnCPUs(&b.allCPUs, func() error {
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
	var errs [3]error
	if b.wantsAny(rowSync, rowMemory, rowIdle) {
		f, errs[0] = measureDaemon(ctx, binary, b.Only.MatchString(rowIdle))
	}
	if b.wantsAny(rowIdleSoft) {
		soft, err := measureDaemon(ctx, binary, true, "--engine", "soft")
		errs[1] = err
		b.samples.Add(rowIdleSoft, "%", soft.idle)
	}
	if b.Only.MatchString(rowDump) {
		dump, errs[2] = timeDump()
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
