package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a process in a node of a lab.
type Process struct {
	Pid  int
	Log  string        // the file that has what it wrote
	Done chan struct{} // closed when it has ended
	err  error
}

// Err returns how the process ended, once Done is closed: nil, or an *exec.ExitError.
func (p *Process) Err() error { return p.err }

// Signal sends a signal. A process that has ended is no error.
func (p *Process) Signal(s syscall.Signal) error {
	select {
	case <-p.Done:
		return nil
	default:
	}
	if err := unix.Kill(p.Pid, s); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal process %d: %w", p.Pid, err)
	}
	return nil
}

// Start starts a process in a node's network namespace, in a process group of its own: Ctrl-C in the terminal does not
// reach it. What it writes is appended to a file that Down removes, with the process. It outlives the caller.
//
// Errors: ErrNode, *exec.Error.
func (l *Lab) Start(node string, argv ...string) (*Process, error) {
	if len(argv) == 0 {
		return nil, fmt.Errorf("start process in %s: no command", node)
	}
	name := filepath.Join(stateDir(l.prefix), node+"-"+filepath.Base(argv[0])+".log")
	log, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start process in %s: %w", node, err)
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A child has the network namespace of the thread that made it.
	if err := l.In(node, cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s in %s: %w", argv[0], node, err)
	}
	p := &Process{Pid: cmd.Process.Pid, Log: name, Done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.Done)
	}()
	return p, nil
}

// Output runs a command in a node's network namespace and returns what it wrote to stdout. Ctrl-C does not reach it, as
// with Start.
//
// Errors: ErrNode, *exec.Error, *exec.ExitError with what it wrote to stderr.
func (l *Lab) Output(node string, argv ...string) (out []byte, err error) {
	if len(argv) == 0 {
		return nil, fmt.Errorf("run command in %s: no command", node)
	}
	err = l.In(node, func() (err error) {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		out, err = cmd.Output()
		return err
	})
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return out, fmt.Errorf("run %v in %s: %w", argv, node, err)
	}
	return out, nil
}

// step is a signal, and how long to wait for processes to end of it.
type step struct {
	signal syscall.Signal
	wait   time.Duration
}

// endProcesses ends what is in network namespaces, by one step after the other.
func endProcesses(in []identity, steps ...step) error {
	for _, step := range steps {
		pids, err := processes(in)
		if err != nil {
			return err
		}
		for _, pid := range pids {
			if err := unix.Kill(pid, step.signal); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("end process %d: %w", pid, err)
			}
		}
		for end := time.Now().Add(step.wait); len(pids) > 0 && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
			if pids, err = processes(in); err != nil {
				return err
			}
		}
		if len(pids) == 0 {
			return nil
		}
	}
	pids, err := processes(in)
	if err == nil && len(pids) > 0 {
		err = fmt.Errorf("processes %v are still in the lab after SIGKILL", pids)
	}
	return err
}
