package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"weft/test/bench/result"
	"weft/test/root"
)

// left returns the network namespaces of this process's benches.
func left(t *testing.T) (names []string) {
	t.Helper()
	files, err := os.ReadDir("/run/netns")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), fmt.Sprintf("weft-bench-%d-", os.Getpid())) {
			names = append(names, f.Name())
		}
	}
	return names
}

// short is a run of moments.
func short(t *testing.T, tests ...string) Options {
	t.Helper()
	o := Options{
		Tests: tests, Systems: []string{"linux", "weft_xdp"}, Sizes: []string{"64"}, Tables: []string{"1"}, Rounds: 1, Short: true, CPU: -1, width: 0.5, hasty: true,
	}
	if err := o.Complete(); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestRun(t *testing.T) {
	root.Require(t)
	o := short(t, "cost", "mrr")
	o.Rounds, o.Tables, o.Sizes = 2, []string{"1", "1000"}, []string{"imix", "64"}
	d, err := Run(t.Context(), o)
	if err != nil || d.Partial != "" {
		t.Fatalf("partial %q: %v", d.Partial, err)
	}
	for _, k := range []result.Key{
		{Test: "cost", Family: "ipv4", Table: "1", Size: "64", System: "generator", Metric: "made_and_counted"},
		{Test: "mrr", Family: "ipv4", Table: "1", Size: "64", System: "linux", Metric: "rate"},
		{Test: "mrr", Family: "ipv6", Table: "1000", Size: "imix", System: "weft_xdp", Metric: "rate"},
	} {
		if r := d.Find(k); r == nil || len(r.Samples) != 2 || r.Min <= 0 {
			t.Errorf("%s: %+v", k, r)
		}
	}
	if d.Machine.Kernel == "" || len(d.Systems) != 2 || d.Seconds <= 0 {
		t.Errorf("%+v", d.Machine)
	}
	if names := left(t); names != nil {
		t.Errorf("left: %q", names)
	}
}

// All tests of one system, with the router on a CPU of its own.
func TestRunApart(t *testing.T) {
	root.Require(t)
	if runtime.NumCPU() < 2 {
		t.Skip("needs two CPUs")
	}
	o := short(t, "throughput", "latency", "loss", "backtoback")
	o.Systems = []string{"ceiling"}
	d, err := Run(t.Context(), o)
	if err != nil || d.Partial != "" {
		t.Fatalf("partial %q: %v", d.Partial, err)
	}
	k := oneCase{"ipv4", "1", "64"}.key
	// On a busy machine no load at all may hold.
	pdr, ndr := d.Find(k("throughput", "ceiling", "pdr")), d.Find(k("throughput", "ceiling", "ndr"))
	if pdr == nil || ndr == nil {
		t.Skipf("no load holds on this machine now: %+v", d.Rows)
	}
	p50 := d.Find(k("latency", "ceiling", "p50_at_50%"))
	if p50 == nil || p50.Median <= 0 || len(p50.Points) == 0 || p50.Points[len(p50.Points)-1][1] != 1 {
		t.Errorf("latency %+v", p50)
	}
	if r := d.Find(k("loss", "ceiling", "at_120%_of_pdr")); r == nil || len(r.Points) != 7 || r.Min < 0 || r.Max > 100 {
		t.Errorf("loss %+v", r)
	}
	if r := d.Find(k("backtoback", "ceiling", "burst")); r != nil && r.Min < 1 {
		t.Errorf("burst %+v", r)
	}
	if names := left(t); names != nil {
		t.Errorf("left: %q", names)
	}
}

// What is interrupted keeps what it has, says so, and leaves nothing behind.
func TestInterrupted(t *testing.T) {
	root.Require(t)
	ctx, cancel := context.WithCancel(t.Context())
	o := short(t, "mrr")
	o.Rounds = 1000
	o.Tell = func(_ string, done, _ int) {
		if done == 1 {
			cancel()
		}
	}
	d, err := Run(ctx, o)
	if !errors.Is(err, context.Canceled) || d.Partial != "interrupted" || len(d.Rows) == 0 {
		t.Errorf("partial %q, %d rows: %v", d.Partial, len(d.Rows), err)
	}
	if names := left(t); names != nil {
		t.Errorf("left: %q", names)
	}
}

func TestComplete(t *testing.T) {
	for want, o := range map[string]Options{
		`unknown test "througput": did you mean throughput?`: {Tests: []string{"througput"}},
		`unknown test "x": want one of cost, mrr`:            {Tests: []string{"mrr", "x"}},
		`unknown system "linus": did you mean linux?`:        {Systems: []string{"linus"}},
		`unknown family "ipv5": did you mean ipv4?`:          {Families: []string{"ipv5"}},
		`unknown table "0": want a number of routes`:         {Tables: []string{"0"}},
		`unknown table "ful"`:                                {Tables: []string{"ful"}},
		"63 bytes: want 64 to 9018":                          {Sizes: []string{"63"}},
		"9019 bytes: want 64 to 9018":                        {Sizes: []string{"9019"}},
		"-1 rounds: want 1 to 1000":                          {Rounds: -1},
		"CPU 100000: this machine has 0 to":                  {CPU: 100000},
	} {
		if err := o.Complete(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	o := Options{Short: true, CPU: -1}
	if err := o.Complete(); err != nil || !slices.Equal(o.Tests, TestNames) || o.Rounds == 0 || o.CPU != runtime.NumCPU()-1 {
		t.Errorf("%+v: %v", o, err)
	}
}

// Each table has its cases, and what takes long is done where it says.
func TestCases(t *testing.T) {
	b := &bench{Options: Options{Short: true}}
	if err := b.Complete(); err != nil {
		t.Fatal(err)
	}
	long := 0
	seen := map[oneCase]bool{}
	for _, table := range b.Tables {
		for _, c := range b.casesOf(table) {
			if seen[c] {
				t.Errorf("%+v twice", c)
			}
			seen[c] = true
			if b.thorough(c) {
				long++
			}
		}
	}
	if !seen[oneCase{"ipv6", "full", "84"}] || !seen[oneCase{"ipv4", "1", "imix"}] || seen[oneCase{"ipv4", "full", "imix"}] || long != 1 {
		t.Errorf("%d long cases of %v", long, seen)
	}
}
