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

// churns are how many routes change each second.
var churns = []int{0, 1000, 10_000}

const (
	steady    = 100_000.0 // packets a second where a loss is to be the event's
	churnFor  = 300 * time.Millisecond
	churnTick = 10 * time.Millisecond
)

// churn measures while routes change their next hop: the rate that is kept, and how long packets do not arrive.
func (b *bench) churn(ctx context.Context) (err error) {
	table, net, err := b.large(ctx, peer.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	for round := range b.Rounds {
		for _, c := range b.smallest(table) {
			b.tell("churn %s, %s routes: round %d of %d", c.family, table, round+1, b.Rounds)
			for _, s := range b.among("linux", "fib_lookup", "weft_xdp") {
				err := withSystem(net, c, s, 0, func(net *peer.Network, g *traffic.Generator) error { return b.churnOf(ctx, net, g, c, s) })
				if err != nil {
					return fmt.Errorf("churn: %s: %w", s, err)
				}
			}
			b.done++
		}
	}
	return nil
}

func (b *bench) churnOf(ctx context.Context, net *peer.Network, g *traffic.Generator, c oneCase, system string) error {
	for _, n := range churns {
		var full, some peer.Outcome
		changed, err := net.Churn(ctx, n, churnTick, c.family == "ipv6", func() (err error) {
			if full, err = net.Trial(ctx, g, traffic.Load{Time: b.lasting(churnFor)}); err == nil {
				some, err = net.Trial(ctx, g, traffic.Load{Rate: steady, Time: b.lasting(churnFor)})
			}
			return err
		})
		if err != nil {
			return err
		}
		b.doc.Add(c.key("churn", system, fmt.Sprintf("rate_at_%d/s", n)), "pkt/s", false, full.Got.Rate)
		b.doc.Add(c.key("churn", system, fmt.Sprintf("blocked_at_%d/s", n)), "ms/s", true, 1000*float64(some.Lost())/float64(max(1, some.Sent.Packets)))
		if n > 0 {
			b.doc.Add(c.key("churn", system, fmt.Sprintf("changes_at_%d/s", n)), "route/s", false, changed)
		}
	}
	return nil
}

// mostShort is how many routes a short run has where the whole table would take too long.
const mostShort = 100_000

// large makes a network with the greatest table of the run.
func (b *bench) large(ctx context.Context, o peer.Options) (table string, net *peer.Network, err error) {
	table = b.Tables[len(b.Tables)-1]
	n, err := routes(table)
	if err != nil {
		return table, nil, err
	}
	if b.Short && n > mostShort {
		n, table = mostShort, fmt.Sprint(mostShort)
	}
	if o.Table, err = peer.Part(n); err != nil {
		return table, nil, err
	}
	b.tell("setting up %s", o.Table)
	net, err = peer.New(ctx, o)
	runtime.GC()
	return table, net, err
}
