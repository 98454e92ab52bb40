package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weft/dataplane"
)

// try sends cases that are not of the catalogue.
func (n *Network) try(ctx context.Context, cases ...Case) error {
	for i := range cases {
		if err := n.Try(ctx, &cases[i]); err != nil {
			return fmt.Errorf("%s: %w", cases[i].Name, err)
		}
	}
	return nil
}

// goes is a packet that weft is to forward from west to a port.
func goes(name, port string, p packet) Case {
	ip := p.bytes()
	return Case{Name: name, Frame: portNamed(west).in(ip), Reason: dataplane.Forwarded, Sent: []Sent{forwarded(port, ip)}}
}

// ends is a packet from west that is to end for a reason.
func ends(name string, r dataplane.Reason, ip []byte, sent ...Sent) Case {
	return Case{Name: name, Frame: portNamed(west).in(ip), Reason: r, Sent: sent}
}

// number is that of a port in weft.
func (n *Network) number(name string) uint32 {
	for _, p := range n.weft.engine.Ports() {
		if p.Name == name {
			return p.Number
		}
	}
	return 0
}

// way asks weft's program what it would do with a packet that came in by west: the
// reason, and the port that it leaves by.
func (n *Network) way(ip []byte) (dataplane.Reason, string, error) {
	r, err := n.weft.engine.Run(portNamed(west).in(ip), n.number(west))
	if err != nil {
		return 0, "", fmt.Errorf("ask the program: %w", err)
	}
	for _, p := range n.weft.engine.Ports() {
		if p.Number == r.Egress {
			return r.Reason, p.Name, nil
		}
	}
	return r.Reason, "", nil
}

// until waits for weft to follow the kernel: a packet is to end for a reason, and
// leave by a port if there is one.
func (n *Network) until(ctx context.Context, p packet, want dataplane.Reason, port string) error {
	ip := p.bytes()
	return n.poll(ctx, func() (string, error) {
		r, name, err := n.way(ip)
		if err != nil || r == want && name == port {
			return "", err
		}
		return fmt.Sprintf("packet to %s: %s by %q, want %s by %q", p.dst, r, name, want, port), nil
	})
}

// poll asks again and again what is wrong, until it is nothing.
func (n *Network) poll(ctx context.Context, wrong func() (string, error)) error {
	for deadline := time.Now().Add(patience); ; {
		what, err := wrong()
		switch {
		case err != nil || what == "":
			return err
		case time.Now().After(deadline):
			return errors.New(what)
		}
		if err := wait(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// routes adds routes. weft has them a moment later.
func (n *Network) routes(all ...siteRoute) error {
	return n.in(func() error {
		for _, r := range all {
			if err := n.addRoute(r); err != nil {
				return fmt.Errorf("add route to %s: %w", r.prefix, err)
			}
		}
		return nil
	})
}

// burst sends a frame so many times by west, and counts what comes out by ports.
func (n *Network) burst(ctx context.Context, frames [][]byte) (map[string][][]byte, error) {
	if err := n.drain(); err != nil {
		return nil, err
	}
	for _, f := range frames {
		if err := n.wires[west].send(f); err != nil {
			return nil, err
		}
	}
	seen := newSightings(nil)
	seen.all = map[string][][]byte{}
	err := n.passed(ctx, seen)
	return seen.all, err
}
