package bgp

import (
	"strings"
	"testing"
)

// A path whose next hop leads nowhere is not used, though it is better than others, and nobody
// is told of it, until there is a way to the next hop. The session stays.
func TestLostNextHop(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	leaf := newNamespace(t)
	wire(t, b.netns, leaf, "toC", "toB")
	b.ip("addr add 10.0.3.1/24 dev toC")
	ip(t, "-n "+leaf+" addr add 10.0.3.2/24 dev toB")
	c := newRouter(t, leaf)
	a.apply(`  as: 65001
  neighbors: [{address: 192.0.2.2, remote_as: internal, export_policy: [far]}]
  networks: [{prefix: 198.18.0.0/15, always: true}, {prefix: 198.51.100.0/24, always: true}]
  policy-definitions:
    - name: far
      statements: [{actions: {bgp-actions: {set-next-hop: 203.0.113.1, set-local-pref: 200}}}]
`)
	c.apply("  as: 65003\n  neighbors: [{address: 10.0.3.1, remote_as: 65001}]\n  networks: [{prefix: 198.18.0.0/15, always: true}]")
	b.ip("route add 203.0.113.0/24 via 192.0.2.1")
	b.apply("  as: 65001\n  neighbors: [{address: 192.0.2.1, remote_as: internal}, {address: 10.0.3.2, remote_as: 65003}]")
	far := []string{"198.18.0.0/15 via 203.0.113.1 metric 200", "198.51.100.0/24 via 203.0.113.1 metric 200"}
	b.hasRoutes(far...)
	c.hasRoutes("198.51.100.0/24 via 10.0.3.1 metric 20")
	since := b.neighbor("192.0.2.1").Since

	b.ip("route del 203.0.113.0/24")
	b.hasRoutes("198.18.0.0/15 via 10.0.3.2 metric 20")
	c.hasRoutes()
	if got := b.paths(Filter{Table: AdjIn, Neighbor: "192.0.2.1"}); strings.Count(got, "filtered") != 2 {
		t.Errorf("adj-rib-in:\n%s", got)
	}
	eventually(t, func() string {
		if n := b.neighbor("192.0.2.1"); n.Families[0].Received != 2 || n.Families[0].Accepted != 0 {
			return "the paths count"
		}
		return ""
	})

	b.ip("route add 203.0.113.1 via 192.0.2.1")
	b.hasRoutes(far...)
	c.hasRoutes("198.51.100.0/24 via 10.0.3.1 metric 20")
	if now := b.neighbor("192.0.2.1").Since; now != since {
		t.Errorf("the session began %v, then %v", since, now)
	}
}
