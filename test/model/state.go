package model

import (
	"net/netip"

	"weft/dataplane"
)

// State is what a router knows. The zero value has no ports.
type State struct {
	Ports     []Port
	Routes    []Route // without those that addresses bring: connected, local, broadcast
	Neighbors []Neighbor
	HashSeed  uint32 // of the FIB's flow hash
}

// Port is an Ethernet interface that the router forwards from and to.
type Port struct {
	Name  string
	MAC   dataplane.MAC
	MTU   int            // bytes of an IP packet
	Addrs []netip.Prefix // own addresses with the lengths of their subnets
	IPv4  bool           // it forwards packets of the family that come in by it
	IPv6  bool
	Down  bool
	// Frames may come in with L4 checksums that were left to hardware, as on a veth
	// in XDP's native mode.
	Partial bool
}

// RouteKind is what a route says of its packets.
type RouteKind string

// Kinds, by the words of `ip route`.
const (
	Unicast     RouteKind = "unicast"
	Blackhole   RouteKind = "blackhole"
	Unreachable RouteKind = "unreachable"
	Prohibit    RouteKind = "prohibit"
)

// Route leads to next hops. Of several for one prefix the lowest metric wins.
type Route struct {
	Prefix netip.Prefix
	Kind   RouteKind
	Metric uint32
	MTU    int // `mtu lock`-less MTU of the route; 0: the port's
	Hops   []Hop
}

// Hop is one of a route's next hops.
type Hop struct {
	Gateway netip.Addr // the zero Addr: destinations are on the link. IPv6 for an IPv4 route: RFC 8950
	Port    string
	Weight  int // 1 and more
}

// Neighbor is an entry of the ARP or neighbor table.
type Neighbor struct {
	Port  string
	Addr  netip.Addr
	MAC   dataplane.MAC
	State NeighborState
}

// NeighborState is what is known of a neighbor. One that is not in the table is
// None.
type NeighborState string

// States.
const (
	None      NeighborState = ""
	Permanent NeighborState = "permanent" // usable, and so are others of the kernel: reachable, stale, delay, probe
	Failed    NeighborState = "failed"    // asked, and no answer
)
