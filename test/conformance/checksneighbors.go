package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"weft/dataplane"
)

// answer is a host's at east to who has its address: it is where mac is.
func answer(addr string, mac dataplane.MAC, flags byte) []byte {
	p := portNamed(east)
	if netip.MustParseAddr(addr).Is4() {
		return ether(p.mac(), mac, unix.ETH_P_ARP,
			arp{operation: arpReply, sha: mac, spa: addr, tha: p.mac(), tpa: p.addr4()}.bytes())
	}
	message := discoveryMessage(addr, p.addr6(), neighborAdvertisement, 0, flags, addr, linkAddress(2, mac)...)
	return ether(p.mac(), mac, unix.ETH_P_IPV6, plain6(addr, p.addr6(), 255, message))
}

// asks is a question for an address, by east, to all.
func asks(addr string) Sent {
	if netip.MustParseAddr(addr).Is4() {
		return asks4(addr)
	}
	return asks6(addr)
}

// at is a packet's frame as it leaves by east to a MAC.
func at(mac dataplane.MAC, ip []byte) Sent {
	return comes(east, ether(mac, portNamed(east).mac(), etherTypeOf(ip), hop(ip)))
}

// strangers are hosts of east's that nobody knows yet.
var strangers = []string{"198.51.100.50", "2001:db8:2::50"}

// quick makes Linux ask neighbors in less than a second.
func (n *Network) quick(then func() error) error {
	var all []string
	for _, family := range []string{"ipv4", "ipv6"} {
		base := family + "/neigh/" + east + "/"
		all = append(all, base+"retrans_time_ms=50", base+"base_reachable_time_ms=100", base+"delay_first_probe_time=0")
	}
	return n.with(append(all, "ipv4/neigh/east/locktime=0"), then)
}

// neighborsAreAsked sends a packet to somebody who does not answer, then to one who does.
func neighborsAreAsked(ctx context.Context, n *Network) error {
	return n.quick(func() error {
		for _, addr := range strangers {
			ip := packet{src: source(1, netip.MustParseAddr(addr).Is6()), dst: addr}.bytes()
			failed := icmpError{kind: unreachable4, code: 1, about: hop(ip)}
			if ip[0]>>4 == 6 {
				failed = icmpError{kind: unreachable6, code: 3, about: hop(ip)}
			}
			if err := n.watch(ctx, ip, nil, times(asks(addr), 3), times(failed.sent(), 1)); err != nil {
				return fmt.Errorf("nobody answers for %s: %w", addr, err)
			}
			reply := answer(addr, portNamed(east).far(), solicited|override)
			if err := n.watch(ctx, ip, reply, times(asks(addr), 1), times(at(portNamed(east).far(), ip), 1)); err != nil {
				return fmt.Errorf("%s answers: %w", addr, err)
			}
		}
		return nil
	})
}

// timed is what is to come out so many times.
type timed struct {
	Sent
	times int
}

func times(s Sent, n int) timed { return timed{s, n} }

// watch sends a packet by west, and waits for what is to come out. To the first frame
// by east, a host there replies.
func (n *Network) watch(ctx context.Context, ip, reply []byte, want ...timed) error {
	if err := n.drain(); err != nil {
		return err
	}
	if err := n.wires[west].send(portNamed(west).in(ip)); err != nil {
		return err
	}
	seen := newSightings(nil)
	seen.all = map[string][][]byte{}
	missing := func() string {
		for _, w := range want {
			count := 0
			for _, f := range seen.all[w.Port] {
				if w.Is(f) == nil {
					count++
				}
			}
			if count != w.times {
				return fmt.Sprintf("%s came out of %s %d times, want %d", w.What, w.Port, count, w.times)
			}
		}
		return ""
	}
	err := n.collect(ctx, seen, func() bool {
		if reply != nil && len(seen.all[east]) > 0 {
			if err := n.wires[east].send(reply); err != nil {
				return false
			}
			reply = nil
		}
		return missing() == ""
	})
	if errors.Is(err, errLate) {
		return errors.New(missing())
	}
	return err
}

