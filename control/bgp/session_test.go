package bgp

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func sorted(byPrefix map[netip.Prefix]string) string {
	var all []string
	for _, p := range slices.SortedFunc(maps.Keys(byPrefix), netip.Prefix.Compare) {
		all = append(all, p.String()+byPrefix[p])
	}
	return strings.Join(all, "\n")
}

// two makes two routers on one wire, a has 192.0.2.1 and 2001:db8::1, b the next.
func two(t *testing.T) (a, b *router) {
	na, nb := newNamespace(t), newNamespace(t)
	wire(t, na, nb, "toB", "toA")
	ip(t, "-n "+na+" addr add 192.0.2.1/24 dev toB")
	ip(t, "-n "+nb+" addr add 192.0.2.2/24 dev toA")
	ip(t, "-n "+na+" addr add 2001:db8::1/64 dev toB nodad")
	ip(t, "-n "+nb+" addr add 2001:db8::2/64 dev toA nodad")
	return newRouter(t, na), newRouter(t, nb)
}

// Numbered neighbors exchange routes, which are in the RIB with the preference of their sort,
// and gone when they are withdrawn.
func TestNumbered(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	const common = "  graceful_restart: {enabled: false}\n"
	a.apply("  as: 65001\n" + common + "  neighbors: [{address: 192.0.2.2, remote_as: 65002}, {address: '2001:db8::2', remote_as: internal, local_as: 65002}]\n" +
		"  networks: [{prefix: 198.18.0.0/15, always: true}, {prefix: '2001:db8:a::/48', always: true}]")
	b.apply("  as: 65002\n" + common + "  neighbors: [{address: 192.0.2.1, remote_as: external}, {address: '2001:db8::1', remote_as: 65002}]")
	b.established("192.0.2.1", "2001:db8::1")
	b.hasRoutes("198.18.0.0/15 via 192.0.2.1 metric 20", "2001:db8:a::/48 via 2001:db8::1 metric 200")
	if n := b.neighbor("192.0.2.1"); n.AS != 65001 || n.Internal || n.Families[0].Received != 1 || n.Timers.Hold.Seconds() != 90 || n.RouterID.String() != "192.0.2.1" || n.Since.IsZero() {
		t.Errorf("neighbor: %+v", n)
	}
	if n := a.neighbor("192.0.2.2"); n.Families[0].Advertised != 1 || n.LocalAS != 65001 {
		t.Errorf("neighbor: %+v", n)
	}
	if got := b.paths(Filter{Prefix: netip.MustParsePrefix("198.18.0.0/15")}); got != "198.18.0.0/15 via 192.0.2.1 as [65001] best" {
		t.Errorf("paths: %s", got)
	}
	a.apply("  as: 65001\n" + common + "  neighbors: [{address: 192.0.2.2, remote_as: 65002}, {address: '2001:db8::2', remote_as: internal, local_as: 65002}]\n" +
		"  networks: [{prefix: 198.18.0.0/15}, {prefix: '2001:db8:a::/48', always: true}]")
	b.hasRoutes("2001:db8:a::/48 via 2001:db8::1 metric 200")
	a.ip("route add blackhole 198.18.0.0/15")
	b.hasRoutes("198.18.0.0/15 via 192.0.2.1 metric 20", "2001:db8:a::/48 via 2001:db8::1 metric 200")
	a.ip("route del blackhole 198.18.0.0/15")
	b.hasRoutes("2001:db8:a::/48 via 2001:db8::1 metric 200")
	a.kill()
	b.hasRoutes()
}
