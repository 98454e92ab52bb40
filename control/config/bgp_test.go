package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// bgpMistakes are sections with the key bgp, at column 3 from line 3 on.
var bgpMistakes = []struct{ text, want string }{
	{"{}", "2:6: bgp: as is missing: add 'as: ...'"},
	{"{as: 0}", "2:11: bgp.as: 0: out of range: want a number from 1 to 4294967294"},
	{"{as: 1, router_id: '2001:db8::1'}", `2:25: bgp.router_id: "2001:db8::1": not an identifier of a router: want one like 192.0.2.1`},
	{"{as: 1, neighbors: [{remote_as: 2}]}", "2:26: bgp.neighbors[0]: neither address nor interface: add 'address: ADDRESS' or 'interface: INTERFACE'"},
	{"{as: 1, neighbors: [{address: 192.0.2.1}]}", "2:26: bgp.neighbors[0]: remote_as is missing: add 'remote_as: ...'"},
	{"{as: 1, neighbors: [{address: 192.0.2.1, remote_as: other}]}", "2:58: bgp.neighbors[0].remote_as: other: not an autonomous system: want a number from 1 to 4294967294, external or internal"},
	{"{as: 1, neighbors: [{address: 192.0.2.1, interface: e, remote_as: 2}]}", "2:58: bgp.neighbors[0].interface: address is there, too: keep one of them"},
	{"{as: 1, neighbors: [{address: 'fe80::1', remote_as: 2}]}", "2:36: bgp.neighbors[0].address: fe80::1 is on every link: name the interface instead: 'interface: INTERFACE'"},
	{"{as: 1, neighbors: [{address: 192.0.2.1, remote_as: 2}, {address: 192.0.2.1, remote_as: 3}]}", "2:72: bgp.neighbors[1].address: bgp.neighbors[0] has the same one: keep one of them"},
	{"{as: 1, neighbors: [{address: 192.0.2.1, remote_as: 2, import_policy: [p]}]}", "2:25: bgp.neighbors: p: no such policy: add it to policy-definitions"},
	{"{as: 1, neighbors: [{address: 192.0.2.1, remote_as: 2, timers: {hold: 1s}}]}", "2:76: bgp.neighbors[0].timers.hold: 1s: out of range: want 3s to 65535s"},
	{"{as: 1, neighbors: [{address: 192.0.2.1, remote_as: 2, password: <hidden>}]}", "2:71: bgp.neighbors[0].password: what is shown is not the password: write the password"},
	{"{as: 1, neighbors: [{address: 192.0.2.1, remote_as: 2, families: [ipv4]}]}", `2:72: bgp.neighbors[0].families[0]: "ipv4": no such value: did you mean ipv4-unicast?`},
	{"{as: 1, neighbors: [{address: 192.0.2.1, remote_as: 2, route_reflector_client: true}]}", "2:25: bgp.neighbors: 192.0.2.1 is a route reflector client and external: want an internal neighbor"},
	{"{as: 1, redistribute: [{source: ospf}]}", `2:38: bgp.redistribute[0].source: "ospf": no such value: want one of connected, static, kernel`},
	{"{as: 1, policy-definitions: [{name: p, statements: [{conditions: {match-prefix-set: {prefix-set: ps}}}]}]}", "2:103: bgp.policy-definitions[0].statements[0].conditions.match-prefix-set.prefix-set: ps: no such set: add it to defined-sets"},
	{"{as: 1, policy-definitions: [{name: p, statements: [{actions: {bgp-actions: {set-med: ten}}}]}]}", `2:92: bgp.policy-definitions[0].statements[0].actions.bgp-actions.set-med: "ten": not a MED: want one like 100, +10 or -10`},
	{"{as: 1, defined-sets: {prefix-sets: [{prefix-set-name: p, prefix-list: [{ip-prefix: 10.0.0.0/8, masklength-range: 4..6}]}]}}", "2:120: bgp.defined-sets.prefix-sets[0].prefix-list[0].masklength-range: 4..6: no prefix within 10.0.0.0/8 has such lengths: want lengths from that of the prefix on, as 21..24"},
	{"{as: 1, defined-sets: {bgp-defined-sets: {as-path-sets: [{as-path-set-name: a, as-path-list: ['[']}]}}}", `2:100: bgp.defined-sets.bgp-defined-sets.as-path-sets[0].as-path-list[0]: "[": not a regular expression: see GoBGP's policies for how it is written`},
}

