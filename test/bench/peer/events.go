package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"

	"weft/test/kernelroutes"
	"weft/test/traffic"
)

// Under sends at a rate while f works, on another thread in the router's namespace, and returns what became of the packets.
func (n *Network) Under(ctx context.Context, g *traffic.Generator, rate float64, f func() error) (o Outcome, err error) {
	sending, end := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not unlocked: the thread ends
		defer end()
		done <- n.InRouter(f)
	}()
	o, err = n.trial(sending, g, traffic.Load{Rate: rate})
	end()
	return o, errors.Join(err, <-done, ctx.Err())
}

// Churn gives routes another next hop, so many a second, while f works, and returns how many it was.
func (n *Network) Churn(ctx context.Context, perSecond int, every time.Duration, v6 bool, f func() error) (rate float64, err error) {
	if perSecond == 0 {
		return 0, f()
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	done := make(chan error, 1)
	changed, start := 0, time.Now()
	go func() {
		runtime.LockOSThread() // not unlocked: the thread ends in the router's namespace
		done <- n.InRouter(func() error { return n.churn(ctx, perSecond, every, v6, &changed) })
	}()
	err = f()
	seconds := time.Since(start).Seconds()
	end()
	err = errors.Join(err, <-done)
	return float64(changed) / seconds, err
}

func (n *Network) churn(ctx context.Context, perSecond int, every time.Duration, v6 bool, changed *int) error {
	prefixes, hops, first := n.options.Table.IPv4, n.options.Table.Hops4, uint32(0)
	if v6 {
		prefixes, hops, first = n.options.Table.IPv6, n.options.Table.Hops6, 256
	}
	used := uint32(NextHops)
	if len(prefixes) < 2 {
		used = 1 // there is no other next hop: the route is written again
	}
	b, err := kernelroutes.Open()
	if err != nil {
		return err
	}
	defer b.Close()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for start := time.Now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for due := int(time.Since(start).Seconds() * float64(perSecond)); *changed < due; *changed++ {
			i, turn := *changed%len(prefixes), uint32(*changed/len(prefixes))
			b.Put(prefixes[i], first+1+(hops[i]+turn)%used)
		}
		if err := b.Send(); err != nil {
			return fmt.Errorf("change routes: %w", err)
		}
	}
}

// Together sends as many packets as go, each generator on a CPU of its own, and returns how many a second came in.
func (n *Network) Together(ctx context.Context, generators []*traffic.Generator, d time.Duration) (rate float64, err error) {
	if err := n.Sink.Reset(); err != nil {
		return 0, err
	}
	done := make(chan error, len(generators))
	before := uint64(0)
	for cpu, g := range generators {
		before += g.Sent()
		go func() {
			runtime.LockOSThread() // not unlocked: the thread ends
			err := errors.Join(pin(0, cpu), Prefer(0))
			if err == nil {
				err = inNamespace(n.generator, func() error { _, err := g.Run(ctx, traffic.Load{Time: d}); return err })
			}
			done <- err
		}()
	}
	for range generators {
		err = errors.Join(err, <-done)
	}
	if err = errors.Join(err, ctx.Err()); err != nil {
		return 0, err
	}
	sent := uint64(0)
	for _, g := range generators {
		sent += g.Sent()
	}
	got, err := n.Sink.Wait(sent - before)
	return got.Rate, err
}

// The second way to the sink (Options.Backup), of IPv4 alone.
var (
	backupAddress = "172.31.255.1/24"
	backupGateway = netip.MustParseAddr("172.31.255.2")
)

// addBackup adds it. The route of One is there as well: one that nothing else covers but the default route.
func (n *Network) addBackup() error {
	v, err := n.addVeth(n.port("alt"), "eth1", n.sink)
	if err != nil {
		return err
	}
	if n.alt, err = n.setUp(v.Name, mac{2, 0, 0, 0, 0, 5}); err == nil {
		err = addAddress(v, backupAddress)
	}
	if err != nil {
		return err
	}
	return traffic.EnableGRO(v.Name)
}

// endBackup makes the sink at its end.
func (n *Network) endBackup() (err error) {
	if err = os.WriteFile("/proc/sys/net/ipv6/conf/eth1/disable_ipv6", []byte("1"), 0); err != nil {
		return err
	}
	if n.altDrain, err = n.setUp("eth1", sinkMAC); err != nil {
		return err
	}
	n.alternate, err = traffic.NewSink(n.altDrain, traffic.SinkOptions{})
	return err
}

func (n *Network) routeBackup() error {
	err := netlink.NeighSet(&netlink.Neigh{
		LinkIndex: n.alt, State: netlink.NUD_PERMANENT, IP: backupGateway.AsSlice(), HardwareAddr: net.HardwareAddr(sinkMAC[:]),
	})
	if err == nil {
		err = netlink.RouteReplace(&netlink.Route{
			LinkIndex: n.alt, Gw: backupGateway.AsSlice(), Dst: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
		})
	}
	if err != nil {
		return fmt.Errorf("add the second way: %w", err)
	}
	return n.Withdraw(false)
}

// Withdraw removes the route of One, or adds it again.
func (n *Network) Withdraw(gone bool) error {
	b, err := kernelroutes.Open()
	if err != nil {
		return err
	}
	defer b.Close()
	if p := One().IPv4[0]; gone {
		b.Delete(p)
	} else {
		b.Put(p, 1)
	}
	return b.Send()
}

// Cut sets the port to the sink down, which takes all routes away, or up again, and adds them.
func (n *Network) Cut(down bool) error {
	link, err := netlink.LinkByIndex(n.out)
	if err != nil {
		return err
	}
	if down {
		return netlink.LinkSetDown(link)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	if err := n.addRoutes(); err != nil {
		return err
	}
	return n.Withdraw(false)
}

// Settle waits until packets come in by the first way again.
func (n *Network) Settle(ctx context.Context, g *traffic.Generator) error {
	const probes = 256
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		o, err := n.Trial(ctx, g, traffic.Load{Rate: 20_000, Packets: probes})
		if err != nil {
			return err
		}
		if o.Got.Packets == probes && o.Alternate == 0 {
			return nil
		}
	}
	return errors.New("packets do not go the first way again")
}
