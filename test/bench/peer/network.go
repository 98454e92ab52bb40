package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"weft/test/kernelroutes"
	"weft/test/traffic"
)

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
func hopMAC(n int) mac { return mac{2, 0, 0, 0, byte(1 + n>>8), byte(n)} }

// hopMAC is what it has in a network: another router is that for all, and asks for its own.
func (n *Network) hopMAC(hop int) mac {
	if n.next != nil {
		return inMAC
	}
	return hopMAC(hop)
}

// networks counts those that were made.
var networks atomic.Int32

// Options of a Network.
type Options struct {
	Table     *Table // nil: One
	Sink      traffic.SinkOptions
	MTU       int  // of all links; 0: 1500
	RouterCPU int  // where packets are forwarded, if Apart
	Apart     bool // the router has a CPU of its own, and the generator the one that the caller is on
	Width     int  // next hops of each route (ECMP), up to 256; 0: one
	Queues    int  // of each port: so many CPUs can forward at once; 0: one
	Backup    bool // there is a second way to the sink, by default routes
	Routers   int  // one behind the other; 0: one

	bare bool // the router's kernel has no routes, and forwards nothing
}

// Network is a router, with what packets come from and go to, each in a namespace. Its methods are called on one
// thread, which is locked (runtime.LockOSThread).
type Network struct {
	Sink    *traffic.Sink
	options Options
	number  int32

	generator, router, sink netns.NsHandle
	wire                    int // ifindex of the generator's end of the veth to the router
	in, out                 int // ifindexes of the router's ports
	drain                   int // ifindex of the sink's
	context                 context.Context
	programs                *programs
	engines                 map[string]engine
	made                    []engine             // in the order in which they were
	variants                map[variant]*Network // see Of
	next                    *Network             // the router behind this one, without a generator and a sink
	behind                  bool                 // it is one
	alternate               *traffic.Sink        // at the end of the second way
	alt, altDrain           int                  // ifindexes of its ends
}

