package fpm

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weft/test/daemons"
	"weft/test/star"
)

// network is a router with FRR and weft in r1, and FRR in its neighbors h2 and h3.
type network struct {
	*star.Network
	r1    *daemons.FRR
	peers map[int]*daemons.FRR // by the number of the host
}

// fpmStatus is what weft says of FRR.
type fpmStatus struct {
	Address, Peer                                              string
	Routes, Stale, Parked, NextHops, Queued, Connections       uint64
	Frames, Messages, BadFrames, Undecodable, Ignored, Refused uint64
	Swept                                                      uint64
}

func askFPM(n *star.Network) fpmStatus {
	n.Helper()
	var s struct{ FPM fpmStatus }
	n.Ask(&s, "status")
	return s.FPM
}

const fpmAddress = "127.0.0.1:2620"

// zebraConfig makes zebra connect to weft. With no next-hop groups each route names its
// next hops.
func zebraConfig(groups bool) string {
	config := "fpm address 127.0.0.1 port 2620\n"
	if !groups {
		config += "no fpm use-next-hop-groups\n"
	}
	return config
}

// newNetwork starts weft and FRR: zebra of r1 tells weft its routes, with next-hop
// groups or without, and OSPF and BGP have come up between the three.
func newNetwork(t *testing.T, groups bool) *network {
	t.Helper()
	n := &network{Network: star.New(t), peers: map[int]*daemons.FRR{}}
	n.Wait = time.Minute // of FRR's timers, some of them
	n.Run("--fpm", fpmAddress)
	n.r1 = daemons.NewFRR(t, daemons.Node(n.Lab, "r1"))
	n.r1.Start("zebra", zebraConfig(groups), "-M", "dplane_fpm_nl")
	n.r1.Start("staticd", "")
	n.r1.Start("ospfd", ospfConfig("to-h2", "to-h3"))
	n.r1.Start("bgpd", bgpConfig(1, 2, 3))
	for _, host := range []int{2, 3} {
		f := daemons.NewFRR(t, daemons.Node(n.Lab, fmt.Sprint("h", host)))
		n.peers[host] = f
		f.Start("zebra", "")
		f.Start("ospfd", ospfConfig("eth0"))
		f.Start("bgpd", bgpConfig(host, 1))
	}
	n.Until("OSPF and BGP have come up", func() bool { return n.established() == 6 })
	n.Resolve()
	n.resolveLinkLocal()
	return n
}

// resolveLinkLocal makes the router know the neighbors' link-local addresses.
func (n *network) resolveLinkLocal() {
	n.Helper()
	for _, host := range []int{2, 3} {
		fields := strings.Fields(n.IP(fmt.Sprint("h", host), "-6 -o addr show dev eth0 scope link"))
		addr, _, _ := strings.Cut(fields[3], "/")
		n.Command("r1", "ping", "-q", "-c", "1", "-w", "10", fmt.Sprintf("%s%%to-h%d", addr, host))
	}
}

// ospfConfig is that of a router with point-to-point links.
func ospfConfig(links ...string) string {
	var b strings.Builder
	for _, l := range links {
		fmt.Fprintf(&b, "interface %s\n ip ospf area 0\n ip ospf network point-to-point\n ip ospf hello-interval 1\n ip ospf dead-interval 30\n", l)
	}
	b.WriteString("router ospf\n redistribute kernel\n timers throttle spf 0 10 10\n timers throttle lsa all 0\n timers lsa min-arrival 0\n")
	return b.String()
}

