package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/bench/peer"
	"weft/test/traffic"
)

const (
	latencyFor   = time.Second
	latencyWarm  = 100 * time.Millisecond
	latencyStamp = 16 // one packet of so many carries its time
)

// latencyNames are measured at one load, half of what weft_soft forwards.
var latencyNames = []string{"weft_xdp", "weft_soft"}

func latencyRow(family, table, engine string) string {
	return "latency/" + family + "/" + table + "/64/" + engine
}

// latencies measures a contest's rows in a round.
func (b *bench) latencies(ctx context.Context, l lane, c *contest, others *unix.CPUSet) (err error) {
	n, g := l.network, l.generator // both engines' are the same
	if err := n.SetSink(traffic.SinkOptions{Latency: true}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.SetSink(traffic.SinkOptions{})) }()
	n.SetApart(true, b.CPU)
	return peer.OnCPUs(others, func() error {
		most, err := n.Forward(ctx, "weft_soft", g, warmPackets, countPackets)
		if err != nil {
			return err
		}
		for _, e := range c.engines {
			h, err := latencyOf(ctx, n, e, g, most.Rate/2)
			if err != nil {
				return fmt.Errorf("%s: %w", e, err)
			}
			b.samples.Add(c.row(e), "us", float64(h.Quantile(0.999).Nanoseconds())/1000)
		}
		return nil
	})
}

// latencyOf measures one engine at a rate.
func latencyOf(ctx context.Context, n *peer.Network, engine string, g *traffic.Generator, rate float64) (_ *traffic.Histogram, err error) {
	a, err := n.Attach(engine)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Detach()) }()
	if _, err := n.Trial(ctx, g, traffic.Load{Rate: rate, Time: latencyWarm}); err != nil {
		return nil, err
	}
	o, err := n.Trial(ctx, g, traffic.Load{Rate: rate, Time: latencyFor})
	if err != nil {
		return nil, err
	}
	if o.Latencies.Count() == 0 {
		return nil, errors.New("no packet with a time came through")
	}
	return o.Latencies, nil
}
