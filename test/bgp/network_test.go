package bgp

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weft/test/daemons"
	"weft/test/star"
)

// flows is as many as the generator has source ports.
const flows = 1 << 14

// network is a star in which weft is the BGP router 65001. FRR in h2 is 65002, BIRD in h3
// is 65003; what both announce is 10.70.0.0/16 and 2001:db8:70::/48.
type network struct {
	*star.Network
	config string
	frr    *daemons.FRR
	bird   *daemons.BIRD
}

// begin starts weft with a section bgp and other sections.
func begin(t *testing.T, section string) *network {
	t.Helper()
	t.Parallel() // most of the time is waiting for timers
	n := &network{Network: star.New(t)}
	n.Wait = time.Minute
	kept := "/run/weft/" + n.Netns() + ".config"
	t.Cleanup(func() { os.RemoveAll(kept) })
	n.config = n.write(section)
	n.Run("--config", n.config)
	n.Resolve()
	return n
}

// write makes a configuration file of a section bgp, and what comes behind it.
func (n *network) write(section string) string {
	n.Helper()
	return write(n.Network, "bgp:\n  as: 65001\n  router_id: 10.1.0.1\n  maximum_paths: 8\n"+section)
}

func write(n *star.Network, text string) string {
	n.Helper()
	path := filepath.Join(n.TempDir(), "weft.yaml")
	if err := os.WriteFile(path, []byte("version: 1\n"+text), 0o600); err != nil {
		n.Fatal(err)
	}
	return path
}

// apply changes the configuration of the weft that runs.
func (n *network) apply(section string) {
	n.Helper()
	n.config = n.write(section)
	if o := n.Weft("config", "apply", n.config); o.Code != 0 {
		n.Fatalf("weft config apply: exit code %d\n%s", o.Code, o.Stderr)
	}
}

// neighborAt returns the lines of FRR's configuration that make weft a neighbor: one by
// an address, or who is behind eth0.
func neighborAt(name string) string {
	if name == "eth0" {
		name = "eth0 interface"
	}
	at, _, _ := strings.Cut(name, " ")
	return fmt.Sprintf(" neighbor %s remote-as external\n neighbor %s timers connect 1\n", name, at)
}

// startFRR starts FRR in h2 with more lines of "router bgp", and what comes behind them.
func (n *network) startFRR(lines string) {
	n.Helper()
	n.frr = daemons.NewFRR(n.TB, daemons.Node(n.Lab, "h2"))
	n.frr.Start("zebra", "")
	n.frr.Start("bgpd", `
router bgp 65002
 bgp router-id 10.2.0.2
 no bgp ebgp-requires-policy
 no bgp network import-check
`+lines+"\n!\nbgp route-map delay-timer 1\n")
}

// both are the networks of FRR.
const both = ` address-family ipv4 unicast
  network 10.70.0.0/16
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:70::/48
  neighbor %s activate
 exit-address-family
`

// fast makes BIRD try again soon.
const fast = "connect delay time 1; connect retry time 1; error wait time 1,1;"

// birdConfig has a session over IPv4, and one over IPv6 which also brings 10.72.0.0/16.
func birdConfig(session string) string {
	return fmt.Sprintf(`
router id 10.3.0.2;
protocol device {}
protocol static s4 { ipv4; route 10.70.0.0/16 blackhole; }
protocol static s6 { ipv6; route 2001:db8:70::/48 blackhole; }
protocol static over6 { ipv4; route 10.72.0.0/16 blackhole; }
protocol bgp four { local as 65003; neighbor 10.3.0.1 as 65001; %[1]s ipv4 { import all; export where proto = "s4"; next hop self; }; }
protocol bgp six {
	local as 65003; neighbor 2001:db8:3::1 as 65001; %[1]s
	ipv6 { import all; export where proto = "s6"; next hop self; };
	ipv4 { import all; export where proto = "over6"; next hop self; extended next hop; };
}
`, fast+session)
}

func (n *network) startBIRD(session string) {
	n.Helper()
	n.bird = daemons.NewBIRD(n.TB, daemons.Node(n.Lab, "h3"), birdConfig(session))
}