func TestBGPMistakes(t *testing.T) {
	for _, m := range bgpMistakes {
		c, err := Parse("f", []byte("version: 1\nbgp: "+m.text))
		if err == nil || c != nil {
			t.Errorf("%s: is taken", m.text)
			continue
		}
		first, _, _ := strings.Cut(err.Error(), "\n")
		if got := strings.TrimPrefix(first, "f:"); got != m.want {
			t.Errorf("%s:\n%s\nwant\n%s", m.text, got, m.want)
		}
	}
}

// TestBGPDefaults holds what a short section means.
func TestBGPDefaults(t *testing.T) {
	c := mustParse(t, "version: 1\nbgp: {as: 65001, neighbors: [{interface: eth0, remote_as: external}, {address: 192.0.2.1, remote_as: 65002, timers: {hold: 9s}}]}")
	n := BGPNeighbor{
		Interface: "eth0", RemoteAS: RemoteAS{Kind: RemoteExternal}, Families: []Family{IPv4Unicast, IPv6Unicast},
		Timers: BGPTimers{90 * time.Second, 30 * time.Second, 10 * time.Second},
	}
	if !reflect.DeepEqual(c.BGP.Neighbors[1], n) {
		t.Errorf("unnumbered: %+v", c.BGP.Neighbors[1])
	}
	if m := c.BGP.Neighbors[0]; m.Timers.Keepalive != 3*time.Second || !reflect.DeepEqual(m.Families, []Family{IPv4Unicast}) {
		t.Errorf("numbered: %+v", m)
	}
	if gr := (GracefulRestart{true, false, DefaultRestartTime, DefaultDeferral, 0}); c.BGP.GracefulRestart != gr || c.BGP.ListenPort != 179 || c.BGP.MaximumPaths != 1 {
		t.Errorf("%+v", c.BGP)
	}
}

// TestBGPShown holds that what is shown has no password, and is no configuration with
// another one.
func TestBGPShown(t *testing.T) {
	c := mustParse(t, whole)
	text := string(c.Shown().YAML())
	if strings.Contains(text, "s3cret") || !strings.Contains(string(c.YAML()), "s3cret") {
		t.Errorf("shown as\n%s", text)
	}
	if _, err := Parse("f", []byte(text)); err == nil || !strings.Contains(err.Error(), "write the password") {
		t.Errorf("what is shown is taken: %v", err)
	}
	for _, change := range Diff(c, mustParse(t, strings.Replace(whole, "s3cret", "other1", 1))).Changes {
		if text := change.Text(); strings.Contains(text, "s3cret") || strings.Contains(text, "other1") || change.Thing != ThingBGPPeer {
			t.Errorf("the plan says %s", text)
		}
	}
}

func TestBGPDiff(t *testing.T) {
	const base = "version: 1\nbgp: {as: 65001, neighbors: [{address: 192.0.2.1, remote_as: 65002}, {interface: eth0, remote_as: external}]}\n"
	p := Diff(mustParse(t, base), mustParse(t, strings.Replace(base, "remote_as: 65002", "remote_as: 65003, passive: true", 1)))
	if got := p.Changes[0].Text(); got != "~ bgp neighbor 192.0.2.1  passive none, remote_as 65002 -> passive true, remote_as 65003" {
		t.Errorf("%s", got)
	}
	for _, test := range []struct{ from, to, things, impact string }{
		{base, base, "", "none (nothing changes)"},
		{"version: 1", base, "+bgp setting +bgp setting +bgp setting +bgp setting +bgp neighbor +bgp neighbor", "2 BGP sessions begin"},
		{base, "version: 1", "-bgp setting -bgp setting -bgp setting -bgp setting -bgp neighbor -bgp neighbor", "2 BGP sessions end"},
		{base, strings.Replace(base, "remote_as: 65002", "remote_as: 65003", 1), "~bgp neighbor", "1 BGP session is reset"},
		{base, strings.Replace(base, "remote_as: 65002", "remote_as: 65002, maximum_prefixes: 10", 1), "~bgp neighbor", "none"},
		{base, strings.Replace(base, "as: 65001", "as: 65009", 1), "~bgp setting", "2 BGP sessions are reset"},
		{base, strings.Replace(base, "as: 65001", "as: 65001, graceful_restart: {restart_time: 60s}", 1), "~bgp setting", "2 BGP sessions are reset"},
		{base, strings.Replace(base, "as: 65001", "as: 65001, redistribute: [{source: static}]", 1), "+bgp setting", "none"},
	} {
		p := Diff(mustParse(t, test.from), mustParse(t, test.to))
		var things []string
		for _, c := range p.Changes {
			things = append(things, string(c.Op)+c.Thing)
		}
		if got := strings.Join(things, " "); got != test.things || p.Impact != test.impact {
			t.Errorf("%s\n%s, %s\nwant %s, %s", test.to, got, p.Impact, test.things, test.impact)
		}
	}
}
