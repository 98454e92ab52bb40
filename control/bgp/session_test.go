package bgp

import (
	"maps"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
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
	if n := b.neighbor("192.0.2.1"); n.AS != 65001 || n.Internal || n.Families[0].Received != 1 || n.Timers.Hold.Seconds() != 90 || n.RouterID.String() != "192.0.2.1" || n.Since.IsZero() ||
		n.LocalAddress.String() != "192.0.2.2" || n.Established != 1 || n.Received.Update == 0 || n.Received.Open != 1 ||
		n.Families[0].Accepted != 1 {
		t.Errorf("neighbor: %+v", n)
	}
	if x, y := a.neighbor("192.0.2.2"), b.neighbor("192.0.2.1"); x.LocalPort == 0 || x.LocalPort != y.RemotePort || x.RemotePort != y.LocalPort ||
		x.LocalPort != 179 && x.RemotePort != 179 {
		t.Errorf("ports: %d to %d, and %d to %d", x.LocalPort, x.RemotePort, y.LocalPort, y.RemotePort)
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

// Unnumbered neighbors find each other, whatever comes first, and IPv4 goes through their
// link-local addresses (RFC 8950).
func TestUnnumbered(t *testing.T) {
	t.Parallel()
	na, nb := newNamespace(t), newNamespace(t)
	a, b := newRouter(t, na), newRouter(t, nb)
	a.apply("  as: 65001\n  router_id: 10.0.0.1\n  neighbors: [{interface: toB, remote_as: external}]\n" +
		"  networks: [{prefix: 198.18.0.0/15, always: true}, {prefix: '2001:db8:a::/48', always: true}]")
	b.apply("  as: 65002\n  router_id: 10.0.0.2\n  neighbors: [{interface: toA, remote_as: external}]")
	if n := a.neighbor("toB"); n.Waiting != "interface toB" || n.State != Idle {
		t.Errorf("neighbor without interface: %+v", n)
	}
	wire(t, na, nb, "toB", "toA")
	b.established("toA")
	first := a.linkLocal("toB")
	has := func(gateway string) {
		t.Helper()
		b.hasRoutes("198.18.0.0/15 via "+gateway+" dev toA metric 20", "2001:db8:a::/48 via "+gateway+" dev toA metric 20")
	}
	has(first)

	t.Log("the interface goes, and comes again with other addresses")
	a.ip("link del toB")
	b.hasRoutes()
	wire(t, na, nb, "toB", "toA")
	b.established("toA")
	second := a.linkLocal("toB")
	if second == first {
		t.Fatalf("%s again", first)
	}
	has(second)

	t.Log("the neighbor's address changes")
	a.ip("link set toB down")
	b.hasRoutes()
	a.ip("link set toB address 02:00:00:00:00:77")
	a.ip("link set toB up")
	has("fe80::ff:fe00:77")
	if n := b.neighbor("toA"); n.Address.String() != "fe80::ff:fe00:77%toA" || n.AS != 65001 || !n.Families[0].EndOfRIB {
		t.Errorf("neighbor: %+v", n)
	}
}

// linkLocal returns the address of an interface.
func (r *router) linkLocal(dev string) string {
	r.Helper()
	out, err := exec.Command("ip", "-n", r.netns, "-6", "-o", "addr", "show", "dev", dev, "scope", "link").Output()
	if err != nil {
		r.Fatal(err)
	}
	fields := strings.Fields(string(out))
	addr, _, _ := strings.Cut(fields[3], "/")
	return addr
}

// IPv4 over an IPv6 session, through a global next hop that the RIB resolves.
func TestIPv4OverIPv6(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	a.apply("  as: 65001\n  neighbors: [{address: '2001:db8::2', remote_as: 65002, families: [ipv4-unicast, ipv6-unicast]}]\n" +
		"  networks: [{prefix: 198.18.0.0/15, always: true}]")
	b.apply("  as: 65002\n  neighbors: [{address: '2001:db8::1', remote_as: 65001, families: [ipv4-unicast, ipv6-unicast]}]")
	b.hasRoutes("198.18.0.0/15 via 2001:db8::1 metric 20")
	for _, c := range b.neighbor("2001:db8::1").Capabilities {
		if c.Name == "extended-nexthop" && (!c.Local || !c.Remote || c.Text != "ipv4-unicast") {
			t.Errorf("capability %+v", c)
		}
	}
}

// IPv6 over an IPv4 session: the next hop is our IPv6 address on the way there, also when
// that changes.
func TestIPv6OverIPv4(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	a.apply("  as: 65001\n  neighbors: [{address: 192.0.2.2, remote_as: 65002, families: [ipv4-unicast, ipv6-unicast]}]\n" +
		"  networks: [{prefix: '2001:db8:a::/48', always: true}]")
	b.apply("  as: 65002\n  neighbors: [{address: 192.0.2.1, remote_as: 65001, families: [ipv4-unicast, ipv6-unicast]}]")
	b.hasRoutes("2001:db8:a::/48 via 2001:db8::1 metric 20")
	a.ip("addr add 2001:db8::11/64 dev toB nodad")
	a.ip("addr del 2001:db8::1/64 dev toB")
	b.hasRoutes("2001:db8:a::/48 via 2001:db8::11 metric 20")
	a.ip("addr del 2001:db8::11/64 dev toB")
	b.hasRoutes()
}

// Paths that are as good as the best are used together, up to the width; what a
// neighbor takes back leaves the others.
func TestECMP(t *testing.T) {
	t.Parallel()
	hub := newNamespace(t)
	var neighbors []string
	var leaves []*router
	for i := range 3 {
		n := string(rune('1' + i))
		leaf := newNamespace(t)
		wire(t, hub, leaf, "to"+n, "hub")
		ip(t, "-n "+hub+" addr add 10.0."+n+".1/24 dev to"+n)
		ip(t, "-n "+leaf+" addr add 10.0."+n+".2/24 dev hub")
		r := newRouter(t, leaf)
		r.apply("  as: 6500" + n + "\n  neighbors: [{address: 10.0." + n + ".1, remote_as: 65100}]\n  networks: [{prefix: 198.18.0.0/15, always: true}]")
		leaves, neighbors = append(leaves, r), append(neighbors, "{address: 10.0."+n+".2, remote_as: external}")
	}
	h := newRouter(t, hub)
	section := func(width string) string {
		return "  as: 65100\n  maximum_paths: " + width + "\n  neighbors: [" + strings.Join(neighbors, ", ") + "]"
	}
	h.apply(section("4"))
	h.established("10.0.1.2", "10.0.2.2", "10.0.3.2")
	has := func(what string, dead int, names ...string) {
		t.Helper()
		eventually(t, func() string {
			got := h.routes()
			for _, name := range names {
				if !strings.Contains(got, " via 10.0."+name+".2 metric 20") {
					return what + ": " + got
				}
			}
			if strings.Count(got, "via") != len(names) || strings.Count(got, "dead") != dead {
				return what + ": " + got
			}
			return ""
		})
	}
	has("three", 0, "1", "2", "3")
	h.ip("link set to1 down") // the session ends with it, long before the hold time does
	has("without the one whose link is down", 0, "2", "3")
	if n := h.neighbor("10.0.1.2"); n.State == Established || n.LastDown == "" {
		t.Errorf("session over a link that is down: %+v", n)
	}
	if got := strings.Count(h.paths(Filter{Best: true}), "best"); got != 2 {
		t.Errorf("%d best paths, want 2", got)
	}
	leaves[1].apply("  as: 65002\n  neighbors: [{address: 10.0.2.1, remote_as: 65100}]")
	has("another was withdrawn", 0, "3")
}

// A session comes back with the link at once, and not when it is time to connect again.
func TestLinkReturns(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	a.apply("  as: 65001\n  neighbors: [{address: 192.0.2.2, remote_as: 65002, passive: true}]\n  networks: [{prefix: 198.18.0.0/15, always: true}]")
	b.apply("  as: 65002\n  neighbors: [{address: 192.0.2.1, remote_as: 65001, timers: {connect_retry: 600s}}]")
	b.hasRoutes("198.18.0.0/15 via 192.0.2.1 metric 20")
	b.ip("link set toA down")
	b.hasRoutes()
	time.Sleep(5 * time.Second) // GoBGP does not tell that it has tried in vain
	b.ip("link set toA up")
	b.hasRoutes("198.18.0.0/15 via 192.0.2.1 metric 20")
}
