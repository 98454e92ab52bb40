package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"weft/test/bench/peer"
	"weft/test/traffic"
)

// cores measures with 1, 2, ... as many CPUs as there are, each of which makes, forwards and takes in packets of its own.
func (b *bench) cores(ctx context.Context) (err error) {
	net, err := peer.New(ctx, peer.Options{Queues: runtime.NumCPU()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	for round := range b.Rounds {
		for _, c := range b.smallest("1") {
			b.tell("cores %s: round %d of %d", c.family, round+1, b.Rounds)
			for _, s := range b.among("linux", "fib_lookup", "ceiling", "weft_xdp") {
				if err := b.coresOf(ctx, net, c, s); err != nil {
					return fmt.Errorf("cores: %s: %w", s, err)
				}
			}
			b.done++
		}
	}
	return nil
}

func (b *bench) coresOf(ctx context.Context, net *peer.Network, c oneCase, system string) (err error) {
	var generators []*traffic.Generator
	defer func() {
		for _, g := range generators {
			g.Close()
		}
	}()
	for range runtime.NumCPU() {
		g, err := c.generator(net, 0)
		if err != nil {
			return err
		}
		generators = append(generators, g)
	}
	a, err := net.Attach(system)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Detach()) }()
	for n := 1; n <= len(generators); n = next(n, len(generators)) {
		var rate float64
		for _, d := range []time.Duration{warmFor, mrrFor} {
			if rate, err = net.Together(ctx, generators[:n], b.lasting(d)); err != nil {
				return err
			}
		}
		b.doc.Add(c.key("cores", system, fmt.Sprintf("rate_of_%d", n)), "pkt/s", false, rate)
	}
	return nil
}

// next doubles, but for the last step, which is to all.
func next(n, all int) int {
	if n == all {
		return all + 1
	}
	return min(2*n, all)
}
