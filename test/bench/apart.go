package bench

import (
	"context"
	"errors"
	"fmt"

	"weft/test/bench/peer"
	"weft/test/bench/result"
	"weft/test/bench/search"
	"weft/test/traffic"
)

// goals are those of throughput. Half of the trials at a load may fail: of a trial's time, neighbors take a part now and then.
func (b *bench) goals() []search.Goal {
	return []search.Goal{
		{Name: "pdr", Loss: 0.005, Exceed: 0.5, Trials: 5, Width: b.width},
		{Name: "ndr", Loss: 0, Exceed: 0.5, Trials: 5, Width: b.width},
	}
}

const longestBurst = 1 << 18

// apart takes the tests that need the router on a CPU of its own.
func (b *bench) apart(ctx context.Context, net *peer.Network, cases []oneCase) error {
	for round := range b.Rounds {
		for _, c := range cases {
			for _, s := range b.Systems {
				b.tell("throughput %s, %s routes, size %s, %s: round %d of %d", c.family, c.table, c.size, s, round+1, b.Rounds)
				if err := b.measure(ctx, net, c, s); err != nil {
					return fmt.Errorf("measure %s: %w", s, err)
				}
				b.done++
			}
		}
	}
	return nil
}

// measure takes all tests of one system in one round. Under overload an engine may leave packets to Linux; that is what
// loss is about.
func (b *bench) measure(ctx context.Context, net *peer.Network, c oneCase, system string) error {
	return withSystem(net, c, system, 8, func(net *peer.Network, g *traffic.Generator) error {
		return b.measureAttached(ctx, net, g, c, system)
	})
}

func (b *bench) measureAttached(ctx context.Context, net *peer.Network, g *traffic.Generator, c oneCase, system string) error {
	try := func(ctx context.Context, l traffic.Load) (peer.Outcome, error) {
		return net.Trial(ctx, g, l)
	}
	pdr, err := b.throughput(ctx, c, system, try)
	if err != nil || pdr == 0 {
		return err
	}
	if b.wants("latency") {
		err = b.latency(ctx, c, system, pdr, try)
	}
	if err == nil && b.wants("loss") {
		err = b.loss(ctx, c, system, pdr, try)
	}
	if err == nil && b.wants("backtoback") {
		err = b.backToBack(ctx, c, system, try)
	}
	return err
}

type trial func(context.Context, traffic.Load) (peer.Outcome, error)

// lost is the share that was lost of what was sent. A load that the generator did not come near to was not tried.
func lost(o *peer.Outcome) float64 {
	if o.Sent.Packets == 0 || o.Sent.Skipped > o.Sent.Packets/3 {
		return 1
	}
	return float64(o.Lost()) / float64(o.Sent.Packets)
}

// throughput searches for PDR and NDR, and returns PDR.
func (b *bench) throughput(ctx context.Context, c oneCase, system string, try trial) (pdr float64, err error) {
	if _, err := try(ctx, traffic.Load{Time: warmFor}); err != nil {
		return 0, err
	}
	o, err := try(ctx, traffic.Load{Time: 2 * trialFor})
	if err != nil {
		return 0, err
	}
	if o.Got.Rate == 0 {
		return 0, fmt.Errorf("no packet came through: %d sent", o.Sent.Packets)
	}
	found, err := search.Find(ctx, search.Range{Min: o.Got.Rate / 1000, Max: 1.3 * o.Got.Rate}, b.goals(), func(ctx context.Context, load float64) (float64, error) {
		o, err := try(ctx, traffic.Load{Rate: load, Time: trialFor})
		return lost(&o), err
	})
	if err != nil && !errors.Is(err, search.ErrNone) {
		return 0, err
	}
	for i, r := range found {
		if b.wants("throughput") {
			b.doc.Add(c.key("throughput", system, b.goals()[i].Name), "pkt/s", false, r.Load)
		}
	}
	if len(found) == 0 {
		return 0, nil
	}
	return found[0].Load, nil
}

// latency measures at shares of PDR.
func (b *bench) latency(ctx context.Context, c oneCase, system string, pdr float64, try trial) error {
	for _, percent := range []int{10, 50, 90} {
		o, err := try(ctx, traffic.Load{Rate: pdr * float64(percent) / 100, Time: latencyFor})
		if err != nil {
			return err
		}
		if o.Latencies.Count() == 0 {
			continue
		}
		for _, q := range []struct {
			name  string
			share float64
		}{{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}} {
			metric := fmt.Sprintf("%s_at_%d%%", q.name, percent)
			b.doc.Add(c.key("latency", system, metric), "us", true, float64(o.Latencies.Quantile(q.share).Nanoseconds())/1000)
		}
		if percent != 50 {
			continue
		}
		k := c.key("latency", system, "p50_at_50%")
		if b.times[k] == nil {
			b.times[k] = new(traffic.Histogram)
		}
		b.times[k].Merge(o.Latencies)
		b.doc.Find(k).Points = cumulated(b.times[k])
	}
	return nil
}

// cumulated returns which share of packets was under way for at most so many us.
func cumulated(h *traffic.Histogram) (points [][2]float64) {
	all, seen := float64(h.Count()), 0.0
	for _, p := range h.Points() {
		seen += float64(p.Count)
		points = append(points, [2]float64{float64(p.Time.Nanoseconds()) / 1000, seen / all})
	}
	return points
}

// loss measures around PDR.
func (b *bench) loss(ctx context.Context, c oneCase, system string, pdr float64, try trial) error {
	var points [][2]float64
	var last *result.Row
	for _, percent := range []int{10, 50, 80, 90, 100, 110, 120} {
		load := pdr * float64(percent) / 100
		o, err := try(ctx, traffic.Load{Rate: load, Time: 2 * trialFor})
		if err != nil {
			return err
		}
		loss := 100 * float64(o.Lost()) / float64(max(1, o.Sent.Packets))
		last = b.doc.Add(c.key("loss", system, fmt.Sprintf("at_%d%%_of_pdr", percent)), "%", true, loss)
		points = append(points, [2]float64{load, loss})
	}
	last.Points = points // of the last round
	return nil
}

// backToBack searches for the longest burst that arrives.
func (b *bench) backToBack(ctx context.Context, c oneCase, system string, try trial) error {
	found, err := search.Find(ctx, search.Range{Min: 1, Max: longestBurst}, []search.Goal{{Name: "burst", Exceed: 0.5, Trials: 3, Width: 2 * b.width}}, func(ctx context.Context, load float64) (float64, error) {
		o, err := try(ctx, traffic.Load{Packets: uint64(max(1, load))})
		return float64(o.Lost()), err
	})
	if err != nil && !errors.Is(err, search.ErrNone) {
		return err
	}
	if len(found) > 0 {
		b.doc.Add(c.key("backtoback", system, "burst"), "pkt", false, float64(int(found[0].Load)))
	}
	return nil
}
