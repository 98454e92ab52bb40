package bgp

import (
	"strings"
	"testing"
)

// Routes are advertised while they are there, and not a moment longer; what BGP
// itself has brought is not.
func TestRedistribute(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	const neighbors = "  as: 65001\n  graceful_restart: {enabled: false}\n  neighbors: [{address: 192.0.2.2, remote_as: 65002}, {address: '2001:db8::2', remote_as: 65002}]\n"
	b.apply("  as: 65002\n  neighbors: [{address: 192.0.2.1, remote_as: 65001}, {address: '2001:db8::1', remote_as: 65001}]\n  networks: [{prefix: 203.0.113.0/24, always: true}]")
	a.apply(neighbors + "  redistribute: [{source: connected}, {source: kernel}]")
	a.established("192.0.2.2", "2001:db8::2")
	via := func(prefixes ...string) (all []string) {
		for _, p := range prefixes {
			gateway := "192.0.2.1"
			if strings.Contains(p, ":") {
				gateway = "2001:db8::1"
			}
			all = append(all, p+" via "+gateway+" metric 20")
		}
		return all
	}
	b.hasRoutes(via("192.0.2.0/24", "2001:db8::/64")...)
	a.hasRoutes("203.0.113.0/24 via 192.0.2.2 metric 20")
	a.ip("addr add 10.9.9.9/32 dev lo")
	a.ip("route add 10.8.0.0/16 via 192.0.2.2")
	a.ip("route add 2001:db8:8::/48 via 2001:db8::2")
	b.hasRoutes(via("10.8.0.0/16", "10.9.9.9/32", "192.0.2.0/24", "2001:db8::/64", "2001:db8:8::/48")...)
	a.ip("addr del 10.9.9.9/32 dev lo")
	a.ip("route del 10.8.0.0/16")
	a.ip("route del 2001:db8:8::/48")
	b.hasRoutes(via("192.0.2.0/24", "2001:db8::/64")...)

	t.Log("static routes, and those of BGP beside them")
	static := "routes: [{prefix: 10.7.0.0/16, via: 192.0.2.2}]\n"
	a.must(request{Apply: new("version: 1\n" + static + "bgp:\n" + neighbors + "  redistribute: [{source: static}]")})
	b.hasRoutes(via("10.7.0.0/16")...)
	a.ip("link add other type veth peer name another")
	a.ip("link set other up")
	a.ip("link set another up")
	a.ip("addr add 10.6.0.1/24 dev other")
	a.must(request{Apply: new("version: 1\nroutes: [{prefix: 10.7.0.0/16, via: 10.6.0.2}]\nbgp:\n" + neighbors + "  redistribute: [{source: static}]")})
	b.hasRoutes(via("10.7.0.0/16")...)
	a.ip("link set other down") // the static route leads nowhere
	b.hasRoutes()
	a.ip("link set other up")
	b.hasRoutes(via("10.7.0.0/16")...)
	a.must(request{Apply: new("version: 1\nbgp:\n" + neighbors + "  redistribute: [{source: static}]")})
	b.hasRoutes()
}
