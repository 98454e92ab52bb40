package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"weft/test/traffic"
)

// sysctls of a node, in the order in which they are set, before it has links: links take what default says.
func sysctls(router bool) [][2]string {
	forward := "0"
	if router {
		forward = "1"
	}
	return [][2]string{
		{"net.ipv4.ip_forward", forward},
		{"net.ipv6.conf.all.forwarding", forward},
		{"net.ipv6.conf.default.forwarding", forward},
		// What comes by one path and leaves by another is no spoof. A new namespace takes this from the first one.
		{"net.ipv4.conf.all.rp_filter", "0"},
		{"net.ipv4.conf.default.rp_filter", "0"},
		{"net.ipv6.conf.all.keep_addr_on_down", "1"},
		{"net.ipv6.conf.default.keep_addr_on_down", "1"},
		{"net.ipv6.conf.default.accept_ra", "0"},
		// Link-local addresses are usable at once.
		{"net.ipv6.conf.default.accept_dad", "0"},
		// A flow is its ports too, or two hosts would use one of many paths.
		{"net.ipv4.fib_multipath_hash_policy", "1"},
		{"net.ipv6.fib_multipath_hash_policy", "1"},
	}
}

// setSysctls works on the calling thread's namespace.
func setSysctls(all [][2]string) error {
	for _, s := range all {
		err := os.WriteFile(filepath.Join("/proc/sys", strings.ReplaceAll(s[0], ".", "/")), []byte(s[1]), 0)
		if err != nil {
			return fmt.Errorf("set %s=%s: %w", s[0], s[1], err)
		}
	}
	return nil
}

// makeLink makes a veth pair with its ends where they belong.
func makeLink(l Link, a, b netns.NsHandle) error {
	err := netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: l.A.Interface, Namespace: netlink.NsFd(a)},
		PeerName:  l.B.Interface, PeerNamespace: netlink.NsFd(b),
	})
	if err != nil {
		return fmt.Errorf("make link %s %s to %s %s: %w", l.A.Node, l.A.Interface, l.B.Node, l.B.Interface, err)
	}
	return nil
}

// setUpEnd works on the calling thread's namespace.
func setUpEnd(e End) error {
	link, err := netlink.LinkByName(e.Interface)
	if err != nil {
		return fmt.Errorf("find %s: %w", e.Interface, err)
	}
	if err := addAddrs(link, e.Addrs); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", e.Interface, err)
	}
	// Of an interface that is down, the kernel does not tell the other end that it has NAPI now: XDP would be refused there.
	return errors.Join(traffic.EnableGRO(e.Interface), traffic.FillChecksums(e.Interface))
}

func addAddrs(link netlink.Link, addrs []netip.Prefix) error {
	for _, p := range addrs {
		a := &netlink.Addr{IPNet: ipNet(p)}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD // usable at once
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			return fmt.Errorf("add address %s to %s: %w", p, link.Attrs().Name, err)
		}
	}
	return nil
}

// setUpLoopback works on the calling thread's namespace.
func (l *Lab) setUpLoopback(n Node) error {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	if !n.Router || !l.learns() {
		return nil
	}
	return addAddrs(lo, n.loopbacks())
}

// addRoute works on the calling thread's namespace.
func addRoute(r Route) error {
	route := &netlink.Route{Dst: ipNet(r.To)}
	if len(r.Via) == 1 {
		route.Gw = r.Via[0].AsSlice()
	} else {
		for _, via := range r.Via {
			route.MultiPath = append(route.MultiPath, &netlink.NexthopInfo{Gw: via.AsSlice()})
		}
	}
	if err := netlink.RouteAdd(route); err != nil {
		return fmt.Errorf("add route to %s via %v: %w", r.To, r.Via, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
