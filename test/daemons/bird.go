package daemons

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// BIRD is one bird.
type BIRD struct {
	*Daemon
	testing.TB
	dir string
}

// NewBIRD starts bird with a configuration, and arguments: -R to recover from a restart.
func NewBIRD(t testing.TB, where Where, config string, args ...string) *BIRD {
	t.Helper()
	b := &BIRD{TB: t, dir: home(t, "/usr/sbin/bird")}
	write(t, b.config(), config)
	b.Daemon = add(t, where, b.dir, "bird",
		append([]string{"/usr/sbin/bird", "-f", "-c", b.config(), "-s", b.socket(), "-P", filepath.Join(b.dir, "bird.pid")}, args...)...)
	b.files = []string{b.socket()}
	b.ready = func() bool {
		out, err := exec.Command("birdc", "-s", b.socket(), "show", "status").Output()
		return err == nil && strings.Contains(string(out), "Daemon is up and running")
	}
	b.Start()
	return b
}

func (b *BIRD) config() string { return filepath.Join(b.dir, "bird.conf") }
func (b *BIRD) socket() string { return filepath.Join(b.dir, "bird.ctl") }

// Do returns what bird answers to a command.
func (b *BIRD) Do(command string) string {
	b.Helper()
	return output(b, "birdc", "-s", b.socket(), command)
}

// Try is Do where a refusal, as for a network that is not there, is no failure.
func (b *BIRD) Try(command string) (string, error) {
	out, err := exec.Command("birdc", "-s", b.socket(), command).CombinedOutput()
	return string(out), err
}

// Configure gives bird another configuration, which it takes over.
func (b *BIRD) Configure(config string) {
	b.Helper()
	write(b, b.config(), config)
	if out := b.Do("configure"); !strings.Contains(out, "Reconfigur") {
		b.Fatalf("bird refuses the configuration: %s", out)
	}
}
