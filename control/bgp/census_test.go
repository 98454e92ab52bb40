package bgp

import (
	"fmt"
	"testing"

	"weft/control/config"
)

// What is counted of a neighbor is what is left of its paths: none that the policies refuse,
// and none with our AS. The table is counted as GoBGP has it, own prefixes
// and such that the RIB does not take among them.
func TestCounts(t *testing.T) {
	t.Parallel()
	for _, width := range []string{"1", "4"} {
		t.Run("maximum_paths="+width, func(t *testing.T) {
			t.Parallel()
			testCounts(t, width)
		})
	}
}

func testCounts(t *testing.T, width string) {
	a, b := two(t)
	a.apply(`  as: 65001
  neighbors: [{address: 192.0.2.2, remote_as: 65002, export_policy: [loop]}]
  networks:
    - {prefix: 10.1.0.0/16, always: true}
    - {prefix: 10.2.3.0/24, always: true}
    - {prefix: 10.3.0.0/16, always: true}
    - {prefix: 172.16.0.0/12, always: true}
    - {prefix: 127.1.0.0/16, always: true}
  defined-sets: {prefix-sets: [{prefix-set-name: third, prefix-list: [{ip-prefix: 10.3.0.0/16}]}]}
  policy-definitions:
    - name: loop
      statements: [{conditions: {match-prefix-set: {prefix-set: third}}, actions: {bgp-actions: {set-as-path-prepend: {as: 65002, repeat-n: 1}}}}]
`)
	section := func(policy, networks string) string {
		return "  as: 65002\n  maximum_paths: " + width + "\n  neighbors: [{address: 192.0.2.1, remote_as: 65001" + policy + "}]\n  networks: [" + networks + "]\n" + policies
	}
	has := func(received, accepted, prefixes, paths, installed, refused uint64) {
		t.Helper()
		want := fmt.Sprintf("%d received, %d accepted; table %d, %d; %d installed, %d refused", received, accepted, prefixes, paths, installed, refused)
		eventually(t, func() string {
			n := b.neighbor("192.0.2.1").Families[0]
			s := b.must(request{State: true}).Status
			table := b.must(request{Table: true}).Status
			const family = string(config.IPv4Unicast)
			got := fmt.Sprintf("%d received, %d accepted; table %d, %d; %d installed, %d refused",
				n.Received, n.Accepted, s.Prefixes[family], s.Paths[family], s.Installed, s.Refused)
			if s.Prefixes[family] != table.Prefixes[family] || s.Paths[family] != table.Paths[family] || got != want {
				return fmt.Sprintf("%s; GoBGP has %v, %v; want %s", got, table.Prefixes, table.Paths, want)
			}
			return ""
		})
	}
	b.apply(section("", ""))
	has(5, 4, 4, 4, 3, 1)
	b.apply(section(", import_policy: [only-tens], default_import: reject-route", ""))
	has(5, 2, 2, 2, 2, 0)
	b.apply(section(", import_policy: [only-tens], default_import: reject-route", "{prefix: 10.1.0.0/16, always: true}, {prefix: 198.18.0.0/15, always: true}"))
	has(5, 2, 3, 4, 2, 0) // the policy prefers the other 10.1.0.0/16 to our own
	b.apply(section("", "{prefix: 10.1.0.0/16, always: true}"))
	has(5, 4, 4, 5, 2, 1)
}
