package star

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Run starts weft in the router and waits until it forwards by all ports.
func (n *Network) Run(args ...string) {
	n.Helper()
	n.Start(args...)
	n.Until("weft forwards by three native ports", func() bool {
		ports := 0
		for _, p := range n.Ports() {
			if p.Mode == "native" && p.Egress == "native" {
				ports++
			}
		}
		return ports == 3
	})
	n.Before = n.Accounts()
}

// EngineVariable is the environment's variable that names an engine for all daemons which are not told one: most of
// package router holds for each.
const EngineVariable = "WEFT_TEST_ENGINE"

// OfXDP skips a test that is not about the userspace engine, and says why it is not.
func (n *Network) OfXDP(why string) {
	n.Helper()
	if os.Getenv(EngineVariable) == "soft" {
		n.Skip("of the XDP engine: " + why)
	}
}

// Start starts weft in the router and waits until the FIB is filled.
func (n *Network) Start(args ...string) {
	n.Helper()
	var err error
	if engine := os.Getenv(EngineVariable); engine != "" {
		args = append([]string{"--engine", engine}, args...)
	}
	if n.Daemon, err = n.Lab.Start("r1", append([]string{Weft, "run"}, args...)...); err != nil {
		n.Fatal(err)
	}
	n.Until("weft forwards", func() bool {
		select {
		case <-n.Daemon.Done:
			n.Fatalf("weft has ended: %v\n%s", n.Daemon.Err(), n.DaemonLog())
		default:
		}
		var s Status
		return n.Try(&s, "status") && s.State == "forwarding" && s.PID == n.Daemon.Pid
	})
}

// Ended waits for the daemon's end and returns its exit code.
func (n *Network) Ended() int {
	n.Helper()
	select {
	case <-n.Daemon.Done:
	case <-time.After(10 * time.Second):
		n.Fatal("weft has not ended after 10 s")
	}
	var exit *exec.ExitError
	if errors.As(n.Daemon.Err(), &exit) {
		return exit.ExitCode() // -1: killed
	}
	return 0
}

// log returns what the daemon has written.
func (n *Network) DaemonLog() string {
	b, err := os.ReadFile(filepath.Join("/run", n.Lab.Prefix()+"state", "r1-weft.log"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Outcome is what a command wrote and ended with.
type Outcome struct {
	Stdout, Stderr string
	Code           int
}

// Weft runs the program for the router's namespace.
func (n *Network) Weft(args ...string) (o Outcome) {
	n.Helper()
	return Execute(n, Weft, append([]string{"-n", n.Lab.Namespace("r1")}, args...)...)
}

// Execute runs a command. One that does not end is killed, with what it started.
func Execute(t testing.TB, name string, args ...string) (o Outcome) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return Outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// Ask decodes what a command prints as JSON.
func (n *Network) Ask(to any, args ...string) {
	n.Helper()
	o := n.Weft(append([]string{"--json"}, args...)...)
	if o.Code != 0 {
		n.Fatalf("weft %s: exit code %d\n%s", strings.Join(args, " "), o.Code, o.Stderr)
	}
	if err := json.Unmarshal([]byte(o.Stdout), to); err != nil {
		n.Fatalf("weft %s: %v\n%s", strings.Join(args, " "), err, o.Stdout)
	}
}

// Try is ask where no answer is no failure.
func (n *Network) Try(to any, args ...string) bool {
	n.Helper()
	o := n.Weft(append([]string{"--json"}, args...)...)
	return o.Code == 0 && json.Unmarshal([]byte(o.Stdout), to) == nil
}

// Signal sends the daemon a signal that ends it and returns its exit code; -1: killed.
func (n *Network) Signal(s unix.Signal) (code int) {
	n.Helper()
	if err := n.Daemon.Signal(s); err != nil {
		n.Fatal(err)
	}
	return n.Ended()
}

// Socket is where the router's daemon answers.
func (n *Network) Socket() string { return "/run/weft/" + n.Netns() + ".sock" }
