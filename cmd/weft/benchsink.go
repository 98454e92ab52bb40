package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/vishvananda/netlink"

	"weft/test/bench"
)

func newBenchSinkCommand(e *env) *cobra.Command {
	var o bench.SinkOptions
	cmd := &cobra.Command{
		Use: "sink DEV", Short: "Count the packets of a generator, and what was lost",
		Long: `Takes packets of 'weft bench gen' in at DEV, by an XDP program in its driver, which
drops them; all else goes to the kernel as ever. A line each second, and one of all, tell
how many came, how many sequence numbers are missing, and for how long packets were under
way, if generator and sink are on one machine: their clock is one then.

It ends when it is interrupted, or by --time or --count.`,
		Example: `  sudo weft bench sink eth2
  sudo weft -n h2 bench sink eth0 --time 10s --json`,
		Annotations:       map[string]string{inFull: "yes"},
		Args:              oneDevice("bench sink"),
		ValidArgsFunction: completeDevices,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Device = args[0]
			if o.Time < 0 {
				return usagef("--time %s: want more than 0", o.Time)
			}
			err := needRoot("bench sink", "to count by BPF")
			if err == nil {
				err = bench.Sink(cmd.Context(), o, func(c bench.SinkCount) error { return e.printLine(sinkLine(c)) })
			}
			return benchFailure("bench sink", err)
		},
	}
	cmd.Flags().DurationVar(&o.Time, "time", 0, "end after so long")
	cmd.Flags().Uint64Var(&o.Packets, "count", 0, "end when `N` packets have come in")
	return cmd
}

type sinkLine bench.SinkCount

func (c sinkLine) text() string {
	what := "now"
	if c.Done {
		what = "all"
	}
	line := fmt.Sprintf("%7.1f s  %s packets, %s: %s packets/s, %s lost", c.Seconds, thousands(c.Packets), what, thousands(uint64(c.Rate)), thousands(c.Lost))
	for _, n := range []struct {
		count uint64
		what  string
	}{{c.Repeated, "repeated"}, {c.Reordered, "reordered"}, {c.Corrupt, "corrupt"}} {
		if n.count > 0 {
			line += fmt.Sprintf(", %s %s", thousands(n.count), n.what)
		}
	}
	if t := c.Latency; t != nil {
		line += fmt.Sprintf(", under way %.3g us (p50), %.3g (p99), %.3g (p99.9), %.3g (max)", t.P50, t.P99, t.P999, t.Max)
	}
	return line
}

func oneDevice(command string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage(command+": which interface is missing", "name one of those that 'ip link' shows")
		}
		return atMost(1)(cmd, args)
	}
}

func needRoot(command, why string) error {
	if os.Geteuid() != 0 {
		return fail(codePermission, command+": needs root, "+why, "try 'sudo weft "+command+"'")
	}
	return nil
}

func noDevice(device string, err error) error {
	var none netlink.LinkNotFoundError
	if errors.As(err, &none) {
		return fail(codeNotFound, device+": there is no such interface here", "'ip link' shows those that there are")
	}
	return err
}

func benchFailure(command string, err error) error {
	var f *failure
	var none netlink.LinkNotFoundError
	switch {
	case err == nil, errors.As(err, &f):
		return err
	case errors.As(err, &none):
		return fail(codeNotFound, err.Error(), "'ip link' shows the interfaces that there are")
	case errors.Is(err, bench.ErrSize), errors.Is(err, bench.ErrRate):
		return usagef("%s: %v", command, err)
	}
	return fmt.Errorf("%s: %w", command, err)
}