// inNamespace calls f with the calling thread in a namespace.
func inNamespace(ns netns.NsHandle, f func() error) error {
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

// InRouter calls f with the calling thread in the router's namespace.
func (n *Network) InRouter(f func() error) error { return inNamespace(n.router, f) }

// New makes a Network. What it starts besides ends with ctx.
func New(ctx context.Context, o Options) (n *Network, err error) {
	if o.Table == nil {
		o.Table = One()
	}
	n = &Network{
		options: o, number: networks.Add(1), context: ctx, engines: map[string]engine{}, variants: map[variant]*Network{},
		generator: netns.None(), router: netns.None(), sink: netns.None(),
	}
	last := n
	for range o.Routers - 1 {
		last.next = &Network{
			options: o, number: networks.Add(1), context: ctx, engines: map[string]engine{}, behind: true,
			generator: netns.None(), router: netns.None(), sink: n.sink,
		}
		last = last.next
	}
	if err = n.build(); err != nil {
		return nil, errors.Join(fmt.Errorf("make a network to measure in: %w", err), n.Close())
	}
	return n, nil
}

// Table returns what the router knows.
func (n *Network) Table() *Table { return n.options.Table }

type namespace struct {
	handle *netns.NsHandle
	name   string
}

func (n *Network) namespaces() []namespace {
	if n.behind {
		return []namespace{{&n.router, "router"}}
	}
	return []namespace{{&n.generator, "generator"}, {&n.sink, "sink"}, {&n.router, "router"}}
}

// eachRouter calls f for each, in the order in which packets come to them.
func (n *Network) eachRouter(f func(*Network) error) error {
	for r := n; r != nil; r = r.next {
		if err := f(r); err != nil {
			return err
		}
	}
	return nil
}

func (n *Network) build() error {
	if err := n.makeNamespaces(); err != nil {
		return err
	}
	err := n.eachRouter(func(r *Network) error { return r.InRouter(r.setUpRouter) })
	if err == nil {
		err = errors.Join(inNamespace(n.generator, silence), inNamespace(n.sink, silence))
	}
	if err == nil {
		err = inNamespace(n.generator, func() (err error) { n.wire, err = n.setUp("eth0", generatorMAC); return err })
	}
	if err == nil {
		err = inNamespace(n.sink, func() (err error) { n.drain, err = n.setUp("eth0", sinkMAC); return err })
	}
	if err == nil && n.options.Backup {
		err = inNamespace(n.sink, n.endBackup)
	}
	if err == nil {
		err = n.SetSink(n.options.Sink)
	}
	if err == nil && !n.options.bare { // now that the ports have a carrier
		err = n.eachRouter(func(r *Network) error { return r.InRouter(r.addRoutes) })
	}
	if err == nil && n.options.Backup {
		err = n.InRouter(n.routeBackup)
	}
	return err
}

// makeNamespaces leaves the thread where it was.
func (n *Network) makeNamespaces() error {
	here, err := netns.Get()
	if err != nil {
		return fmt.Errorf("get network namespace: %w", err)
	}
	defer here.Close()
	err = n.eachRouter(func(r *Network) error {
		for _, ns := range r.namespaces() {
			if *ns.handle, err = netns.NewNamed(r.name(ns.name)); err != nil { // enters it, too
				return fmt.Errorf("make network namespace: %w", err)
			}
		}
		r.sink = n.sink
		return nil
	})
	if back := netns.Set(here); back != nil {
		panic(back)
	}
	return err
}

// SetSink puts another sink in the place of the one that there is.
func (n *Network) SetSink(o traffic.SinkOptions) error {
	for _, v := range n.variants {
		if err := v.SetSink(o); err != nil {
			return err
		}
	}
	n.options.Sink = o
	if n.Sink != nil {
		if err := n.Sink.Close(); err != nil {
			return err
		}
		n.Sink = nil
	}
	o.Jumbo = o.Jumbo || n.options.jumbo()
	return inNamespace(n.sink, func() (err error) { n.Sink, err = traffic.NewSink(n.drain, o); return err })
}

// Close removes all of it.
func (n *Network) Close() error {
	var errs []error
	for _, v := range n.variants {
		errs = append(errs, v.Close())
	}
	if n.next != nil {
		errs = append(errs, n.next.Close())
	}
	for _, e := range slices.Backward(n.made) {
		errs = append(errs, n.InRouter(e.close))
	}
	if n.programs != nil {
		n.programs.coll.Close()
	}
	for _, s := range []*traffic.Sink{n.Sink, n.alternate} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	for _, ns := range n.namespaces() {
		if ns.handle.IsOpen() {
			errs = append(errs, ns.handle.Close(), netns.DeleteNamed(n.name(ns.name)))
		}
	}
	return errors.Join(errs...)
}

// name is that of a network namespace: weft finds peers of veths by it.
func (n *Network) name(node string) string {
	return fmt.Sprintf("weft-bench-%d-%d-%s", os.Getpid(), n.number, node)
}

// port is what one of the router's ports is called: the kernel's thread for it has its name, of 15 letters.
func (n *Network) port(direction string) string {
	return direction + strconv.FormatInt(int64(os.Getpid())<<6|int64(n.number&63), 36)
}

func (n *Network) setUpRouter() error {
	forwarding := "1"
	if n.options.bare {
		forwarding = "0"
	}
	for _, path := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
		if err := os.WriteFile(path, []byte(forwarding), 0); err != nil {
			return fmt.Errorf("set forwarding to %s: %w", forwarding, err)
		}
	}
	if !n.behind { // else the router before it has made it
		if _, err := n.addVeth(n.port("in"), "eth0", n.generator); err != nil {
			return err
		}
	}
	end, in := "eth0", n.sink
	if n.next != nil {
		end, in = n.next.port("in"), n.next.router
	}
	if _, err := n.addVeth(n.port("out"), end, in); err != nil {
		return err
	}
	for _, p := range []struct {
		name      string
		mac       mac
		addresses []string
		ifindex   *int
	}{
		{n.port("in"), inMAC, []string{"192.168.77.1/24", "2001:db8:77::1/64"}, &n.in},
		{n.port("out"), outMAC, []string{"169.254.0.1/16", "fd77::ffff/64"}, &n.out},
	} {
		var err error
		if *p.ifindex, err = n.setUp(p.name, p.mac); err != nil {
			return err
		}
		for _, cidr := range p.addresses {
			if err := addAddress(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: *p.ifindex}}, cidr); err != nil {
				return err
			}
		}
		// So that packets come in while no XDP program is there: linux.
		if err := traffic.EnableGRO(p.name); err != nil {
			return err
		}
	}
	if n.options.Backup {
		return n.addBackup()
	}
	return nil
}

