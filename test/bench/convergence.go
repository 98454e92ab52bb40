package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"weft/test/bench/peer"
	"weft/test/traffic"
)

const (
	failAfter    = 100 * time.Millisecond
	failureFor   = 5 * time.Second
	failureShort = time.Second // with fewer routes
)

func (b *bench) failureFor() time.Duration {
	if b.Short {
		return b.lasting(failureShort)
	}
	return failureFor
}

const neverArrived = "no packet took the other way in"

// failure is something after which packets take another way.
type failure struct {
	name       string
	fail, mend func(*peer.Network) error
	one        bool // packets go to one prefix, which it is of
}

var failures = []failure{
	{"one_prefix", func(n *peer.Network) error { return n.Withdraw(true) }, func(n *peer.Network) error { return n.Withdraw(false) }, true},
	{"link_down", func(n *peer.Network) error { return n.Cut(true) }, func(n *peer.Network) error { return n.Cut(false) }, false},
}

// convergence measures how long packets do not arrive when their route goes, one or all at once, and a default route leads
// another way. It is of IPv4.
func (b *bench) convergence(ctx context.Context) (err error) {
	table, net, err := b.large(ctx, peer.Options{Backup: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	c := oneCase{"ipv4", table, sizeOf("ipv4", b.Sizes[0])}
	for round := range b.Rounds {
		for _, s := range b.among("linux", "weft_xdp") {
			for _, f := range failures {
				b.tell("convergence %s, %s, %s routes: round %d of %d", s, f.name, table, round+1, b.Rounds)
				if err := b.converge(ctx, net, c, s, f); err != nil {
					return fmt.Errorf("convergence: %s: %s: %w", s, f.name, err)
				}
				b.done++
			}
		}
	}
	return nil
}

func (b *bench) converge(ctx context.Context, net *peer.Network, c oneCase, system string, f failure) error {
	stream, err := c.stream(net, 0)
	if err != nil {
		return err
	}
	if f.one {
		stream.Dst4 = []netip.Addr{peer.One().IPv4[0].Addr().Next()}
	}
	g, err := net.Generator(stream)
	if err != nil {
		return err
	}
	defer g.Close()
	return whileAttached(net, system, func() error { return b.fail(ctx, net, g, c, system, f) })
}

func (b *bench) fail(ctx context.Context, net *peer.Network, g *traffic.Generator, c oneCase, system string, f failure) error {
	if err := net.Settle(ctx, g); err != nil {
		return err
	}
	o, err := net.Under(ctx, g, steady, func() error {
		for g.Sent() == 0 { // its first packets take a while
			time.Sleep(time.Millisecond)
		}
		time.Sleep(failAfter)
		err := f.fail(net)
		time.Sleep(b.failureFor())
		return err
	})
	if err = errors.Join(err, net.InRouter(func() error { return f.mend(net) })); err != nil {
		return err
	}
	if o.Alternate == 0 {
		b.doc.Notes = append(b.doc.Notes, fmt.Sprintf("convergence: %s, %s: %s %v.", system, f.name, neverArrived, b.failureFor()))
	}
	b.doc.Add(c.key("convergence", system, f.name), "ms", true, 1000*float64(o.Lost())/steady)
	return nil
}
