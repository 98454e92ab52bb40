package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"weft/control/kernel"
	"weft/test/bench/peer"
)

// The daemon's rows.
const (
	rowSync   = "sync/full/weft"
	rowDump   = "sync/full/kernel_dump"
	rowMemory = "memory/full/daemon"
	rowIdle   = "idle/cpu"

	rowIdleSoft = "idle/cpu_soft"
)

const idleTime = 10 * time.Second

// buildDaemon compiles cmd/weft and returns the binary.
func buildDaemon(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "weft")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "weft/cmd/weft").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build weft: %w: %s", err, out)
	}
	return binary, nil
}

// daemonFigures are what one start of the daemon gives.
type daemonFigures struct {
	sync   time.Duration
	memory int     // bytes
	idle   float64 // percent of a CPU
}

// measureDaemon runs the daemon in the calling thread's namespace until its figures are known. It may use all CPUs.
func measureDaemon(ctx context.Context, binary string, idle bool, args ...string) (f daemonFigures, err error) {
	d, err := peer.StartDaemon(ctx, binary, args...)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, d.Stop()) }()
	f.sync = d.Took
	if idle {
		if f.idle, err = d.IdleShare(ctx, 2*time.Second, idleTime); err != nil {
			return f, err
		}
	}
	f.memory, err = d.PeakMemory()
	return f, err
}

// timeDump measures the kernel's answers to a dump of all routes, without looking into them.
func timeDump() (time.Duration, error) {
	start := time.Now()
	c, err := kernel.Open()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for _, t := range []kernel.Table{kernel.RoutesIPv4, kernel.RoutesIPv6} {
		if err := c.Dump(t, func([]byte) {}); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}
