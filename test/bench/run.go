package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/bench/peer"
	"weft/test/bench/result"
	"weft/test/traffic"
)

// A run's times. They are short, and rounds are many: a neighbor that takes the CPU spoils one of them.
const (
	warmFor    = 50 * time.Millisecond
	mrrFor     = 250 * time.Millisecond
	trialFor   = 60 * time.Millisecond
	latencyFor = 250 * time.Millisecond

	destinations = 1 << 16
)

// bench is a run.
type bench struct {
	Options
	doc       *result.Document
	done, all int
	times     map[result.Key]*traffic.Histogram
}

// oneCase is what all systems are measured with, in turns.
type oneCase struct{ family, table, size string }

// Run measures what Options say. The document is there also with an error: partial, then. Complete must have been called.
func Run(ctx context.Context, o Options) (*result.Document, error) {
	begin := time.Now()
	b := &bench{Options: o, times: map[result.Key]*traffic.Histogram{}, doc: &result.Document{
		Schema: result.Schema, Version: o.Version, Command: o.Command, Started: begin.UTC().Truncate(time.Second),
		Machine: result.Here(), Seed: peer.Seed, Rounds: o.Rounds,
	}}
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not unlocked: its CPU and its namespaces are no one else's
		failed <- b.run(ctx)
	}()
	err := <-failed
	b.doc.Seconds = time.Since(begin).Seconds()
	switch {
	case ctx.Err() != nil:
		b.doc.Partial = "interrupted"
	case err != nil:
		b.doc.Partial = err.Error()
	}
	return b.doc, err
}

func (b *bench) run(ctx context.Context) error {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return fmt.Errorf("get affinity: %w", err)
	}
	if err := prepare(b.CPU); err != nil {
		return err
	}
	if err := peer.Prefer(0); err != nil {
		return err
	}
	b.describe(allowed.Count())
	b.count()
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	for _, table := range b.Tables {
		if cases := b.casesOf(table); len(cases) > 0 {
			if err := b.runTable(ctx, table, cases); err != nil {
				return err
			}
		}
	}
	return nil
}

// describe says what will be measured, and what will not.
func (b *bench) describe(cpus int) {
	note := func(format string, args ...any) { b.doc.Notes = append(b.doc.Notes, fmt.Sprintf(format, args...)) }
	if cpus < 2 && b.wants("throughput", "latency", "loss", "backtoback") {
		note("One CPU: throughput, latency, loss and backtoback need another one for the router, and are left out.")
		b.Tests = slices.DeleteFunc(slices.Clone(b.Tests), func(t string) bool { return t != "mrr" && t != "cost" })
	}
	b.Systems = slices.DeleteFunc(slices.Clone(b.Systems), func(name string) bool {
		s, _ := peer.Find(name)
		if why := s.Missing(); why != "" {
			note("%s is left out: %s.", s.Title, why)
			return true
		}
		return false
	})
	for _, name := range b.Systems {
		s, _ := peer.Find(name)
		version := b.doc.Machine.Kernel
		if strings.HasPrefix(name, "weft") {
			version = b.Version
		}
		b.doc.Systems = append(b.doc.Systems, result.System{Name: s.Name, Title: s.Title, Note: s.Note, Version: version})
	}
	note("mrr, cost: generator, router and sink on CPU %d. Others: generator on CPU %d, router and sink on CPU %d.", b.CPU, b.CPU, b.routerCPU())
}

func (b *bench) routerCPU() int { return (b.CPU + 1) % runtime.NumCPU() }

// casesOf returns those of a table: all sizes with the first table, the least with others.
func (b *bench) casesOf(table string) (all []oneCase) {
	for _, family := range b.Families {
		for i, size := range b.Sizes {
			if i > 0 && (table != b.Tables[0] || b.Short && family == "ipv6") {
				break
			}
			if family == "ipv6" && size == "64" {
				size = "84"
			}
			all = append(all, oneCase{family, table, size})
		}
	}
	return all
}

// thorough tells whether a case has the tests that take long: in a short run, one size of the first and the last table.
func (b *bench) thorough(c oneCase) bool {
	first := c.size == b.Sizes[0] || c.family == "ipv6" && c.size == "84"
	return first && (c.table == b.Tables[0] || c.table == b.Tables[len(b.Tables)-1]) && (!b.Short || c.family == b.Families[0])
}

// count finds out how many steps there are.
func (b *bench) count() {
	for _, table := range b.Tables {
		for _, c := range b.casesOf(table) {
			if b.wants("mrr") {
				b.all += b.Rounds
			}
			if b.thorough(c) && b.wants("throughput", "latency", "loss", "backtoback") {
				b.all += b.Rounds * len(b.Systems)
			}
		}
	}
}

