package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cilium/ebpf/rlimit"
)

// config is what the command line says.
type config struct {
	weft   string // the binary
	prefix string // of namespaces
	routes int    // at most so many of each family
	second time.Duration
	pace   int // packets a second
}

func parse(args []string, stderr io.Writer) (config, error) {
	beside := "weft"
	if self, err := os.Executable(); err == nil {
		beside = filepath.Join(filepath.Dir(self), "weft")
	}
	var c config
	f := flag.NewFlagSet("demo", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&c.weft, "weft", beside, "the weft `binary`")
	f.StringVar(&c.prefix, "prefix", "weft-demo-", "what names of network namespaces begin with")
	f.IntVar(&c.routes, "routes", 1<<20, "load at most so many routes of each family")
	f.DurationVar(&c.second, "second", time.Second, "how long a second of the show lasts, for tests")
	f.IntVar(&c.pace, "pace", 300_000, "packets a second when it is not as many as go")
	if err := f.Parse(args); err != nil {
		return c, err
	}
	if f.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if c.routes < 1000 || c.second < 10*time.Millisecond || c.pace < 1000 {
		return c, errors.New("want -routes and -pace of 1000 or more, -second of 10ms or more")
	}
	return c, nil
}

func main() {
	c, err := parse(os.Args[1:], os.Stderr)
	if err == nil && os.Geteuid() != 0 {
		err = throughSudo()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err = run(ctx, c, os.Stdout)
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "demo: interrupted; everything it made is removed")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// throughSudo runs this program again as root. It returns only if it cannot.
func throughSudo() error {
	sudo, err := exec.LookPath("sudo")
	if err != nil {
		return errors.New("needs root, for network namespaces and XDP, and there is no sudo: run 'make run' as root")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	fmt.Println("Network namespaces and XDP need root: asking sudo.")
	err = syscall.Exec(sudo, append([]string{"sudo", "-E", self}, os.Args[1:]...), os.Environ())
	return fmt.Errorf("run sudo: %w", err)
}

// run shows everything and removes everything, also when ctx ends.
func run(ctx context.Context, c config, out io.Writer) (err error) {
	// The name is in no file system, and is free again when the process ends, however it does.
	only, err := net.Listen("unix", "@"+c.prefix+"demo")
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("another demo with prefix %s is running: wait for it, or choose another -prefix", c.prefix)
	} else if err != nil {
		return err
	}
	defer only.Close()
	if _, err := os.Stat(c.weft); err != nil {
		return fmt.Errorf("find weft: %w: build it with 'go build -o %s ./cmd/weft'", err, c.weft)
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("raise the limit of locked memory: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	signal.Ignore(syscall.SIGPIPE) // who does not look any more interrupts: `make run | head`
	s := newShow(c, out, cancel)
	if err := s.leftover(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.cleanUp()) }()
	for _, act := range []func(context.Context) error{
		s.build, s.load, s.linux, s.attach, s.explain, s.drops, s.kill, s.stop,
	} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return s.summary()
}
