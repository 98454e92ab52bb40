package lab

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"weft/control/config"
)

func TestParseRouting(t *testing.T) {
	for _, s := range Routings() {
		if r, err := ParseRouting(s); err != nil || string(r) != s {
			t.Errorf("%q: %q, %v", s, r, err)
		}
	}
	for _, s := range []string{"", "ospf", "BGP"} {
		if _, err := ParseRouting(s); !errors.Is(err, ErrRouting) || !strings.Contains(err.Error(), "bgp, frr, static") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// Only hosts keep routes and addresses; each router has a number of its own, but the spines share theirs.
func TestUnnumbered(t *testing.T) {
	for line, systems := range map[string]int{"leaf-spine 32 16": 33, "line 63": 63} {
		numbered := mustParse(t, line)
		topology := numbered.Unnumbered(BGP)
		if err := topology.check(); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		seen, ids := map[uint32]bool{}, map[netip.Addr]bool{}
		for _, n := range topology.Nodes {
			if n.Router {
				seen[n.AS], ids[n.ID] = true, true
			}
		}
		if len(seen) != systems || len(ids) != len(topology.Routers()) {
			t.Errorf("%s: %d AS numbers, %d router ids, want %d, %d", line, len(seen), len(ids), systems, len(topology.Routers()))
		}
		for _, r := range topology.Routes {
			if !slices.Contains(topology.Hosts(), r.Node) {
				t.Errorf("%s: %s has a route to %s", line, r.Node, r.To)
			}
		}
		for i, l := range topology.Links {
			between := topology.isRouter(l.A.Node) && topology.isRouter(l.B.Node)
			if between != (len(l.A.Addrs)+len(l.B.Addrs) == 0) {
				t.Errorf("%s: link %v", line, l)
			}
			if len(numbered.Links[i].A.Addrs) != 2 {
				t.Errorf("%s: the topology that was asked has changed: %v", line, numbered.Links[i])
			}
		}
	}
}

func TestExpected(t *testing.T) {
	for _, c := range []struct {
		line string
		want map[int]int // routes by how many paths they have
	}{
		{"two-hosts", map[int]int{}},
		{"line 3", map[int]int{1: 2 * 2 * 2}},
		{"leaf-spine 4 2", map[int]int{1: 2 * 4 * 2, 2: 4 * 3 * 2}},
		{"leaf-spine 3 5", map[int]int{1: 5 * 3 * 2, 5: 3 * 2 * 2}},
	} {
		topology := mustParse(t, c.line).Unnumbered(FRR)
		got := map[int]int{}
		for _, e := range topology.expected() {
			got[e.paths]++
		}
		if !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.line, got, c.want)
		}
	}
}

func TestTryRouting(t *testing.T) {
	for routing, want := range map[Routing][]string{
		BGP: {"weft -n weft-x-leaf1 bgp routes", "weft lab kill spine1 --prefix weft-x-", "weft lab start spine1 --prefix weft-x-", "weft lab down --prefix weft-x-"},
		FRR: {"vtysh --vty_socket /run/weft-x-state/leaf1 -c 'show bgp summary'", "weft lab kill spine1 --prefix weft-x-"},
	} {
		l := &Lab{mustParse(t, "leaf-spine 2 2").Unnumbered(routing), "weft-x-"}
		for _, w := range want {
			if lines := l.Try(); !slices.Contains(lines, w) {
				t.Errorf("%s: %q is not in\n%s", routing, w, strings.Join(lines, "\n"))
			}
		}
	}
	l := &Lab{mustParse(t, "leaf-spine 2 1").Unnumbered(BGP), DefaultPrefix}
	if lines := strings.Join(l.Try(), "\n"); strings.Contains(lines, "kill") {
		t.Errorf("the only spine is to be killed:\n%s", lines)
	}
}

// What static routes bring is what BGP is waited for.
func TestConverge(t *testing.T) {
	l := up(t, mustParse(t, "leaf-spine 2 2"))
	var told []Progress
	tell := func(p Progress) { told = append(told, p) }
	if err := l.Converge(t.Context(), tell); err != nil || !slices.Equal(told, []Progress{{12, 12, 0, 0}}) {
		t.Errorf("static routes: %v, told %v", err, told)
	}
	if _, err := l.Output("leaf1", "ip", "route", "del", "10.2.0.0/24"); err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	told = nil
	err := l.Converge(ended, tell)
	if !errors.Is(err, ErrNotConverged) || !strings.Contains(err.Error(), "leaf1 has not 10.2.0.0/24 with 2 paths") || !slices.Equal(told, []Progress{{11, 12, 0, 0}}) {
		t.Errorf("a route that is missing: %v, told %v", err, told)
	}
}