// learn makes the router know a stranger by one MAC, and waits until weft forwards to it.
func (n *Network) learn(ctx context.Context, addr string, mac dataplane.MAC) error {
	ip := packet{src: source(1, netip.MustParseAddr(addr).Is6()), dst: addr}.bytes()
	if err := n.watch(ctx, ip, answer(addr, mac, solicited|override), times(at(mac, ip), 1)); err != nil {
		return err
	}
	return n.untilAt(ctx, addr, mac)
}

// untilAt waits until weft forwards packets to an address to a MAC.
func (n *Network) untilAt(ctx context.Context, addr string, mac dataplane.MAC) error {
	ip := packet{src: source(1, netip.MustParseAddr(addr).Is6()), dst: addr}.bytes()
	return n.poll(ctx, func() (string, error) {
		got, err := n.weft.engine.Run(portNamed(west).in(ip), n.number(west))
		if err != nil || got.Reason == dataplane.Forwarded && dataplane.MAC(got.Packet[:6]) == mac {
			return "", err
		}
		return fmt.Sprintf("packet to %s: %s, to % x, want to % x", addr, got.Reason, got.Packet[:6], mac), nil
	})
}

// probed is a question for an address to its MAC alone.
func probed(addr string, mac dataplane.MAC, frame []byte) bool {
	if dataplane.MAC(frame[:6]) != mac {
		return false
	}
	if netip.MustParseAddr(addr).Is4() {
		return frame[12] == 0x08 && frame[13] == 0x06 && frame[ethLen+7] == arpRequest
	}
	return len(frame) > ethLen+ip6Len && frame[ethLen+6] == unix.IPPROTO_ICMPV6 && frame[ethLen+ip6Len] == neighborSolicitation
}

// neighborsStayFresh holds that Linux asks a neighbor whether it is there while
// packets go to it by XDP only, and that it stays one while it answers.
func neighborsStayFresh(ctx context.Context, n *Network) error {
	return n.quick(func() error {
		mac := portNamed(east).far()
		for _, addr := range strangers {
			if err := n.learn(ctx, addr, mac); err != nil {
				return err
			}
			for range 3 {
				seen := newSightings(nil)
				seen.all = map[string][][]byte{}
				err := n.collect(ctx, seen, func() bool {
					for _, f := range seen.all[east] {
						if probed(addr, mac, f) {
							return true
						}
					}
					return false
				})
				if err != nil {
					return fmt.Errorf("wait for a question for %s: %w", addr, err)
				}
				if err := n.wires[east].send(answer(addr, mac, solicited)); err != nil {
					return err
				}
			}
			if err := n.untilAt(ctx, addr, mac); err != nil {
				return err
			}
		}
		return nil
	})
}

// neighborMoves lets a neighbor say that it is at another MAC, with the right to and
// without.
func neighborMoves(ctx context.Context, n *Network) error {
	first, second, third := portNamed(east).far(), dataplane.MAC{2, 0, 0, 0, 0, 0x51}, dataplane.MAC{2, 0, 0, 0, 0, 0x52}
	addr := strangers[1]
	if err := n.learn(ctx, addr, first); err != nil {
		return err
	}
	say := func(mac dataplane.MAC, flags byte) error { return n.wires[east].send(answer(addr, mac, flags)) }
	if err := say(second, override); err != nil {
		return err
	}
	if err := n.untilAt(ctx, addr, second); err != nil {
		return err
	}
	// The fence comes back behind what Linux made of it.
	if err := say(third, 0); err != nil {
		return err
	}
	if _, err := n.burst(ctx, nil); err != nil {
		return err
	}
	if err := n.untilAt(ctx, addr, second); err != nil {
		return fmt.Errorf("without override: %w", err)
	}
	ip := packet{src: source(1, true), dst: addr}.bytes()
	return n.try(ctx, ends("at its new MAC", dataplane.Forwarded, ip, at(second, ip)))
}
