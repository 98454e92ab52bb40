package rib

import (
	"errors"
	"net/netip"

	"weft/control/kernel"
)

// Source says who offers a route.
type Source uint8

// The sources. What the kernel offers is mirrored: see RIB.SetRoute.
const (
	Kernel Source = iota
	FPM           // a routing daemon, which programs the kernel itself
	Static        // configuration and command line
	BGP           // of weft's own
	sources
)

// ProtocolWeft is rtm_protocol of the routes that weft programs into the kernel.
const ProtocolWeft = 119

// Kind is what becomes of packets.
type Kind uint8

// What becomes of packets: the zero Kind is for those that go to the hops.
const (
	Unicast     Kind = iota
	Blackhole        // discarded silently
	Unreachable      // answered by ICMP
	Prohibit         // likewise
)

// Route is a route of a source other than the kernel.
type Route struct {
	VRF        uint16
	Prefix     netip.Prefix // masked
	Source     Source
	Origin     uint32 // tells routes of one source to one prefix apart: a BGP peer, say
	Protocol   uint8  // RTPROT_*, for people
	Preference uint32 // the kernel's metric: the lowest is best
	Kind       Kind
	Hops       []Hop  // of Unicast; valid until Set returns
	NextHop    uint32 // of Unicast, instead of Hops: see SetNextHopOf
	MTU        uint32 // bytes; 0: that of the link
}

// Hop is one next hop of a Route.
type Hop struct {
	Gateway netip.Addr // invalid: the destination itself is attached. May be IPv6 of an IPv4 route
	Link    int        // 0: found by the routes to the gateway
	Weight  int        // share of the flows; 0 counts as 1
	Encap   bool       // something is put around packets, which weft leaves to the kernel
}

// Errors of Set.
var (
	ErrVRF      = errors.New("no such VRF")
	ErrReserved = errors.New("prefix is never forwarded")
	ErrRoute    = errors.New("route makes no sense")
)

// Set takes a route of a source, instead of the one with the same VRF, prefix,
// source and origin. Routes of one source to a prefix with the same, best
// preference become one with all their hops (Unicast, not with NextHop).
//
// Errors: ErrVRF, ErrReserved, ErrRoute; the RIB is as it was then.
func (r *RIB) Set(m *Route) error { return errors.ErrUnsupported }

// Unset drops a route, named by VRF, prefix, source and origin. It reports
// whether there was one.
func (r *RIB) Unset(m *Route) bool { return false }

// BeginReplay starts a replay of a source: all that it has is now given again, and
// what is not is removed by EndReplay. Until then it stays.
func (r *RIB) BeginReplay(s Source) {}

// EndReplay ends a replay, and returns how many routes it has removed.
func (r *RIB) EndReplay(s Source) (removed int) { return 0 }

// SetNextHopOf takes a next-hop object of a source's own: numbers are per source.
// Routes that have named it before are resolved now. The groups that use it are
// written again, not the routes.
func (r *RIB) SetNextHopOf(s Source, n kernel.NextHop) {}

// DeleteNextHopOf takes note that an object of a source has gone. Routes that
// name it stay, unresolved.
func (r *RIB) DeleteNextHopOf(s Source, id uint32) {}

// VRFOf returns the number of the VRF that mirrors a table of the kernel.
func (r *RIB) VRFOf(table uint32) (vrf uint16, ok bool) {
	vrf, ok = r.vrfs[table]
	return vrf, ok && table != tableLocal
}

// State says what has become of a route.
type State uint8

// States of a route.
const (
	Absent       State = iota
	Unresolved         // no hop leads anywhere: the next best route is taken
	NotBest            // another one is better
	NotInstalled       // it is the best, and the image has no room for it: packets go to the kernel
	Installed          // the image has it, alone or with others of its preference
)

// State returns what has become of a route, named by VRF, prefix, source and
// origin. After a publication it is what packets find.
func (r *RIB) State(vrf uint16, p netip.Prefix, s Source, origin uint32) State { return Absent }
