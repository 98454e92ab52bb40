package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Daemon is a 'weft run' in a network namespace.
type Daemon struct {
	Took time.Duration // from its start until it forwarded

	command *exec.Cmd
	ended   chan error
}

// ErrDaemon is a daemon that has ended before it forwarded.
var ErrDaemon = errors.New("weft run ended before it forwarded")

// readyWithin is how long a daemon may take with the largest table.
const readyWithin = 2 * time.Minute

// StartDaemon runs a binary of weft in the calling thread's network namespace and on its CPUs, and returns when it forwards. It ends with ctx, and gives
// the ports back then.
//
// Errors: ErrDaemon.
func StartDaemon(ctx context.Context, binary string, args ...string) (*Daemon, error) {
	d := &Daemon{ended: make(chan error, 1)}
	d.command = exec.CommandContext(ctx, binary, append([]string{"run"}, args...)...)
	d.command.Cancel = func() error { return d.command.Process.Signal(os.Interrupt) }
	d.command.WaitDelay = 10 * time.Second
	stderr, err := d.command.StderrPipe()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := d.command.Start(); err != nil {
		return nil, fmt.Errorf("start weft run: %w", err)
	}
	late := time.AfterFunc(readyWithin, func() { _ = d.command.Process.Kill() })
	defer late.Stop()
	lines := bufio.NewScanner(stderr)
	var told []string
	for d.Took == 0 && lines.Scan() {
		told = append(told, lines.Text())
		if strings.Contains(lines.Text(), "forwarding") {
			d.Took = time.Since(start)
		}
	}
	if d.Took == 0 {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrDaemon, strings.Join(told, "\n")), d.command.Wait())
	}
	go func() {
		_, _ = io.Copy(io.Discard, stderr)
		d.ended <- d.command.Wait()
	}()
	return d, nil
}

// Stop has it give the ports back, and waits.
func (d *Daemon) Stop() error {
	err := d.command.Process.Signal(os.Interrupt)
	return errors.Join(err, <-d.ended)
}

// Kill ends it without a word to it.
func (d *Daemon) Kill() error {
	err := d.command.Process.Kill()
	<-d.ended // that it was killed
	return err
}

// CPUTime returns what its threads have run: its clock, by the number that clock_getcpuclockid(3) makes.
func (d *Daemon) CPUTime() (time.Duration, error) { return cpuTime(d.command.Process.Pid) }

func cpuTime(pid int) (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil {
		return 0, fmt.Errorf("read CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// IdleShare waits until its collector has had its turn, and returns what it takes of one CPU then, percent.
func (d *Daemon) IdleShare(ctx context.Context, settle, during time.Duration) (percent float64, err error) {
	if err := sleep(ctx, settle); err != nil {
		return 0, err
	}
	before, err := d.CPUTime()
	start := time.Now()
	if err == nil {
		err = sleep(ctx, during)
	}
	if err != nil {
		return 0, err
	}
	after, err := d.CPUTime()
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

// PeakMemory returns its resident memory at most (VmHWM), bytes.
func (d *Daemon) PeakMemory() (int, error) { return peakMemory(d.command.Process.Pid) }

func peakMemory(pid int) (int, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	status, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no VmHWM", path)
}

// OnCPUs runs f with the calling thread, and what it starts, allowed on a set of CPUs.
func OnCPUs(cpus *unix.CPUSet, f func() error) error {
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
