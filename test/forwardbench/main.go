package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	report "weft/test/benchreport"
)

func main() { report.Main("forwardbench", run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := report.Parse("forwardbench", "^forward/ipv4/full/", args, stdout, func(*flag.FlagSet) {})
	if err != nil {
		return err
	}
	b := &bench{Options: o, stderr: stderr, samples: report.NewSamples(), env: report.Here(o.Rounds, o.CPU), lost: map[string]float64{}}
	if !b.wantsAny(allRows()...) {
		return report.Usagef("-only %s: no row matches", o.Only)
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
	pinned.Set(o.CPU)
	if err := unix.SchedSetaffinity(0, &pinned); err != nil {
		return fmt.Errorf("pin to CPU %d: %w", o.CPU, err)
	}
	if err := b.measure(ctx); err != nil {
		return err
	}
	b.noteLosses()
	return o.Write(stdout, b.samples, goals(), b.env)
}
