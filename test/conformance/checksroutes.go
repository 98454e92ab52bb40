package conformance

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"weft/dataplane"
)

// longestWins adds routes that are better by metric and worse by length, and one for
// everything.
func longestWins(ctx context.Context, n *Network) error {
	err := n.routes(siteRoute{prefix: "10.21.0.0/16", via: []string{east}, metric: 1},
		siteRoute{prefix: "10.21.0.0/24", via: []string{wide}, metric: 1000},
		siteRoute{prefix: "10.21.0.0/24", via: []string{narrow}, metric: 2000},
		siteRoute{prefix: "10.21.0.7/32", via: []string{narrow}, metric: 3000},
		siteRoute{prefix: "0.0.0.0/0", via: []string{wide}, metric: 1})
	if err != nil {
		return err
	}
	src := source(1, false)
	if err := n.until(ctx, packet{src: src, dst: "99.99.99.99"}, dataplane.Forwarded, wide); err != nil {
		return err
	}
	return n.try(ctx,
		goes("/16", east, packet{src: src, dst: "10.21.1.0"}), goes("/24", wide, packet{src: src, dst: "10.21.0.8"}),
		goes("/32", narrow, packet{src: src, dst: "10.21.0.7"}), goes("default", wide, packet{src: src, dst: "99.99.99.99"}),
		goes("default, first address", wide, packet{src: src, dst: "1.0.0.0"}))
}

// everyLength makes a route of every length around one address, and sends to an
// address that each of them is the longest for.
func everyLength(ctx context.Context, n *Network) error {
	base := netip.MustParseAddr("5555:5555:5555:5555:5555:5555:5555:5555")
	vias := []string{east, wide, narrow, lazy}
	flipped := func(length int) string {
		b := base.As16()
		if length < 128 {
			b[length/8] ^= 0x80 >> (length % 8)
		}
		return netip.AddrFrom16(b).String()
	}
	var routes []siteRoute
	var cases []Case
	for length := range 129 {
		p, err := base.Prefix(length)
		if err != nil {
			return err
		}
		via := vias[length%len(vias)]
		routes = append(routes, siteRoute{prefix: p.String(), via: []string{via}})
		cases = append(cases, goes(fmt.Sprintf("/%d", length), via, packet{src: source(1, true), dst: flipped(length)}))
	}
	if err := n.routes(routes...); err != nil {
		return err
	}
	if err := n.until(ctx, packet{src: source(1, true), dst: base.String()}, dataplane.Forwarded, vias[128%len(vias)]); err != nil {
		return err
	}
	return n.try(ctx, cases...)
}

// addressed gives east an address, and a neighbor.
func (n *Network) addressed(prefix, neighbor string) error {
	return n.in(func() error {
		l, err := netlink.LinkByIndex(n.ifindex[east])
		if err != nil {
			return err
		}
		p := netip.MustParsePrefix(prefix)
		a := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
		if p.Addr().Is6() {
			a.Flags = 2 // IFA_F_NODAD
		}
		if err := netlink.AddrAdd(l, a); err != nil {
			return fmt.Errorf("add address %s: %w", prefix, err)
		}
		return setNeighbor(l, neighbor, portNamed(east).far())
	})
}

func pointToPoint4(ctx context.Context, n *Network) error {
	for i, own := range []string{"10.22.0.0", "10.22.0.3"} {
		other := []string{"10.22.0.1", "10.22.0.2"}[i]
		if err := n.pointToPoint(ctx, own, other, 31, unreachable4, 3); err != nil {
			return err
		}
	}
	return nil
}

func pointToPoint6(ctx context.Context, n *Network) error {
	for i, own := range []string{"2001:db8:22::1", "2001:db8:22::2"} {
		other := []string{"2001:db8:22::", "2001:db8:22::3"}[i]
		if err := n.pointToPoint(ctx, own, other, 127, unreachable6, 4); err != nil {
			return err
		}
	}
	return nil
}

// pointToPoint holds that of a subnet of two, one address is the router's and the
// other a neighbor's: a packet to the first is answered from there.
func (n *Network) pointToPoint(ctx context.Context, own, other string, length int, kind, code byte) error {
	if err := n.addressed(fmt.Sprintf("%s/%d", own, length), other); err != nil {
		return err
	}
	src := source(1, netip.MustParseAddr(own).Is6())
	if err := n.until(ctx, packet{src: src, dst: other}, dataplane.Forwarded, east); err != nil {
		return err
	}
	if err := n.until(ctx, packet{src: src, dst: own}, dataplane.LocalRoute, ""); err != nil {
		return err
	}
	ip := packet{src: src, dst: own}.bytes()
	return n.try(ctx, goes("to "+other, east, packet{src: src, dst: other}),
		ends("to "+own, dataplane.LocalRoute, ip, icmpError{kind: kind, code: code, about: ip, from: own}.sent()))
}

// hostRoutes gives the router addresses that are subnets of their own, and routes to
// hosts on the link.
func hostRoutes(ctx context.Context, n *Network) error {
	for _, c := range []struct {
		own, host  string
		length     int
		kind, code byte
	}{{"10.23.0.1", "10.23.0.9", 32, unreachable4, 3}, {"2001:db8:23::1", "2001:db8:23::9", 128, unreachable6, 4}} {
		if err := n.addressed(fmt.Sprintf("%s/%d", c.own, c.length), c.host); err != nil {
			return err
		}
		if err := n.routes(siteRoute{prefix: fmt.Sprintf("%s/%d", c.host, c.length), via: []string{east}, link: true}); err != nil {
			return err
		}
		src := source(1, netip.MustParseAddr(c.own).Is6())
		if err := n.until(ctx, packet{src: src, dst: c.host}, dataplane.Forwarded, east); err != nil {
			return err
		}
		if err := n.until(ctx, packet{src: src, dst: c.own}, dataplane.LocalRoute, ""); err != nil {
			return err
		}
		ip := packet{src: src, dst: c.own}.bytes()
		err := n.try(ctx, goes("to "+c.host, east, packet{src: src, dst: c.host}),
			ends("to "+c.own, dataplane.LocalRoute, ip, icmpError{kind: c.kind, code: c.code, about: ip, from: c.own}.sent()))
		if err != nil {
			return err
		}
	}
	return nil
}
