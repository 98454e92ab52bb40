package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"weft/control/config/spell"
)

// reader has what the places of the file are read into, and what one place must
// know of others.
type reader struct {
	config    *Config
	routes    []found // of each of config.Routes, to be checked when all is read
	neighbors map[neighborKey]string
	matches   map[string]string // of ports
}

// Bounds of a file's lists.
const (
	maxGroups    = maxKeys
	maxRoutes    = 1 << 20
	maxNeighbors = 1 << 16

	maxMetric = 1<<32 - 1
	maxTable  = 1<<32 - 1
)

// file is the whole file.
func (r *reader) file() value {
	c := r.config
	r.neighbors, r.matches = map[neighborKey]string{}, map[string]string{}
	return &object{
		title: "weft's configuration",
		fields: []field{
			{"version", "Version of this format: 1.", true, &number{Version, Version, func(uint64) {}}},
			{"preferences", "Administrative preferences of the sources of routes: the kernel's metric. Of two routes for one prefix the one with the lower is taken.", false, r.preferences(&c.Preferences)},
			{"ports", "Engines of ports, instead of that of weft run's --engine. 'weft ports set' changes this.", false, &list{0, maxPorts, r.port}},
			{"fpm", "Where FRR's zebra brings its routes (fpm address ...), unless weft run has --fpm, which stands for listen and hold.", false, r.fpm(&c.FPM)},
			{"bgp", "BGP router of weft's own.", false, r.bgp(c)},
			{"nexthop_groups", "Next hops that many routes share, by a name.", false, &named{maxGroups, func(name string) value {
				return hopList(func(h Hop) { c.addHop(name, h) })
			}}},
			{"routes", "Static routes.", false, &list{0, maxRoutes, r.route}},
			{"neighbors", "Neighbors that need not be asked for their link-layer address.", false, &list{0, maxNeighbors, r.neighbor}},
		},
		check: func(found) { r.checkRoutes() },
	}
}

func (c *Config) addHop(group string, h Hop) {
	if c.Groups == nil {
		c.Groups = map[string][]Hop{}
	}
	c.Groups[group] = append(c.Groups[group], h)
}

func (r *reader) preferences(p *Preferences) value {
	preference := func(to *uint32) value { return &number{1, maxMetric, func(n uint64) { *to = uint32(n) }} }
	return &object{title: "Preferences", fields: []field{
		{"static", "Of static routes: 1.", false, preference(&p.Static)},
		{"ebgp", "Of routes of BGP's external neighbors: 20.", false, preference(&p.EBGP)},
		{"ibgp", "Of routes of BGP's internal neighbors: 200.", false, preference(&p.IBGP)},
		{"fpm", "Of routes that zebra brings without one: 20. Nothing has it yet: zebra brings one.", false, preference(&p.FPM)},
	}}
}

func (r *reader) fpm(f *FPM) value {
	return &object{
		title: "FPM",
		fields: []field{
			{"listen", "Address and port, as 127.0.0.1:2620.", true, &text{parse: func(s string) (err error) {
				f.Listen, err = parseListen(s)
				return err
			}}},
			{"hold", "How long routes stay after zebra has gone, from 1s to 1h: 120s.", false, &text{parse: func(s string) (err error) {
				f.Hold, err = parseHold(s)
				return err
			}}},
		},
		check: func(found) {
			if f.Hold == 0 {
				f.Hold = DefaultHold
			}
		},
	}
}

func hopList(add func(Hop)) value {
	seen := map[Hop]string{}
	return &list{1, MaxHops, func() value {
		h := &Hop{Weight: 1}
		return &object{
			title:  "Next hop",
			fields: append(hopFields(h), field{"weight", "Share of the flows, from 1 to 256: 1.", false, &number{1, MaxWeight, func(n uint64) { h.Weight = uint32(n) }}}),
			check: func(f found) {
				checkHop(f, *h)
				k := Hop{Via: h.Via, Dev: h.Dev}
				if at, twice := seen[k]; twice {
					f.wrong("", "give it once, with a greater weight", "the same next hop as %s", at)
				}
				seen[k] = f.path
				add(*h)
			},
		}
	}}
}

func hopFields(h *Hop) []field {
	return []field{
		{"via", "Address of the gateway. Without dev it is looked up, also recursively.", false, &text{parse: func(s string) (err error) {
			h.Via, err = parseGateway(s)
			return err
		}}},
		{"dev", "Name of the interface. Without via its neighbors are the destinations.", false, devText(&h.Dev)},
	}
}

// checkHop checks what makes a next hop whole.
func checkHop(f found, h Hop) {
	switch {
	case !f.has("via") && !f.has("dev"):
		f.wrong("", "add 'via: ADDRESS', 'dev: INTERFACE' or both", "neither via nor dev")
	case h.Via.IsLinkLocalUnicast() && !f.has("dev"):
		f.wrong("via", "add 'dev: INTERFACE'", "%s is on every link", h.Via)
	}
}

