package conformance

import (
	"fmt"
	"net/netip"

	"weft/dataplane"
)

// port is one of the router's, with the host that seems to be at its far end.
type port struct {
	name   string
	mtu    int
	v4, v6 string // prefixes' beginnings: the router is 1, the host 9
	left   bool   // its host leaves checksums to hardware
	quiet  int    // 4 or 6: what comes in by it of the family is not forwarded
}

// Names of ports.
const (
	west   = "west" // where packets come in, unless a case says otherwise
	east   = "east"
	narrow = "narrow" // the least MTU that IPv6 may have
	wide   = "wide"   // takes jumbo frames, as west does
	lazy   = "lazy"   // its host leaves checksums to hardware
	quiet4 = "quiet4" // does not forward IPv4
	quiet6 = "quiet6" // does not forward IPv6
)

var sitePorts = []port{
	{name: west, mtu: 9000, v4: "192.0.2.", v6: "2001:db8:1::"},
	{name: east, mtu: 1500, v4: "198.51.100.", v6: "2001:db8:2::"},
	{name: narrow, mtu: 1280, v4: "203.0.113.", v6: "2001:db8:3::"},
	{name: wide, mtu: 9000, v4: "10.200.4.", v6: "2001:db8:4::"},
	{name: lazy, mtu: 1500, v4: "10.200.5.", v6: "2001:db8:5::", left: true},
	{name: quiet4, mtu: 1500, v4: "10.200.6.", v6: "2001:db8:6::", quiet: 4},
	{name: quiet6, mtu: 1500, v4: "10.200.7.", v6: "2001:db8:7::", quiet: 6},
}

func portNamed(name string) *port {
	if name == "" {
		name = west
	}
	for i := range sitePorts {
		if sitePorts[i].name == name {
			return &sitePorts[i]
		}
	}
	panic("no port is called " + name)
}

// mac is the router's, far that of the host at the far end.
func (p *port) mac() dataplane.MAC {
	return dataplane.MAC{0x02, 0, 0, p.name[0], p.name[len(p.name)-1], 0x01}
}
func (p *port) far() dataplane.MAC {
	return dataplane.MAC{0x02, 0, 0, p.name[0], p.name[len(p.name)-1], 0x09}
}

// Addresses of the router and of the host at the far end. Link-local ones are
// fe80::1 and fe80::9 everywhere.
func (p *port) addr4() string { return p.v4 + "1" }
func (p *port) addr6() string { return p.v6 + "1" }
func (p *port) host4() string { return p.v4 + "9" }
func (p *port) host6() string { return p.v6 + "9" }

const (
	routerLinkLocal = "fe80::1"
	hostLinkLocal   = "fe80::9"
)

// siteRoute is one of the router's, of the kind of `ip route`.
type siteRoute struct {
	prefix string
	kind   string   // "": unicast
	via    []string // ports, whose hosts are the gateways
	gw     string   // instead: an address, at the port
	mtu    int

	metric  int
	weights []int // of via
	link    bool  // no gateway: destinations are on the link
}

// absent4 and absent6 are of east's subnet, where nobody answers.
const (
	absent4 = "198.51.100.200"
	absent6 = "2001:db8:2::200"
)

// siteRoutes: 10.N/16 and 2001:db8:1N::/48 are alike. Packets come from 10.100/16 and
// 2001:db8:100::/48, each case's from an address of its own: Linux limits errors by
// the host that they go to.
var siteRoutes = []siteRoute{
	{prefix: "10.100.0.0/16", via: []string{west}}, {prefix: "2001:db8:100::/48", via: []string{west}},
	{prefix: "10.0.0.0/16", via: []string{east}}, {prefix: "2001:db8:10::/48", via: []string{east}},
	{prefix: "10.1.0.0/16", via: []string{narrow}}, {prefix: "2001:db8:11::/48", via: []string{narrow}},
	{prefix: "10.2.0.0/16", gw: absent4, via: []string{east}}, {prefix: "2001:db8:12::/48", gw: absent6, via: []string{east}},
	{prefix: "10.3.0.0/16", kind: "blackhole"}, {prefix: "2001:db8:13::/48", kind: "blackhole"},
	{prefix: "10.4.0.0/16", kind: "unreachable"}, {prefix: "2001:db8:14::/48", kind: "unreachable"},
	{prefix: "10.5.0.0/16", kind: "prohibit"}, {prefix: "2001:db8:15::/48", kind: "prohibit"},
	{prefix: "10.6.0.0/16", kind: "throw"},
	{prefix: "10.7.0.0/16", via: []string{wide}}, {prefix: "2001:db8:17::/48", via: []string{wide}},
	{prefix: "10.8.0.0/16", via: []string{east, wide}}, {prefix: "2001:db8:18::/48", via: []string{east, wide}},
	{prefix: "10.9.0.0/16", via: []string{east}, mtu: 1000}, {prefix: "2001:db8:19::/48", via: []string{wide}, mtu: 1400},
	// Prefixes within prefixes: the longest wins.
	{prefix: "10.0.128.0/17", via: []string{wide}}, {prefix: "10.0.128.128/25", via: []string{narrow}},
	{prefix: "10.0.128.255/32", kind: "blackhole"},
	{prefix: "2001:db8:10:8000::/49", via: []string{wide}}, {prefix: "2001:db8:10:8000::80/121", via: []string{narrow}},
	{prefix: "2001:db8:10:8000::ff/128", kind: "blackhole"},
	{prefix: "240.0.0.0/8", via: []string{east}}, {prefix: "fd00::/8", via: []string{east}},
	{prefix: "172.16.0.0/12", gw: "fe80::9", via: []string{east}}, // RFC 8950
}

// frames with a packet of the host at a port, to the router.
func (p *port) in(ip []byte) []byte { return ether(p.mac(), p.far(), etherTypeOf(ip), ip) }

// out is the frame in which a packet leaves by a port to its host.
func (p *port) out(ip []byte) []byte { return ether(p.far(), p.mac(), etherTypeOf(ip), ip) }

// source returns the n-th address that packets come from.
func source(n int, v6 bool) string {
	if v6 {
		return fmt.Sprintf("2001:db8:100::%x", n+0x10)
	}
	return netip.AddrFrom4([4]byte{10, 100, byte(n >> 8), byte(n)}).String()
}
