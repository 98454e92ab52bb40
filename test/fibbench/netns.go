package main

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The gateway of next hop n is n added to one of these. No prefix of the table covers them.
var (
	gatewaysIPv4 = netip.MustParseAddr("169.254.1.0")
	gatewaysIPv6 = netip.MustParseAddr("fd77::")
)

// enterNetns moves the calling thread into a new network namespace. The namespace has no name: the kernel deletes it
// when the thread ends, however that happens, so there is nothing to clean up.
func enterNetns() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	return nil
}

// makePort makes a veth pair, turns forwarding on and attaches the gateways' subnets. It returns the ifindex of the
// port. The test runs need the namespace to hold a port to come in by and to send to; no packet ever does.
func makePort() (ifindex int, err error) {
	for _, path := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
		if err := os.WriteFile(path, []byte("1"), 0); err != nil {
			return 0, fmt.Errorf("turn forwarding on: %w", err)
		}
	}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "port"}, PeerName: "peer"}
	if err := netlink.LinkAdd(veth); err != nil {
		return 0, fmt.Errorf("add veth pair: %w", err)
	}
	for _, name := range []string{"peer", "port"} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return 0, fmt.Errorf("find %s: %w", name, err)
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return 0, fmt.Errorf("set %s up: %w", name, err)
		}
		ifindex = link.Attrs().Index
	}
	for _, cidr := range []string{"169.254.0.1/16", "fd77::ffff/64"} {
		addr, err := netlink.ParseAddr(cidr)
		if err != nil {
			return 0, err
		}
		if addr.IP.To4() == nil {
			addr.Flags = unix.IFA_F_NODAD // usable at once
		}
		if err := netlink.AddrAdd(veth, addr); err != nil {
			return 0, fmt.Errorf("add address %s: %w", cidr, err)
		}
	}
	return ifindex, nil
}
