package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"weft/test/kernelroutes"
	"weft/test/traffic"
)

// table is what a router knows, of both families: hops[i], 1 to nextHops, is the next hop of prefixes[i].
type table struct {
	ipv4, ipv6   []netip.Prefix
	hops4, hops6 []uint32
}

// nextHops is how many the full table uses.
const nextHops = 16

// Next hop n is the gateway that ends in n. No prefix of the full table covers them.
var (
	gatewaysIPv4 = netip.MustParseAddr("169.254.1.0")
	gatewaysIPv6 = netip.MustParseAddr("fd77::")
)

// The hosts that packets come from. In 2000::/3: other sources take weft longer to check.
var sources = map[string]netip.Addr{
	"ipv4": netip.MustParseAddr("192.168.77.2"), "ipv6": netip.MustParseAddr("2001:db8:77::2"),
}

type mac = [6]byte

var (
	generatorMAC = mac{2, 0, 0, 0, 0, 1}
	inMAC        = mac{2, 0, 0, 0, 0, 2}
	outMAC       = mac{2, 0, 0, 0, 0, 3}
	sinkMAC      = mac{2, 0, 0, 0, 0, 4}
)

// hopMAC is what next hop n has. The sink takes packets in whatever their MAC is.
func hopMAC(n int) mac { return mac{2, 0, 0, 0, 1, byte(n)} }

// topologies counts those that were made.
var topologies atomic.Int32

// topology is a router, with what packets come from and go to, each in a namespace.
type topology struct {
	number                  int32
	generator, router, sink netns.NsHandle
	wire                    int // ifindex of the generator's end of the veth to the router
	in, out                 int // ifindexes of the router's ports
	drain                   *traffic.Sink
}

// within calls f with the calling thread in a namespace.
func within(ns netns.NsHandle, f func() error) error {
	here, err := netns.Get()
	if err != nil {
		return fmt.Errorf("get network namespace: %w", err)
	}
	defer here.Close()
	if err := netns.Set(ns); err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	err = f()
	if back := netns.Set(here); back != nil {
		panic(back) // all that follows would be in the wrong namespace
	}
	return err
}

// newTopology makes one whose router knows tab. The caller has locked its thread.
func newTopology(ctx context.Context, tab *table, o traffic.SinkOptions) (t *topology, err error) {
	t = &topology{number: topologies.Add(1), generator: netns.None(), router: netns.None(), sink: netns.None()}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	here, err := netns.Get()
	if err != nil {
		return t, fmt.Errorf("get network namespace: %w", err)
	}
	defer here.Close()
	for _, ns := range []struct {
		handle *netns.NsHandle
		name   string
	}{{&t.generator, "generator"}, {&t.sink, "sink"}, {&t.router, "router"}} {
		if *ns.handle, err = netns.NewNamed(t.name(ns.name)); err != nil { // enters it, too
			return t, fmt.Errorf("make network namespace: %w", err)
		}
	}
	if err = t.setUpRouter(); err == nil {
		err = errors.Join(within(t.generator, silence), within(t.sink, silence))
	}
	if back := netns.Set(here); back != nil {
		panic(back)
	}
	if err == nil {
		err = within(t.generator, func() (err error) { t.wire, err = setUp("eth0", generatorMAC); return err })
	}
	if err == nil {
		err = within(t.sink, func() error {
			ifindex, err := setUp("eth0", sinkMAC)
			if err == nil {
				t.drain, err = traffic.NewSink(ifindex, o)
			}
			return err
		})
	}
	if err == nil { // now that the ports have a carrier
		err = within(t.router, func() error { return t.addRoutes(ctx, tab) })
	}
	return t, err
}

func (t *topology) close() {
	if t.drain != nil {
		t.drain.Close()
	}
	for _, ns := range []struct {
		handle *netns.NsHandle
		name   string
	}{{&t.generator, "generator"}, {&t.router, "router"}, {&t.sink, "sink"}} {
		if ns.handle.IsOpen() {
			ns.handle.Close()
			netns.DeleteNamed(t.name(ns.name))
		}
	}
}

