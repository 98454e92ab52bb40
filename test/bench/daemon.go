package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/bench/peer"
	"weft/test/traffic"
)

// The daemon's engines, as systems of a run have them.
var daemons = []struct{ system, engine string }{{"weft_xdp", "xdp"}, {"weft_soft", "soft"}}

// daemon calls f for each engine that is wanted, in each round, in a network with one route.
func (b *bench) daemon(ctx context.Context, test string, f func(net *peer.Network, c oneCase, system string, start func() (*peer.Daemon, error)) error) (err error) {
	binary := b.Daemon
	if binary == "" {
		if binary, err = os.Executable(); err != nil {
			return fmt.Errorf("find weft: %w", err)
		}
	}
	net, err := peer.New(ctx, peer.Options{Sink: traffic.SinkOptions{Sequences: true}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	c := b.smallest("1")[0]
	for round := range b.Rounds {
		for _, d := range daemons {
			if len(b.among(d.system)) == 0 {
				continue
			}
			b.tell("%s %s: round %d of %d", test, d.system, round+1, b.Rounds)
			err := f(net, c, d.system, func() (*peer.Daemon, error) { return b.start(ctx, net, binary, "--engine", d.engine) })
			if err != nil {
				return fmt.Errorf("%s: %s: %w", test, d.system, err)
			}
			b.done++
		}
	}
	return nil
}

// start runs a daemon in the router, on all CPUs but the generator's, if there is another.
func (b *bench) start(ctx context.Context, net *peer.Network, binary string, args ...string) (d *peer.Daemon, err error) {
	var cpus unix.CPUSet
	for cpu := range runtime.NumCPU() {
		if cpu != b.CPU || runtime.NumCPU() == 1 {
			cpus.Set(cpu)
		}
	}
	err = net.InRouter(func() error {
		return peer.OnCPUs(&cpus, func() (err error) {
			d, err = peer.StartDaemon(ctx, binary, args...)
			return err
		})
	})
	return d, err
}

// idle measures what the daemon takes of a CPU while nothing happens.
func (b *bench) idle(ctx context.Context) error {
	settle, during := 2*time.Second, 10*time.Second
	if b.Short {
		settle, during = time.Second, 2*time.Second
	}
	return b.daemon(ctx, "idle", func(_ *peer.Network, c oneCase, system string, start func() (*peer.Daemon, error)) error {
		d, err := start()
		if err != nil {
			return err
		}
		share, err := d.IdleShare(ctx, b.lasting(settle), b.lasting(during))
		if err == nil {
			b.doc.Add(c.key("idle", system, "cpu"), "%", true, share)
			var bytes int
			if bytes, err = d.PeakMemory(); err == nil {
				b.doc.Add(c.key("idle", system, "memory"), "MiB", true, float64(bytes)/(1<<20))
			}
		}
		return errors.Join(err, d.Stop())
	})
}

const (
	resetRate   = 20_000.0
	resetBefore = 300 * time.Millisecond
)

// reset kills the daemon under traffic, starts it again, and counts what is lost of it until it forwards, and a little longer.
func (b *bench) reset(ctx context.Context) error {
	return b.daemon(ctx, "reset", func(net *peer.Network, c oneCase, system string, start func() (*peer.Daemon, error)) (err error) {
		d, err := start()
		if err != nil {
			return err
		}
		g, err := c.generator(net, 0)
		if err != nil {
			return errors.Join(err, d.Stop())
		}
		defer g.Close()
		var again *peer.Daemon
		o, err := net.Under(ctx, g, resetRate, func() error {
			time.Sleep(resetBefore)
			err := d.Kill()
			if err == nil {
				again, err = start()
			}
			time.Sleep(resetBefore)
			return err
		})
		if again != nil {
			defer func() { err = errors.Join(err, again.Stop()) }()
		}
		if err != nil {
			return err
		}
		b.doc.Add(c.key("reset", system, "lost"), "pkt", true, float64(o.Lost()))
		b.doc.Add(c.key("reset", system, "blocked"), "ms", true, 1000*float64(o.Lost())/resetRate)
		b.doc.Add(c.key("reset", system, "restart"), "ms", true, float64(again.Took.Milliseconds()))
		return nil
	})
}
