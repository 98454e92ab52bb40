package bgp

import (
	"fmt"
	"strings"
	"testing"

	"weft/test/proof"
)

// marked are policies as GoBGP writes them: what goes out has communities, a MED and a longer
// path; what comes in is refused, or preferred, by its communities.
const marked = `
  export_policy: [mark]
  import_policy: [choose]
  redistribute: [{source: connected}]
  defined-sets:
    prefix-sets:
      - {prefix-set-name: hosts, prefix-list: [{ip-prefix: 10.1.0.0/24}]}
    bgp-defined-sets:
      community-sets:
        - {community-set-name: bad, community-list: ["65002:666"]}
        - {community-set-name: good, community-list: ["65002:100"]}
  policy-definitions:
    - name: mark
      statements:
        - conditions: {match-prefix-set: {prefix-set: hosts}}
          actions:
            bgp-actions:
              set-med: "77"
              set-community: {options: add, set-community-method: {communities-list: ["65001:10"]}}
              set-large-community: {options: add, set-large-community-method: {communities-list: ["65001:1:2"]}}
              set-as-path-prepend: {as: "65001", repeat-n: 2}
    - name: choose
      statements:
        - conditions: {bgp-conditions: {match-community-set: {community-set: bad}}}
          actions: {route-disposition: reject-route}
        - conditions: {bgp-conditions: {match-community-set: {community-set: good}}}
          actions: {bgp-actions: {set-local-pref: 300}, route-disposition: accept-route}
`

// outbound is what FRR says of its routes, by a route-map.
func outbound(lines string) string {
	return fmt.Sprintf(" address-family ipv4 unicast\n  neighbor eth0 route-map out out\n exit-address-family\n!\nroute-map out permit 10\n%s", lines)
}

// Policies, seen from the other side, and what attributes that come in decide.
func TestPolicies(t *testing.T) {
	n := begin(t, neighbors+marked)
	n.startFRR(neighborAt("eth0") + fmt.Sprintf(both, "eth0") + outbound(""))
	n.startBIRD("")
	var packets uint64
	packets += n.shared("10.70.0.1")

	n.frrHas("10.1.0.0/24", func(p *path) bool {
		return p.Aspath.String == "65001 65001 65001" && p.Metric != nil && *p.Metric == 77 && p.Community.String == "65001:10" && p.LargeCommunity.String == "65001:1:2"
	})
	n.birdHas("10.1.0.0/24", "BGP.as_path: 65001 65001 65001\n", "BGP.med: 77", "BGP.community: (65001,10)", "BGP.large_community: (65001, 1, 2)")
	n.frrHas("10.3.0.0/24", fromWeft) // no policy meets it

	set := func(lines ...string) {
		t.Helper()
		n.frr.Configure("bgpd", append([]string{"no route-map out permit 10", "route-map out permit 10"}, lines...)...)
	}
	set("set community 65002:100")
	packets += n.only("10.70.0.1", "to-h2") // by local preference
	set("set community 65002:666")
	packets += n.only("10.70.0.1", "to-h3") // as it is refused
	set("set as-path prepend 65002 65002")
	packets += n.only("10.70.0.1", "to-h3") // as the other path is shorter
	set("set origin incomplete")
	packets += n.only("10.70.0.1", "to-h3")
	set("set metric 0")
	packets += n.shared("10.70.0.1")

	// Other policies, while the sessions stay.
	established := n.sessions()
	n.apply(neighbors + "  redistribute: [{source: connected}]\n")
	n.frrHas("10.1.0.0/24", fromWeft)
	n.birdHas("10.1.0.0/24", "BGP.as_path: 65001\n")
	set("set community 65002:666")
	packets += n.shared("10.70.0.1") // nobody refuses it
	if now := n.sessions(); now != established || now == 0 {
		t.Errorf("FRR has had %d sessions, want %d as before", now, established)
	}
	proof.Record(t, proof.Result{
		Kind: proof.Agreement, Name: "bgp", What: "policies: MED, communities, prepended paths seen by FRR and BIRD; local preference, path length, origin and refusals decide", Count: 8, Packets: packets,
	})
}

