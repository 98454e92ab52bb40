package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	report "weft/test/benchreport"
)

// sources are all there are but designs, in the order in which their rows are printed.
var sources = []source{weftBPF, bpfFloor, bpfKernel, bpfLPMTrie, weftGo, goFloor, goBart, dpdkFIB}

func main() { report.Main("fibbench", run) }

type options struct {
	report.Options
	floor   int  // bytes
	designs bool // measure those too
}

func parseFlags(args []string, stdout io.Writer) (o options, err error) {
	floorMiB := 0
	o.Options, err = report.Parse("fibbench", "^bpf/ipv4/dep/zipf/", args, stdout, func(f *flag.FlagSet) {
		f.IntVar(&floorMiB, "floor-mib", 16, "size of the floor's buffer in `MiB`, a power of two up to 64")
		f.BoolVar(&o.designs, "designs", false, "measure also the designs that weft's FIB was chosen from, design_*")
	})
	if err == nil && (floorMiB < 1 || floorMiB > 64 || floorMiB&(floorMiB-1) != 0) {
		err = report.Usagef("-floor-mib %d: want 1, 2, 4, 8, 16, 32 or 64", floorMiB)
	}
	o.floor = floorMiB << 20
	return o, err
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parseFlags(args, stdout)
	if err != nil {
		return err
	}
	wanted := wantedSources(o.Only)
	if o.designs && slices.ContainsFunc(designs.rows, o.Only.MatchString) {
		wanted = append(wanted, designs)
	}
	if len(wanted) == 0 {
		return report.Usagef("-only %s: no row matches", o.Only)
	}
	// Namespace and CPU are those of this thread; test runs and child processes get them from it.
	runtime.LockOSThread()
	if slices.ContainsFunc(wanted, func(s source) bool { return s.root }) {
		if os.Geteuid() != 0 {
			return errors.New("measure in BPF: needs root, for BPF programs and a network namespace: run it by sudo, " +
				"or leave the BPF rows out with -only '^go/'")
		}
		if err := enterNetns(); err != nil {
			return err
		}
	}
	var pinned unix.CPUSet
	pinned.Set(o.CPU)
	if err := unix.SchedSetaffinity(0, &pinned); err != nil {
		return fmt.Errorf("pin to CPU %d: %w", o.CPU, err)
	}

	fmt.Fprintln(stderr, "fibbench: loading the table")
	tab, traces, err := loadTable()
	if err != nil {
		return err
	}
	b := bench{rounds: o.Rounds, only: o.Only, stderr: stderr, samples: report.NewSamples()}
	env := report.Here(o.Rounds, o.CPU)
	env.Notes = append(env.Notes, fmt.Sprintf("floor: a buffer of %d MiB", o.floor>>20))
	for _, src := range wanted {
		start := time.Now()
		c, err := src.open(ctx, &setup{table: tab, cpu: o.CPU, floorBytes: o.floor})
		if err != nil {
			return err
		}
		if c.close != nil {
			defer c.close()
		}
		if c.note != "" {
			env.Notes = append(env.Notes, c.note)
		}
		b.engines = append(b.engines, c.engines...)
		b.figures = append(b.figures, c.figures...)
		fmt.Fprintf(stderr, "fibbench: set up %s in %.1f s\n", src.name, time.Since(start).Seconds())
	}
	// No garbage is made from here on that would matter; a collection in the middle of a measurement would.
	runtime.GC()
	debug.SetGCPercent(-1)
	if err := b.measure(ctx, traces); err != nil {
		return err
	}
	return o.Write(stdout, b.samples, goals(), env)
}
