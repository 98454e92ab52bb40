// Command weft is the router: daemon and, in time, client.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"runtime/debug"
	"syscall"
	"time"
)

const usage = `weft forwards this machine's packets in XDP, by the kernel's routes.

  weft run [-ports GLOB] [-interval 1s] [-json]    attach to the ports and forward until interrupted
  weft version

Run it as root. Ports are the Ethernet interfaces that forward (sysctl
net.ipv4.conf.IF.forwarding, net.ipv6.conf.IF.forwarding) and match GLOB.
What weft cannot do for a packet, Linux still does.

Exit codes: 0 ended as asked, 1 failed, 2 wrong usage.
`

// errUsage is a mistake in the command line.
var errUsage = errors.New("wrong usage: see 'weft help'")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "weft:", err)
	}
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		args = []string{"help"}
	}
	switch args[0] {
	case "run":
		c, err := parseRun(args[1:])
		if err != nil {
			return err
		}
		return run(ctx, c, stdout, stderr)
	case "version":
		version := "unknown"
		if info, ok := debug.ReadBuildInfo(); ok {
			version = info.Main.Version
		}
		fmt.Fprintln(stdout, "weft", version)
		return nil
	case "help", "-h", "--help":
		fmt.Fprint(stdout, usage)
		return nil
	}
	return fmt.Errorf("%w: no command %q", errUsage, args[0])
}

// config is what the command line says of a run.
type config struct {
	ports    string // glob
	interval time.Duration
	json     bool
}

func parseRun(args []string) (config, error) {
	var c config
	f := flag.NewFlagSet("run", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&c.ports, "ports", "*", "")
	f.DurationVar(&c.interval, "interval", time.Second, "")
	f.BoolVar(&c.json, "json", false, "")
	if err := f.Parse(args); err != nil {
		return c, fmt.Errorf("%w: %w", errUsage, err)
	}
	if f.NArg() > 0 {
		return c, fmt.Errorf("%w: unexpected argument %q", errUsage, f.Arg(0))
	}
	if _, err := path.Match(c.ports, ""); err != nil {
		return c, fmt.Errorf("%w: -ports %q: %w", errUsage, c.ports, err)
	}
	if c.interval < 100*time.Millisecond {
		return c, fmt.Errorf("%w: -interval %s: want 100ms or more", errUsage, c.interval)
	}
	return c, nil
}
