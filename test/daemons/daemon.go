package daemons

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/lab"
)

// Where runs a function on a thread in the network namespace that a daemon is to run in.
type Where func(f func() error) error

// Here is the namespace of the test's own thread, which is locked.
func Here(f func() error) error { return f() }

// Node is a node of a lab.
func Node(l *lab.Lab, node string) Where {
	return func(f func() error) error { return l.In(node, f) }
}

// Times that a daemon has: to answer on a machine that is busy, and to end as asked.
const (
	patience = 30 * time.Second
	farewell = 60 * time.Second
)

// Daemon is a process that can be ended and started again.
type Daemon struct {
	t     testing.TB
	where Where
	name  string
	argv  []string
	env   []string
	log   string      // file of what it writes
	files []string    // of one that was killed, which would be in the way
	ready func() bool // it answers

	process *os.Process
	ended   chan struct{} // closed when the process has ended
}

// home makes a directory for what daemons have in files, or skips the test where the
// program or the right to run it is missing.
func home(t testing.TB, program string) string {
	t.Helper()
	var err error
	if os.Geteuid() != 0 {
		err = errors.New("not root")
	}
	if _, missing := exec.LookPath(program); missing != nil {
		err = missing
	}
	if err != nil && os.Getenv("CI") != "" {
		t.Fatalf("%v: CI runs this as root, after 'make deps'", err)
	}
	if err != nil {
		t.Skipf("%v: run as root, after 'make deps'", err)
	}
	dir, err := os.MkdirTemp("", "weft-daemons-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // daemons do not stay root
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// add makes a daemon that ends with the test.
func add(t testing.TB, where Where, dir, name string, argv ...string) *Daemon {
	d := &Daemon{t: t, where: where, name: name, argv: argv, log: filepath.Join(dir, name+".log")}
	t.Cleanup(func() {
		d.Kill()
		if t.Failed() {
			t.Logf("%s:\n%s", name, d.tail(6000))
		}
	})
	return d
}

// Start starts the daemon, with the arguments and files that it had before if it has
// ended, and waits until it answers.
func (d *Daemon) Start() {
	d.t.Helper()
	for _, name := range d.files {
		os.Remove(name)
	}
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(d.argv[0], d.argv[1:]...)
	cmd.Env = append(os.Environ(), d.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.where(cmd.Start); err != nil {
		d.t.Fatalf("start %s: %v", d.name, err)
	}
	ended := make(chan struct{})
	d.process, d.ended = cmd.Process, ended
	life, err := guard(cmd.Process.Pid)
	if err != nil {
		d.t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		_, _ = io.WriteString(life, "released\n")
		close(ended)
	}()
	d.await()
}

// guard kills a daemon, and what it has started, when this process dies before it has
// released it (life): nothing else would, of a test that ran out of time.
func guard(pid int) (life io.WriteCloser, err error) {
	watch := exec.Command("/bin/sh", "-c", fmt.Sprintf("read -r word; [ -n \"$word\" ] || kill -9 -%d", pid))
	watch.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C ends the test first
	if life, err = watch.StdinPipe(); err == nil {
		err = watch.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("guard process %d: %w", pid, err)
	}
	go func() { _ = watch.Wait() }()
	return life, nil
}

// await waits for the first answer.
func (d *Daemon) await() {
	d.t.Helper()
	for deadline := time.Now().Add(patience); !d.ready(); time.Sleep(5 * time.Millisecond) {
		if !d.Running() {
			d.t.Fatalf("%s has ended:\n%s", d.name, d.tail(2000))
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("%s does not answer after %v", d.name, patience)
		}
	}
}

// Running reports whether the process is there.
func (d *Daemon) Running() bool {
	if d.process == nil {
		return false
	}
	select {
	case <-d.ended:
		return false
	default:
		return true
	}
}

// Pid returns the id of the process that runs, or has run last.
func (d *Daemon) Pid() int { return d.process.Pid }

// Kill ends the daemon, and what it has started, as a crash does. One that does not run is no error.
func (d *Daemon) Kill() {
	if d.Running() {
		_ = unix.Kill(-d.process.Pid, unix.SIGKILL)
		<-d.ended
	}
}

// Stop ends the daemon as an operator does, and waits until it has tidied up.
func (d *Daemon) Stop() {
	d.t.Helper()
	d.Signal(unix.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(farewell):
		d.t.Fatalf("%s has not ended after %v", d.name, farewell)
	}
}

// Signal sends a signal to the daemon: SIGSTOP makes it one that hangs.
func (d *Daemon) Signal(s unix.Signal) {
	d.t.Helper()
	if err := unix.Kill(d.process.Pid, s); err != nil {
		d.t.Fatalf("signal %s: %v", d.name, err)
	}
}

// Written returns what the daemon has written.
func (d *Daemon) Written() string {
	text, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (d *Daemon) tail(n int) string {
	text := d.Written()
	return text[max(0, len(text)-n):]
}

// write writes a file of a daemon's.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// output runs a client of a daemon's and returns what it prints.
func output(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%.2000s", name, args, err, out)
	}
	return string(out)
}
