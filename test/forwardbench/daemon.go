package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
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
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	weft := exec.CommandContext(ctx, binary, append([]string{"run"}, args...)...)
	weft.Cancel = func() error { return weft.Process.Signal(os.Interrupt) }
	weft.WaitDelay = 10 * time.Second
	stderr, err := weft.StderrPipe()
	if err != nil {
		return f, err
	}
	start := time.Now()
	if err := weft.Start(); err != nil {
		return f, err
	}
	defer weft.Wait()
	defer cancel()
	lines := bufio.NewScanner(stderr)
	var told []string
	for f.sync == 0 && lines.Scan() {
		told = append(told, lines.Text())
		if strings.Contains(lines.Text(), "forwarding") {
			f.sync = time.Since(start)
		}
	}
	if f.sync == 0 {
		return f, fmt.Errorf("weft run ended before it forwarded: %s", strings.Join(told, "\n"))
	}
	go io.Copy(io.Discard, stderr)
	if idle {
		if f.idle, err = idleShare(ctx, weft.Process.Pid); err != nil {
			return f, err
		}
	}
	f.memory, err = peakMemory(weft.Process.Pid)
	return f, err
}

// idleShare waits until the collector has had its turn, and measures then.
func idleShare(ctx context.Context, pid int) (percent float64, err error) {
	if err := sleep(ctx, 2*time.Second); err != nil {
		return 0, err
	}
	before, err := cpuTime(pid)
	start := time.Now()
	if err == nil {
		err = sleep(ctx, idleTime)
	}
	if err != nil {
		return 0, err
	}
	after, err := cpuTime(pid)
	return 100 * float64(after-before) / float64(time.Since(start)), err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// cpuTime returns what a process's threads have run: its clock, by the number that clock_getcpuclockid(3) makes.
func cpuTime(pid int) (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil {
		return 0, fmt.Errorf("read CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// peakMemory returns VmHWM, in bytes.
func peakMemory(pid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmHWM", pid)
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

// onCPUs runs f with the calling thread, and what it starts, allowed on a set of CPUs.
func onCPUs(cpus *unix.CPUSet, f func() error) error {
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("get affinity: %w", err)
	}
	if err := unix.SchedSetaffinity(0, cpus); err != nil {
		return fmt.Errorf("set affinity: %w", err)
	}
	err := f()
	if back := unix.SchedSetaffinity(0, &before); back != nil && err == nil {
		err = fmt.Errorf("set affinity: %w", back)
	}
	return err
}