// sessions tells how many sessions FRR has had with weft.
func (n *network) sessions() int {
	n.Helper()
	var answer map[string]struct{ ConnectionsEstablished int }
	n.frr.Ask(&answer, "bgpd", "show bgp neighbors eth0 json")
	return answer["eth0"].ConnectionsEstablished
}

// A session with a password (TCP MD5) comes up with the right one only. A neighbor with
// more prefixes than it may have has none.
func TestGuards(t *testing.T) {
	section := func(more string) string {
		return fmt.Sprintf(`
  neighbors:
    - {address: 10.2.0.2, remote_as: 65002, password: s3cret, timers: {connect_retry: 2s}%s}
    - {address: 10.3.0.2, remote_as: 65003, password: "other", timers: {connect_retry: 2s}}
`, more)
	}
	n := begin(t, section(""))
	n.startFRR(neighborAt("10.2.0.1") + " neighbor 10.2.0.1 password s3cret\n address-family ipv4 unicast\n  network 10.70.0.0/16\n")
	n.startBIRD(`password "wrong";`)
	packets := n.only("10.70.0.1", "to-h2")
	if out := n.bird.Do("show protocols four"); strings.Contains(out, "Established") {
		t.Errorf("the wrong password is as good: %s", out)
	}
	n.bird.Configure(birdConfig(`password "other";`))
	packets += n.shared("10.70.0.1")

	n.apply(section(", maximum_prefixes: 2"))
	n.frr.Configure("bgpd", "router bgp 65002", "address-family ipv4 unicast", "network 10.71.0.0/16", "network 10.73.0.0/16")
	packets += n.only("10.70.0.1", "to-h3")
	n.frr.Configure("bgpd", "router bgp 65002", "address-family ipv4 unicast", "no network 10.71.0.0/16", "no network 10.73.0.0/16")
	n.apply(section(", maximum_prefixes: 3"))
	packets += n.shared("10.70.0.1")
	proof.Record(t, proof.Result{
		Kind: proof.Agreement, Name: "bgp", What: "TCP MD5 with FRR and BIRD: right and wrong; more prefixes than a neighbor may have", Count: 4, Packets: packets,
	})
}

// Three routers have the same prefix: two FRRs and a BIRD, each behind a link of its own.
func TestThree(t *testing.T) {
	n := begin(t, `
  neighbors:
    - {interface: to-h2, remote_as: external, timers: {connect_retry: 2s}}
    - {interface: to-h3, remote_as: external, timers: {connect_retry: 2s}}
    - {address: 10.4.0.2, remote_as: 65003, timers: {connect_retry: 2s}}
`)
	third(n)
	n.startFRR(neighborAt("eth0") + fmt.Sprintf(both, "eth0"))
	n.startThird()
	three := func() {
		t.Helper()
		n.forwards("10.70.0.1", 3)
		n.CatchUp()
		before := n.received()
		s := n.Stream("10.70.0.1")
		n.WantCounted("to-h1", "forwarded", flows, func() {
			if _, err := s.Gen.Send(flows); err != nil {
				t.Fatal(err)
			}
			n.Until("all packets have arrived", func() bool { return n.total(before) >= flows })
		})
		for name, now := range n.received() {
			if share := 100 * float64(now-before[name]) / flows; share < 30 || share > 37 {
				t.Errorf("%s has %.1f %% of the packets", name, share)
			}
		}
		s.Close()
	}
	three()
	n.frr.Daemon("bgpd").Kill()
	n.forwards("10.70.0.1", 2)
	n.frr.Daemon("bgpd").Start()
	three()
	proof.Record(t, proof.Result{Kind: proof.Agreement, Name: "bgp", What: "ECMP over two FRRs and BIRD, a third of the flows each", Count: 3, Packets: 2 * flows})
}
