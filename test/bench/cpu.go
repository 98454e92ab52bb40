package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"weft/test/bench/peer"
	"weft/test/traffic"
)

const (
	costFor  = 250 * time.Millisecond
	costHigh = 200_000.0
	costLow  = traffic.SleepRate + 1 // the generator is as busy as above
)

// cpu measures what a packet takes of the router's CPU, of what somebody who takes the rest of it gets less: at a rate
// that all systems hold, beside one that is next to nothing.
func (b *bench) cpu(ctx context.Context) (err error) {
	net, err := peer.New(ctx, peer.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	net.SetApart(true, b.routerCPU())
	if len(packages()) == 0 {
		b.doc.Notes = append(b.doc.Notes, "cost: the machine does not tell its energy (RAPL): left out.")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which waits for the thread that has what is left
	for round := range b.Rounds {
		for _, c := range b.smallest("1") {
			for _, s := range b.Systems {
				if strings.HasPrefix(s, "testpmd") { // takes the whole CPU whatever comes
					continue
				}
				b.tell("cost %s, %s: round %d of %d", c.family, s, round+1, b.Rounds)
				err := withSystem(net, c, s, 0, func(net *peer.Network, g *traffic.Generator) error { return b.cpuOf(ctx, net, g, c, s) })
				if err != nil {
					return fmt.Errorf("cost: %s: %w", s, err)
				}
			}
			b.done++
		}
	}
	return nil
}

func (b *bench) cpuOf(ctx context.Context, net *peer.Network, g *traffic.Generator, c oneCase, system string) error {
	if _, err := net.Trial(ctx, g, traffic.Load{Rate: costHigh, Time: warmFor}); err != nil {
		return err
	}
	low, err := b.soaked(ctx, net, g, costLow)
	if err != nil {
		return err
	}
	high, err := b.soaked(ctx, net, g, costHigh)
	if err != nil {
		return err
	}
	if ns, ok := perPacket(low, high); ok {
		b.doc.Add(c.key("cost", system, "cpu"), "ns/pkt", true, ns)
	} else {
		b.doc.Notes = append(b.doc.Notes, fmt.Sprintf("cost: %s: a round without a figure of its CPU: others had it.", system))
	}
	if low.joules > 0 {
		b.doc.Add(c.key("cost", system, "energy"), "nJ/pkt", true, 1e9*(high.joules/high.seconds-low.joules/low.seconds)/(high.packets-low.packets))
	}
	return nil
}

// soak is what was left of a CPU at a rate.
type soak struct {
	packets         float64 // a second, that came through
	left            float64 // turns a second
	joules, seconds float64
}

// perPacket is what a packet takes, ns; ok is false if packets did not come as they should: others have the CPU.
func perPacket(low, high soak) (ns float64, ok bool) {
	if low.left == 0 || high.left > low.left || high.packets < low.packets+costHigh/3 {
		return 0, false
	}
	return 1e9 * (1 - high.left/low.left) / (high.packets - low.packets), true
}

func (b *bench) soaked(ctx context.Context, net *peer.Network, g *traffic.Generator, rate float64) (k soak, err error) {
	s, err := peer.NewSoaker(b.routerCPU())
	if err != nil {
		return k, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	before, start := joules(), time.Now()
	k.left, err = s.Rate(func() error {
		o, err := net.Trial(ctx, g, traffic.Load{Rate: rate, Time: b.lasting(costFor)})
		k.seconds = time.Since(start).Seconds()
		k.packets = float64(o.Got.Packets) / k.seconds
		return err
	})
	k.joules = joules() - before
	return k, err
}

// packages are the counters of energy of the machine's CPUs (RAPL).
func packages() []string {
	all, _ := filepath.Glob("/sys/class/powercap/intel-rapl:[0-9]*/energy_uj")
	whole := all[:0]
	for _, path := range all {
		if strings.Count(filepath.Base(filepath.Dir(path)), ":") == 1 { // not of a part
			whole = append(whole, path)
		}
	}
	return whole
}

// joules is what all have taken so far; the counters begin anew after an hour or so.
func joules() (sum float64) {
	for _, path := range packages() {
		text, err := os.ReadFile(path)
		if err != nil {
			return 0
		}
		n, _ := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
		sum += n / 1e6
	}
	return sum
}