// name is that of a network namespace: weft finds peers of veths by it.
func (t *topology) name(node string) string {
	return fmt.Sprintf("weft-bench-%d-%d-%s", os.Getpid(), t.number, node)
}

func (t *topology) setUpRouter() error {
	for _, path := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
		if err := os.WriteFile(path, []byte("1"), 0); err != nil {
			return fmt.Errorf("turn forwarding on: %w", err)
		}
	}
	for _, p := range []struct {
		name      string
		mac       mac
		peer      netns.NsHandle
		addresses []string
		ifindex   *int
	}{
		{"in", inMAC, t.generator, []string{"192.168.77.1/24", "2001:db8:77::1/64"}, &t.in},
		{"out", outMAC, t.sink, []string{"169.254.0.1/16", "fd77::ffff/64"}, &t.out},
	} {
		v := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: p.name}, PeerName: "eth0", PeerNamespace: netlink.NsFd(p.peer)}
		if err := netlink.LinkAdd(v); err != nil {
			return fmt.Errorf("add veth pair %s: %w", p.name, err)
		}
		var err error
		if *p.ifindex, err = setUp(p.name, p.mac); err != nil {
			return err
		}
		for _, cidr := range p.addresses {
			if err := addAddress(v, cidr); err != nil {
				return err
			}
		}
		// So that packets come in while no XDP program is there: linux.
		if err := traffic.EnableGRO(p.name); err != nil {
			return err
		}
	}
	return nil
}

func (t *topology) addRoutes(ctx context.Context, tab *table) error {
	for n := 1; n <= nextHops; n++ {
		for _, gateways := range []netip.Addr{gatewaysIPv4, gatewaysIPv6} {
			if err := t.addNeighbor(gateways, n); err != nil {
				return err
			}
		}
	}
	if err := kernelroutes.Add(ctx, t.out, tab.ipv4, tab.hops4, gatewaysIPv4); err != nil {
		return err
	}
	return kernelroutes.Add(ctx, t.out, tab.ipv6, tab.hops6, gatewaysIPv6)
}

func (t *topology) addNeighbor(gateways netip.Addr, n int) error {
	addr, m := gateways.AsSlice(), hopMAC(n)
	addr[len(addr)-1] = byte(n)
	err := netlink.NeighSet(&netlink.Neigh{
		LinkIndex: t.out, State: netlink.NUD_PERMANENT, IP: addr, HardwareAddr: net.HardwareAddr(m[:]),
	})
	if err != nil {
		return fmt.Errorf("set neighbor %s: %w", net.IP(addr), err)
	}
	return nil
}

// silence keeps the hosts' kernels from sending: what they send counts as not forwarded.
func silence() error {
	return os.WriteFile("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", []byte("1"), 0)
}

func addAddress(link netlink.Link, cidr string) error {
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	if addr.IP.To4() == nil {
		addr.Flags = unix.IFA_F_NODAD // usable at once
	}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("add address %s: %w", cidr, err)
	}
	return nil
}

func setUp(name string, m mac) (ifindex int, err error) {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetHardwareAddr(link, m[:])
	}
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err != nil {
		return 0, fmt.Errorf("set %s up: %w", name, err)
	}
	// As hosts on veths must for XDP to take their packets.
	return link.Attrs().Index, traffic.FillChecksums(name)
}

// newGenerator makes packets of a family into the router.
func (t *topology) newGenerator(family string, dst []netip.Addr, size int) (g *traffic.Generator, err error) {
	err = within(t.generator, func() error {
		g, err = traffic.NewGenerator(traffic.Spec{
			Ifindex: t.wire, SrcMAC: generatorMAC, DstMAC: inMAC, Src: sources[family], Dst: dst, FrameSize: size,
		})
		return err
	})
	return g, err
}
