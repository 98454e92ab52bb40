package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/vishvananda/netlink"

	"weft/dataplane"
	"weft/test/lab"
	"weft/test/traffic"
)

// Names of the two nodes.
const (
	routerNode = "router"
	farNode    = "far"
)

// Network is a router with weft at work in it, and the far ends of its ports.
type Network struct {
	lab     *lab.Lab
	weft    *weft
	wires   map[string]*wire
	buf     []byte
	ifindex map[string]int // of the router's ports
	errors  *lab.AllErrors // each error is waited for
}

var networks atomic.Int32

// Open makes a network. Needs root. Its namespaces are weft-conf-PID-N-*: what a
// process has left that was killed, `weft lab down --prefix` removes.
func Open(ctx context.Context) (*Network, error) {
	return open(ctx, false)
}

// open can make a network whose engine is pinned, as that of `weft run` is.
func open(ctx context.Context, pinned bool) (*Network, error) {
	n, err := openLinux(ctx, pinned)
	if err != nil {
		return nil, err
	}
	if err := n.weft.settle(ctx); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// openLinux makes a network in which weft has not begun to forward.
func openLinux(ctx context.Context, pinned bool) (_ *Network, err error) {
	n := &Network{wires: map[string]*wire{}, buf: make([]byte, 1<<16), ifindex: map[string]int{}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("make network: %w", err), n.Close())
		}
	}()
	if n.errors, err = lab.LiftErrors(); err != nil {
		return nil, err
	}
	n.lab, err = lab.Up(ctx, topology(), lab.Options{Prefix: fmt.Sprintf("weft-conf-%d-%d-", os.Getpid(), networks.Add(1))})
	if err != nil {
		return nil, err
	}
	if err := n.lab.In(farNode, n.setUpFar); err != nil {
		return nil, err
	}
	if err := n.lab.In(routerNode, n.setUpRouter); err != nil {
		return nil, err
	}
	if n.weft, err = startWeft(ctx, n.lab, pinned); err != nil {
		return nil, err
	}
	return n, nil
}

// Close removes the network.
func (n *Network) Close() error {
	var errs []error
	if n.weft != nil {
		errs = append(errs, n.weft.stop())
	}
	for _, w := range n.wires {
		errs = append(errs, w.close())
	}
	if n.lab != nil {
		errs = append(errs, n.lab.Down())
	}
	if n.errors != nil {
		errs = append(errs, n.errors.Restore())
	}
	return errors.Join(errs...)
}

func topology() lab.Topology {
	t := lab.Topology{Name: "conformance", Nodes: []lab.Node{{Name: routerNode, Router: true}, {Name: farNode}}}
	for _, p := range sitePorts {
		t.Links = append(t.Links, lab.Link{
			A: lab.End{Node: routerNode, Interface: p.name, Addrs: []netip.Prefix{
				netip.MustParsePrefix(p.addr4() + "/24"), netip.MustParsePrefix(p.addr6() + "/64"), netip.MustParsePrefix(routerLinkLocal + "/64")}},
			B: lab.End{Node: farNode, Interface: p.name},
		})
	}
	return t
}

// set writes sysctls of the calling thread's namespace: NAME=VALUE.
func set(settings ...string) error {
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		if err := os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0); err != nil {
			return fmt.Errorf("set %s: %w", s, err)
		}
	}
	return nil
}

// setUpFar makes the far ends mute: what the package sends is all that comes from there.
func (n *Network) setUpFar() error {
	if err := set("ipv6/conf/all/disable_ipv6=1"); err != nil {
		return err
	}
	for i := range sitePorts {
		p := &sitePorts[i]
		l, err := setLink(p, p.far())
		if err != nil {
			return err
		}
		if err := netlink.LinkSetARPOff(l); err != nil {
			return err
		}
		if p.left {
			if err := traffic.LeaveChecksums(p.name); err != nil {
				return err
			}
		}
		if n.wires[p.name], err = openWire(l.Attrs().Index); err != nil {
			return err
		}
	}
	return nil
}

func setLink(p *port, mac dataplane.MAC) (netlink.Link, error) {
	l, err := netlink.LinkByName(p.name)
	if err == nil {
		err = errors.Join(netlink.LinkSetHardwareAddr(l, mac[:]), netlink.LinkSetMTU(l, max(p.mtu, 1500)))
	}
	if err != nil {
		return nil, fmt.Errorf("set up %s: %w", p.name, err)
	}
	return l, nil
}

