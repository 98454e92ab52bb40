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
			if err := b.runSizes(ctx, table, cases); err != nil {
				return err
			}
		}
	}
	for _, o := range others {
		if !b.wants(o.name) {
			continue
		}
		if err := o.run(b, ctx); err != nil {
			return err
		}
	}
	return nil
}

// others are the tests that make networks of their own.
var others = []struct {
	name string
	run  func(*bench, context.Context) error
}{
	{"cost", (*bench).cpu}, {"tax", (*bench).tax}, {"ecmp", (*bench).ecmp}, {"churn", (*bench).churn}, {"reset", (*bench).reset},
	{"idle", (*bench).idle}, {"cores", (*bench).cores}, {"routers", (*bench).routers}, {"convergence", (*bench).convergence},
}

// apartTests are those that need the router on a CPU of its own.
var apartTests = []string{"throughput", "latency", "loss", "backtoback"}

// runSizes makes a network for frames that fit a page, and one for longer ones: what forwards those takes longer for all.
func (b *bench) runSizes(ctx context.Context, table string, cases []oneCase) error {
	for _, jumbo := range []bool{false, true} {
		some := slices.DeleteFunc(slices.Clone(cases), func(c oneCase) bool { return c.jumbo() != jumbo })
		if len(some) == 0 {
			continue
		}
		mtu := 0
		if jumbo {
			mtu = jumboMTU
		}
		if err := b.runTable(ctx, table, some, mtu); err != nil {
			return err
		}
	}
	return nil
}

const jumboMTU = MaxSize - headerLen - checksumLen

// jumbo tells whether frames do not fit a link's usual MTU.
func (c oneCase) jumbo() bool {
	sizes, err := ParseSizes(c.size)
	return err == nil && checkMTU("", 1500, sizes) != nil
}

// describe says what will be measured, and what will not.
func (b *bench) describe(cpus int) {
	note := func(format string, args ...any) { b.doc.Notes = append(b.doc.Notes, fmt.Sprintf(format, args...)) }
	if needTwo := append(slices.Clone(apartTests), "cost"); cpus < 2 && b.wants(needTwo...) {
		note("One CPU: %s need another one for the router, and are left out.", strings.Join(needTwo, ", "))
		b.Tests = slices.DeleteFunc(slices.Clone(b.Tests), func(t string) bool { return slices.Contains(needTwo, t) })
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
		b.describeSystem(s)
	}
	note("%s, cost a packet of systems: generator on CPU %d, router and sink on CPU %d. Others: all on CPU %d.",
		strings.Join(apartTests, ", "), b.CPU, b.routerCPU(), b.CPU)
}

func (b *bench) describeSystem(s peer.System) {
	version := b.doc.Machine.Kernel
	if strings.HasPrefix(s.Name, "weft") {
		version = b.Version
	}
	b.doc.Systems = append(b.doc.Systems, result.System{Name: s.Name, Title: s.Title, Note: s.Note, Version: version})
}

func (b *bench) routerCPU() int { return (b.CPU + 1) % runtime.NumCPU() }

// casesOf returns those of a table: all sizes with the first table, the least with others.
func (b *bench) casesOf(table string) (all []oneCase) {
	for _, family := range b.Families {
		for i, size := range b.Sizes {
			if i > 0 && (table != b.Tables[0] || b.Short && family == "ipv6") {
				break
			}
			all = append(all, oneCase{family, table, sizeOf(family, size)})
		}
	}
	return all
}

// sizeOf is a size as a family has it.
func sizeOf(family, size string) string {
	if family == "ipv6" && size == "64" {
		return "84"
	}
	return size
}

// thorough tells whether a case has the tests that take long: of one size, with the first and the last table; in a short
// run with the last.
func (b *bench) thorough(c oneCase) bool {
	first := c.size == sizeOf(c.family, b.Sizes[0]) && !c.jumbo()
	last := c.table == b.Tables[len(b.Tables)-1]
	if b.Short {
		return first && last && c.family == b.Families[0]
	}
	return first && (last || c.table == b.Tables[0])
}

// saturated are the cases of a test of rates at saturation: with scale, it has the other tables.
func (b *bench) saturated(test string, cases []oneCase) []oneCase {
	return slices.DeleteFunc(slices.Clone(cases), func(c oneCase) bool {
		if test == "scale" {
			return c.size != sizeOf(c.family, b.Sizes[0])
		}
		return b.wants("scale") && c.table != b.Tables[0]
	})
}

// count finds out how many steps there are.
func (b *bench) count() {
	for _, table := range b.Tables {
		cases := b.casesOf(table)
		for _, test := range []string{"mrr", "scale"} {
			if b.wants(test) {
				b.all += b.Rounds * len(b.saturated(test, cases))
			}
		}
		for _, c := range cases {
			if b.thorough(c) && b.wants(apartTests...) {
				b.all += b.Rounds * len(b.Systems)
			}
		}
	}
	families := b.Rounds * len(b.smallest(""))
	for test, steps := range map[string]int{
		"cost": families, "tax": families, "ecmp": families, "churn": families, "cores": families, "routers": families,
		"reset": b.Rounds * len(b.among("weft_xdp", "weft_soft")), "idle": b.Rounds * len(b.among("weft_xdp", "weft_soft")),
		"convergence": b.Rounds * len(failures) * len(b.among("linux", "weft_xdp")),
	} {
		if b.wants(test) {
			b.all += steps
		}
	}
}

// tell says what comes.
func (b *bench) tell(format string, args ...any) {
	if b.Tell != nil {
		b.Tell(fmt.Sprintf(format, args...), b.done, b.all)
	}
}

func (b *bench) runTable(ctx context.Context, table string, cases []oneCase, mtu int) (err error) {
	thorough := slices.DeleteFunc(slices.Clone(cases), func(c oneCase) bool { return !b.thorough(c) })
	if !b.wants("cost", "mrr", "scale") && (len(thorough) == 0 || !b.wants(apartTests...)) {
		return nil
	}
	n, err := routes(table)
	if err != nil {
		return err
	}
	tab, err := peer.Part(n)
	if err != nil {
		return err
	}
	b.tell("setting up %s", tab)
	net, err := peer.New(ctx, peer.Options{Table: tab, MTU: mtu})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	runtime.GC()
	if b.wants("cost") && table == b.Tables[0] {
		if err := b.cost(ctx, net, cases); err != nil {
			return err
		}
	}
	for _, test := range []string{"mrr", "scale"} {
		if !b.wants(test) {
			continue
		}
		if err := b.mrr(ctx, net, test, b.saturated(test, cases)); err != nil {
			return err
		}
	}
	if len(thorough) == 0 || !b.wants(apartTests...) {
		return nil
	}
	if err := net.SetSink(traffic.SinkOptions{Latency: true}); err != nil {
		return err
	}
	net.SetApart(true, b.routerCPU())
	return b.apart(ctx, net, thorough)
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
func (b *bench) cost(ctx context.Context, net *peer.Network, cases []oneCase) error {
	for _, c := range cases {
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

// mrr measures the kernel's systems at saturation; a process needs a CPU of its own.
func (b *bench) mrr(ctx context.Context, net *peer.Network, test string, cases []oneCase) error {
	var all []turn
	for _, name := range b.Systems {
		if s, _ := peer.Find(name); !s.Apart() {
			all = append(all, turn{net: net, system: name})
		}
	}
	return b.turns(ctx, test, cases, all, func(c oneCase, t turn, rate float64) {
		b.doc.Add(c.key(test, t.system, "rate"), "pkt/s", false, rate)
	})
}