func TestWeftArguments(t *testing.T) {
	l := up(t, mustParse(t, "leaf-spine 2 2").Unnumbered(BGP))
	args, err := l.WeftArguments("leaf2")
	if err != nil || len(args) != 2 || args[0] != "--config" {
		t.Fatalf("%q, %v", args, err)
	}
	text, err := os.ReadFile(args[1])
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := config.ReadFile(args[1])
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if b := c.BGP; b.AS != firstAS+2 || b.RouterID.String() != "10.254.0.4" || len(b.Neighbors) != 2 || b.Neighbors[1].Interface != "to-spine2" || b.Neighbors[1].Passive {
		t.Errorf("%+v", b)
	}
	if _, err := l.WeftArguments("leaf9"); !errors.Is(err, ErrNode) {
		t.Errorf("a router that is not there: %v", err)
	}
}

func TestFRRConfig(t *testing.T) {
	topology := mustParse(t, "leaf-spine 2 2").Unnumbered(FRR)
	for name, want := range map[string][]string{
		"leaf1": {
			"router bgp 4200000001\n bgp router-id 10.254.0.3\n", " neighbor to-spine1 interface peer-group fabric\n neighbor to-spine2 interface",
			" bgp bestpath as-path multipath-relax\n", " address-family ipv6 unicast\n  redistribute connected\n  maximum-paths 16\n  neighbor fabric activate\n",
		},
		"spine2": {"router bgp 4200000000\n bgp router-id 10.254.0.2\n", " neighbor to-leaf2 interface peer-group fabric\n neighbor to-leaf2 passive\n"},
	} {
		n, _ := topology.node(name)
		text := n.bgpdConfig(topology.peers(name))
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q is not in\n%s", name, w, text)
			}
		}
	}
}

// A node whose power was cut has its routes again when it is connected.
func TestKillAndConnect(t *testing.T) {
	l := up(t, mustParse(t, "leaf-spine 2 1"))
	p, err := l.Start("spine1", "sleep", "1000")
	if err != nil {
		t.Fatal(err)
	}
	before, err := l.paths("spine1")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Kill("spine1"); err != nil {
		t.Fatal(err)
	}
	<-p.Done
	reached := func() (n int) {
		ctx, cancel := context.WithTimeout(t.Context(), checkFor/8)
		defer cancel()
		reaches, err := l.Check(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range reaches {
			if r.Error == "" {
				n++
			}
		}
		return n
	}
	if n := reached(); n != 0 {
		t.Errorf("%d hosts are reached through a spine without power", n)
	}
	if err := l.Connect("spine1"); err != nil {
		t.Fatal(err)
	}
	for deadline := 20; reached() != 4; deadline-- {
		if deadline == 0 {
			t.Fatal("hosts do not reach each other again")
		}
	}
	if after, err := l.paths("spine1"); err != nil || !maps.Equal(after, before) {
		t.Errorf("routes are %v, %v, were %v", after, err, before)
	}
	if err := l.Kill("spine9"); !errors.Is(err, ErrNode) {
		t.Errorf("a node that is not there: %v", err)
	}
}

// FRR runs in a row of routers, too, and tells why it does not.
func TestFRR(t *testing.T) {
	if err := HasFRR(); err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	l := up(t, mustParse(t, "line 3").Unnumbered(FRR))
	if err := l.StartFRR(t.Context(), l.Routers()...); err != nil {
		t.Fatal(err)
	}
	if err := l.Converge(t.Context(), func(p Progress) { t.Logf("%+v", p) }); err != nil {
		t.Fatal(err)
	}
	reaches, err := l.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range reaches {
		if r.Error != "" {
			t.Errorf("%s does not reach %s %s: %s", r.From, r.To, r.Addr, r.Error)
		}
	}
	if err := l.StartFRR(t.Context(), "r2"); err == nil || !strings.Contains(err.Error(), "r2-zebra.log") {
		t.Errorf("a second zebra in r2: %v", err)
	}
	if err := l.Down(); err != nil {
		t.Fatal(err)
	}
	wantNothingLeft(t, l.Prefix())
}
