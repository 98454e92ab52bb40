package benchreport

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
)

// Main runs a bench program until it is interrupted, and exits: 0 done, 1 failed,
// 2 wrong usage.
func Main(name string, run func(ctx context.Context, args []string, stdout, stderr io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	var bad UsageError
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.As(err, &bad):
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// UsageError is a mistake in the command line.
type UsageError struct{ error }

// Usagef makes one.
func Usagef(format string, args ...any) error { return UsageError{fmt.Errorf(format, args...)} }

// Options are what every bench program is told.
type Options struct {
	JSON   bool
	Rounds int
	Only   *regexp.Regexp // rows
	CPU    int
}

// Parse reads a command line, with flags that more adds. example is a regexp of
// rows. It writes help to stdout if that is asked for, and returns flag.ErrHelp.
//
// Errors: UsageError.
func Parse(name, example string, args []string, stdout io.Writer, more func(*flag.FlagSet)) (Options, error) {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	format := f.String("format", "table", "`form` of the output: table or json")
	rounds := f.Int("rounds", 5, "measure each row `n` times")
	only := f.String("only", "", "measure only rows whose name matches `regexp`, such as "+example)
	cpu := f.Int("cpu", runtime.NumCPU()-1, "measure on this CPU")
	more(f)
	if err := f.Parse(args); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			return Options{}, UsageError{err}
		}
		f.SetOutput(stdout)
		f.Usage()
		return Options{}, err
	}
	o := Options{JSON: *format == "json", Rounds: *rounds, CPU: *cpu}
	var err error
	switch {
	case f.NArg() > 0:
		return o, Usagef("unexpected argument %q", f.Arg(0))
	case *format != "table" && *format != "json":
		return o, Usagef("-format %q: want table or json", *format)
	case *rounds < 1:
		return o, Usagef("-rounds %d: want 1 or more", *rounds)
	case *cpu < 0 || *cpu >= runtime.NumCPU():
		return o, Usagef("-cpu %d: this machine has CPUs 0 to %d", *cpu, runtime.NumCPU()-1)
	}
	if o.Only, err = regexp.Compile(*only); err != nil {
		return o, Usagef("-only: %w", err)
	}
	return o, nil
}

// Write prints what was measured, in the form that was asked for.
func (o *Options) Write(w io.Writer, s *Samples, goals []Goal, env Environment) error {
	if o.JSON {
		return WriteJSON(w, s, goals, env)
	}
	return WriteTable(w, s, goals, env)
}
