package star

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"weft/test/kernelroutes"
	"weft/test/lab"
	"weft/test/root"
)

// Weft is the path of the program under test. Main sets it.
var Weft string

// Main builds the program and runs the tests of a package: it is what their TestMain calls.
func Main(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "weft-star-")
		if err == nil {
			defer os.RemoveAll(dir)
			Weft = filepath.Join(dir, "weft")
			var out []byte
			if out, err = exec.Command("go", "build", "-o", Weft, "weft/cmd/weft").CombinedOutput(); err != nil {
				err = fmt.Errorf("build weft: %w\n%s", err, out)
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		// The program is also run by users who may not look into what others made.
		if err := os.Chmod(dir, 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// Network is hosts h1, h2 and h3 around router r1. Host hN has 10.N.0.2 and
// 2001:db8:N::2; the router's port to it is to-hN, with .1 and ::1.
type Network struct {
	testing.TB
	Lab    *lab.Lab
	Daemon *lab.Process
	Before map[int]Account // of the ports that there were, by ifindex
	Wait   time.Duration   // how long Until does; 30 s unless changed

	// Trickle has streams send packets one by one: all arrive, however busy the machine is, also where a thread forwards,
	// and not whoever sends.
	Trickle bool
}

var networks atomic.Int32

// New makes a network that is gone when the test is, with weft not started.
func New(t testing.TB) *Network {
	t.Helper()
	root.Require(t)
	topology := lab.Topology{Name: "star", Nodes: []lab.Node{{Name: "r1", Router: true}}}
	for i := 1; i <= 3; i++ {
		host := fmt.Sprintf("h%d", i)
		v4, v6 := HostAddr(i, 4), HostAddr(i, 6)
		topology.Nodes = append(topology.Nodes, lab.Node{Name: host})
		topology.Links = append(topology.Links, lab.Link{
			A: lab.End{Node: "r1", Interface: "to-" + host, Addrs: []netip.Prefix{netip.PrefixFrom(v4.Prev(), 24), netip.PrefixFrom(v6.Prev(), 64)}},
			B: lab.End{Node: host, Interface: "eth0", Addrs: []netip.Prefix{netip.PrefixFrom(v4, 24), netip.PrefixFrom(v6, 64)}},
		})
		topology.Routes = append(topology.Routes,
			lab.Route{Node: host, To: netip.MustParsePrefix("0.0.0.0/0"), Via: []netip.Addr{v4.Prev()}},
			lab.Route{Node: host, To: netip.MustParsePrefix("::/0"), Via: []netip.Addr{v6.Prev()}})
	}
	l, err := lab.Up(t.Context(), topology, lab.Options{Prefix: fmt.Sprintf("weft-star%d-%d-", os.Getpid(), networks.Add(1))})
	if err != nil {
		t.Fatal(err)
	}
	n := &Network{TB: t, Lab: l, Wait: 30 * time.Second}
	t.Cleanup(func() {
		n.Finish()
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	n.Sysctl("r1", "net.ipv4.icmp_ratelimit", "0") // a test waits for each error
	n.Sysctl("r1", "net.ipv6.icmp.ratelimit", "0")
	return n
}

// HostAddr returns the address of a host in a family, 4 or 6.
func HostAddr(host, family int) netip.Addr {
	if family == 4 {
		return netip.AddrFrom4([4]byte{10, byte(host), 0, 2})
	}
	return netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::2", host))
}

// Command runs a command in a node.
func (n *Network) Command(node string, argv ...string) string {
	n.Helper()
	out, err := n.Lab.Output(node, argv...)
	if err != nil {
		n.Fatal(err)
	}
	return string(out)
}

// IP runs ip(8) in a node.
func (n *Network) IP(node, line string) string {
	n.Helper()
	return n.Command(node, append([]string{"ip"}, strings.Fields(line)...)...)
}

// Sysctl sets name=value in a node.
func (n *Network) Sysctl(node, name, value string) {
	n.Helper()
	err := n.Lab.In(node, func() error {
		return os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(value), 0)
	})
	if err != nil {
		n.Fatal(err)
	}
}

// Link returns an interface of a node.
func (n *Network) Link(node, name string) (l netlink.Link) {
	n.Helper()
	err := n.Lab.In(node, func() (err error) {
		l, err = netlink.LinkByName(name)
		return err
	})
	if err != nil {
		n.Fatalf("%s of %s: %v", name, node, err)
	}
	return l
}

func (n *Network) MAC(node, name string) (m [6]byte) {
	n.Helper()
	copy(m[:], n.Link(node, name).Attrs().HardwareAddr)
	return m
}

func (n *Network) SetMAC(node, name string, mac [6]byte) {
	n.Helper()
	n.IP(node, fmt.Sprintf("link set %s address %s", name, net.HardwareAddr(mac[:])))
}

// Until waits for something to become true.
func (n *Network) Until(what string, is func() bool) {
	n.Helper()
	for deadline := time.Now().Add(n.Wait); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			n.Fatalf("after %v still not: %s", n.Wait, what)
		}
	}
}

// QuickNeighbors makes Linux doubt its neighbors after a second.
func (n *Network) QuickNeighbors(dev string) {
	n.Helper()
	for _, family := range []string{"ipv4", "ipv6"} {
		base := "net." + family + ".neigh." + dev + "."
		n.Sysctl("r1", base+"base_reachable_time_ms", "1000")
		n.Sysctl("r1", base+"delay_first_probe_time", "1")
		n.Sysctl("r1", base+"retrans_time_ms", "100")
	}
}

// Connect makes a link from the router to a host, as New does.
func (n *Network) Connect(host int, name, options string) {
	n.Helper()
	node := fmt.Sprintf("h%d", host)
	n.IP("r1", fmt.Sprintf("link add %s %s type veth peer name eth0 netns %s", name, options, n.Lab.Namespace(node)))
	v4, v6 := HostAddr(host, 4), HostAddr(host, 6)
	for _, end := range []struct {
		node, name, v4, v6 string
	}{{"r1", name, v4.Prev().String(), v6.Prev().String()}, {node, "eth0", v4.String(), v6.String()}} {
		n.IP(end.node, fmt.Sprintf("addr add %s/24 dev %s", end.v4, end.name))
		n.IP(end.node, fmt.Sprintf("addr add %s/64 dev %s nodad", end.v6, end.name))
		n.IP(end.node, fmt.Sprintf("link set %s up", end.name))
		n.Command(end.node, "ethtool", "-K", end.name, "gro", "on", "tx", "off")
	}
	n.IP(node, "route add default via "+v4.Prev().String())
	n.IP(node, "-6 route add default via "+v6.Prev().String())
}

// Prefixes returns n prefixes of all lengths from 20 to 24, from 20.0.0.0 on.
func Prefixes(n int) (prefixes []netip.Prefix) {
	for i := range n {
		a := uint32(20)<<24 + uint32(i)<<12 // a /20 each
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), 0}), 20+i%5)
		prefixes = append(prefixes, p.Masked())
	}
	return prefixes
}

