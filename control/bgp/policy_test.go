package bgp

import (
	"net/netip"
	"strings"
	"testing"

	"weft/control/config"
)

// policies is what tests' configurations name.
const policies = `  defined-sets:
    prefix-sets:
      - {prefix-set-name: tens, prefix-list: [{ip-prefix: 10.0.0.0/8, masklength-range: 16..24}]}
    neighbor-sets:
      - {neighbor-set-name: both, neighbor-info-list: [192.0.2.0/24]}
      - {neighbor-set-name: nobody, neighbor-info-list: [eth99]}
    bgp-defined-sets:
      community-sets: [{community-set-name: blue, community-list: ["65001:7"]}]
  policy-definitions:
    - name: only-tens
      statements:
        - {conditions: {match-prefix-set: {prefix-set: tens}}, actions: {route-disposition: accept-route, bgp-actions: {set-local-pref: 150}}}
        - {conditions: {match-neighbor-set: {neighbor-set: nobody}}, actions: {route-disposition: accept-route}}
    - name: paint
      statements:
        - conditions: {match-neighbor-set: {neighbor-set: both}}
          actions: {bgp-actions: {set-med: 77, set-as-path-prepend: {as: 65001, repeat-n: 2}, set-community: {options: add, set-community-method: {communities-list: ["65001:7"]}}}}
    - name: blue
      statements:
        - {conditions: {bgp-conditions: {match-community-set: {community-set: blue}}}, actions: {route-disposition: reject-route}}
`

const announcing = "  as: 65001\n  networks: [{prefix: 10.1.0.0/16, always: true}, {prefix: 10.2.3.0/24, always: true}, {prefix: 172.16.0.0/12, always: true}]\n"

// Import policies are of one neighbor, and applied again when they change; what they
// refuse can be seen.
func TestImportPolicy(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	a.apply(announcing + "  neighbors: [{address: 192.0.2.2, remote_as: 65002}]")
	receiver := func(neighbor, rest string) string {
		return "  as: 65002\n  neighbors: [{address: 192.0.2.1, remote_as: 65001" + neighbor + "}, {address: 192.0.2.77, remote_as: 65077, default_import: reject-route}]\n" + rest
	}
	b.apply(receiver(", import_policy: [only-tens], default_import: reject-route", policies))
	tens := []string{"10.1.0.0/16 via 192.0.2.1 metric 20", "10.2.3.0/24 via 192.0.2.1 metric 20"}
	b.hasRoutes(tens...)
	if got := b.paths(Filter{Table: AdjIn, Neighbor: "192.0.2.1"}); strings.Count(got, "\n") != 2 || !strings.Contains(got, "172.16.0.0/12 via 192.0.2.1 as [65001] filtered") {
		t.Errorf("adj-rib-in:\n%s", got)
	}
	for _, p := range b.must(request{Filter: &Filter{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Longer: true}}).Paths {
		if p.LocalPref == nil || *p.LocalPref != 150 || !p.Best || p.Neighbor != "192.0.2.1" {
			t.Errorf("%+v", p)
		}
	}
	since := b.neighbor("192.0.2.1").Since
	b.apply(receiver("", policies))
	b.hasRoutes(append(tens, "172.16.0.0/12 via 192.0.2.1 metric 20")...)
	b.apply(receiver("", "  default_import: reject-route"))
	b.hasRoutes()
	if n := b.neighbor("192.0.2.1"); n.Since != since || n.Families[0].Received != 3 {
		t.Errorf("the session began %v, then %v: %+v", since, n.Since, n.Families)
	}
}