// addVeth adds a pair, of which the end called peer is in another namespace.
func (n *Network) addVeth(name, peer string, in netns.NsHandle) (*netlink.Veth, error) {
	queues := n.options.Queues
	v := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name, NumTxQueues: queues, NumRxQueues: queues}, PeerName: peer, PeerNamespace: netlink.NsFd(in),
		PeerNumTxQueues: uint32(queues), PeerNumRxQueues: uint32(queues),
	}
	if err := netlink.LinkAdd(v); err != nil {
		return nil, fmt.Errorf("add veth pair %s: %w", name, err)
	}
	return v, nil
}

// jumbo tells whether frames do not fit a page.
func (o *Options) jumbo() bool { return o.MTU > 1500 }

func (n *Network) addRoutes() error {
	for hop := 1; hop <= max(NextHops, n.options.Width); hop++ {
		for _, gateways := range []netip.Addr{gatewaysIPv4, gatewaysIPv6} {
			if n.options.Backup && gateways == gatewaysIPv6 {
				continue // its addresses go with the link
			}
			if err := n.addNeighbor(gateways, hop); err != nil {
				return err
			}
		}
	}
	tab := n.options.Table
	if n.options.Width > 0 {
		return errors.Join(n.addGroup(gatewaysIPv4, tab.IPv4, 0), n.addGroup(gatewaysIPv6, tab.IPv6, maxWidth))
	}
	err := kernelroutes.Add(n.context, n.out, tab.IPv4, tab.Hops4, gatewaysIPv4)
	if err != nil || n.options.Backup { // of IPv4 alone
		return err
	}
	return kernelroutes.Add(n.context, n.out, tab.IPv6, tab.Hops6, gatewaysIPv6)
}

// maxWidth is how many next hops a route can have.
const maxWidth = 256

// addGroup adds routes that have all next hops. Objects' numbers begin behind first.
func (n *Network) addGroup(gateways netip.Addr, prefixes []netip.Prefix, first uint32) error {
	b, err := kernelroutes.Open()
	if err != nil {
		return err
	}
	defer b.Close()
	var members []uint32
	for hop := 1; hop <= n.options.Width; hop++ {
		members = append(members, first+uint32(hop))
		b.PutObject(first+uint32(hop), n.out, gateway(gateways, hop))
	}
	group := 2*maxWidth + first + 1
	b.PutGroup(group, members, 0)
	for _, p := range prefixes {
		b.Put(p, group)
		if err := b.SendFull(); err != nil {
			return fmt.Errorf("add routes with %d next hops: %w", n.options.Width, err)
		}
	}
	if err := b.Send(); err != nil {
		return fmt.Errorf("add routes with %d next hops: %w", n.options.Width, err)
	}
	return nil
}

// gateway is the address of next hop n.
func gateway(gateways netip.Addr, n int) netip.Addr {
	b := gateways.AsSlice()
	last := len(b) - 1
	b[last-1], b[last] = b[last-1]+byte(n>>8), byte(n)
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (n *Network) addNeighbor(gateways netip.Addr, hop int) error {
	addr, m := gateway(gateways, hop).AsSlice(), n.hopMAC(hop)
	err := netlink.NeighSet(&netlink.Neigh{
		LinkIndex: n.out, State: netlink.NUD_PERMANENT, IP: addr, HardwareAddr: net.HardwareAddr(m[:]),
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

func (n *Network) setUp(name string, m mac) (ifindex int, err error) {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetHardwareAddr(link, m[:])
	}
	if err == nil && n.options.MTU > 0 {
		err = netlink.LinkSetMTU(link, n.options.MTU)
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

// Stream is packets of one test.
type Stream struct {
	Pattern []traffic.Kind
	Dst4    []netip.Addr
	Dst6    []netip.Addr
	Flows   int
	Stamp   int
}

// Generator makes packets into the router.
func (n *Network) Generator(s Stream) (g *traffic.Generator, err error) {
	spec := traffic.Spec{
		Ifindex: n.wire, SrcMAC: generatorMAC, DstMAC: inMAC, Src: sources["ipv4"], Dst: s.Dst4, Src6: sources["ipv6"], Dst6: s.Dst6,
		Pattern: s.Pattern, Flows: s.Flows, Stamp: s.Stamp,
	}
	if s.Dst4 == nil {
		spec.Src, spec.Dst = spec.Src6, spec.Dst6
	}
	// A device map finds an interface in the namespace of who writes the entry.
	err = inNamespace(n.generator, func() error {
		g, err = traffic.NewGenerator(spec)
		return err
	})
	return g, err
}