// settings of the router's namespace that are not Linux's defaults, or may not be on
// a machine: a namespace takes some from the first one.
var settings = []string{
	// Every error is wanted: limits have a clause of their own.
	"ipv4/icmp_ratemask=0", "ipv6/icmp/ratemask=\n",
	"ipv4/conf/all/accept_source_route=0", "ipv4/conf/all/log_martians=0", "ipv4/icmp_errors_use_inbound_ifaddr=0",
	"ipv4/icmp_echo_ignore_broadcasts=1", "ipv4/conf/all/send_redirects=0", "ipv4/conf/default/send_redirects=0",
}

func (n *Network) setUpRouter() error {
	if err := set(settings...); err != nil {
		return err
	}
	for i := range sitePorts {
		p := &sitePorts[i]
		l, err := setLink(p, p.mac())
		if err != nil {
			return err
		}
		if p.mtu < 1500 {
			err = netlink.LinkSetMTU(l, p.mtu)
		}
		if err == nil {
			err = set("ipv4/conf/"+p.name+"/send_redirects=0", "ipv6/conf/"+p.name+"/disable_ipv6=0")
		}
		if err == nil && p.quiet != 0 {
			err = set(fmt.Sprintf("ipv%d/conf/%s/forwarding=0", p.quiet, p.name))
		}
		if err == nil {
			err = onlyLinkLocal(l)
		}
		for _, host := range []string{p.host4(), p.host6(), hostLinkLocal} {
			if err == nil {
				err = setNeighbor(l, host, p.far())
			}
		}
		if err != nil {
			return fmt.Errorf("set up %s: %w", p.name, err)
		}
		n.ifindex[p.name] = l.Attrs().Index
	}
	for _, r := range siteRoutes {
		if err := n.addRoute(r); err != nil {
			return fmt.Errorf("add route to %s: %w", r.prefix, err)
		}
	}
	return nil
}

// onlyLinkLocal removes the link-local addresses that come from MACs: one is enough
// to choose from.
func onlyLinkLocal(l netlink.Link) error {
	all, err := netlink.AddrList(l, netlink.FAMILY_V6)
	for _, a := range all {
		if a.IP.IsLinkLocalUnicast() && a.IP.String() != routerLinkLocal && err == nil {
			err = netlink.AddrDel(l, &a)
		}
	}
	return err
}

// setNeighbor says where an address is, for good.
func setNeighbor(l netlink.Link, addr string, mac dataplane.MAC) error {
	return netlink.NeighSet(&netlink.Neigh{
		LinkIndex: l.Attrs().Index, IP: net.ParseIP(addr), HardwareAddr: mac[:], State: netlink.NUD_PERMANENT,
	})
}

// routeKinds are RTN_* of linux/rtnetlink.h.
var routeKinds = map[string]int{"": 1, "blackhole": 6, "unreachable": 7, "prohibit": 8, "throw": 9}

func (n *Network) addRoute(r siteRoute) error {
	prefix := netip.MustParsePrefix(r.prefix)
	route := &netlink.Route{
		Dst:  ipNet(r.prefix),
		Type: routeKinds[r.kind], MTU: r.mtu, Priority: r.metric,
	}
	var hops []*netlink.NexthopInfo
	for _, name := range r.via {
		p := portNamed(name)
		gw := r.gw
		switch {
		case gw == "" && prefix.Addr().Is4():
			gw = p.host4()
		case gw == "":
			gw = p.host6()
		}
		hops = append(hops, &netlink.NexthopInfo{LinkIndex: n.ifindex[name], Gw: net.ParseIP(gw)})
	}
	for i, w := range r.weights {
		hops[i].Hops = w - 1 // rtnh_hops
	}
	switch {
	case len(hops) > 1:
		route.MultiPath = hops
	case len(hops) == 1 && r.link:
		route.LinkIndex, route.Scope = hops[0].LinkIndex, netlink.SCOPE_LINK
	case len(hops) == 1 && prefix.Addr().Is4() && strings.Contains(r.gw, ":"):
		route.LinkIndex, route.Via = hops[0].LinkIndex, &netlink.Via{AddrFamily: netlink.FAMILY_V6, Addr: hops[0].Gw}
	case len(hops) == 1:
		route.LinkIndex, route.Gw = hops[0].LinkIndex, hops[0].Gw
	}
	return netlink.RouteAdd(route)
}

func ipNet(prefix string) *net.IPNet {
	p := netip.MustParsePrefix(prefix)
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// in runs f in the router's namespace.
func (n *Network) in(f func() error) error { return n.lab.In(routerNode, f) }
