package bgp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"weft/control/config"
)

// hasPrefixes waits for so many IPv4 prefixes.
func (r *router) hasPrefixes(want uint64) {
	r.Helper()
	eventually(r, func() string {
		if got := r.must(request{State: true}).Status.Prefixes[string(config.IPv4Unicast)]; got != want {
			return fmt.Sprintf("%s has %d prefixes, want %d", r.netns, got, want)
		}
		return ""
	})
}

// Prefixes come in their order, also more of them than are asked for at a time, and
// those of each table.
func TestPathsInOrder(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	var networks []string
	const many = orderChunk + 7
	for i := range many {
		networks = append(networks, fmt.Sprintf("{prefix: 10.%d.%d.0/24, always: true}", i>>8, i&255))
	}
	a.apply("  as: 65001\n  networks: [{prefix: 10.0.0.0/8, always: true}, {prefix: '2001:db8:1::/48', always: true}, " + strings.Join(networks, ",\n    ") +
		"]\n  neighbors: [{address: 192.0.2.2, remote_as: 65002}]")
	b.apply("  as: 65002\n  neighbors: [{address: 192.0.2.1, remote_as: 65001}]")
	b.hasPrefixes(many + 1)
	for _, c := range []struct {
		router *router
		filter Filter
		want   int
	}{
		{b, Filter{}, many + 1}, {b, Filter{Best: true, Neighbor: "192.0.2.1"}, many + 1}, {b, Filter{Table: AdjIn, Neighbor: "192.0.2.1"}, many + 1},
		{a, Filter{}, many + 2}, {a, Filter{Table: AdjOut, Neighbor: "192.0.2.2"}, many + 1}, {a, Filter{Family: config.IPv6Unicast}, 1},
		{b, Filter{Prefix: netip.MustParsePrefix("10.1.0.0/16"), Longer: true}, 256}, {b, Filter{Prefix: netip.MustParsePrefix("10.1.0.0/24")}, 1},
	} {
		var prefixes []netip.Prefix
		for _, p := range c.router.must(request{Filter: &c.filter}).Paths {
			prefixes = append(prefixes, p.Prefix)
		}
		if len(prefixes) != c.want || !slices.IsSortedFunc(prefixes, netip.Prefix.Compare) {
			t.Errorf("%+v: %d of %d prefixes, %v...", c.filter, len(prefixes), c.want, prefixes[:min(len(prefixes), 5)])
		}
	}
}

// To look at what a neighbor has sent changes nothing of it.
func TestLookAtAdjIn(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	a.apply(announcing + "  neighbors: [{address: 192.0.2.2, remote_as: 65002}]")
	b.apply("  as: 65002\n  neighbors: [{address: 192.0.2.1, remote_as: 65001, import_policy: [paint]}]\n" + policies)
	b.hasPrefixes(3)
	prefix := netip.MustParsePrefix("10.1.0.0/16")
	chosen := b.paths(Filter{Prefix: prefix})
	if !strings.Contains(chosen, "as [65001 65001 65001]") {
		t.Fatalf("the policy prepends nothing: %s", chosen)
	}
	for range 3 {
		if sent := b.paths(Filter{Table: AdjIn, Neighbor: "192.0.2.1", Prefix: prefix}); !strings.Contains(sent, "as [65001]") {
			t.Errorf("adj-rib-in: %s", sent)
		}
	}
	b.must(request{Clear: new("192.0.2.1"), How: SoftIn})
	b.hasPrefixes(3)
	if again := b.paths(Filter{Prefix: prefix}); again != chosen {
		t.Errorf("after the policies were applied again: %s, before %s", again, chosen)
	}
}