// tell says what comes.
func (b *bench) tell(format string, args ...any) {
	if b.Tell != nil {
		b.Tell(fmt.Sprintf(format, args...), b.done, b.all)
	}
}

func (b *bench) runTable(ctx context.Context, table string, cases []oneCase) (err error) {
	n, err := routes(table)
	if err != nil {
		return err
	}
	tab, err := peer.Part(n)
	if err != nil {
		return err
	}
	b.tell("setting up %s", tab)
	net, err := peer.New(ctx, peer.Options{Table: tab})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	runtime.GC()
	if b.wants("cost") && table == b.Tables[0] {
		if err := b.cost(ctx, net); err != nil {
			return err
		}
	}
	if b.wants("mrr") {
		if err := b.mrr(ctx, net, cases); err != nil {
			return err
		}
	}
	if !b.wants("throughput", "latency", "loss", "backtoback") {
		return nil
	}
	cases = slices.DeleteFunc(slices.Clone(cases), func(c oneCase) bool { return !b.thorough(c) })
	if len(cases) == 0 {
		return nil
	}
	if err := net.SetSink(traffic.SinkOptions{Latency: true}); err != nil {
		return err
	}
	net.SetApart(true, b.routerCPU())
	return b.apart(ctx, net, cases)
}

// stream is the packets of a case.
func (c oneCase) stream(net *peer.Network, stamp int) (s peer.Stream, err error) {
	sizes, err := ParseSizes(c.size)
	v6 := c.family == "ipv6"
	s = peer.Stream{Pattern: kinds(sizes, !v6, v6), Stamp: stamp}
	if v6 {
		s.Dst6 = net.Table().Destinations(true, destinations, nil)
	} else {
		s.Dst4 = net.Table().Destinations(false, destinations, nil)
	}
	return s, err
}

func (c oneCase) key(test, system, metric string) result.Key {
	return result.Key{Test: test, Family: c.family, Table: c.table, Size: c.size, System: system, Metric: metric}
}

func (c oneCase) generator(net *peer.Network, stamp int) (*traffic.Generator, error) {
	s, err := c.stream(net, stamp)
	if err != nil {
		return nil, err
	}
	return net.Generator(s)
}

// cost measures the generator, to a sink in the router's place.
func (b *bench) cost(ctx context.Context, net *peer.Network) error {
	for _, c := range b.casesOf(b.Tables[0]) {
		g, err := c.generator(net, 0)
		if err != nil {
			return err
		}
		defer g.Close()
		for range b.Rounds {
			o, err := net.Floor(ctx, g, traffic.Load{Time: mrrFor})
			if err != nil {
				return err
			}
			if o.Got.Rate > 0 {
				b.doc.Add(c.key("cost", "generator", "made_and_counted"), "ns/pkt", true, 1e9/o.Got.Rate)
			}
		}
	}
	return nil
}

// mrr measures the kernel's systems, which take turns in each round; a process needs a CPU of its own.
func (b *bench) mrr(ctx context.Context, net *peer.Network, cases []oneCase) error {
	systems := slices.DeleteFunc(slices.Clone(b.Systems), func(name string) bool {
		s, _ := peer.Find(name)
		return s.Apart()
	})
	generators := make([]*traffic.Generator, len(cases))
	for i, c := range cases {
		g, err := c.generator(net, 0)
		if err != nil {
			return err
		}
		defer g.Close()
		generators[i] = g
	}
	for round := range b.Rounds {
		for i, c := range cases {
			b.tell("mrr %s, %s routes, size %s: round %d of %d", c.family, c.table, c.size, round+1, b.Rounds)
			for _, s := range systems {
				rate, err := saturate(ctx, net, s, generators[i])
				if err != nil {
					return err
				}
				b.doc.Add(c.key("mrr", s, "rate"), "pkt/s", false, rate)
			}
			b.done++
		}
	}
	return nil
}

// saturate returns how many packets a second a system forwards when as many come as go.
func saturate(ctx context.Context, net *peer.Network, system string, g *traffic.Generator) (rate float64, err error) {
	a, err := net.Attach(system)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, a.Detach()) }()
	var o peer.Outcome
	for _, d := range []time.Duration{warmFor, mrrFor} {
		if o, err = net.Trial(ctx, g, traffic.Load{Time: d}); err != nil {
			return 0, err
		}
	}
	if o.Got.Packets == 0 {
		return 0, fmt.Errorf("%s: no packet came through", system)
	}
	return o.Got.Rate, nil
}