// Export policies, and those of what is redistributed; nobody sees how they tell
// one from the other.
func TestExportPolicy(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	b.apply("  as: 65002\n  neighbors: [{address: 192.0.2.1, remote_as: 65001}]")
	const mine = "  neighbors: [{address: 192.0.2.2, remote_as: 65002, export_policy: [paint]}]\n"
	a.apply(announcing + mine + policies)
	b.established("192.0.2.1")
	has := func(want ...string) {
		t.Helper()
		eventually(t, func() string {
			if got := b.paths(Filter{}); got != strings.Join(want, "\n") {
				return got
			}
			return ""
		})
	}
	painted := " via 192.0.2.1 as [65001 65001 65001] best"
	has("10.1.0.0/16"+painted, "10.2.3.0/24"+painted, "172.16.0.0/12"+painted)
	for _, p := range b.must(request{Filter: &Filter{}}).Paths {
		if p.MED == nil || *p.MED != 77 || strings.Join(p.Communities, " ") != "65001:7" || p.Origin != "igp" || p.LargeCommunities != nil {
			t.Errorf("%+v", p)
		}
	}
	a.apply(strings.Replace(announcing, "{prefix: 10.1.0.0/16, always: true}", "{prefix: 10.1.0.0/16, always: true, policy: [paint-it]}", 1) +
		"  neighbors: [{address: 192.0.2.2, remote_as: 65002, export_policy: [blue]}]\n" + policies +
		"    - {name: paint-it, statements: [{actions: {bgp-actions: {set-community: {options: add, set-community-method: {communities-list: [\"65001:7\"]}}}}}]}\n")
	plain := " via 192.0.2.1 as [65001] best"
	has("10.2.3.0/24"+plain, "172.16.0.0/12"+plain)
	a.apply(strings.Replace(announcing, "{prefix: 10.1.0.0/16, always: true}", "{prefix: 10.1.0.0/16, always: true, policy: [paint-it]}", 1) +
		"  neighbors: [{address: 192.0.2.2, remote_as: 65002}]\n" + policies +
		"    - {name: paint-it, statements: [{actions: {bgp-actions: {set-community: {options: add, set-community-method: {communities-list: [\"65001:7\"]}}}}}]}\n")
	has("10.1.0.0/16"+plain, "10.2.3.0/24"+plain, "172.16.0.0/12"+plain)
	for _, p := range b.must(request{Filter: &Filter{Prefix: netip.MustParsePrefix("10.1.0.0/16")}}).Paths {
		if strings.Join(p.Communities, " ") != "65001:7" || p.LargeCommunities != nil {
			t.Errorf("%+v", p)
		}
	}
}

// What GoBGP does not take is refused before anything changes.
func TestPolicyRefused(t *testing.T) {
	t.Parallel()
	r := newRouter(t, newNamespace(t))
	const good = "  as: 65001\n  router_id: 10.0.0.1\n  listen_port: 1790\n"
	r.apply(good)
	bad := good + "  defined-sets: {bgp-defined-sets: {community-sets: [{community-set-name: x, community-list: [\"65000:999999\"]}]}}\n" +
		"  import_policy: [p]\n  policy-definitions: [{name: p, statements: [{conditions: {bgp-conditions: {match-community-set: {community-set: x}}}, actions: {bgp-actions: {set-community: {options: add, set-community-method: {communities-list: [nonsense]}}}}}]}]"
	if _, err := r.ask(request{Apply: whole(bad)}); err == nil || !strings.Contains(err.Error(), "policies") {
		t.Errorf("taken: %v", err)
	}
	if s := r.must(request{State: true}).Status; s.AS != 65001 || s.RouterID.String() != "10.0.0.1" || len(s.Listen) != 2 || s.Listen[0].Port() != 1790 {
		t.Errorf("%+v", s)
	}
}

// A statement that asks for neighbors is one neighbor's where that is among them.
func TestCompile(t *testing.T) {
	c, err := config.Parse("f", []byte("version: 1\nbgp:\n  as: 65001\n  neighbors: [{address: 192.0.2.2, remote_as: 65002, export_policy: [paint]}, {address: 203.0.113.1, remote_as: 65003, export_policy: [paint], next_hop_self: true}, {interface: eth0, remote_as: external, default_export: reject-route}]\n"+policies))
	if err != nil {
		t.Fatal(err)
	}
	p, err := compile(c.BGP, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range p.out.Statements {
		got = append(got, s.Conditions.NeighborSet.GetName())
	}
	if text := strings.Join(got, ", "); text != "neighbor 192.0.2.2, neighbor 203.0.113.1" || len(p.in.Statements) != 1 {
		t.Errorf("%s; %d import statements, want one against loops", text, len(p.in.Statements))
	}
	p, err = compile(c.BGP, map[string]netip.Addr{"eth0": netip.MustParseAddr("fe80::7%eth0")}, nil, nil)
	if last := p.out.Statements[len(p.out.Statements)-1]; err != nil || last.Conditions.NeighborSet.Name != "neighbor fe80::7" {
		t.Errorf("%v, %v", last, err)
	}
}
