package daemons

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const frrPrograms = "/usr/lib/frr/"

// FRR is a set of FRR's daemons around one zebra.
type FRR struct {
	testing.TB
	where   Where
	dir     string
	daemons map[string]*Daemon
}

// NewFRR prepares a namespace for FRR. Nothing is started.
func NewFRR(t testing.TB, where Where) *FRR {
	t.Helper()
	f := &FRR{TB: t, where: where, dir: home(t, frrPrograms+"zebra"), daemons: map[string]*Daemon{}}
	u, err := user.Lookup("frr") // the daemons do not stay root
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(f.dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return f
}

// Start starts zebra, or another daemon once there is a zebra, with a configuration and
// arguments: -M dplane_fpm_nl. A daemon that was started before is started anew with these.
func (f *FRR) Start(name, config string, args ...string) *Daemon {
	f.Helper()
	path := filepath.Join(f.dir, name)
	write(f, path+".conf", config)
	d := f.daemons[name]
	if d == nil {
		d = add(f, f.where, f.dir, name)
		f.daemons[name] = d
	}
	sockets := []string{path + ".vty"}
	if name == "zebra" {
		sockets = append(sockets, f.zserv())
	}
	d.files = append(sockets, path+".pid")
	d.argv = append([]string{
		frrPrograms + name, "-u", "frr", "-g", "frr", "-f", path + ".conf", "-i", path + ".pid", "--log", "stdout",
		"-z", f.zserv(), "--vty_socket", f.dir, "-P", "0",
	}, args...)
	d.ready = func() bool {
		for _, s := range sockets {
			if !listens(s) {
				return false
			}
		}
		return true
	}
	d.Start()
	return d
}

func (f *FRR) zserv() string { return filepath.Join(f.dir, "zserv.api") }

func listens(socket string) bool {
	conn, err := net.Dial("unix", socket)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// Daemon returns a daemon that was started.
func (f *FRR) Daemon(name string) *Daemon {
	f.Helper()
	d := f.daemons[name]
	if d == nil {
		f.Fatalf("%s was not started", name)
	}
	return d
}

func (f *FRR) vtysh(daemon string, args ...string) string {
	f.Helper()
	return output(f, "vtysh", append([]string{"--vty_socket", f.dir, "-d", daemon}, args...)...)
}

// Configure gives a daemon lines of configuration. A line that it refuses fails the test.
func (f *FRR) Configure(daemon string, lines ...string) {
	f.Helper()
	args := []string{"-c", "configure terminal"}
	for _, line := range lines {
		args = append(args, "-c", line)
	}
	if out := f.vtysh(daemon, args...); strings.Contains(out, "% ") {
		f.Fatalf("%s: %q: %s", daemon, lines, out)
	}
}

// Load gives a daemon many lines of configuration at once.
func (f *FRR) Load(daemon string, lines []string) {
	f.Helper()
	path := filepath.Join(f.dir, daemon+".lines")
	write(f, path, strings.Join(lines, "\n")+"\n")
	f.vtysh(daemon, "-f", path)
}

// Show returns what a daemon answers to a command.
func (f *FRR) Show(daemon, command string) string {
	f.Helper()
	return f.vtysh(daemon, "-c", command)
}

// Ask decodes what a daemon answers to a command as JSON.
func (f *FRR) Ask(to any, daemon, command string) {
	f.Helper()
	out := f.Show(daemon, command)
	if err := json.Unmarshal([]byte(out), to); err != nil {
		f.Fatalf("%s: %s: %v\n%.2000s", daemon, command, err, out)
	}
}

// Try is Ask where no answer is no failure.
func (f *FRR) Try(to any, daemon, command string) bool {
	out, err := exec.Command("vtysh", "--vty_socket", f.dir, "-d", daemon, "-c", command).Output()
	return err == nil && json.Unmarshal(out, to) == nil
}