// Fill adds n routes via h2 (Prefixes), at once.
func (n *Network) Fill(routes int) {
	n.Helper()
	n.Add(Prefixes(routes))
	n.Until(fmt.Sprintf("%d routes are in the FIB", routes), func() bool { return n.Status().FIB.IPv4Routes >= routes })
	n.WantForward("20.0.0.1", "to-h2", "10.2.0.2")
}

// Add gives the kernel IPv4 routes to next-hop object 2, which is via h2.
func (n *Network) Add(prefixes []netip.Prefix) {
	n.Helper()
	hops := make([]uint32, len(prefixes))
	for i := range hops {
		hops[i] = 2
	}
	ifindex := n.Link("r1", "to-h2").Attrs().Index
	err := n.Lab.In("r1", func() error {
		return kernelroutes.Add(n.Context(), ifindex, prefixes, hops, netip.MustParseAddr("10.2.0.0"))
	})
	if err != nil {
		n.Fatal(err)
	}
}

// Put makes routes lead to a next-hop object, those that are there and those that are not.
func (n *Network) Put(prefixes []netip.Prefix, object uint32) {
	n.Helper()
	if err := n.Lab.In("r1", func() error { return kernelroutes.Put(n.Context(), prefixes, object) }); err != nil {
		n.Fatal(err)
	}
}

// Delete deletes routes that Add and Put have made.
func (n *Network) Delete(prefixes []netip.Prefix) {
	n.Helper()
	if err := n.Lab.In("r1", func() error { return kernelroutes.Delete(n.Context(), prefixes) }); err != nil {
		n.Fatal(err)
	}
}
