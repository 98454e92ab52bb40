package conformance

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"weft/dataplane"
)

// with changes settings of the router's namespace first.
func (n *Network) with(settings []string, then func() error) error {
	if err := n.in(func() error { return set(settings...) }); err != nil {
		return err
	}
	return then()
}

func directedBroadcast(ctx context.Context, n *Network) error {
	return n.with([]string{"ipv4/conf/all/bc_forwarding=1", "ipv4/conf/west/bc_forwarding=1"}, func() error {
		ip := packet{src: source(1, false), dst: "198.51.100.255"}.bytes()
		return n.try(ctx, ends("directed broadcast, allowed", dataplane.Broadcast, ip,
			comes(east, ether(broadcastMAC, portNamed(east).mac(), unix.ETH_P_IP, hop(ip)))))
	})
}

// errorLeavesElsewhere4 sends what seems to come from east's host by west.
func errorLeavesElsewhere4(ctx context.Context, n *Network) error {
	ip := packet{src: portNamed(east).host4(), dst: eastern4, ttl: 1}.bytes()
	return n.try(ctx, ends("from another link", dataplane.TTLValueIsTooSmall, ip, icmpError{kind: timeExceeded4, about: ip, port: east}.sent()))
}

// errorLeavesElsewhere6 is the same. RFC 4443 lets the source be the address where the
// packet came in, as what tells most, and so Linux does.
func errorLeavesElsewhere6(ctx context.Context, n *Network) error {
	ip := packet{src: portNamed(east).host6(), dst: eastern6, ttl: 1}.bytes()
	return n.try(ctx, ends("from another link", dataplane.TTLValueIsTooSmall, ip, icmpError{kind: timeExceeded6, about: ip, port: east, from: own6}.sent()))
}

// errorByIPv6Hop sends what is answered by a route with an IPv6 next hop.
func errorByIPv6Hop(ctx context.Context, n *Network) error {
	ip := packet{src: "172.16.0.9", dst: eastern4, ttl: 1}.bytes()
	return n.try(ctx, ends("answer by an IPv6 next hop", dataplane.TTLValueIsTooSmall, ip, icmpError{kind: timeExceeded4, about: ip, port: east}.sent()))
}

func errorsLimited4(ctx context.Context, n *Network) error {
	return errorsLimited(ctx, n, packet{src: source(1, false), dst: eastern4, ttl: 1},
		[]string{"ipv4/icmp_ratelimit=1000", "ipv4/icmp_ratemask=6168"}, []string{"ipv4/icmp_ratelimit=0", "ipv4/icmp_ratemask=0"})
}

func errorsLimited6(ctx context.Context, n *Network) error {
	return errorsLimited(ctx, n, packet{src: source(1, true), dst: eastern6, ttl: 1},
		[]string{"ipv6/icmp/ratelimit=1000", "ipv6/icmp/ratemask=0-1,3-127"}, []string{"ipv6/icmp/ratelimit=0", "ipv6/icmp/ratemask=\n"})
}

// errorsLimited sends more packets than may be answered, then without a limit.
func errorsLimited(ctx context.Context, n *Network, p packet, on, off []string) error {
	const many = 100
	frames := make([][]byte, many)
	for i := range frames {
		frames[i] = portNamed(west).in(p.bytes())
	}
	answers := func() (count int, err error) {
		out, err := n.burst(ctx, frames)
		return len(out[west]), err
	}
	return n.with(on, func() error {
		limited, err := answers()
		if err != nil {
			return err
		}
		if limited == 0 || limited > many/2 {
			return fmt.Errorf("with a limit of one a second, %d of %d packets are answered", limited, many)
		}
		return n.with(off, func() error {
			free, err := answers()
			if err == nil && free != many {
				err = fmt.Errorf("without a limit, %d of %d packets are answered", free, many)
			}
			return err
		})
	})
}

// leastMTU makes a route of the least MTU that IPv4 may have. IPv6's is narrow's.
func leastMTU(ctx context.Context, n *Network) error {
	if err := n.routes(siteRoute{prefix: "10.20.0.0/16", via: []string{east}, mtu: 68}); err != nil {
		return err
	}
	p := packet{src: source(1, false), dst: "10.20.0.1", fragment: 0x4000, payload: make([]byte, 80)}
	if err := n.until(ctx, p, dataplane.MTUValueIsTooSmall, ""); err != nil {
		return err
	}
	ip := p.bytes()
	return n.try(ctx, ends("MTU 68", dataplane.MTUValueIsTooSmall, ip, icmpError{kind: unreachable4, code: 4, rest: 68, about: ip}.sent()))
}

// nothingBefore holds that a router whose daemon has not begun forwards by Linux, and
// loses nothing when it does.
func nothingBefore(ctx context.Context, _ *Network) error {
	n, err := openLinux(ctx, false)
	if err != nil {
		return err
	}
	defer n.Close()
	if ports := n.weft.engine.Ports(); len(ports) != 0 {
		return fmt.Errorf("weft has %d ports before it has read the kernel's tables", len(ports))
	}
	ip := packet{src: source(1, false), dst: eastern4}.bytes()
	out, err := n.burst(ctx, [][]byte{portNamed(west).in(ip)})
	if err != nil {
		return err
	}
	if len(out[east]) != 1 {
		return fmt.Errorf("before weft begins %d packets come out, want 1 by Linux", len(out[east]))
	}
	if err := n.weft.settle(ctx); err != nil {
		return err
	}
	return n.try(ctx, goes("afterwards", east, packet{src: source(1, false), dst: eastern4}))
}

// incremental compares checksums of many headers with those computed anew.
func incremental(_ context.Context, n *Network) error {
	p := portNamed(west)
	for i := range 4096 {
		ip := packet{src: source(i, false), dst: eastern4, ttl: 2 + i%254, id: uint16(i*2654435761>>7) | 1, tos: byte(i*7) | 1}.bytes()
		got, err := n.weft.engine.Run(p.in(ip), n.number(west))
		if err != nil {
			return fmt.Errorf("ask the program: %w", err)
		}
		if want := portNamed(east).out(hop(ip)); string(got.Packet) != string(want) {
			return fmt.Errorf("packet % x becomes % x, want % x", ip, got.Packet, want)
		}
	}
	return nil
}

// countersStay holds that counters outlive the engine's process: they are pinned, and
// the next one goes on with them.
func countersStay(ctx context.Context, _ *Network) error {
	n, err := open(ctx, true)
	if err != nil {
		return err
	}
	defer n.Close()
	if err := n.try(ctx, goes("before", east, packet{src: source(1, false), dst: eastern4})); err != nil {
		return err
	}
	number := n.number(west)
	before := n.weft.engine.Counters(number)
	if err := n.weft.restart(n.lab); err != nil {
		return err
	}
	if after := n.weft.engine.Counters(number); after != before {
		return fmt.Errorf("%d packets were counted before the restart, %d after it", before.Received().Packets, after.Received().Packets)
	}
	if err := n.try(ctx, goes("after", east, packet{src: source(1, false), dst: eastern4})); err != nil {
		return err
	}
	if after := n.weft.engine.Counters(number); after.Received().Packets <= before.Received().Packets {
		return fmt.Errorf("counters went from %d to %d packets", before.Received().Packets, after.Received().Packets)
	}
	return nil
}
