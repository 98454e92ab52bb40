package bird

import (
	"fmt"
	"testing"

	"weft/test/proof"
	"weft/test/star"
)

const fast = "connect delay time 1; connect retry time 1; error wait time 1,1;"

// bgpRouter has a session with each neighbor per family, and those for IPv4 over IPv6.
func bgpRouter(kernel, session string) string {
	text := "router id 10.1.0.1;\n" + kernel
	for host := 2; host <= 3; host++ {
		text += fmt.Sprintf(`
protocol bgp four%[1]d { local as 65001; neighbor 10.%[1]d.0.2 as 65002; %[2]s ipv4 { import all; export none; }; }
protocol bgp six%[1]d {
	local as 65001; neighbor 2001:db8:%[1]d::2 as 65002; %[2]s
	ipv6 { import all; export none; };
	ipv4 { import all; export none; extended next hop; };
}
`, host, fast+session)
	}
	return text
}

// bgpNeighbor announces 10.70.0.0/16 by IPv4, and 2001:db8:70::/48 and 10.72.0.0/16 by IPv6.
func bgpNeighbor(host int) string {
	return fmt.Sprintf(`
router id 10.%[1]d.0.2;
%[3]s
protocol static over6 { ipv4; route 10.72.0.0/16 blackhole; }
protocol bgp four { local as 65002; neighbor 10.%[1]d.0.1 as 65001; %[2]s ipv4 { import none; export where proto = "s4"; next hop self; }; }
protocol bgp six {
	local as 65002; neighbor 2001:db8:%[1]d::1 as 65001; %[2]s
	ipv6 { import none; export where proto = "s6"; next hop self; };
	ipv4 { import none; export where proto = "over6"; next hop self; extended next hop; };
}
`, host, fast, announced)
}

// Two BGP neighbors announce the same: flows go to both, also IPv4 by IPv6 next hops. When a
// neighbor withdraws it they all go to the other one. Without persist BIRD takes its routes
// with it when it ends: weft follows, and what others have stays.
func TestBGP(t *testing.T) {
	n := begin(t, bgpRouter(kernel(""), ""), bgpNeighbor)
	var packets uint64
	for _, dst := range []string{"10.70.0.1", "2001:db8:70::1", "10.72.0.1"} {
		packets += n.wantShared(dst)
	}
	n.neighbors[3].Do("disable s4")
	n.WantLookup("10.70.0.1", func(l *star.Lookup) bool { return l.Members <= 1 && l.Dev == "to-h2" })
	s := n.Stream("10.70.0.1")
	n.WantCounted("to-h1", "forwarded", flows, func() { s.Burst(flows) })
	s.WantShare(100)
	packets += s.WantAll()
	s.Close()
	n.neighbors[3].Do("enable s4")
	packets += n.wantShared("10.70.0.1")
	proof.Record(t, proof.Result{
		Kind: proof.Agreement, Name: "bird", What: "BGP of two BIRDs, merged by a third: flows shared, IPv4 by IPv6 next hops, too", Count: 3, Packets: packets,
	})

	stable := n.BeginStable()
	n.bird.Stop()
	for _, dst := range []string{"10.70.0.1", "10.72.0.1"} {
		n.WantReason(dst, "ipv4_lpm_miss")
	}
	n.WantReason("2001:db8:70::1", "ipv6_lpm_miss")
	n.bird.Start()
	for _, dst := range []string{"10.70.0.1", "2001:db8:70::1", "10.72.0.1"} {
		n.WantLookup(dst, func(l *star.Lookup) bool { return l.Verdict == "forward" && l.Members == 2 })
	}
	sent := stable.Finish()
	n.WantVerified()
	proof.Record(t, proof.Result{Kind: proof.Fault, Name: "R19", What: "BIRD ends and takes its routes along; those of others stay", Packets: sent})
}

// ospf is an instance for each family on an interface each.
func ospf(export string, interfaces ...string) (text string) {
	for _, v := range []string{"ospf v2 o4 { ipv4", "ospf v3 o6 { ipv6"} {
		text += fmt.Sprintf("protocol %s { import all; export %s; }; merge external; area 0 {", v, export)
		for _, name := range interfaces {
			text += fmt.Sprintf(` interface %q { type ptp; hello 1; dead count 5; retransmit 2; };`, name)
		}
		text += " }; }\n"
	}
	return text
}

// OSPF finds two equal ways. One neighbor dies, and its share goes to the other.
func TestOSPF(t *testing.T) {
	n := begin(t, "router id 10.1.0.1;"+kernel("")+ospf("none", "to-h2", "to-h3"), func(host int) string {
		return fmt.Sprintf("router id 10.%d.0.2;", host) + announced + ospf("all", "eth0")
	})
	n.Wait *= 3 // neighbors find each other at the pace of their hellos
	var packets uint64
	for _, dst := range []string{"10.70.0.1", "2001:db8:70::1"} {
		packets += n.wantShared(dst)
	}
	n.neighbors[2].Kill()
	for _, dst := range []string{"10.70.0.1", "2001:db8:70::1"} {
		n.WantLookup(dst, func(l *star.Lookup) bool { return l.Members <= 1 && l.Dev == "to-h3" })
		s := n.Stream(dst)
		n.WantCounted("to-h1", "forwarded", flows, func() { s.Burst(flows) })
		s.WantShare(0)
		packets += s.WantAll()
		s.Close()
	}
	proof.Record(t, proof.Result{
		Kind: proof.Agreement, Name: "bird", What: "OSPF v2 and v3 with two BIRDs: flows shared; one is killed: all go by the other", Count: 2, Packets: packets,
	})
}

// Static routes of BIRD's: weights, IPv4 by an IPv6 next hop, and those that end packets.
func TestStatic(t *testing.T) {
	n := begin(t, "router id 10.1.0.1;"+kernel("")+`
protocol static s4 {
	ipv4;
	route 10.70.0.0/16 via 10.2.0.2 weight 3 via 10.3.0.2 weight 1;
	route 10.72.0.0/16 via 2001:db8:3::2;
	route 10.73.0.0/16 blackhole;
	route 10.74.0.0/16 unreachable;
	route 10.75.0.0/16 prohibit;
}
protocol static s6 { ipv6; route 2001:db8:70::/48 via 2001:db8:2::2; }
`, nil)
	n.WantLookup("10.70.0.1", func(l *star.Lookup) bool { return l.Verdict == "forward" && l.Members == 2 })
	s := n.Stream("10.70.0.1")
	n.WantCounted("to-h1", "forwarded", flows, func() { s.Burst(flows) })
	s.WantShare(75)
	packets := s.WantAll()
	s.Close()
	n.WantForward("10.72.0.1", "to-h3", "2001:db8:3::2")
	n.WantForward("2001:db8:70::1", "to-h2", "2001:db8:2::2")
	three, two := n.Path(3), n.Path(2)
	three.Crosses(three.Packet("10.72.0.1"))
	two.Crosses(two.Packet("2001:db8:70::1"))
	for dst, reason := range map[string]string{"10.73.0.1": "blackhole_route", "10.74.0.1": "reject_route", "10.75.0.1": "reject_route"} {
		n.WantReason(dst, reason)
	}
	proof.Record(t, proof.Result{
		Kind: proof.Agreement, Name: "bird", What: "static routes of BIRD's: weights 3:1, IPv4 by an IPv6 next hop, blackhole, unreachable, prohibit", Count: 6, Packets: packets + 2,
	})
}
