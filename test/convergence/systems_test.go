package convergence

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"weft/test/daemons"
	"weft/test/star"
)

// system is what makes the router a router.
type system struct {
	name string
	weft bool // weft forwards, too
	// start begins what speaks BGP, and returns its processes.
	start func(n *star.Network) []*daemons.Daemon
}

var systems = []system{
	{name: "frr_linux", start: frr},
	{name: "bird_linux", start: bird},
	{name: "frr_weft", weft: true, start: frr},
	{name: "bird_weft", weft: true, start: bird},
	{name: "weft_bgp", weft: true},
}

func frr(n *star.Network) []*daemons.Daemon {
	n.Helper()
	f := daemons.NewFRR(n.TB, daemons.Node(n.Lab, "r1"))
	// The kernel deletes next-hop objects when a link goes down: one that FRR 8.4 keeps for
	// later, 180 s if not told otherwise, is not there any more when it is used again.
	zebra := f.Start("zebra", "zebra nexthop-group keep 1\n")
	return []*daemons.Daemon{zebra, f.Start("bgpd", `
router bgp 65001
 bgp router-id 10.1.0.1
 no bgp ebgp-requires-policy
 timers bgp 3 9
 neighbor 10.2.0.2 remote-as 65002
 neighbor 10.2.0.2 timers connect 1
 neighbor 10.3.0.2 remote-as 65002
 neighbor 10.3.0.2 timers connect 1
`)}
}

const quick = "connect delay time 1; connect retry time 1; error wait time 1,1;"

func bird(n *star.Network) []*daemons.Daemon {
	n.Helper()
	b := daemons.NewBIRD(n.TB, daemons.Node(n.Lab, "r1"), fmt.Sprintf(`
router id 10.1.0.1;
protocol device {}
protocol direct { ipv4; }
protocol kernel { merge paths on; ipv4 { import none; export where source = RTS_BGP; }; }
protocol bgp two { local as 65001; neighbor 10.2.0.2 as 65002; %[1]s ipv4 { import all; export none; }; }
protocol bgp three { local as 65001; neighbor 10.3.0.2 as 65002; %[1]s ipv4 { import all; export none; }; }
`, quick))
	return []*daemons.Daemon{b.Daemon}
}

// configuration is that of weft's own BGP.
func configuration(n *star.Network) string {
	n.Helper()
	path := filepath.Join(n.TempDir(), "weft.yaml")
	err := os.WriteFile(path, []byte(`version: 1
bgp:
  as: 65001
  router_id: 10.1.0.1
  maximum_paths: 2
  neighbors:
    - {address: 10.2.0.2, remote_as: 65002, timers: {connect_retry: 2s}}
    - {address: 10.3.0.2, remote_as: 65002, timers: {connect_retry: 2s}}
`), 0o600)
	if err != nil {
		n.Fatal(err)
	}
	return path
}

// neighbor starts the BIRD of a host, which announces the prefix and those of a file of
// BIRD's; "": none.
func neighbor(n *star.Network, host int, file string) *daemons.BIRD {
	n.Helper()
	if file != "" {
		file = fmt.Sprintf("protocol static others { ipv4;\ninclude %q;\n}", file)
	}
	return daemons.NewBIRD(n.TB, daemons.Node(n.Lab, fmt.Sprint("h", host)), fmt.Sprintf(`
router id 10.%[1]d.0.2;
protocol device {}
protocol static one { ipv4; route %[2]s blackhole; }
%[3]s
protocol bgp upstream { local as 65002; neighbor 10.%[1]d.0.1 as 65001; %[4]s ipv4 { import none; export all; next hop self; }; }
`, host, prefix, file, quick))
}

// kernelRoutes counts the IPv4 routes of the router's kernel.
func kernelRoutes(n *star.Network) (routes int) {
	n.Helper()
	err := n.Lab.In("r1", func() error {
		text, err := os.ReadFile("/proc/thread-self/net/fib_triestat")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			var of int
			if _, err := fmt.Sscanf(strings.TrimSpace(line), "Prefixes: %d", &of); err == nil {
				routes += of
			}
		}
		return nil
	})
	if err != nil {
		n.Fatal(err)
	}
	return routes
}
