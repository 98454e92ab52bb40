package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ErrTopology is a topology that cannot be made, or a line that names none.
var ErrTopology = errors.New("wrong topology")

// Topology is what a lab is made of. The zero value is an empty one.
type Topology struct {
	Name    string
	Routing Routing // "": Static
	Nodes   []Node
	Links   []Link
	Routes  []Route
}

// Node is a host or a router: a network namespace.
type Node struct {
	Name   string // lower case letters and digits, at most 12
	Router bool
	AS     uint32     // of a router that speaks BGP
	ID     netip.Addr // its BGP identifier, and an address of its own
}

// Link is a veth pair.
type Link struct{ A, B End }

// End is one end of a link.
type End struct {
	Node      string
	Interface string         // at most 15 bytes
	Addrs     []netip.Prefix // the end's own address, with the length of the subnet
}

// Route is a route of one node. With more than one gateway it has several paths of equal weight.
type Route struct {
	Node string
	To   netip.Prefix
	Via  []netip.Addr
}

// Limits of the constructors.
const (
	// MaxLine is how many routers a host's packet passes: it starts with TTL 64 and must arrive with 1.
	MaxLine   = 63
	MaxLeaves = 32
	MaxSpines = 16
)

const usage = "want two-hosts, line ROUTERS, or leaf-spine LEAVES SPINES"

// Parse makes a topology from words, as `weft lab up` takes them: "two-hosts", "line" N, "leaf-spine" L S.
//
// Errors wrap ErrTopology.
func Parse(args []string) (Topology, error) {
	if len(args) == 0 {
		return Topology{}, fmt.Errorf("%w: %s", ErrTopology, usage)
	}
	parameters := map[string]int{"two-hosts": 0, "line": 1, "leaf-spine": 2}
	want, known := parameters[args[0]]
	if !known {
		return Topology{}, fmt.Errorf("%w: no topology is called %q: %s", ErrTopology, args[0], usage)
	}
	if len(args)-1 != want {
		return Topology{}, fmt.Errorf("%w: %s takes %d numbers, not %d: %s", ErrTopology, args[0], want, len(args)-1, usage)
	}
	var n [2]int
	for i, a := range args[1:] {
		var err error
		if n[i], err = strconv.Atoi(a); err != nil {
			return Topology{}, fmt.Errorf("%w: %s: %q is no number: %s", ErrTopology, args[0], a, usage)
		}
	}
	switch args[0] {
	case "line":
		return Line(n[0])
	case "leaf-spine":
		return LeafSpine(n[0], n[1])
	}
	return TwoHosts(), nil
}

// Hosts have 10.N.0.2/24 and 2001:db8:N::2/64 and their router has .1 and ::1.
func hostSubnets(n int) (v4, v6 netip.Prefix) {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n), 0, 0}), 24),
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, byte(n)}), 64)
}

// Links between routers have 10.(200+N).M.0/30 and 2001:db8:1NN:M::/64.
func transitSubnets(n, m int) (v4, v6 netip.Prefix) {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(200 + n), byte(m), 0}), 30),
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 1, byte(n), 0, byte(m)}), 64)
}

// nth returns the n-th address of a subnet.
func nth(p netip.Prefix, n byte) netip.Addr {
	b := p.Addr().AsSlice()
	b[len(b)-1] += n
	a, _ := netip.AddrFromSlice(b)
	return a
}

// add connects two nodes; a gets the first address of each subnet.
func (t *Topology) add(a, aInterface, b, bInterface string, subnets ...netip.Prefix) {
	l := Link{End{Node: a, Interface: aInterface}, End{Node: b, Interface: bInterface}}
	for _, s := range subnets {
		l.A.Addrs = append(l.A.Addrs, netip.PrefixFrom(nth(s, 1), s.Bits()))
		l.B.Addrs = append(l.B.Addrs, netip.PrefixFrom(nth(s, 2), s.Bits()))
	}
	t.Links = append(t.Links, l)
}

// addHost adds host hN behind a router.
func (t *Topology) addHost(n int, router string) {
	host := fmt.Sprintf("h%d", n)
	v4, v6 := hostSubnets(n)
	t.Nodes = append(t.Nodes, Node{Name: host})
	t.add(router, "to-"+host, host, "eth0", v4, v6)
	t.Routes = append(t.Routes,
		Route{host, netip.PrefixFrom(netip.IPv4Unspecified(), 0), []netip.Addr{nth(v4, 1)}},
		Route{host, netip.PrefixFrom(netip.IPv6Unspecified(), 0), []netip.Addr{nth(v6, 1)}})
}

// TwoHosts is h1 and h2 with the router r1 between them.
func TwoHosts() Topology {
	t := line(1)
	t.Name = "two-hosts"
	return t
}

// Line is h1 and h2 with the routers r1 to rN between them in a row. N is 1 to MaxLine.
//
// Errors wrap ErrTopology.
func Line(routers int) (Topology, error) {
	if routers < 1 || routers > MaxLine {
		return Topology{}, fmt.Errorf("%w: line %d: want 1 to %d routers: a packet starts with TTL 64",
			ErrTopology, routers, MaxLine)
	}
	return line(routers), nil
}

