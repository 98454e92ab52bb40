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
	"syscall"

	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	report "weft/test/benchreport"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	var bad usageError
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.As(err, &bad):
		fmt.Fprintln(os.Stderr, "forwardbench:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "forwardbench:", err)
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
}

// parseFlags writes help to stdout if that is asked for, and returns flag.ErrHelp.
func parseFlags(args []string, stdout io.Writer) (options, error) {
	f := flag.NewFlagSet("forwardbench", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	format := f.String("format", "table", "`form` of the output: table or json")
	rounds := f.Int("rounds", 5, "measure each row `n` times")
	only := f.String("only", "", "measure only rows whose name matches `regexp`, such as ^forward/ipv4/full/")
	cpu := f.Int("cpu", runtime.NumCPU()-1, "forward on this CPU")
	if err := f.Parse(args); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			return options{}, usageError{err}
		}
		f.SetOutput(stdout)
		f.Usage()
		return options{}, err
	}
	o := options{json: *format == "json", rounds: *rounds, cpu: *cpu}
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
	b := &bench{options: o, stderr: stderr, samples: report.NewSamples(), env: report.Here(o.rounds, o.cpu), lost: map[string]float64{}}
	if !b.wantsAny(allRows()...) {
		return usageError{fmt.Errorf("-only %s: no row matches", o.only)}
	}
	if os.Geteuid() != 0 {
		return errors.New("measure forwarding: needs root, for BPF programs and network namespaces: run it by sudo")
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("raise the limit of locked memory: %w", err)
	}
	// Namespace and CPU are those of this thread.
	runtime.LockOSThread()
	if err := unix.SchedGetaffinity(0, &b.allCPUs); err != nil {
		return fmt.Errorf("get affinity: %w", err)
	}
	var pinned unix.CPUSet
	pinned.Set(o.cpu)
	if err := unix.SchedSetaffinity(0, &pinned); err != nil {
		return fmt.Errorf("pin to CPU %d: %w", o.cpu, err)
	}
	if err := b.measure(ctx); err != nil {
		return err
	}
	b.noteLosses()
	if o.json {
		return report.WriteJSON(stdout, b.samples, goals(), b.env)
	}
	return report.WriteTable(stdout, b.samples, goals(), b.env)
}
