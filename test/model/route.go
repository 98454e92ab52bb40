package model

import "net/netip"

// Kinds beside those of State's routes.
const (
	none      RouteKind = ""
	local     RouteKind = "local" // anycast, too
	broadcast RouteKind = "broadcast"
)

// found is a route, and what a router of Linux's knows beside.
type found struct {
	Route
	source netip.Addr // for its own packets, where the route says it
}

const (
	metricAddress6 = 256  // of connected IPv6 routes
	metricDefault6 = 1024 // of IPv6 routes that are given none
)

func (s *State) port(name string) *Port {
	for i := range s.Ports {
		if s.Ports[i].Name == name {
			return &s.Ports[i]
		}
	}
	return nil
}

// carries tells whether a port has packets of a family at all: RFC 8200 5 wants an
// MTU of 1280.
func (p *Port) carries(family int) bool {
	return p != nil && !p.Down && (family == 4 || p.MTU >= leastMTU6)
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return 4
	}
	return 6
}

// alive are the hops of a route that can be used: those over ports that are up.
func (s *State) alive(r Route) (hops []Hop) {
	for _, h := range r.Hops {
		if s.port(h.Port).carries(familyOf(r.Prefix.Addr())) {
			hops = append(hops, h)
		}
	}
	return hops
}

// lookup is RFC 1812 5.2.4.3: the longest prefix wins (checklist 16), then what
// addresses bring, then the lowest metric, then the first. It looks at all routes.
func (s *State) lookup(dst netip.Addr) found {
	best, bestMetric := found{}, uint32(0)
	consider := func(r found, metric uint32) {
		if best.Kind == none || r.Prefix.Bits() > best.Prefix.Bits() ||
			r.Prefix.Bits() == best.Prefix.Bits() && metric < bestMetric {
			best, bestMetric = r, metric
		}
	}
	s.addressRoutes(dst, consider)
	for _, r := range s.Routes {
		if !r.Prefix.Contains(dst) || r.Kind == Unicast && len(s.alive(r)) == 0 {
			continue // a route whose ports are all down is none
		}
		metric := r.Metric
		if metric == 0 && dst.Is6() {
			metric = metricDefault6
		}
		consider(found{Route: r}, metric+1) // the local table is asked before the main one
	}
	return best
}

// addressRoutes are those that addresses bring and that contain dst.
func (s *State) addressRoutes(dst netip.Addr, consider func(found, uint32)) {
	add := func(p netip.Prefix, kind RouteKind, metric uint32, from netip.Addr, port string) {
		if p.Contains(dst) {
			r := Route{Prefix: p, Kind: kind}
			if kind == Unicast {
				r.Hops = []Hop{{Port: port, Weight: 1}}
			}
			consider(found{r, from}, metric)
		}
	}
	for i := range s.Ports {
		p := &s.Ports[i]
		for _, a := range p.Addrs {
			addr, subnet := a.Addr(), a.Masked()
			if familyOf(addr) != familyOf(dst) {
				continue
			}
			up := p.carries(familyOf(addr))
			if addr.Is4() || up { // Linux: IPv6 addresses go with the link, IPv4's stay
				add(host(addr), local, 0, addr, "")
			}
			switch {
			case !up:
			case addr.Is4():
				if a.Bits() < 31 { // RFC 919; RFC 3021: /31 has none (checklist 51)
					add(host(last(a)), broadcast, 0, addr, "")
				}
				if a.Bits() < 32 && !p.isSecondary(a) {
					add(subnet, Unicast, 1, addr, p.Name)
				}
			default:
				if a.Bits() < 127 && p.IPv6 { // RFC 4291 2.6.1, RFC 6164 5 (checklist 50)
					add(host(subnet.Addr()), local, 0, addr, "")
				}
				add(subnet, Unicast, metricAddress6+1, addr, p.Name)
			}
		}
	}
}

// isSecondary tells whether an earlier address of the port is in the same subnet.
func (p *Port) isSecondary(a netip.Prefix) bool {
	for _, o := range p.Addrs {
		if o == a {
			return false
		}
		if o.Masked() == a.Masked() {
			return true
		}
	}
	return false
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// last is the last address of an IPv4 subnet.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// to is the neighbor that a packet goes to.
func (h Hop) to(dst netip.Addr) netip.Addr {
	if h.Gateway.IsValid() {
		return h.Gateway
	}
	return dst
}

// neighbor is what is known of one: nothing on a port that does not carry its family.
func (s *State) neighbor(port string, a netip.Addr) Neighbor {
	if !s.port(port).carries(familyOf(a)) {
		return Neighbor{}
	}
	for _, n := range s.Neighbors {
		if n.Port == port && n.Addr == a {
			return n
		}
	}
	return Neighbor{}
}

func (n Neighbor) usable() bool { return n.State == Permanent }

// own tells whether an address is the router's.
func (s *State) own(a netip.Addr) bool {
	for i := range s.Ports {
		p := &s.Ports[i]
		for _, o := range p.Addrs {
			if o.Addr() == a && (a.Is4() || p.carries(6)) {
				return true
			}
		}
	}
	return false
}
