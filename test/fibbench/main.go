package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	report "weft/test/benchreport"
)

// sources are all there are but designs, in the order in which their rows are printed.
var sources = []source{weftBPF, bpfFloor, bpfKernel, bpfLPMTrie, weftGo, goFloor, goBart, dpdkFIB}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	var bad usageError
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.As(err, &bad):
		fmt.Fprintln(os.Stderr, "fibbench:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "fibbench:", err)
		os.Exit(1)
	}
}

// usageError is a mistake in the command line.
type usageError struct{ error }

type options struct {
	json   bool
	rounds int
	only   *regexp.Regexp
	cpu    int
	floor  int // bytes

	designs bool // measure those too
}

// parseFlags writes help to stdout if that is asked for, and returns flag.ErrHelp.
func parseFlags(args []string, stdout io.Writer) (options, error) {
	f := flag.NewFlagSet("fibbench", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	format := f.String("format", "table", "`form` of the output: table or json")
	rounds := f.Int("rounds", 5, "measure each row `n` times")
	only := f.String("only", "", "measure only rows whose name matches `regexp`, such as ^bpf/ipv4/dep/zipf/")
	cpu := f.Int("cpu", runtime.NumCPU()-1, "measure on this CPU")
	floorMiB := f.Int("floor-mib", 16, "size of the floor's buffer in `MiB`, a power of two up to 64")
	withDesigns := f.Bool("designs", false, "measure also the designs that weft's FIB was chosen from, design_*")
	if err := f.Parse(args); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			return options{}, usageError{err}
		}
		f.SetOutput(stdout)
		f.Usage()
		return options{}, err
	}
	o := options{json: *format == "json", rounds: *rounds, cpu: *cpu, floor: *floorMiB << 20, designs: *withDesigns}
	var err error
	switch {
	case f.NArg() > 0:
		return o, usageError{fmt.Errorf("unexpected argument %q", f.Arg(0))}
	case *format != "table" && *format != "json":
		return o, usageError{fmt.Errorf("-format %q: want table or json", *format)}
	case *rounds < 1:
		return o, usageError{fmt.Errorf("-rounds %d: want 1 or more", *rounds)}
	case *cpu < 0 || *cpu >= runtime.NumCPU():
		return o, usageError{fmt.Errorf("-cpu %d: this machine has CPUs 0 to %d", *cpu, runtime.NumCPU()-1)}
	case *floorMiB < 1 || *floorMiB > 64 || *floorMiB&(*floorMiB-1) != 0:
		return o, usageError{fmt.Errorf("-floor-mib %d: want 1, 2, 4, 8, 16, 32 or 64", *floorMiB)}
	}
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, usageError{fmt.Errorf("-only: %w", err)}
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parseFlags(args, stdout)
	if err != nil {
		return err
	}
	wanted := wantedSources(o.only)
	if o.designs && slices.ContainsFunc(designs.rows, o.only.MatchString) {
		wanted = append(wanted, designs)
	}
	if len(wanted) == 0 {
		return usageError{fmt.Errorf("-only %s: no row matches", o.only)}
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
	pinned.Set(o.cpu)
	if err := unix.SchedSetaffinity(0, &pinned); err != nil {
		return fmt.Errorf("pin to CPU %d: %w", o.cpu, err)
	}

	fmt.Fprintln(stderr, "fibbench: loading the table")
	tab, traces, err := loadTable()
	if err != nil {
		return err
	}
	b := bench{rounds: o.rounds, only: o.only, stderr: stderr, samples: report.NewSamples()}
	env := report.Here(o.rounds, o.cpu)
	env.Notes = append(env.Notes, fmt.Sprintf("floor: a buffer of %d MiB", o.floor>>20))
	for _, src := range wanted {
		start := time.Now()
		c, err := src.open(ctx, &setup{table: tab, cpu: o.cpu, floorBytes: o.floor})
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
	if o.json {
		return report.WriteJSON(stdout, b.samples, goals(), env)
	}
	return report.WriteTable(stdout, b.samples, goals(), env)
}
