package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// whole uses all that a file can have.
const whole = `# A comment.
version: 1

preferences:
  static: 5
  ebgp: 20
  ibgp: 200
  fpm: 30

ports:
  - {match: 'eth[0-3]', engine: soft}
  - match: eth*
    engine: xdp

fpm:
  listen: 127.0.0.1:2620
  hold: 2m

bgp:
  as: 65001
  router_id: 192.0.2.7
  listen_addresses: [192.0.2.7, "2001:db8::7"]
  maximum_paths: 16
  graceful_restart: {restart_time: 90s, long_lived_time: 1h}
  redistribute:
    - {source: connected, policy: [own]}
    - source: static
  networks:
    - {prefix: 10.4.0.0/16, always: true}
  neighbors:
    - {address: 192.0.2.1, remote_as: 65002, password: "s3cret", ebgp_multihop: 3, maximum_prefixes: 1000, import_policy: [in], default_import: reject-route}
    - interface: eth0
      remote_as: external
      description: "a spine, the first one"
      timers: {hold: 9s, keepalive: 3s}
      graceful_restart: {enabled: false}
    - {address: "2001:db8::9", remote_as: internal, next_hop_self: true, families: [ipv6-unicast, ipv4-unicast], add_path_send: 2}
  defined-sets:
    prefix-sets:
      - prefix-set-name: ps1
        prefix-list:
          - {ip-prefix: 10.33.0.0/16, masklength-range: 21..24}
    neighbor-sets:
      - {neighbor-set-name: ns1, neighbor-info-list: [192.0.2.1, eth0]}
    bgp-defined-sets:
      community-sets:
        - {community-set-name: cs1, community-list: ["65100:10", "6510[0-9]:.*"]}
      as-path-sets:
        - {as-path-set-name: as1, as-path-list: [^65100, "_65200$"]}
  policy-definitions:
    - name: in
      statements:
        - name: one
          conditions:
            match-prefix-set: {prefix-set: ps1, match-set-options: any}
            match-neighbor-set: {neighbor-set: ns1}
            bgp-conditions:
              match-community-set: {community-set: cs1, match-set-options: all}
              match-as-path-set: {as-path-set: as1}
              as-path-length: {operator: le, value: 5}
              route-type: external
          actions:
            route-disposition: accept-route
            bgp-actions:
              set-med: -10
              set-local-pref: 150
              set-as-path-prepend: {as: last-as, repeat-n: 2}
              set-community: {options: add, set-community-method: {communities-list: ["65100:20"]}}
    - name: own
      statements: [{actions: {bgp-actions: {set-med: "7", set-next-hop: self}}}]

nexthop_groups:
  core:
    - {via: 192.0.2.1, dev: eth0, weight: 3}
    - via: 192.0.2.2
  edge6:
    - {via: "fe80::1", dev: eth1}

routes:
  - prefix: 0.0.0.0/0
    via: 192.0.2.1
  - {prefix: 10.0.0.0/8, group: core}
  - {prefix: 10.1.0.0/16, nexthops: [{via: 192.0.2.1}, {via: 192.0.2.2, weight: 2}]}
  - {prefix: 10.2.0.0/16, type: blackhole}
  - {prefix: 10.2.0.0/16, via: 192.0.2.9, preference: 7}
  - {prefix: 10.3.0.0/16, via: 192.0.2.1, vrf: blue}
  - {prefix: 10.3.0.0/16, dev: eth0, table: 100}
  - {prefix: 10.4.0.0/16, via: "2001:db8::1"}
  - {prefix: "2001:db8:1::/48", group: edge6}
  - {prefix: "::/0", via: "fe80::1", dev: "e#h0", table: 254}

neighbors:
  - {addr: 192.0.2.9, dev: eth0, lladdr: 02:00:00:00:00:09}
  - {addr: "fe80::9", dev: eth0, lladdr: 02-00-00-00-00-AA}
`

