package daemons

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// ExaBGP is one exabgp: it announces what it is told, and has no table.
type ExaBGP struct {
	*Daemon
	testing.TB
	fifo string
}

// NewExaBGP starts exabgp with neighbors. Each "API" in the configuration stands for the
// section by which a neighbor listens to Say.
func NewExaBGP(t testing.TB, where Where, config string) *ExaBGP {
	t.Helper()
	dir := home(t, "/usr/sbin/exabgp")
	e := &ExaBGP{TB: t, fifo: filepath.Join(dir, "say")}
	if err := unix.Mkfifo(e.fifo, 0o666); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "exabgp.conf")
	process := fmt.Sprintf("process say { run /bin/sh -c \"while :; do cat %s; done\"; encoder text; }\n", e.fifo)
	write(t, path, process+strings.ReplaceAll(config, "API", "api { processes [ say ]; }"))
	e.Daemon = add(t, where, dir, "exabgp", "/usr/sbin/exabgp", path)
	e.env = []string{
		"exabgp.daemon.user=root", "exabgp.daemon.drop=false", "exabgp.api.cli=false", "exabgp.api.ack=false",
		"exabgp.log.destination=stdout", "exabgp.tcp.bind=", "exabgp.cache.nexthops=false",
	}
	e.ready = func() bool { // it has started the process that reads
		fd, err := unix.Open(e.fifo, unix.O_WRONLY|unix.O_NONBLOCK, 0)
		if err == nil {
			unix.Close(fd)
		}
		return err == nil
	}
	e.Start()
	return e
}

// Say gives exabgp commands: announce route 203.0.113.0/24 next-hop self.
func (e *ExaBGP) Say(lines ...string) {
	e.Helper()
	f, err := os.OpenFile(e.fifo, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(strings.Join(lines, "\n") + "\n")
		f.Close()
	}
	if err != nil {
		e.Fatal(err)
	}
}
