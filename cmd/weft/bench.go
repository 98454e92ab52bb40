package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"weft/control/config/spell"
	"weft/test/bench"
	"weft/test/bench/peer"
	benchresult "weft/test/bench/result"
)

// benchFlags is what the command line says of a run, and where it goes.
type benchFlags struct {
	bench.Options
	json, lines, html, plot string
}

func newBenchCommand(e *env) *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use: "bench [TEST...]", Short: "Measure what forwards, beside its peers",
		Long: `Makes a generator, a router and a sink in network namespaces of its own, and measures
what forwards, in turns: Linux, XDP programs with bpf_fib_lookup and with LPM_TRIE, a
ceiling that looks nothing up, weft in XDP and weft's userspace engine. It needs nothing
but weft. Without --short it takes an hour or so.

Tests:
  cost         of generator and sink alone; a packet's CPU time in each system (and energy)
  mrr          packets a second at saturation, all on one CPU (maximum receive rate)
  scale        the same with each table, of the least size
  throughput   RFC 2544: NDR (no loss) and PDR (0.5 % lost), the router on its own CPU
  latency      at 10, 50 and 90 % of PDR
  loss         at 10 to 120 % of PDR
  backtoback   the longest burst without loss
  tax          what each feature of weft costs a packet, alone and all together
  ecmp         routes with 1, 2, 16 and 256 next hops
  churn        1,000 and 10,000 routes change each second: rate kept, time blocked
  reset        the daemon is killed and started again: packets lost
  idle         CPU and memory of a daemon with nothing to do
  cores        1, 2, ... CPUs that forward
  routers      1 to 32 routers, one behind the other
  convergence  a route goes, and a link goes down: time until packets go another way

Sizes are of Ethernet frames with checksum, IPv6 has 84 at least. Tables are numbers of
routes of each family, taken from the Internet's, or full: all of it. Frames above 1518
have a network of their own, with jumbo frames on.

Interrupted, it keeps what it has, and says so in what it writes; the exit code is 3.`,
		Example: `  sudo weft bench --short
  sudo weft bench --short --json new.json --html new.html
  sudo weft bench mrr --size 64 --table 1 --table full --system linux --system weft_xdp
  weft bench compare old.json new.json`,
		Annotations: map[string]string{inFull: "yes"},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return bench.TestNames, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			f.Tests = args
			for _, a := range args {
				if near := spell.Nearest(a, []string{"gen", "sink", "compare"}); near != "" && !slices.Contains(bench.TestNames, a) {
					return usage("bench: "+a+": no such test or command", "did you mean "+near+"?")
				}
			}
			return e.bench(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.Short, "short", false, "fewer cases and rounds: under 10 minutes")
	flags.StringVar(&f.json, "json", "", "write all figures and what they were made with to `FILE`, for compare")
	flags.StringVar(&f.lines, "bench", "", "write lines of Go's benchmark format to `FILE`, for benchstat")
	flags.StringVar(&f.html, "html", "", "write a page with plots to `FILE`")
	flags.StringVar(&f.plot, "plot", "", "write the plot of throughput by routes (IPv4) to `FILE`, as SVG")
	flags.StringArrayVar(&f.Systems, "system", nil, "only this `SYSTEM`; may be repeated")
	flags.StringArrayVar(&f.Families, "family", nil, "only this `FAMILY`: ipv4 or ipv6")
	flags.StringArrayVar(&f.Sizes, "size", nil, "only frames of this `SIZE`: bytes, or imix; may be repeated")
	flags.StringArrayVar(&f.Tables, "table", nil, "only with so many `ROUTES`, or full; may be repeated")
	flags.IntVar(&f.Rounds, "rounds", 0, "measure each `N` times (default: 10, or 4 with --short)")
	flags.IntVar(&f.CPU, "cpu", -1, "generate on CPU `N` (default: the last)")
	complete(cmd, "system", choices(peer.Names()...))
	complete(cmd, "family", choices(bench.Families...))
	complete(cmd, "table", choices("1", "1000", "100000", "full"))
	complete(cmd, "size", choices("64", "128", "256", "512", "1024", "1280", "1518", "imix", "9000"))
	cmd.AddCommand(newBenchGenCommand(e), newBenchSinkCommand(e), newBenchCompareCommand(e))
	return cmd
}