func line(routers int) Topology {
	t := Topology{Name: fmt.Sprintf("line %d", routers)}
	name := func(i int) string { return fmt.Sprintf("r%d", i) }
	for i := 1; i <= routers; i++ {
		t.Nodes = append(t.Nodes, router(name(i), i, uint32(i)))
	}
	t.addHost(1, name(1))
	t.addHost(2, name(routers))
	h1v4, h1v6 := hostSubnets(1)
	h2v4, h2v6 := hostSubnets(2)
	for i := 1; i < routers; i++ {
		left, right := name(i), name(i+1)
		v4, v6 := transitSubnets(0, i)
		t.add(left, "to-"+right, right, "to-"+left, v4, v6)
		t.Routes = append(t.Routes,
			Route{left, h2v4, []netip.Addr{nth(v4, 2)}}, Route{left, h2v6, []netip.Addr{nth(v6, 2)}},
			Route{right, h1v4, []netip.Addr{nth(v4, 1)}}, Route{right, h1v6, []netip.Addr{nth(v6, 1)}})
	}
	return t
}

// LeafSpine is a host hN behind each of the routers leafN, each of which is connected to each of the routers spineN. A
// leaf has one path through each spine to the hosts of the others. Leaves are 1 to MaxLeaves, spines 1 to MaxSpines.
// The spines share an AS, so that no route goes down and up again (RFC 7938 5.2.1).
//
// Errors wrap ErrTopology.
func LeafSpine(leaves, spines int) (Topology, error) {
	if leaves < 1 || leaves > MaxLeaves || spines < 1 || spines > MaxSpines {
		return Topology{}, fmt.Errorf("%w: leaf-spine %d %d: want 1 to %d leaves and 1 to %d spines",
			ErrTopology, leaves, spines, MaxLeaves, MaxSpines)
	}
	t := Topology{Name: fmt.Sprintf("leaf-spine %d %d", leaves, spines)}
	for s := 1; s <= spines; s++ {
		t.Nodes = append(t.Nodes, router(fmt.Sprintf("spine%d", s), s, 0))
	}
	for l := 1; l <= leaves; l++ {
		leaf := fmt.Sprintf("leaf%d", l)
		t.Nodes = append(t.Nodes, router(leaf, spines+l, uint32(l)))
		t.addHost(l, leaf)
		hostV4, hostV6 := hostSubnets(l)
		var up4, up6 []netip.Addr
		for s := 1; s <= spines; s++ {
			spine := fmt.Sprintf("spine%d", s)
			v4, v6 := transitSubnets(s, l)
			t.add(leaf, "to-"+spine, spine, "to-"+leaf, v4, v6)
			up4, up6 = append(up4, nth(v4, 2)), append(up6, nth(v6, 2))
			t.Routes = append(t.Routes,
				Route{spine, hostV4, []netip.Addr{nth(v4, 1)}}, Route{spine, hostV6, []netip.Addr{nth(v6, 1)}})
		}
		for other := 1; other <= leaves; other++ {
			if other != l {
				v4, v6 := hostSubnets(other)
				t.Routes = append(t.Routes, Route{leaf, v4, up4}, Route{leaf, v6, up6})
			}
		}
	}
	return t, nil
}

// Hosts returns the names of the nodes that are no routers.
func (t *Topology) Hosts() []string { return t.names(false) }

// Routers returns the names of the nodes that are routers.
func (t *Topology) Routers() []string { return t.names(true) }

func (t *Topology) names(router bool) (names []string) {
	for _, n := range t.Nodes {
		if n.Router == router {
			names = append(names, n.Name)
		}
	}
	return names
}

// Addrs returns the addresses of a node, in the order of its links.
func (t *Topology) Addrs(node string) (addrs []netip.Addr) {
	for _, l := range t.Links {
		for _, e := range []End{l.A, l.B} {
			for _, a := range e.Addrs {
				if e.Node == node {
					addrs = append(addrs, a.Addr())
				}
			}
		}
	}
	return addrs
}

// check tells what would make namespaces or interfaces with names that nobody can use.
func (t *Topology) check() error {
	nodes := map[string]bool{}
	for _, n := range t.Nodes {
		switch {
		case n.Name == "" || len(n.Name) > 12 || strings.Trim(n.Name, "abcdefghijklmnopqrstuvwxyz0123456789") != "":
			return fmt.Errorf("%w: node %q: want 1 to 12 lower case letters and digits", ErrTopology, n.Name)
		case nodes[n.Name]:
			return fmt.Errorf("%w: two nodes are called %s", ErrTopology, n.Name)
		}
		if n.Router && t.learns() && (n.AS == 0 || !n.ID.Is4()) {
			return fmt.Errorf("%w: router %s: want an AS and an IPv4 address for BGP", ErrTopology, n.Name)
		}
		nodes[n.Name] = true
	}
	interfaces := map[[2]string]bool{}
	for _, l := range t.Links {
		for _, e := range []End{l.A, l.B} {
			at := [2]string{e.Node, e.Interface}
			switch {
			case !nodes[e.Node]:
				return fmt.Errorf("%w: a link ends at %q, which is no node", ErrTopology, e.Node)
			case e.Interface == "" || len(e.Interface) > 15:
				return fmt.Errorf("%w: node %s: interface %q: want 1 to 15 bytes", ErrTopology, e.Node, e.Interface)
			case interfaces[at]:
				return fmt.Errorf("%w: node %s has two interfaces called %s", ErrTopology, e.Node, e.Interface)
			}
			interfaces[at] = true
		}
	}
	for _, r := range t.Routes {
		if !nodes[r.Node] || len(r.Via) == 0 {
			return fmt.Errorf("%w: route to %s at node %q: want a node and a gateway", ErrTopology, r.To, r.Node)
		}
	}
	return nil
}