func mustParse(t testing.TB, text string) *Config {
	t.Helper()
	c, err := Parse("weft.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestParse(t *testing.T) {
	c := mustParse(t, whole)
	if want := (Preferences{5, 20, 200, 30}); c.Preferences != want {
		t.Errorf("preferences %+v", c.Preferences)
	}
	if c.FPM.Listen.String() != "127.0.0.1:2620" || c.FPM.Hold != 2*time.Minute {
		t.Errorf("FPM %+v", c.FPM)
	}
	var routes []string
	for _, r := range c.Static() {
		routes = append(routes, r.Text())
	}
	want := []string{
		"0.0.0.0/0 via 192.0.2.1 preference 5",
		"10.0.0.0/8 nexthop via 192.0.2.1 dev eth0 weight 3 nexthop via 192.0.2.2 weight 1 preference 5",
		"10.1.0.0/16 nexthop via 192.0.2.1 weight 1 nexthop via 192.0.2.2 weight 2 preference 5",
		"blackhole 10.2.0.0/16 preference 5",
		"10.2.0.0/16 via 192.0.2.9 preference 7",
		"10.4.0.0/16 via 2001:db8::1 preference 5",
		"::/0 via fe80::1 dev e#h0 preference 5",
		"2001:db8:1::/48 via fe80::1 dev eth1 preference 5",
		"10.3.0.0/16 dev eth0 table 100 preference 5",
		"10.3.0.0/16 via 192.0.2.1 vrf blue preference 5",
	}
	if !reflect.DeepEqual(routes, want) {
		t.Errorf("routes\n%s\nwant\n%s", strings.Join(routes, "\n"), strings.Join(want, "\n"))
	}
	if want := []Port{{"eth[0-3]", EngineSoft}, {"eth*", EngineXDP}}; !slices.Equal(c.Ports, want) {
		t.Errorf("ports %+v", c.Ports)
	}
	if n := c.Neighbors; len(n) != 2 || n[0].Addr.String() != "192.0.2.9" || n[1].Lladdr != "02:00:00:00:00:aa" {
		t.Errorf("neighbors %+v", n)
	}
}

// TestDefaults holds what a file need not say.
func TestDefaults(t *testing.T) {
	for _, text := range []string{"version: 1", "version: 1\nroutes:\nneighbors:\nnexthop_groups:\npreferences:\n", "---\n{version: 1, routes: []}\n...\n"} {
		if c := mustParse(t, text); !reflect.DeepEqual(c, Default()) {
			t.Errorf("%q: %+v", text, c)
		}
	}
	if c := mustParse(t, "version: 1\nfpm: {listen: '[::1]:2620'}"); c.FPM.Hold != DefaultHold {
		t.Errorf("hold is %v", c.FPM.Hold)
	}
}

// TestWrite holds that what is written reads as the same.
func TestWrite(t *testing.T) {
	c := mustParse(t, whole)
	again := mustParse(t, string(c.YAML()))
	if !reflect.DeepEqual(again, c) {
		t.Errorf("%s\nreads as\n%s", c.YAML(), again.YAML())
	}
	for _, name := range []string{"yes", "1", "1e5", "null", "~", "a#b", "-", "'", `"`, `a\b`, "é", "eth0.7", "*x", "&x", "!x", "{", "@", "%"} {
		c.Neighbors[0].Dev = name
		if again := mustParse(t, string(c.YAML())); again.Neighbors[0].Dev != name && again.Neighbors[1].Dev != name {
			t.Errorf("interface %q reads as %q", name, again.Neighbors[0].Dev)
		}
	}
}

// mistakes are files by what is said of them. The files begin with 'version: 1'
// where they do not say otherwise.
var mistakes = []struct{ text, want string }{
	{"version: 2", "1:10: version: 2: out of range: want 1"},
	{"version: '1'", "1:10: version: want a number, found text: want 1"},
	{"version: -1", "1:10: version: -1: out of range: want 1"},
	{"version: 1.5", "1:10: version: want a number, found a number with a point: want 1"},
	{"", "1:1: the file is empty: begin with 'version: 1'"},
	{"# nothing\n", "1:1: the file is empty: begin with 'version: 1'"},
	{"routes: []", "1:1: version is missing: add 'version: ...'"},
	{"- a", "1:1: want keys with values, found a list: write 'key: value' there"},
	{"hello", "1:1: want keys with values, found text: write 'key: value' there"},
	{"+ruotes: []", "2:1: ruotes: no such key: did you mean routes?"},
	{"+ospf: {}", "2:1: ospf: no such key: want one of version, preferences, ports, fpm, bgp, nexthop_groups, routes, neighbors"},
	{"+5: []", "2:1: want a name for a key, found a number: put it in quotes if it is meant as a name"},
	{"+routes: {}", "2:9: routes: want a list, found keys with values: write each on a line of its own, behind '- '"},
	{"+routes: 7", "2:9: routes: want a list, found a number: write each on a line of its own, behind '- '"},
	{"+routes: [7]", "2:10: routes[0]: want keys with values, found a number: write 'key: value' there"},
	{"+routes: [{}]", "2:10: routes[0]: prefix is missing: add 'prefix: ...'"},
	{"+routes:\n  - prefix: 10.0.0.1/8\n    via: 192.0.2.1", "3:13: routes[0].prefix: 10.0.0.1/8: bits are set behind the prefix length: did you mean 10.0.0.0/8?"},
	{"+routes:\n  - prefix: 10.0.0.1\n    via: 192.0.2.1", "3:13: routes[0].prefix: 10.0.0.1: no prefix length: did you mean 10.0.0.1/32?"},
	{"+routes:\n  - prefix: default\n    via: 192.0.2.1", "3:13: routes[0].prefix: default: of which family?: write 0.0.0.0/0 or ::/0"},
	{"+routes:\n  - prefix: 10.0.0.0/33\n    via: 192.0.2.1", `3:13: routes[0].prefix: "10.0.0.0/33": not a prefix: want one like 10.0.0.0/8 or 2001:db8::/32`},
	{"+routes:\n  - prefix: 10\n    via: 192.0.2.1", "3:13: routes[0].prefix: want text, found a number: put it in quotes: '10'"},
	{"+routes:\n  - prefix:\n    via: 192.0.2.1", "3:12: routes[0].prefix: want text, found nothing: write it behind the colon"},
	{"+routes:\n  - prefix: ::ffff:10.0.0.0/104\n    via: 192.0.2.1", "3:13: routes[0].prefix: ::ffff:10.0.0.0/104: an IPv4 address within IPv6: write it as IPv4"},
	{"+routes:\n  - prefix: 224.0.0.0/4\n    via: 192.0.2.1", "3:13: routes[0].prefix: 224.0.0.0/4: multicast is not routed: want a unicast prefix"},
	{"+routes: [{prefix: 10.0.0.0/8}]", "2:10: routes[0]: no next hop: add via, dev, nexthops or group, or 'type: blackhole'"},
	{"+routes: [{prefix: 10.0.0.0/8, via: 192.0.2.1, group: g}]\nnexthop_groups: {g: [{via: 192.0.2.2}]}", "2:54: routes[0].group: via is there, too: keep one of them"},
	{"+routes: [{prefix: 10.0.0.0/8, nexthops: [{via: 192.0.2.1}], dev: eth0}]", "2:41: routes[0].nexthops: dev is there, too: keep one of them"},
	{"+routes: [{prefix: 10.0.0.0/8, group: croe}]\nnexthop_groups: {core: [{via: 192.0.2.2}]}", "2:38: routes[0].group: croe: no such group: did you mean core?"},
	{"+routes: [{prefix: 10.0.0.0/8, group: core}]", "2:38: routes[0].group: core: no such group: add it to nexthop_groups"},
	{"+routes: [{prefix: '2001:db8::/32', group: core}]\nnexthop_groups: {core: [{via: 192.0.2.2}]}", "2:43: routes[0].group: core has the IPv4 gateway 192.0.2.2, for 2001:db8::/32: want a group of IPv6 gateways"},
	{"+routes: [{prefix: '2001:db8::/32', via: 192.0.2.1}]", "2:41: routes[0].via: 192.0.2.1: an IPv4 gateway cannot be one for 2001:db8::/32: want an IPv6 gateway"},
	{"+routes: [{prefix: 10.0.0.0/8, type: blakhole}]", `2:37: routes[0].type: "blakhole": no such value: did you mean blackhole?`},
	{"+routes: [{prefix: 10.0.0.0/8, type: local}]", `2:37: routes[0].type: "local": no such value: want one of unicast, blackhole, unreachable, prohibit`},
	{"+routes: [{prefix: 10.0.0.0/8, type: blackhole, via: 192.0.2.1}]", "2:53: routes[0].via: a route of type blackhole has no next hops: leave it out"},
	{"+routes: [{prefix: 10.0.0.0/8, via: 192.0.2.1/24}]", `2:36: routes[0].via: "192.0.2.1/24": not an address: leave out the prefix length`},
	{"+routes: [{prefix: 10.0.0.0/8, via: host}]", `2:36: routes[0].via: "host": not an address: want one like 192.0.2.1 or 2001:db8::1`},
	{"+routes: [{prefix: 10.0.0.0/8, via: 'fe80::1'}]", "2:36: routes[0].via: fe80::1 is on every link: add 'dev: INTERFACE'"},
	{"+routes: [{prefix: 10.0.0.0/8, via: 'fe80::1%eth0'}]", "2:36: routes[0].via: fe80::1%eth0: an address with an interface: put the interface behind dev"},
	{"+routes: [{prefix: 10.0.0.0/8, via: 224.0.0.1}]", "2:36: routes[0].via: 224.0.0.1: no host has it: want the address of a neighbor"},
	{"+routes: [{prefix: 10.0.0.0/8, via: '::ffff:192.0.2.1'}]", "2:36: routes[0].via: ::ffff:192.0.2.1: an IPv4 address within IPv6: write it as IPv4: 192.0.2.1"},
	{"+routes: [{prefix: 10.0.0.0/8, dev: a-name-of-16-byte}]", `2:36: routes[0].dev: "a-name-of-16-byte": not a name of an interface: want up to 15 bytes without '/', ':' and spaces`},
	{"+routes: [{prefix: 10.0.0.0/8, dev: ..}]", `2:36: routes[0].dev: "..": not a name of an interface: 'weft ports' lists interfaces`},
	{"+routes: [{prefix: 10.0.0.0/8, dev: 7}]", "2:36: routes[0].dev: want text, found a number: put it in quotes: '7'"},
	{"+routes: [{prefix: 10.0.0.0/8, dev: true}]", "2:36: routes[0].dev: want text, found a truth value: put it in quotes: 'true'"},
	{"+routes: [{prefix: 10.0.0.0/8, dev: eth0, metric: 7}]", "2:42: routes[0].metric: no such key: want one of prefix, type, via, dev, nexthops, group, preference, vrf, table"},
	{"+routes: [{prefix: 10.0.0.0/8, dev: eth0, preference: 0}]", "2:54: routes[0].preference: 0: out of range: want a number from 1 to 4294967295"},
	{"+routes: [{prefix: 10.0.0.0/8, dev: eth0, preference: 4294967296}]", "2:54: routes[0].preference: 4294967296: out of range: want a number from 1 to 4294967295"},
	{"+routes: [{prefix: 10.0.0.0/8, dev: eth0, vrf: blue, table: 7}]", "2:53: routes[0].table: vrf is there, too: keep one of them"},
	{"+routes: [{prefix: 10.0.0.0/8, dev: eth0, table: 255}]", "2:49: routes[0].table: 255 is the kernel's own: want another table"},
	{"+routes: [{prefix: 10.0.0.0/8, nexthops: []}]", "2:41: routes[0].nexthops: 0 entries: want 1 to 256"},
	{"+routes: [{prefix: 10.0.0.0/8, nexthops: [{weight: 2}]}]", "2:42: routes[0].nexthops[0]: neither via nor dev: add 'via: ADDRESS', 'dev: INTERFACE' or both"},
	{"+routes: [{prefix: 10.0.0.0/8, nexthops: [{via: 192.0.2.1, weight: 257}]}]", "2:67: routes[0].nexthops[0].weight: 257: out of range: want a number from 1 to 256"},
	{"+routes: [{prefix: 10.0.0.0/8, nexthops: [{via: 192.0.2.1}, {via: 192.0.2.1}]}]", "2:60: routes[0].nexthops[1]: the same next hop as routes[0].nexthops[0]: give it once, with a greater weight"},
	{"+routes:\n- {prefix: 10.0.0.0/8, via: 192.0.2.1}\n- {prefix: 10.0.0.0/8, via: 192.0.2.2, preference: 1}", "4:12: routes[1].prefix: routes[0] is the same route: give one of them another preference, or list both next hops in one route"},
	{"+routes:\n- {prefix: 10.0.0.0/8, via: 192.0.2.1}\n- {prefix: 10.0.0.0/8, via: 192.0.2.2, table: 254}", "4:12: routes[1].prefix: routes[0] is the same route: give one of them another preference, or list both next hops in one route"},
	{"+nexthop_groups: {1a: [{via: 192.0.2.1}]}", `2:18: nexthop_groups: "1a": not a name: want up to 63 letters, digits, '_', '.' and '-', a letter first`},
	{"+nexthop_groups: {'a b': [{via: 192.0.2.1}]}", `2:18: nexthop_groups: "a b": not a name: want up to 63 letters, digits, '_', '.' and '-', a letter first`},
	{"+nexthop_groups: {a: []}", "2:21: nexthop_groups.a: 0 entries: want 1 to 256"},
	{"+neighbors: [{addr: 192.0.2.1, dev: eth0}]", "2:13: neighbors[0]: lladdr is missing: add 'lladdr: ...'"},
	{"+neighbors: [{addr: 192.0.2.1, dev: eth0, lladdr: '02:00'}]", `2:50: neighbors[0].lladdr: "02:00": not an Ethernet address: want one like 02:00:00:00:00:01`},
	{"+neighbors: [{addr: 192.0.2.1, dev: eth0, lladdr: '01:00:5e:00:00:01'}]", "2:50: neighbors[0].lladdr: 01:00:5e:00:00:01: a group address: want that of one host"},
	{"+neighbors: [{addr: 192.0.2.1, dev: eth0, lladdr: '00:00:00:00:00:00'}]", "2:50: neighbors[0].lladdr: 00:00:00:00:00:00: nobody has it: want that of one host"},
	{"+neighbors:\n- &a {addr: 192.0.2.1, dev: eth0, lladdr: 02:00:00:00:00:01}\n- *a", "3:3: anchors, aliases and merge keys are not taken: name next hops that many routes share in nexthop_groups"},
	{"+neighbors:\n- {addr: 192.0.2.1, dev: eth0, lladdr: 02:00:00:00:00:01}\n- {addr: 192.0.2.1, dev: eth0, lladdr: 02:00:00:00:00:02}", "4:10: neighbors[1].addr: neighbors[0] is the same neighbor: keep one of them"},
	{"+fpm: {}", "2:6: fpm: listen is missing: add 'listen: ...'"},
	{"+fpm: {listen: 2620}", "2:15: fpm.listen: want text, found a number: put it in quotes: '2620'"},
	{"+fpm: {listen: localhost}", `2:15: fpm.listen: "localhost": not an address with a port: want an address and a port like 127.0.0.1:2620 or [::1]:2620`},
	{"+fpm: {listen: 127.0.0.1:0}", "2:15: fpm.listen: 127.0.0.1:0: no port: want 1 to 65535; zebra's default is 2620"},
	{"+fpm: {listen: 127.0.0.1:2620, hold: 5}", "2:37: fpm.hold: want text, found a number: put it in quotes: '5'"},
	{"+fpm: {listen: 127.0.0.1:2620, hold: soon}", `2:37: fpm.hold: "soon": not a duration: want one like 120s or 5m`},
	{"+fpm: {listen: 127.0.0.1:2620, hold: 5h}", "2:37: fpm.hold: 5h: out of range: want 1s to 1h"},
	{"+ports: [{match: eth0}]", "2:9: ports[0]: engine is missing: add 'engine: ...'"},
	{"+ports: [{engine: soft}]", "2:9: ports[0]: match is missing: add 'match: ...'"},
	{"+ports: [{match: eth0, engine: sotf}]", `2:31: ports[0].engine: "sotf": no such value: did you mean soft?`},
	{"+ports: [{match: 'eth[0', engine: soft}]", `2:17: ports[0].match: "eth[0": neither a name nor a glob of names: want one like eth0 or 'eth*'`},
	{"+ports: [{match: a/b, engine: soft}]", `2:17: ports[0].match: "a/b": neither a name nor a glob of names: want one like eth0 or 'eth*'`},
	{"+ports:\n- {match: eth0, engine: soft}\n- {match: eth0, engine: xdp}", "4:11: ports[1].match: ports[0] is for the same ports: keep one of them"},
	{"+preferences: {bgp: 5}", "2:15: preferences.bgp: no such key: did you mean ebgp?"},
	{"+preferences: {static: lots}", "2:23: preferences.static: want a number, found text: want a number from 1 to 4294967295"},
	{"+routes: []\nroutes: []", `3:1: mapping key "routes" already defined at [2:1]: keep one of them`},
	{"+routes:\n\t- 1", `3:1: found character '\t' that cannot start any token: indent with spaces, not tabs`},
	{"+routes: [", "2:9: sequence end token ']' not found: close the bracket"},
	{"+fpm: {listen: 'x", "2:15: could not find end character of single-quoted text: close the quotes"},
	{"+routes:\n  - prefix: 2001:db8::/32\n    via: fe80::\n", "4:10: mapping value is not allowed in this context: put values with a colon at their end, or with ': ' in them, in quotes; see to the indentation"},
	{"+---\nversion: 1", "3:1: a second document: leave one of them, without '---'"},
	{"+fpm: !!str x", "2:6: tags are not taken: write it out"},
	{"+? a\n: b", "2:1: keys with '?' are not taken: write it out"},
	{"+a: \"\x00\"", "2:5: a control character: write plain text in UTF-8, in short lines"},
	{"+a: é\xff", "2:5: bytes that are not UTF-8: write plain text in UTF-8, in short lines"},
	{"+a: " + strings.Repeat("x", 5000), "2:1: a line of more than 4096 bytes: write plain text in UTF-8, in short lines"},
	{"+a: " + strings.Repeat("[", 100), "2:68: more than 64 brackets in each other: write it out"},
	{"+a:\n  " + strings.Repeat("- ", 100), "3:131: more than 64 lists in each other: write it out"},
}

// TestManyKeys bounds what the parser of YAML takes the square of.
func TestManyKeys(t *testing.T) {
	groups := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "  g%d: [{dev: eth0}]\n", i)
		}
		return "version: 1\nnexthop_groups:\n" + b.String()
	}
	if c := mustParse(t, groups(maxKeys)); len(c.Groups) != maxKeys {
		t.Errorf("%d groups", len(c.Groups))
	}
	_, err := Parse("f", []byte(groups(20*maxKeys)))
	var all Errors
	if !errors.As(err, &all) || all[0].Cause != "more than 1024 keys in one mapping" || all[0].Line != maxKeys+3 {
		t.Errorf("%v", err)
	}
	many := "version: 1\nroutes:\n"
	for i := range 3 * maxKeys {
		many += fmt.Sprintf("  - prefix: 10.%d.%d.0/24\n    dev: eth0\n", i>>8, i&255)
	}
	if c := mustParse(t, many); len(c.Routes) != 3*maxKeys {
		t.Errorf("%d routes", len(c.Routes))
	}
}

