package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// soft is a daemon in the router, whose ports the userspace engine has. It is started for each measurement.
type soft struct {
	n       *Network
	running bool
}

const stopFor = 20 * time.Second

// ErrNoProgram is a system that needs a program which is not there.
var ErrNoProgram = errors.New("there is no such program here")

func newSoft(n *Network) (engine, error) {
	if n.options.Weft == "" {
		return nil, fmt.Errorf("%w: weft", ErrNoProgram)
	}
	return &soft{n: n}, nil
}

// weft runs the program, on the router's CPU, which it inherits.
func (s *soft) weft(ctx context.Context, args ...string) (out []byte, err error) {
	run := func() error {
		out, err = exec.CommandContext(ctx, s.n.options.Weft, append([]string{"-n", s.n.name("router")}, args...)...).Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("weft %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(exit.Stderr)))
		}
		return err
	}
	if s.n.options.Apart {
		return out, onCPU(s.n.options.RouterCPU, run)
	}
	return out, run()
}

func (s *soft) attach() error {
	s.running = true // or so it may be
	if _, err := s.weft(s.n.context, "run", "--engine", "soft", "--detach"); err != nil {
		return err
	}
	return s.check()
}

// check wants both ports with the engine.
func (s *soft) check() error {
	out, err := s.weft(s.n.context, "--json", "ports")
	if err != nil {
		return err
	}
	var all struct {
		Ports []struct{ Ifname, Engine string }
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return fmt.Errorf("read what ports weft has: %w", err)
	}
	for _, p := range all.Ports {
		if p.Engine != "soft" {
			return fmt.Errorf("port %s has engine %q, want soft", p.Ifname, p.Engine)
		}
	}
	if len(all.Ports) != 2 {
		return fmt.Errorf("weft has %d ports, want 2", len(all.Ports))
	}
	return nil
}

func (s *soft) detach() error {
	if !s.running {
		return nil
	}
	s.running = false
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.n.context), stopFor) // also when the bench is interrupted
	defer cancel()
	_, err := s.weft(ctx, "stop")
	return err
}

// unforwarded is none: what the loop does not forward it drops, or answers itself.
func (s *soft) unforwarded() (uint64, error) { return 0, nil }

func (s *soft) close() error { return s.detach() }
