package config

import (
	"strings"
	"testing"
)

func TestDiff(t *testing.T) {
	const base = "version: 1\nnexthop_groups: {core: [{via: 192.0.2.1}]}\nroutes: [{prefix: 10.0.0.0/8, group: core}, {prefix: 10.1.0.0/16, via: 192.0.2.1}]\n"
	for _, test := range []struct{ from, to, want string }{
		{base, base, "none (nothing changes)"},
		{base, strings.Replace(base, "16, via: 192.0.2.1", "16, via: 192.0.2.9", 1), "~ route 10.1.0.0/16  via 192.0.2.1 -> via 192.0.2.9|none (atomic replace)"},
		{base, strings.Replace(base, "core: [{via: 192.0.2.1", "core: [{via: 192.0.2.7", 1), "~ group core  via 192.0.2.1 -> via 192.0.2.7  (1 route)|none (atomic replace)"},
		{base, strings.Replace(base, "16, via: 192.0.2.1", "16, type: blackhole", 1), "~ route 10.1.0.0/16  via 192.0.2.1 -> blackhole|1 prefix is no longer forwarded"},
		{base, strings.Replace(base, "10.1.0.0/16", "10.2.0.0/16", 1), "- route 10.1.0.0/16  via 192.0.2.1|+ route 10.2.0.0/16  via 192.0.2.1|1 prefix loses the static route, 1 prefix gets a route"},
		{base, base + "preferences: {static: 9, ebgp: 30}", "~ preference static  1 -> 9  (2 routes)|~ preference ebgp  20 -> 30|none (atomic replace)"},
		{base, base + "preferences: {ebgp: 30}", "~ preference ebgp  20 -> 30|none"},
		{base, base + "fpm: {listen: 127.0.0.1:2620}", "+ fpm hold  2m0s|+ fpm listen  127.0.0.1:2620|none"},
		{base, base + "ports: [{match: 'eth*', engine: soft}]", "+ port eth*  engine soft|none (atomic replace)"},
		{base + "ports: [{match: a, engine: soft}, {match: b, engine: soft}, {match: c, engine: soft}]", base + "ports: [{match: c, engine: xdp}, {match: a, engine: soft}]",
			"- port b  engine soft|~ port c  engine soft -> engine xdp|~ order of ports  a c -> c a|none (atomic replace)"},
		{base, base + "neighbors: [{addr: 192.0.2.9, dev: eth0, lladdr: 02:00:00:00:00:09}]", "+ neighbor 192.0.2.9 dev eth0  lladdr 02:00:00:00:00:09|none"},
		{base, "version: 1", "- group core  via 192.0.2.1|- route 10.0.0.0/8  group core|- route 10.1.0.0/16  via 192.0.2.1|2 prefixes lose the static route"},
		{base, strings.Replace(base, "{prefix: 10.1.0.0/16, via: 192.0.2.1}", "{prefix: 10.1.0.0/16, via: 192.0.2.1}, {prefix: 10.1.0.0/16, type: blackhole, preference: 7}", 1), "+ route 10.1.0.0/16 preference 7  blackhole|none"},
	} {
		p := Diff(mustParse(t, test.from), mustParse(t, test.to))
		var got []string
		for _, c := range p.Changes {
			got = append(got, c.Text())
		}
		if text := strings.Join(append(got, p.Impact), "|"); text != test.want {
			t.Errorf("%s\nis\n%s\nwant\n%s", test.to, text, test.want)
		}
	}
}