func (e *env) bench(ctx context.Context, f benchFlags) error {
	if err := f.Complete(); err != nil {
		return usage("bench: "+err.Error(), "see 'weft bench --help'")
	}
	if err := needRoot("bench", "to make network namespaces"); err != nil {
		return err
	}
	outputs, err := f.open()
	if err != nil {
		return err
	}
	defer outputs.close()
	f.Version, f.Command = e.version, os.Args
	begin := e.now()
	f.Tell = func(what string, done, all int) {
		clear := ""
		if e.terminal {
			clear = "\x1b[K\r"
		}
		line := fmt.Sprintf("%5.0f s  %d of %d  %s", e.now().Sub(begin).Seconds(), done, all, what)
		if e.terminal {
			fmt.Fprint(e.stderr, line+clear)
			return
		}
		fmt.Fprintln(e.stderr, line)
	}
	d, failed := bench.Run(ctx, f.Options)
	if e.terminal {
		_, _ = io.WriteString(e.stderr, "\x1b[K")
	}
	if len(d.Rows) > 0 {
		if err := errors.Join(d.WriteTable(e.stdout), outputs.write(d)); err != nil {
			return errors.Join(failed, err)
		}
	}
	switch {
	case failed == nil:
		return nil
	case ctx.Err() != nil && len(d.Rows) > 0:
		return fail(codePartial, "bench: interrupted", "what was measured is above, and marked as partial")
	}
	return fmt.Errorf("bench: %w", failed)
}

// output is a file, and what is to be in it.
type output struct {
	*os.File
	write func(*benchresult.Document, io.Writer) error
}

type outputs []output

// open opens all files, before there is an hour's work that cannot be written.
func (f *benchFlags) open() (all outputs, err error) {
	for _, o := range []struct {
		path  string
		write func(*benchresult.Document, io.Writer) error
	}{
		{f.json, (*benchresult.Document).Write}, {f.lines, (*benchresult.Document).WriteBenchmarks}, {f.html, (*benchresult.Document).WritePage},
		{f.plot, func(d *benchresult.Document, w io.Writer) error {
			_, err := d.WritePlot(w, "Throughput by routes, ipv4")
			return err
		}},
	} {
		if o.path == "" {
			continue
		}
		if st, err := os.Stat(o.path); err == nil && !st.Mode().IsRegular() { // as /dev/stdout: a file would take its place
			all.close()
			return nil, fail(codeFailed, "bench: write "+o.path+": it is no regular file", "name another file")
		}
		file, err := os.CreateTemp(filepath.Dir(o.path), "."+filepath.Base(o.path)+"-")
		if err != nil {
			all.close()
			return nil, fail(codeFailed, fmt.Sprintf("bench: write %s: %v", o.path, errors.Unwrap(err)), "name another file")
		}
		all = append(all, output{file, func(d *benchresult.Document, w io.Writer) error {
			if err := o.write(d, w); err != nil {
				return err
			}
			return errors.Join(file.Chmod(0o644), os.Rename(file.Name(), o.path))
		}})
	}
	return all, nil
}

func (all outputs) write(d *benchresult.Document) (err error) {
	for _, o := range all {
		err = errors.Join(err, o.write(d, o))
	}
	return err
}

// close removes what was not written.
func (all outputs) close() {
	for _, o := range all {
		o.Close()
		os.Remove(o.Name())
	}
}

func newBenchCompareCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "compare OLD NEW", Short: "Tell what changed between two runs, and whether it is more than noise",
		Long: `Reads two files that 'weft bench --json FILE' wrote, and prints a line for each figure
that is in both: the medians, the difference, and how likely noise alone makes such a one
(p, by the Mann-Whitney U test). Below 0.05 it is called better or WORSE, otherwise ~.
Fewer than 4 rounds on a side never tell more than noise.

The exit code is 3 if something is worse.`,
		Example:           "  weft bench compare old.json new.json",
		Annotations:       map[string]string{inFull: "yes"},
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage(fmt.Sprintf("bench compare: %d files, want 2", len(args)), "'weft bench --json FILE' writes one")
			}
			return e.benchCompare(args[0], args[1])
		},
	}
}

func (e *env) benchCompare(before, after string) error {
	var docs [2]*benchresult.Document
	for i, path := range []string{before, after} {
		f, err := os.Open(path)
		if err != nil {
			return fail(codeNotFound, "bench compare: "+err.Error(), "'weft bench --json FILE' writes one")
		}
		docs[i], err = benchresult.Read(f)
		f.Close()
		if err != nil {
			return usage(fmt.Sprintf("bench compare: %s: %v", path, err), "'weft bench --json FILE' writes one")
		}
	}
	changes := benchresult.Compare(docs[0], docs[1])
	for _, d := range benchresult.Differences(docs[0], docs[1]) {
		fmt.Fprintln(e.stderr, "weft: bench compare: note:", d)
	}
	if e.json {
		if err := e.printJSON(changes); err != nil {
			return err
		}
	} else if err := benchresult.WriteChanges(e.stdout, changes); err != nil {
		return err
	}
	for _, c := range changes {
		if c.Worse {
			return outcome(codePartial)
		}
	}
	return nil
}
