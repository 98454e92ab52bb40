package control

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// ranges are those that weft punts whatever the kernel says.
var ranges = map[netip.Prefix]string{
	netip.MustParsePrefix("0.0.0.0/8"):          "punt 7",
	netip.MustParsePrefix("127.0.0.0/8"):        "punt 7",
	netip.MustParsePrefix("224.0.0.0/4"):        "punt 5",
	netip.MustParsePrefix("255.255.255.255/32"): "punt 4",
	netip.MustParsePrefix("fe80::/10"):          "punt 6",
	netip.MustParsePrefix("ff00::/8"):           "punt 5",
}

func inRange(p netip.Prefix) bool {
	for r := range ranges {
		if r.Bits() <= p.Bits() && r.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

// oracle says what an image should hold, by asking iproute2: slowly, and with
// nothing of the code under test.
func oracle(t testing.TB) map[netip.Prefix]string {
	o := loadOracle(t)
	best := map[netip.Prefix]*ipRoute{}
	for i := range o.routes {
		r := &o.routes[i]
		p := r.prefix()
		if inRange(p) || r.Table != "" && r.Table != "main" && r.Table != "local" {
			continue
		}
		b := best[p]
		if b == nil || r.rank() < b.rank() || r.rank() == b.rank() && r.Metric < b.Metric {
			best[p] = r
		}
	}
	want := maps.Clone(ranges)
	for p, r := range best {
		want[p] = o.describe(p, r)
	}
	hosts := map[netip.Prefix]string{}
	for _, n := range o.neighbors {
		addr, err := netip.ParseAddr(n.Dst)
		if err != nil || !n.usable() || inRange(netip.PrefixFrom(addr, addr.BitLen())) {
			continue
		}
		cover := netip.Prefix{}
		for p := range best {
			if p.Contains(addr) && (!cover.IsValid() || p.Bits() > cover.Bits()) {
				cover = p
			}
		}
		if want[cover] == "glean "+n.Dev {
			host := netip.PrefixFrom(addr, addr.BitLen())
			hosts[host] = o.hop(host, ipHop{Gateway: n.Dst, Dev: n.Dev}, 0)
		}
	}
	maps.Copy(want, hosts)
	return want
}

type ipVia struct{ Family, Host string }

type ipHop struct {
	Gateway string
	Via     *ipVia
	Dev     string
	Weight  int
}

type ipRoute struct {
	Type, Dst, Gateway, Dev, Table string
	Via                            *ipVia
	Metric                         uint32
	Metrics                        []struct{ MTU int }
	Nexthops                       []ipHop
	six                            bool
}

func (r *ipRoute) prefix() netip.Prefix {
	if r.Dst == "default" {
		if r.six {
			return netip.MustParsePrefix("::/0")
		}
		return netip.MustParsePrefix("0.0.0.0/0")
	}
	if a, err := netip.ParseAddr(r.Dst); err == nil {
		return netip.PrefixFrom(a, a.BitLen())
	}
	return netip.MustParsePrefix(r.Dst)
}

func (r *ipRoute) rank() int {
	if r.Table == "local" {
		return 0
	}
	return 1
}

func (r *ipRoute) kind() string {
	if r.Type == "" {
		return "unicast"
	}
	return r.Type
}

type ipLink struct {
	Ifname, Address string
	MTU             int
	Flags           []string
}

type ipNeighbor struct {
	Dst, Dev, Lladdr string
	State            []string
}

func (n *ipNeighbor) usable() bool {
	return n.Lladdr != "" && !slices.Contains(n.State, "FAILED") && !slices.Contains(n.State, "INCOMPLETE") && !slices.Contains(n.State, "NONE")
}

type ipWorld struct {
	routes    []ipRoute
	links     map[string]ipLink
	neighbors []ipNeighbor
}

func loadOracle(t testing.TB) ipWorld {
	t.Helper()
	o := ipWorld{links: map[string]ipLink{}}
	ask := func(what string, to any) {
		out := ip(t, what)
		if len(out) == 0 {
			return
		}
		if err := json.Unmarshal(out, to); err != nil {
			t.Fatalf("ip %s: %v\n%s", what, err, out)
		}
	}
	for _, family := range []string{"-4", "-6"} {
		var routes []ipRoute
		ask("-j -d "+family+" route show table all", &routes)
		for i := range routes {
			routes[i].six = family == "-6"
		}
		o.routes = append(o.routes, routes...)
	}
	var links []ipLink
	ask("-j link", &links)
	for _, l := range links {
		o.links[l.Ifname] = l
	}
	ask("-j neigh show nud all", &o.neighbors)
	return o
}

func (o *ipWorld) isUp(dev string) bool {
	l, ok := o.links[dev]
	return ok && slices.Contains(l.Flags, "UP") && slices.Contains(l.Flags, "LOWER_UP")
}

func (o *ipWorld) isPort(dev string) bool { return strings.HasPrefix(dev, "port") }

func (o *ipWorld) describe(p netip.Prefix, r *ipRoute) string {
	six := p.Addr().Is6()
	switch r.kind() {
	case "local", "anycast":
		return "local"
	case "broadcast":
		return "punt 4"
	case "multicast":
		return "punt 5"
	case "blackhole":
		return "blackhole"
	case "unreachable":
		return map[bool]string{false: "reject 1", true: "reject 0"}[six]
	case "prohibit":
		return map[bool]string{false: "reject 13", true: "reject 1"}[six]
	case "throw":
		return "punt 8"
	case "unicast":
	default:
		return "unknown type " + r.Type
	}
	hops := r.Nexthops
	if len(hops) == 0 {
		hops = []ipHop{{r.Gateway, r.Via, r.Dev, 1}}
	}
	mtu := 0
	for _, m := range r.Metrics {
		mtu = m.MTU
	}
	weights := map[ipHop]int{}
	for _, h := range hops {
		if !o.isUp(h.Dev) {
			continue
		}
		if !o.isPort(h.Dev) {
			return "punt 1"
		}
		if h.Via != nil {
			h.Gateway, h.Via = h.Via.Host, nil
		}
		if h.Gateway == "" && len(hops) == 1 {
			return "glean " + h.Dev
		}
		if h.Gateway == "" {
			return "punt 10"
		}
		w := max(h.Weight, 1)
		h.Weight = 0
		weights[h] += w
	}
	var members []string
	for h, w := range weights {
		h.Weight = w
		members = append(members, o.hop(p, h, mtu))
	}
	if len(members) == 0 {
		return "punt 2"
	}
	slices.Sort(members)
	return strings.Join(members, ", ")
}

func (o *ipWorld) hop(p netip.Prefix, h ipHop, mtu int) string {
	l := o.links[h.Dev]
	if mtu == 0 || mtu > l.MTU {
		mtu = l.MTU
	}
	to := "incomplete"
	for _, n := range o.neighbors {
		if n.Dev == h.Dev && n.Dst == h.Gateway && n.usable() {
			to = fmt.Sprintf("%s<%s %s", n.Lladdr, l.Address, map[bool]string{false: "0800", true: "86dd"}[p.Addr().Is6()])
		}
	}
	return fmt.Sprintf("%s %s x%d mtu %d %s", h.Dev, h.Gateway, max(h.Weight, 1), mtu, to)
}