// bgpConfig is that of a router with number own in AS 65001. Neighbors are numbered as
// hosts are; 1 is the router of them all.
func bgpConfig(own int, neighbors ...int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "router bgp 65001\n bgp router-id 10.255.0.%d\n no bgp network import-check\n timers bgp 1 30\n", own)
	var v4, v6 string
	for _, n := range neighbors {
		link := max(own, n) // subnets have the number of the host
		a4, a6 := star.HostAddr(link, 4), star.HostAddr(link, 6)
		if own != 1 {
			a4, a6 = a4.Prev(), a6.Prev()
		}
		for _, a := range []string{a4.String(), a6.String()} {
			fmt.Fprintf(&b, " neighbor %s remote-as internal\n neighbor %[1]s timers connect 1\n neighbor %[1]s advertisement-interval 0\n", a)
		}
		fmt.Fprintf(&b, " neighbor %s capability extended-nexthop\n", a6)
		v4 += fmt.Sprintf("  neighbor %s route-map out4 out\n  neighbor %s activate\n  neighbor %[2]s route-map out6 out\n", a4, a6)
		v6 += fmt.Sprintf("  neighbor %s activate\n", a6)
	}
	fmt.Fprintf(&b, " address-family ipv4 unicast\n%s exit-address-family\n address-family ipv6 unicast\n%s exit-address-family\n", v4, v6)
	b.WriteString(routeMaps)
	return b.String()
}

// Of the neighbors' prefixes far ones are behind an address that OSPF knows the way to,
// and sixes are told over IPv6, with an IPv6 next hop.
const (
	far   = "10.92.0.0/24"
	sixes = "10.93.0.0/24"
)

const routeMaps = `
ip prefix-list far permit ` + far + `
ip prefix-list sixes permit ` + sixes + `
route-map out4 deny 10
 match ip address prefix-list sixes
route-map out4 permit 20
 match ip address prefix-list far
 set ip next-hop 10.90.0.1
route-map out4 permit 30
route-map out6 permit 10
 match ip address prefix-list sixes
`

// established counts the neighbors that BGP has come up with over both families, and that OSPF has.
func (n *network) established() (up int) {
	n.Helper()
	var bgp struct {
		IPv4Unicast struct {
			Peers map[string]struct{ State string }
		}
	}
	var ospf struct {
		Neighbors map[string][]struct{ NbrState string }
	}
	if !n.r1.Try(&bgp, "bgpd", "show bgp summary json") || !n.r1.Try(&ospf, "ospfd", "show ip ospf neighbor json") {
		return 0
	}
	for _, p := range bgp.IPv4Unicast.Peers {
		if p.State == "Established" {
			up++
		}
	}
	for _, all := range ospf.Neighbors {
		for _, one := range all {
			if strings.HasPrefix(one.NbrState, "Full") {
				up++
			}
		}
	}
	return up
}

// announce makes a neighbor announce a prefix by BGP, or no longer.
func (n *network) announce(host int, prefix string, yes bool) {
	n.Helper()
	line, family := "network "+prefix, "ipv4"
	if strings.Contains(prefix, ":") {
		family = "ipv6"
	}
	if !yes {
		line = "no " + line
	}
	n.peers[host].Configure("bgpd", "router bgp 65001", "address-family "+family+" unicast", line)
}

// ospf makes a neighbor tell a prefix by OSPF.
func (n *network) ospf(host int, prefix string) {
	n.Helper()
	n.IP(fmt.Sprint("h", host), "route add blackhole "+prefix)
}

// candidate is a route that weft knows, as explain tells it.
type candidate struct {
	Source, Protocol, Dev string
	Metric                uint32
	Selected              bool
	Nexthops, Resolved    []struct{ Gateway, Dev string }
}

// links returns the links that packets leave by, in order.
func (c *candidate) links() (names []string) {
	hops := c.Nexthops
	if c.Resolved != nil {
		hops = c.Resolved
	}
	for _, h := range hops {
		names = append(names, h.Dev)
	}
	if hops == nil {
		names = []string{c.Dev}
	}
	slices.Sort(names)
	return names
}

// candidates returns what weft knows of a prefix, the best first.
func (n *network) candidates(dst string) (all []candidate) {
	n.Helper()
	var answers []struct{ Candidates []candidate }
	o := n.Weft("--json", "routes", "get", dst, "explain")
	if err := json.Unmarshal([]byte(o.Stdout), &answers); err != nil || len(answers) != 1 {
		n.Fatalf("routes get %s: exit code %d\n%s%s", dst, o.Code, o.Stdout, o.Stderr)
	}
	return answers[0].Candidates
}