func devText(to *string) value {
	return &text{pattern: devPattern, parse: func(s string) error {
		if err := checkDev(s); err != nil {
			return err
		}
		*to = s
		return nil
	}}
}

func (r *reader) route() value {
	route := &Route{Kind: Unicast}
	single := &Hop{Weight: 1}
	fields := []field{
		{"prefix", "Destination, as 10.0.0.0/8 or 2001:db8::/32.", true, &text{parse: func(s string) (err error) {
			route.Prefix, err = parsePrefix(s)
			return err
		}}},
		{"type", "What becomes of the packets: unicast (forwarded), blackhole, unreachable, prohibit.", false, &text{choices: kinds, parse: func(s string) error {
			route.Kind = Kind(s)
			return nil
		}}},
	}
	fields = append(fields, hopFields(single)...)
	fields = append(fields,
		field{"nexthops", "Next hops that share the flows.", false, hopList(func(h Hop) { route.Hops = append(route.Hops, h) })},
		field{"group", "Name of one of nexthop_groups.", false, &text{pattern: namePattern, exact: true, parse: func(s string) error {
			route.Group = s
			if !nameExpression.MatchString(s) {
				return wrongf("see nexthop_groups", "%q: not a name of a group", s)
			}
			return nil
		}}},
		field{"preference", "The kernel's metric; the lower is taken: that of preferences.static.", false, &number{1, maxMetric, func(n uint64) { route.Preference = uint32(n) }}},
		field{"vrf", "Name of the VRF's interface.", false, devText(&route.VRF)},
		field{"table", "Number of the kernel's table, instead of a VRF's name: 254, main.", false, &number{1, maxTable, func(n uint64) { route.Table = uint32(n) }}},
	)
	return &object{title: "Static route", fields: fields, oneOf: []string{"vrf", "table"}, check: func(f found) {
		if f.has("via") || f.has("dev") {
			route.Hops = append(route.Hops, *single)
		}
		r.takeRoute(f, route, single)
	}}
}

// takeRoute checks a route as a whole, and keeps it.
func (r *reader) takeRoute(f found, route *Route, single *Hop) {
	switch route.Table {
	case tableMain:
		route.Table = 0
	case 253, 255:
		f.wrong("table", "want another table", "%d is the kernel's own", route.Table)
	}
	checkTarget(f, route, single)
	for _, h := range route.Hops {
		if !checkFamily(f, route.Prefix, h) {
			break
		}
	}
	r.routes = append(r.routes, f)
	r.config.Routes = append(r.config.Routes, *route)
}

// checkTarget checks that a route says in one way where packets go.
func checkTarget(f found, route *Route, single *Hop) {
	direct := ""
	for _, key := range []string{"via", "dev"} {
		if direct == "" && f.has(key) {
			direct = key
		}
	}
	var ways []string
	for _, key := range []string{direct, "nexthops", "group"} {
		if key != "" && f.has(key) {
			ways = append(ways, key)
		}
	}
	switch {
	case route.Kind != Unicast && len(ways) > 0:
		f.wrong(ways[0], "leave it out", "a route of type %s has no next hops", route.Kind)
	case route.Kind == Unicast && len(ways) == 0:
		f.wrong("", "add via, dev, nexthops or group, or 'type: blackhole'", "no next hop")
	case len(ways) > 1:
		f.wrong(ways[1], "keep one of them", "%s is there, too", ways[0])
	case direct != "":
		checkHop(f, *single)
	}
}

// checkFamily checks that a gateway can be one for a prefix.
func checkFamily(f found, p netip.Prefix, h Hop) bool {
	if h.Via.Is4() && p.Addr().Is6() {
		key := "via"
		if !f.has(key) {
			key = "nexthops"
		}
		f.wrong(key, "want an IPv6 gateway", "%s: an IPv4 gateway cannot be one for %s", h.Via, p)
		return false
	}
	return true
}

// checkRoutes checks what takes the whole file: that no two routes are the same,
// and the groups that they name.
func (r *reader) checkRoutes() {
	seen := map[routeKey]string{}
	for i, f := range r.routes {
		route := &r.config.Routes[i]
		k := r.config.effective(route.key())
		if at, twice := seen[k]; twice {
			f.wrong("prefix", "give one of them another preference, or list both next hops in one route", "%s is the same route", at)
		}
		seen[k] = f.path
		if route.Group != "" {
			r.checkGroup(f, route)
		}
	}
}

