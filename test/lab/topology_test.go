package lab

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		line                   string
		hosts, routers, routes int
		err                    string
	}{
		{"two-hosts", 2, 1, 4, ""},
		{"line 1", 2, 1, 4, ""},
		{"line 63", 2, 63, 4 + 62*4, ""},
		{"leaf-spine 1 1", 1, 2, 2 + 2, ""},
		{"leaf-spine 4 2", 4, 6, 4*2 + 4*2*2 + 4*3*2, ""},
		{"leaf-spine 32 16", 32, 48, 32*2 + 32*16*2 + 32*31*2, ""},
		{"", 0, 0, 0, "want two-hosts"},
		{"ring 3", 0, 0, 0, `no topology is called "ring"`},
		{"two-hosts 2", 0, 0, 0, "takes 0 numbers, not 1"},
		{"line", 0, 0, 0, "takes 1 numbers, not 0"},
		{"line two", 0, 0, 0, `"two" is no number`},
		{"line 0", 0, 0, 0, "want 1 to 63 routers"},
		{"line -1", 0, 0, 0, "want 1 to 63 routers"},
		{"line 300", 0, 0, 0, "want 1 to 63 routers"},
		{"line 64", 0, 0, 0, "want 1 to 63 routers"},
		{"leaf-spine 2", 0, 0, 0, "takes 2 numbers, not 1"},
		{"leaf-spine 0 2", 0, 0, 0, "want 1 to 32 leaves"},
		{"leaf-spine 2 17", 0, 0, 0, "1 to 16 spines"},
	} {
		topology, err := Parse(strings.Fields(c.line))
		if c.err != "" {
			if !errors.Is(err, ErrTopology) || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: %v, want %q", c.line, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.line, err)
		}
		if h, r, n := len(topology.Hosts()), len(topology.Routers()), len(topology.Routes); h != c.hosts || r != c.routers || n != c.routes {
			t.Errorf("%q has %d hosts, %d routers, %d routes; want %d, %d, %d", c.line, h, r, n, c.hosts, c.routers, c.routes)
		}
		if err := topology.check(); err != nil {
			t.Errorf("%q: %v", c.line, err)
		}
		if topology.Name != c.line {
			t.Errorf("%q is called %q", c.line, topology.Name)
		}
	}
}

// No two links of the largest topologies share a subnet, and both ends of each are in it.
func TestSubnets(t *testing.T) {
	for _, line := range []string{"line 63", "leaf-spine 32 16"} {
		topology, err := Parse(strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[netip.Prefix]bool{}
		for _, l := range topology.Links {
			for i, a := range l.A.Addrs {
				if a.Masked() != l.B.Addrs[i].Masked() || a == l.B.Addrs[i] || seen[a.Masked()] {
					t.Errorf("%s: link %v", line, l)
				}
				seen[a.Masked()] = true
			}
		}
	}
}

func TestWrongTopologies(t *testing.T) {
	end := func(node, name string) End { return End{Node: node, Interface: name} }
	for want, topology := range map[string]Topology{
		`node "R1"`:         {Nodes: []Node{{Name: "R1"}}},
		`node "a-b"`:        {Nodes: []Node{{Name: "a-b"}}},
		"two nodes":         {Nodes: []Node{{Name: "a"}, {Name: "a"}}},
		"which is no node":  {Nodes: []Node{{Name: "a"}}, Links: []Link{{end("a", "x"), end("b", "y")}}},
		"1 to 15 bytes":     {Nodes: []Node{{Name: "a"}}, Links: []Link{{end("a", "0123456789abcdef"), end("a", "y")}}},
		"two interfaces":    {Nodes: []Node{{Name: "a"}}, Links: []Link{{end("a", "x"), end("a", "x")}}},
		"want a node and a": {Nodes: []Node{{Name: "a"}}, Routes: []Route{{Node: "a"}}},
	} {
		_, err := Up(t.Context(), topology, Options{})
		if !errors.Is(err, ErrTopology) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestPrefixes(t *testing.T) {
	for _, p := range []string{"", "-", "weft", "../-", "We-", "a b-", strings.Repeat("a", 40) + "-"} {
		if err := Down(p); err == nil {
			t.Errorf("Down took prefix %q", p)
		}
	}
	if _, err := Up(t.Context(), TwoHosts(), Options{Prefix: "weft"}); err == nil {
		t.Error("Up took a prefix without a dash")
	}
}

func TestTry(t *testing.T) {
	l := &Lab{TwoHosts(), DefaultPrefix}
	lines := strings.Join(l.Try(), "\n")
	for _, want := range []string{
		"ip netns exec weft-lab-h1 ping 10.2.0.2", "ip netns exec weft-lab-h1 ping 2001:db8:2::2",
		"weft -n weft-lab-r1 routes get 10.2.0.2 explain", "weft lab down",
	} {
		if !strings.Contains(lines, want) {
			t.Errorf("%q is not in\n%s", want, lines)
		}
	}
}