func TestMistakes(t *testing.T) {
	for _, m := range mistakes {
		text := m.text
		if rest, ok := strings.CutPrefix(text, "+"); ok {
			text = "version: 1\n" + rest
		}
		_, err := Parse("f", []byte(text))
		var got []string
		var all Errors
		if errors.As(err, &all) {
			for _, e := range all {
				got = append(got, strings.TrimPrefix(e.Error(), "f:"))
				checkError(t, text, e)
			}
		}
		if strings.Join(got, "|") != m.want {
			t.Errorf("%.200q\n%s\nwant\n%s", text, strings.Join(got, "|"), m.want)
		}
	}
}

// checkError holds what each mistake must have.
func checkError(t *testing.T, text string, e *Error) {
	t.Helper()
	lines := strings.SplitAfter(text, "\n")
	switch {
	case e.Cause == "" || e.Remedy == "":
		t.Errorf("%q: no cause or remedy: %+v", text, e)
	case e.Line < 1 || e.Line > len(lines) || e.Column < 1 || e.Column > len([]rune(lines[e.Line-1]))+1:
		t.Errorf("%.200q: %d:%d is not in it", text, e.Line, e.Column)
	case !strings.Contains(e.Excerpt, "^") || strings.Count(e.Excerpt, "\n") != 1:
		t.Errorf("%.200q: excerpt %q", text, e.Excerpt)
	case strings.ContainsFunc(e.Excerpt, func(r rune) bool { return r != '\n' && isControl(r) }):
		t.Errorf("%.200q: excerpt %q has control characters", text, e.Excerpt)
	default:
		line := []rune(lines[e.Line-1])
		value, _, _ := strings.Cut(strings.Trim(e.Cause, `"`), `": `)
		value, _, _ = strings.Cut(value, ": ")
		if there := strings.TrimLeft(string(line[e.Column-1:]), `'"`); strings.Contains(string(line), value) && !strings.HasPrefix(there, value) {
			t.Errorf("%.200q: %q is not at %d:%d", text, value, e.Line, e.Column)
		}
	}
}

