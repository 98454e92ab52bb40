package bench

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"weft/control/config/spell"
	"weft/test/bench/peer"
	"weft/test/bench/result"
)

// Options say what a run measures. Complete fills in what is not said.
type Options struct {
	Tests    []string
	Systems  []string
	Families []string // ipv4, ipv6
	Sizes    []string // as of ParseSizes, one a case
	Tables   []string // routes of each family: 1, 1000, full
	Rounds   int
	Short    bool // fewer cases and rounds: minutes
	CPU      int  // of the generator, and of all where it is one; -1: the last

	Daemon  string // binary of weft that tests of the daemon run; "": this one
	Version string
	Command []string

	// Tell, if there is one, is told what comes next, and how many of all steps are done.
	Tell func(what string, done, all int)

	width float64 // of NDR, PDR and bursts, as a share of them
	hasty bool    // trials are too short for figures that mean anything
}

// ErrUnknown is a test, a system, a family or a table that there is not.
var ErrUnknown = errors.New("unknown")

// TestNames are the tests that there are, in their order.
var TestNames = []string{
	"cost", "mrr", "scale", "throughput", "latency", "loss", "backtoback", "tax", "ecmp", "churn", "reset", "idle", "cores", "routers", "convergence",
}

// Families are those of packets.
var Families = []string{"ipv4", "ipv6"}

// Complete fills in what is not said, and refuses what cannot be.
//
// Errors: ErrUnknown, ErrSize.
func (o *Options) Complete() error {
	def := func(to *[]string, values ...string) {
		if len(*to) == 0 {
			*to = values
		}
	}
	def(&o.Tests, TestNames...)
	def(&o.Systems, peer.Names()...)
	def(&o.Families, Families...)
	def(&o.Tables, "1", "1000", "100000", "full")
	if o.Short {
		def(&o.Sizes, "64", "512", "1518", "imix")
	} else {
		def(&o.Sizes, "64", "128", "256", "512", "1024", "1280", "1518", "imix", "9000")
	}
	if o.Rounds == 0 {
		o.Rounds = 10
		if o.Short {
			o.Rounds = result.Enough
		}
	}
	if o.width == 0 {
		o.width = 0.05
		if o.Short {
			o.width = 0.1
		}
	}
	if o.CPU < 0 {
		o.CPU = runtime.NumCPU() - 1
	}
	return o.check()
}

func (o *Options) check() error {
	for _, c := range []struct {
		what         string
		given, known []string
	}{{"test", o.Tests, TestNames}, {"system", o.Systems, peer.Names()}, {"family", o.Families, Families}} {
		for _, g := range c.given {
			if err := known(c.what, g, c.known); err != nil {
				return err
			}
		}
	}
	for _, t := range o.Tables {
		if _, err := routes(t); err != nil {
			return err
		}
	}
	for _, s := range o.Sizes {
		if _, err := ParseSizes(s); err != nil {
			return err
		}
	}
	if o.Rounds < 1 || o.Rounds > 1000 {
		return fmt.Errorf("%d rounds: want 1 to 1000", o.Rounds)
	}
	if o.CPU >= runtime.NumCPU() {
		return fmt.Errorf("CPU %d: this machine has 0 to %d", o.CPU, runtime.NumCPU()-1)
	}
	return nil
}

func known(what, given string, all []string) error {
	if slices.Contains(all, given) {
		return nil
	}
	if near := spell.Nearest(given, all); near != "" {
		return fmt.Errorf("%w %s %q: did you mean %s?", ErrUnknown, what, given, near)
	}
	return fmt.Errorf("%w %s %q: want one of %s", ErrUnknown, what, given, strings.Join(all, ", "))
}

// routes is how many a table has of each family.
func routes(table string) (int, error) {
	if table == "full" {
		return 1 << 20, nil
	}
	n, err := strconv.Atoi(table)
	if err != nil || n < 1 || n > 1<<20 {
		return 0, fmt.Errorf("%w table %q: want a number of routes from 1 to %d, or full", ErrUnknown, table, 1<<20)
	}
	return n, nil
}

// lasting is how long a trial takes.
func (o *Options) lasting(d time.Duration) time.Duration {
	if o.hasty {
		return d / 5
	}
	return d
}

func (o *Options) wants(tests ...string) bool {
	return slices.ContainsFunc(tests, func(t string) bool { return slices.Contains(o.Tests, t) })
}
