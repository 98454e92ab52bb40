package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weft/control/api"
)

func newStatsCommand(e *env) *cobra.Command {
	var seconds float64
	var stages bool
	var times int
	cmd := &cobra.Command{
		Use: "stats", Short: "Print rates, every second",
		Long: `Prints for each port, and in total, what came in a second (rx/s) and what became
of it: forwarded, handed to Linux (punt/s), dropped; the frames that the port
refused to send (err/s); and the packets that Linux has received and weft has
counted nowhere (unacc/s). It goes on until it is interrupted.

With --stages it prints what the steps of the soft engine's loop have had to do
since the daemon started: calls, packets, packets a call, ns a packet.

With --json it prints one object a line.`,
		Example: `  weft stats
  weft stats -i 0.5 -c 10
  weft stats --json | jq .total.rx
  weft stats --stages`,
		Annotations:       map[string]string{client: noun},
		Args:              atMost(0),
		ValidArgsFunction: completeNothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case seconds < 0.1 || seconds > 3600:
				return usagef("-i %g: want 0.1 to 3600 seconds", seconds)
			case times < 0:
				return usagef("-c %d: want 0 or more", times)
			}
			if stages {
				return e.stages(cmd.Context())
			}
			return interrupted(e.stats(cmd.Context(), time.Duration(seconds*float64(time.Second)), times))
		},
	}
	cmd.Flags().Float64VarP(&seconds, "interval", "i", 1, "`SECONDS` between two lines")
	cmd.Flags().BoolVar(&stages, "stages", false, "print what the steps of the soft engine have had to do, and end")
	cmd.Flags().IntVarP(&times, "count", "c", 0, "end after `COUNT` times (default: never)")
	return cmd
}

// sample is what the ports had counted at one time.
type sample struct {
	at    time.Time
	names []string
	ports map[string]totals
}

// totals are packets: received is the sum of the next three.
type totals struct{ forwarded, punted, dropped, errors, bytes, unaccounted uint64 }

func (t totals) received() uint64 { return t.forwarded + t.punted + t.dropped }

// rates is a line of 'weft stats'. All but the name are a second's.
type rates struct {
	Dev         string  `json:"dev,omitempty"`
	RX          float64 `json:"rx"`
	RXBytes     float64 `json:"rx_bytes"`
	Forward     float64 `json:"forward"`
	Punt        float64 `json:"punt"`
	Drop        float64 `json:"drop"`
	Errors      float64 `json:"errors"`
	Unaccounted float64 `json:"unaccounted"`
}

type statsLine struct {
	Time     string  `json:"time"`
	Interval float64 `json:"interval"` // seconds
	Ports    []rates `json:"ports"`
	Total    rates   `json:"total"`
}

func (e *env) sample(ctx context.Context) (*sample, error) {
	reply, err := e.askPorts(ctx)
	s := &sample{at: e.now(), ports: map[string]totals{}}
	for _, p := range reply.GetPorts() {
		t := totals{errors: p.GetEgressErrors(), unaccounted: p.GetUnaccounted()}
		for _, c := range p.GetCounters() {
			t.add(c)
		}
		s.names = append(s.names, p.GetDev())
		s.ports[p.GetDev()] = t
	}
	return s, err
}

func (t *totals) add(c *api.Counter) {
	t.bytes += c.GetBytes()
	switch c.GetVerdict() {
	case "forward":
		t.forwarded += c.GetPackets()
	case "punt":
		t.punted += c.GetPackets()
	case "drop":
		t.dropped += c.GetPackets()
	}
}

func (e *env) stats(ctx context.Context, every time.Duration, times int) error {
	before, err := e.sample(ctx)
	if err != nil {
		return err
	}
	for n := 0; times == 0 || n < times; n++ {
		if err := e.wait(ctx, every); err != nil {
			return err
		}
		now, err := e.sample(ctx)
		if err != nil {
			return err
		}
		line := e.between(before, now)
		if n%20 == 0 && !e.json {
			line.header = true
		}
		if err := e.printLine(line); err != nil {
			return err
		}
		before = now
	}
	return nil
}

func (e *env) between(before, now *sample) *printedStats {
	d := now.at.Sub(before.at)
	out := &printedStats{statsLine: statsLine{Time: e.stamp(now.at.UnixNano()), Interval: d.Seconds(), Ports: []rates{}}}
	for _, name := range now.names {
		n, b := now.ports[name], before.ports[name]
		if n.received() < b.received() {
			b = totals{} // the port is new
		}
		r := rates{
			Dev: name, RX: perSecond(n.received(), b.received(), d), RXBytes: perSecond(n.bytes, b.bytes, d),
			Forward: perSecond(n.forwarded, b.forwarded, d), Punt: perSecond(n.punted, b.punted, d),
			Drop: perSecond(n.dropped, b.dropped, d), Errors: perSecond(n.errors, b.errors, d),
			Unaccounted: perSecond(n.unaccounted, b.unaccounted, d),
		}
		out.Ports = append(out.Ports, r)
		out.Total.add(&r)
	}
	return out
}

func (r *rates) add(o *rates) {
	r.RX += o.RX
	r.RXBytes += o.RXBytes
	r.Forward += o.Forward
	r.Punt += o.Punt
	r.Drop += o.Drop
	r.Errors += o.Errors
	r.Unaccounted += o.Unaccounted
}

// printedStats is a statsLine with what only people need.
type printedStats struct {
	statsLine
	header bool
}

func (s *printedStats) text() string {
	var b strings.Builder
	if s.header {
		fmt.Fprintf(&b, "%-15s %12s %12s %11s %11s %9s %9s\n", "DEV", "rx/s", "fwd/s", "punt/s", "drop/s", "err/s", "unacc/s")
	}
	for _, r := range s.Ports {
		b.WriteString(r.line(r.Dev) + "\n")
	}
	b.WriteString(s.Total.line("total"))
	return b.String()
}

func (r *rates) line(name string) string {
	return fmt.Sprintf("%-15s %12.0f %12.0f %11.0f %11.0f %9.0f %9.0f", name, r.RX, r.Forward, r.Punt, r.Drop, r.Errors, r.Unaccounted)
}