// TestExcerpt shows the place.
func TestExcerpt(t *testing.T) {
	_, err := Parse("/etc/weft/weft.yaml", []byte("version: 1\nroutes:\n  - prefix: 10.0.0.1/8\n    via: 192.0.2.1\n"))
	want := "/etc/weft/weft.yaml:3:13: routes[0].prefix: 10.0.0.1/8: bits are set behind the prefix length: did you mean 10.0.0.0/8?\n" +
		"    3 |   - prefix: 10.0.0.1/8\n" +
		"      |             ^^^^^^^^^^"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
	long := excerpt(strings.Repeat("x", 300)+"HERE"+strings.Repeat("y", 300), 7, 301, 4)
	head, caret, _ := strings.Cut(long, "\n")
	if at := strings.Index(head, "HERE"); at < 0 || strings.Index(caret, "^^^^") != at || len(head) > 120 {
		t.Errorf("%s", long)
	}
}

// TestManyMistakes tells so many, by their place, and that there are more.
func TestManyMistakes(t *testing.T) {
	_, err := Parse("f", []byte("version: 1\nroutes:\n"+strings.Repeat("  - {prefix: 10.0.0.0/8, via: x}\n", 5000)))
	var all Errors
	if !errors.As(err, &all) || len(all) != maxErrors || all[0].Line != 3 || all[19].Line != 22 {
		t.Fatalf("%d mistakes: %v", len(all), err)
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weft.yaml")
	if _, _, err := ReadFile(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, text, err := ReadFile(path); err != nil || string(text) != whole || len(c.Routes) != 10 {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("# x\n", MaxFile/4+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	want := path + ":1:1: more than 4 MiB: bring so many routes by BGP"
	var all Errors
	if _, _, err := ReadFile(path); !errors.As(err, &all) || all[0].Error() != want {
		t.Errorf("too large: %v", err)
	}
}
