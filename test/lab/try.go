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
		near := l.Namespace(routers[0])
		for _, r := range routers {
			if l.connects(r, hosts[0]) {
				near = l.Namespace(r)
			}
		}
		lines = append(lines,
			fmt.Sprintf("ip -n %s route", near),
			fmt.Sprintf("weft -n %s status", near),
			fmt.Sprintf("weft -n %s routes get %s explain", near, far[0]),
			fmt.Sprintf("weft -n %s drops", near))
	}
	return append(lines, "weft lab down")
}

func (t *Topology) connects(a, b string) bool {
	for _, l := range t.Links {
		if l.A.Node == a && l.B.Node == b || l.A.Node == b && l.B.Node == a {
			return true
		}
	}
	return false
}
