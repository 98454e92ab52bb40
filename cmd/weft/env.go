package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"weft/control/api"
	"weft/test/conformance"
)

// env is all that commands see of the process: with another one they run in
// tests.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	terminal       bool // stderr is one
	now            func() time.Time
	wait           func(context.Context, time.Duration) error
	version        string
	patience       time.Duration          // how long a daemon may take to greet
	netnsDir       string                 // where named network namespaces are
	ownNetns       func() (string, error) // inode of the process's
	enter          func(netns string) error
	conform        func(context.Context, []conformance.Clause, func(conformance.Verdict) error) error

	options
}

// options are the flags that every command has.
type options struct {
	netns, socket            string
	json, pretty, ipv4, ipv6 bool
}

func processEnv() *env {
	return &env{
		stdin: os.Stdin, stdout: pipe{os.Stdout}, stderr: os.Stderr, getenv: os.Getenv, terminal: isTerminal(os.Stderr),
		now: time.Now, wait: wait, version: version(), patience: 5 * time.Second, netnsDir: "/run/netns", ownNetns: api.Netns, enter: enterNetns,
		conform: conform,
	}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// errReaderGone is a write to a pipe that nobody reads any more, as of
// 'weft routes | head': the reader has what it wanted.
var errReaderGone = errors.New("standard output is closed")

type pipe struct{ io.Writer }

func (p pipe) Write(b []byte) (int, error) {
	n, err := p.Writer.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		err = errReaderGone
	}
	return n, err
}

// out returns a buffered writer to stdout: flush it.
func (e *env) out() *bufio.Writer { return bufio.NewWriterSize(e.stdout, 64<<10) }

// family tells whether -4 and -6 let a family through.
func (e *env) family(v6 bool) bool {
	if e.ipv4 == e.ipv6 {
		return true
	}
	return e.ipv6 == v6
}

// familyNumber is what the API takes.
func (e *env) familyNumber() uint32 {
	switch {
	case e.ipv4 && !e.ipv6:
		return 4
	case e.ipv6 && !e.ipv4:
		return 6
	}
	return 0
}
