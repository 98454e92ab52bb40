package bgp

import (
	"fmt"
	"strings"
	"testing"

	"weft/test/daemons"
	"weft/test/proof"
)

// bgpPaths returns the paths that weft has to a prefix.
func (n *network) bgpPaths(prefix string) (paths []bgpPath) {
	n.Helper()
	var answer struct {
		IPv4Unicast struct{ Routes map[string][]bgpPath }
	}
	n.Try(&answer, "bgp", "routes", prefix)
	return answer.IPv4Unicast.Routes[prefix]
}

// bgpPath is one in 'weft bgp routes --json'.
type bgpPath struct {
	BestPath, Stale bool
	PathID          uint32
	Community       struct{ String string }
}

// hasPaths waits until weft has so many paths to a prefix, of which some are stale.
func (n *network) hasPaths(prefix string, count, stale int) {
	n.Helper()
	var paths []bgpPath
	defer func() {
		if n.Failed() {
			n.Logf("weft has %s: %+v", prefix, paths)
		}
	}()
	n.Until(fmt.Sprintf("weft has %d paths to %s, %d of them stale", count, prefix, stale), func() bool {
		paths = n.bgpPaths(prefix)
		old := 0
		for _, p := range paths {
			if p.Stale {
				old++
			}
		}
		return len(paths) == count && old == stale
	})
}

// BIRD sends both paths that it has to a prefix (RFC 7911): when the one goes, the other is
// there already. Once it is dead for longer than the restart time, its paths stay as a last resort
// (RFC 9494), and others are told so.
func TestManyPaths(t *testing.T) {
	n := begin(t, `
  neighbors:
    - {address: 10.2.0.2, remote_as: 65002, timers: {connect_retry: 2s}, graceful_restart: {enabled: true, long_lived_time: 600s}}
    - {address: 10.3.0.2, remote_as: 65003, timers: {connect_retry: 2s}, add_path_receive: true, graceful_restart: {enabled: true, long_lived_time: 600s}}
`)
	n.startFRR(neighborAt("10.2.0.1"))
	const two = `
router id 10.3.0.2;
protocol device {}
protocol static one4 { ipv4; route 10.80.0.0/16 blackhole { bgp_community.add((65003, 1)); }; }
protocol static other4 { ipv4 { preference 50; }; route 10.80.0.0/16 blackhole { bgp_community.add((65003, 2)); }; }
protocol bgp four {
	local as 65003; neighbor 10.3.0.1 as 65001; ` + fast + `
	graceful restart on; graceful restart time 1; long lived graceful restart on; long lived stale time 600;
	ipv4 { import all; export where source = RTS_STATIC; next hop self; add paths tx; };
}
`
	n.bird = daemons.NewBIRD(n.TB, daemons.Node(n.Lab, "h3"), two)
	n.hasPaths("10.80.0.0/16", 2, 0)
	if paths := n.bgpPaths("10.80.0.0/16"); paths[0].PathID == paths[1].PathID || paths[0].Community == paths[1].Community {
		t.Errorf("two paths: %+v", paths)
	}
	packets := n.only("10.80.0.1", "to-h3")
	s := n.Stream("10.80.0.1")
	s.Begin()
	pass(s)
	n.bird.Do("disable one4")
	n.hasPaths("10.80.0.0/16", 1, 0)
	n.bird.Do("enable one4")
	n.hasPaths("10.80.0.0/16", 2, 0)
	n.bird.Do("disable other4")
	n.hasPaths("10.80.0.0/16", 1, 0)
	n.frrHas("10.80.0.0/16", func(p *path) bool { return p.Community.String == "65003:1" })

	n.bird.Kill()
	n.frrHas("10.80.0.0/16", func(p *path) bool { return strings.Contains(p.Community.String, "llgr-stale") })
	n.hasPaths("10.80.0.0/16", 1, 1)
	n.bird.Start()
	n.hasPaths("10.80.0.0/16", 2, 0)
	n.frrHas("10.80.0.0/16", func(p *path) bool { return !strings.Contains(p.Community.String, "llgr-stale") })
	pass(s)
	s.Stop()
	packets += s.WantAll()
	s.Close()
	proof.Record(t, proof.Result{
		Kind: proof.Agreement, Name: "bgp", What: "two paths of a prefix from BIRD (add-path), and long-lived graceful restart, which FRR is told of", Count: 5, Packets: packets,
	})
}

// FRR and BIRD are in one AS, and do not know of each other: weft reflects what the one has to
// the other (RFC 4456), with the next hop as it was. FRR, which preserves no forwarding when it
// restarts, is told when it has all.
func TestReflection(t *testing.T) {
	n := begin(t, `
  neighbors:
    - {address: 10.2.0.2, remote_as: internal, route_reflector_client: true, timers: {connect_retry: 2s}}
    - {address: 10.3.0.2, remote_as: internal, route_reflector_client: true, timers: {connect_retry: 2s}}
`)
	f := daemons.NewFRR(n.TB, daemons.Node(n.Lab, "h2"))
	n.frr = f
	f.Start("zebra", "")
	f.Start("bgpd", `
router bgp 65001
 bgp router-id 10.2.0.2
 no bgp network import-check
 bgp graceful-restart
 neighbor 10.2.0.1 remote-as internal
 neighbor 10.2.0.1 timers connect 1
 address-family ipv4 unicast
  network 10.70.0.0/16
 exit-address-family
`)
	n.bird = daemons.NewBIRD(n.TB, daemons.Node(n.Lab, "h3"), `
router id 10.3.0.2;
protocol device {}
protocol static s4 { ipv4; route 10.72.0.0/16 blackhole; }
protocol bgp four { local as 65001; neighbor 10.3.0.1 as 65001; direct; `+fast+` ipv4 { import all; export where proto = "s4"; next hop self; gateway recursive; }; }
`)
	n.birdHas("10.70.0.0/16", "BGP.next_hop: 10.2.0.2\n", "BGP.originator_id: 10.2.0.2\n", "BGP.cluster_list: 10.1.0.1\n")
	n.frrHas("10.72.0.0/16", func(p *path) bool {
		return p.OriginatorID == "10.3.0.2" && len(p.Nexthops) == 1 && p.Nexthops[0].IP == "10.3.0.2"
	})
	packets := n.only("10.70.0.1", "to-h2") + n.only("10.72.0.1", "to-h3")
	n.Until("FRR has the End-of-RIB", func() bool {
		var answer map[string]struct {
			GracefulRestartInfo struct{ EndOfRibRecv map[string]bool }
		}
		return f.Try(&answer, "bgpd", "show bgp neighbors 10.2.0.1 json") && answer["10.2.0.1"].GracefulRestartInfo.EndOfRibRecv["ipv4Unicast"]
	})
	f.Configure("bgpd", "router bgp 65001", "address-family ipv4 unicast", "no network 10.70.0.0/16")
	n.birdHas("10.70.0.0/16")
	proof.Record(t, proof.Result{
		Kind: proof.Agreement, Name: "bgp", What: "route reflection between FRR and BIRD, two clients of weft's, and the End-of-RIB", Count: 3, Packets: packets,
	})
}
