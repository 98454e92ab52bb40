package daemons_test

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/daemons"
	"weft/test/lab"
	"weft/test/root"
)

// line makes routers in a row: rN and rN+1 have 10.0.N.1 and 10.0.N.2.
func line(t *testing.T, routers int) *lab.Lab {
	t.Helper()
	root.Require(t)
	topology := lab.Topology{Name: "daemons"}
	for i := 1; i <= routers; i++ {
		topology.Nodes = append(topology.Nodes, lab.Node{Name: fmt.Sprint("r", i), Router: true})
	}
	for i := 1; i < routers; i++ {
		addr := func(host byte) []netip.Prefix {
			return []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), host}), 24)}
		}
		topology.Links = append(topology.Links, lab.Link{
			A: lab.End{Node: fmt.Sprint("r", i), Interface: "right", Addrs: addr(1)},
			B: lab.End{Node: fmt.Sprint("r", i+1), Interface: "left", Addrs: addr(2)},
		})
	}
	l, err := lab.Up(t.Context(), topology, lab.Options{Prefix: fmt.Sprintf("weft-daemons%d-", os.Getpid())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
	}
}

// ExaBGP tells GoBGP, which tells FRR, which tells BIRD, which tells another FRR: each
// speaks to the next, is killed and comes back.
func TestDaemonsSpeak(t *testing.T) {
	l := line(t, 5)
	var pids []int
	t.Cleanup(func() { // when the daemons' own are through
		for _, pid := range pids {
			if unix.Kill(pid, 0) != unix.ESRCH {
				t.Errorf("process %d is left", pid)
			}
		}
	})
	exa := daemons.NewExaBGP(t, daemons.Node(l, "r1"), `
neighbor 10.0.1.2 { router-id 10.0.1.1; local-address 10.0.1.1; local-as 65001; peer-as 65002; API }
`)
	gobgp := daemons.NewGoBGP(t, daemons.Node(l, "r2"), `
[global.config]
  as = 65002
  router-id = "10.0.1.2"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "10.0.1.1"
    peer-as = 65001
[[neighbors]]
  [neighbors.config]
    neighbor-address = "10.0.2.2"
    peer-as = 65003
  [neighbors.timers.config]
    connect-retry = 1
    idle-hold-time-after-reset = 1
`)
	near := daemons.NewFRR(t, daemons.Node(l, "r3"))
	near.Start("zebra", "")
	near.Start("bgpd", `
router bgp 65003
 no bgp ebgp-requires-policy
 neighbor 10.0.2.1 remote-as external
 neighbor 10.0.2.1 timers connect 1
 neighbor 10.0.3.2 remote-as external
 neighbor 10.0.3.2 timers connect 1
`)
	bird := daemons.NewBIRD(t, daemons.Node(l, "r4"), `
router id 10.0.3.2;
protocol device {}
protocol direct { ipv4; }
protocol kernel { ipv4 { export all; }; }
protocol bgp near { local 10.0.3.2 as 65004; neighbor 10.0.3.1 as 65003; connect delay time 1; connect retry time 1; graceful restart off; ipv4 { import all; export all; }; }
protocol bgp far { local 10.0.4.1 as 65004; neighbor 10.0.4.2 as 65005; connect delay time 1; connect retry time 1; graceful restart off; ipv4 { import all; export all; next hop self; }; }
`)
	far := daemons.NewFRR(t, daemons.Node(l, "r5"))
	far.Start("zebra", "")
	far.Start("bgpd", `
router bgp 65005
 no bgp ebgp-requires-policy
 neighbor 10.0.4.1 remote-as external
 neighbor 10.0.4.1 timers connect 1
`)
	exa.Say("announce route 203.0.113.0/24 next-hop self")
	path := func() string {
		var answer struct {
			Paths []struct {
				Aspath struct{ String string }
			}
		}
		if !far.Try(&answer, "bgpd", "show bgp ipv4 unicast 203.0.113.0/24 json") || len(answer.Paths) != 1 {
			return ""
		}
		return answer.Paths[0].Aspath.String
	}
	arrives := func() {
		t.Helper()
		until(t, "the route is at the far end", func() bool { return path() == "65004 65003 65002 65001" })
	}
	arrives()
	until(t, "the far end's kernel has the route", func() bool {
		out, err := l.Output("r5", "ip", "route", "show", "203.0.113.0/24")
		return err == nil && strings.Contains(string(out), "via 10.0.4.1")
	})
	if got := bird.Do("show route 203.0.113.0/24"); !strings.Contains(got, "via 10.0.3.1") {
		t.Errorf("bird: %s", got)
	}
	if got := gobgp.Do("global", "rib", "203.0.113.0/24"); !strings.Contains(got, "65001") {
		t.Errorf("gobgp: %s", got)
	}
	near.Configure("bgpd", "router bgp 65003", "network 198.51.100.0/24", "no bgp network import-check")
	until(t, "bird has what was configured", func() bool { return strings.Contains(bird.Do("show route"), "198.51.100.0/24") })

	d := far.Daemon("bgpd")
	d.Kill()
	until(t, "bird has no neighbor", func() bool { return !strings.Contains(bird.Do("show protocols far"), "Established") })
	if d.Running() {
		t.Error("it runs")
	}
	d.Start()
	arrives()
	bird.Stop()
	until(t, "the route has gone", func() bool { return path() == "" })
	bird.Start()
	arrives()
	exa.Say("withdraw route 203.0.113.0/24 next-hop self")
	until(t, "the route has gone", func() bool { return path() == "" })
	for _, d := range []*daemons.Daemon{exa.Daemon, gobgp.Daemon, bird.Daemon, far.Daemon("zebra"), far.Daemon("bgpd")} {
		pids = append(pids, d.Pid())
	}
}
