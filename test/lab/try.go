package lab

import (
	"fmt"
	"net/netip"
)

// Try returns command lines for someone who has just made the lab.
func (l *Lab) Try() (lines []string) {
	hosts, routers := l.Hosts(), l.Routers()
	var far []netip.Addr
	if len(hosts) > 0 {
		far = l.Addrs(hosts[len(hosts)-1])
	}
	for _, a := range far {
		lines = append(lines, fmt.Sprintf("ip netns exec %s ping %s", l.Namespace(hosts[0]), a))
	}
	if len(hosts) > 1 && len(routers) > 0 && len(far) > 0 {
		near := routers[0]
		for _, r := range routers {
			if l.connects(r, hosts[0]) {
				near = r
			}
		}
		at := l.Namespace(near)
		lines = append(lines,
			fmt.Sprintf("ip -n %s route", at),
			fmt.Sprintf("weft -n %s status", at),
			fmt.Sprintf("weft -n %s routes get %s explain", at, far[0]),
			fmt.Sprintf("weft -n %s drops", at))
		lines = append(lines, l.tryBGP(near)...)
	}
	return append(lines, l.command("down"))
}

// tryBGP has routers that can be missed in mind: those behind which no host is.
func (l *Lab) tryBGP(near string) (lines []string) {
	switch l.Routing {
	case BGP:
		at := l.Namespace(near)
		lines = append(lines, fmt.Sprintf("weft -n %s bgp", at), fmt.Sprintf("weft -n %s bgp routes", at))
	case FRR:
		vtysh := "vtysh --vty_socket " + l.dir(near)
		lines = append(lines, vtysh+" -c 'show bgp summary'", vtysh)
	default:
		return nil
	}
	if spine := l.Routers()[0]; spine != near && l.redundant(spine) {
		lines = append(lines, l.command("kill "+spine), l.command("start "+spine))
	}
	return lines
}

// command is one of 'weft lab' for this lab.
func (l *Lab) command(words string) string {
	if l.prefix == DefaultPrefix {
		return "weft lab " + words
	}
	return fmt.Sprintf("weft lab %s --prefix %s", words, l.prefix)
}

func (t *Topology) connects(a, b string) bool {
	for _, l := range t.Links {
		if l.A.Node == a && l.B.Node == b || l.A.Node == b && l.B.Node == a {
			return true
		}
	}
	return false
}

// redundant tells whether the hosts still reach each other without a router.
func (t *Topology) redundant(router string) bool {
	n, _ := t.node(router)
	others := 0
	for _, o := range t.Nodes {
		if o.Router && o.AS == n.AS {
			others++
		}
	}
	return others > 1
}