// neighbors are those of weft: FRR unnumbered, BIRD by both families.
const neighbors = `
  neighbors:
    - {interface: to-h2, remote_as: external, timers: {hold: 9s, connect_retry: 2s}}
    - {address: 10.3.0.2, remote_as: 65003, timers: {hold: 9s, connect_retry: 2s}}
    - {address: "2001:db8:3::2", remote_as: external, families: [ipv4-unicast, ipv6-unicast], timers: {hold: 9s, connect_retry: 2s}}
`

// path is one that FRR has.
type path struct {
	Valid, Stale   bool
	Aspath         struct{ String string }
	Metric         *uint32
	Community      struct{ String string }
	LargeCommunity struct{ String string }
	OriginatorID   string `json:"originatorId"`
	Nexthops       []struct{ IP, Afi, Scope string }
}

// atFRR returns what FRR has for a prefix.
func (n *network) atFRR(prefix string) []path {
	n.Helper()
	family := "ipv4"
	if strings.Contains(prefix, ":") {
		family = "ipv6"
	}
	var answer struct{ Paths []path }
	n.frr.Try(&answer, "bgpd", fmt.Sprintf("show bgp %s unicast %s json", family, prefix))
	return answer.Paths
}

// frrHas waits until FRR has paths to a prefix of which one is as wanted.
func (n *network) frrHas(prefix string, is func(p *path) bool) {
	n.Helper()
	var paths []path
	defer func() {
		if n.Failed() {
			n.Logf("FRR has %s: %+v", prefix, paths)
		}
	}()
	n.Until("FRR has "+prefix, func() bool {
		paths = n.atFRR(prefix)
		for i := range paths {
			if is(&paths[i]) {
				return true
			}
		}
		return false
	})
}

// fromWeft tells a path that has only weft's AS.
func fromWeft(p *path) bool { return p.Valid && !p.Stale && p.Aspath.String == "65001" }

// birdHas waits until BIRD says what it should of a prefix, or has no route to it.
func (n *network) birdHas(prefix string, words ...string) {
	n.Helper()
	n.Until(fmt.Sprintf("BIRD has %s with %q", prefix, words), func() bool {
		out, err := n.bird.Try("show route all " + prefix)
		for _, w := range words {
			if !strings.Contains(out, w) {
				return false
			}
		}
		return (err == nil) == (len(words) > 0)
	})
}

// forwards waits until packets to a destination go to so many next hops.
func (n *network) forwards(dst string, members int) {
	n.Helper()
	n.WantLookup(dst, func(l *star.Lookup) bool { return l.Verdict == "forward" && l.Members == members })
}

// shared asserts that the flows to a destination spread over both neighbors, by XDP, and
// that none is lost. It returns how many packets went.
func (n *network) shared(dst string) uint64 {
	n.Helper()
	n.forwards(dst, 2)
	return n.burst(dst, 50)
}

// only asserts that all flows to a destination go by one link.
func (n *network) only(dst, dev string) uint64 {
	n.Helper()
	n.WantForward(dst, dev, "")
	n.WantLookup(dst, func(l *star.Lookup) bool { return l.Members <= 1 })
	return n.burst(dst, map[string]int{"to-h2": 100, "to-h3": 0}[dev])
}

// burst sends a packet of each flow, of which some percent are to come to h2.
func (n *network) burst(dst string, at2 int) uint64 {
	n.Helper()
	n.CatchUp()
	s := n.Stream(dst)
	defer s.Close()
	n.WantCounted("to-h1", "forwarded", flows, func() { s.Burst(flows) })
	s.WantShare(at2)
	return s.WantAll()
}

// inKernel waits until the kernel has a route of weft's with some words, or none.
func (n *network) inKernel(prefix string, words ...string) {
	n.Helper()
	family := "-4"
	if strings.Contains(prefix, ":") {
		family = "-6"
	}
	var got string
	defer func() {
		if n.Failed() {
			n.Logf("the kernel has %q", got)
		}
	}()
	n.Until(fmt.Sprintf("the kernel has %s with %q", prefix, words), func() bool {
		got = n.IP("r1", family+" route show "+prefix+" proto 119")
		for _, w := range words {
			if !strings.Contains(got, w) {
				return false
			}
		}
		return (got == "") == (len(words) == 0)
	})
}
