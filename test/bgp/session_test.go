package bgp

import (
	"fmt"
	"testing"

	"weft/test/proof"
)

// Sessions numbered and unnumbered, of both families, and IPv4 by IPv6 next hops: FRR and
// BIRD announce the same, and packets go to both; they see what weft has of its own.
func TestSessions(t *testing.T) {
	n := begin(t, neighbors+`
  redistribute: [{source: connected}, {source: static}]
routes:
  - {prefix: 10.77.0.0/16, via: 10.3.0.2}
  - {prefix: "2001:db8:77::/48", via: "2001:db8:3::2"}
`)
	n.IP("r1", "addr flush dev to-h2 scope global") // unnumbered: link-local addresses must do
	n.IP("h2", "addr flush dev eth0 scope global")
	n.startFRR(neighborAt("eth0") + fmt.Sprintf(both, "eth0"))
	n.startBIRD("")
	var packets uint64
	for _, dst := range []string{"10.70.0.1", "2001:db8:70::1"} {
		packets += n.shared(dst)
	}
	packets += n.only("10.72.0.1", "to-h3")
	n.WantForward("10.72.0.1", "to-h3", "2001:db8:3::2")
	n.inKernel("10.70.0.0/16", "via inet6 fe80", "dev to-h2", "via 10.3.0.2 dev to-h3", "metric 20")
	n.inKernel("10.72.0.0/16", "via inet6 2001:db8:3::2")
	n.inKernel("2001:db8:70::/48", "dev to-h2", "via 2001:db8:3::2 dev to-h3")

	for _, prefix := range []string{"10.1.0.0/24", "10.3.0.0/24", "10.77.0.0/16", "2001:db8:1::/64", "2001:db8:77::/48"} {
		n.frrHas(prefix, fromWeft)
		n.birdHas(prefix, "BGP.as_path: 65001\n")
	}
	// What the one has announced the other one is told, too.
	n.frrHas("10.72.0.0/16", func(p *path) bool { return p.Aspath.String == "65001 65003" })

	// Withdrawals.
	n.frr.Configure("bgpd", "router bgp 65002", "address-family ipv4 unicast", "no network 10.70.0.0/16")
	packets += n.only("10.70.0.1", "to-h3")
	n.bird.Do("disable s4")
	n.WantReason("10.70.0.1", "ipv4_lpm_miss")
	n.inKernel("10.70.0.0/16")
	n.bird.Do("enable s4")
	n.frr.Configure("bgpd", "router bgp 65002", "address-family ipv4 unicast", "network 10.70.0.0/16")
	packets += n.shared("10.70.0.1")
	n.apply(neighbors + "  redistribute: [{source: connected}]\n")
	n.Until("FRR has no static route of weft's", func() bool { return len(n.atFRR("10.77.0.0/16")) == 0 })
	n.birdHas("10.77.0.0/16")
	n.frrHas("10.1.0.0/24", fromWeft)
	proof.Record(t, proof.Result{
		Kind: proof.Agreement, Name: "bgp", What: "FRR unnumbered and BIRD numbered, IPv4 and IPv6, IPv4 by IPv6 next hops (RFC 8950): routes in and out, withdrawn", Count: 13, Packets: packets,
	})
}