func (r *reader) checkGroup(f found, route *Route) {
	hops, ok := r.config.Groups[route.Group]
	if !ok {
		remedy := "add it to nexthop_groups"
		if near := spell.Nearest(route.Group, slices.Sorted(maps.Keys(r.config.Groups))); near != "" {
			remedy = "did you mean " + near + "?"
		}
		f.wrong("group", remedy, "%s: no such group", route.Group)
		return
	}
	for _, h := range hops {
		if h.Via.Is4() && route.Prefix.Addr().Is6() {
			f.wrong("group", "want a group of IPv6 gateways", "%s has the IPv4 gateway %s, for %s", route.Group, h.Via, route.Prefix)
			break
		}
	}
}

func (r *reader) neighbor() value {
	n := &Neighbor{}
	return &object{
		title: "Neighbor",
		fields: []field{
			{"addr", "Its address.", true, &text{parse: func(s string) (err error) {
				n.Addr, err = parseGateway(s)
				return err
			}}},
			{"dev", "Name of the interface.", true, devText(&n.Dev)},
			{"lladdr", "Its link-layer address, as 02:00:00:00:00:01.", true, &text{parse: func(s string) (err error) {
				n.Lladdr, err = parseLladdr(s)
				return err
			}}},
		},
		check: func(f found) {
			if at, twice := r.neighbors[n.key()]; twice {
				f.wrong("addr", "keep one of them", "%s is the same neighbor", at)
				return
			}
			r.neighbors[n.key()] = f.path
			r.config.Neighbors = append(r.config.Neighbors, *n)
		},
	}
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.Prefix{}, wrongf(fmt.Sprintf("did you mean %s/%d?", a, a.BitLen()), "%s: no prefix length", s)
	}
	if s == "default" {
		return netip.Prefix{}, wrongf("write 0.0.0.0/0 or ::/0", "default: of which family?")
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return p, wrongf("want one like 10.0.0.0/8 or 2001:db8::/32", "%q: not a prefix", s)
	case p != p.Masked():
		return p, wrongf(fmt.Sprintf("did you mean %s?", p.Masked()), "%s: bits are set behind the prefix length", s)
	case p.Addr().Is4In6():
		return p, wrongf("write it as IPv4", "%s: an IPv4 address within IPv6", s)
	case p.Bits() > 0 && p.Addr().IsMulticast():
		return p, wrongf("want a unicast prefix", "%s: multicast is not routed", s)
	}
	return p, nil
}

func parseGateway(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil && strings.Contains(s, "/"):
		return a, wrongf("leave out the prefix length", "%q: not an address", s)
	case err != nil:
		return a, wrongf("want one like 192.0.2.1 or 2001:db8::1", "%q: not an address", s)
	case a.Zone() != "":
		return a, wrongf("put the interface behind dev", "%s: an address with an interface", s)
	case a.Is4In6():
		return a, wrongf("write it as IPv4: "+a.Unmap().String(), "%s: an IPv4 address within IPv6", s)
	case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return a, wrongf("want the address of a neighbor", "%s: no host has it", s)
	}
	return a, nil
}

// devPattern is what Linux takes for the name of an interface.
const devPattern = `^[^/:\s\x00-\x1f]{1,15}$`

func checkDev(s string) error {
	switch {
	case s == "." || s == "..":
		return wrongf("'weft ports' lists interfaces", "%q: not a name of an interface", s)
	case !devExpression.MatchString(s) || len(s) > 15:
		return wrongf("want up to 15 bytes without '/', ':' and spaces", "%q: not a name of an interface", s)
	}
	return nil
}

func parseLladdr(s string) (string, error) {
	mac, err := net.ParseMAC(s)
	switch {
	case err != nil || len(mac) != 6:
		return "", wrongf("want one like 02:00:00:00:00:01", "%q: not an Ethernet address", s)
	case mac[0]&1 != 0:
		return "", wrongf("want that of one host", "%s: a group address", s)
	case mac.String() == "00:00:00:00:00:00":
		return "", wrongf("want that of one host", "%s: nobody has it", s)
	}
	return mac.String(), nil
}

func parseListen(s string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(s)
	switch {
	case err != nil:
		return a, wrongf("want an address and a port like 127.0.0.1:2620 or [::1]:2620", "%q: not an address with a port", s)
	case a.Port() == 0:
		return a, wrongf("want 1 to 65535; zebra's default is 2620", "%s: no port", s)
	case a.Addr().IsMulticast() || a.Addr().Is4In6() || a.Addr().Zone() != "":
		return a, wrongf("want one like 127.0.0.1:2620", "%s: nothing can listen there", s)
	}
	return a, nil
}

func parseHold(s string) (time.Duration, error) {
	h, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, wrongf("want one like 120s or 5m", "%q: not a duration", s)
	case h < time.Second || h > time.Hour:
		return 0, wrongf("want 1s to 1h", "%s: out of range", s)
	}
	return h, nil
}
