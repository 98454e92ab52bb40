package main

import (
	"cmp"
	"strings"
	"testing"

	"weft/test/lab"
)

func TestLabUsage(t *testing.T) {
	for args, want := range map[string]string{
		"lab up ring 3":                                `no topology is called "ring"`,
		"lab up leaf-spine 4 2 --routing ospf":         "--routing ospf: no such routing: want bgp, frr or static",
		"lab up leaf-spine 4 2 --routing bpg":          "did you mean",
		"lab up leaf-spine 4 2 --kernel --routing bgp": "there is no BGP of weft",
		"lab kill":                               "lab kill: want the name of a node",
		"lab start":                              "lab start: want the name of a node",
		"lab kill a b":                           "b: unexpected",
		"lab kill r1 --prefix weft-no-such-lab-": "there is no lab",
	} {
		r := weft(t, &fake{}, strings.Fields(args)...)
		if r.exit != 2 || r.stdout != "" || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: exit %d, %s%s; want %q", args, r.exit, r.stdout, r.stderr, want)
		}
	}
}

// Only leaf-spine runs BGP unless told otherwise, and no lab without weft does.
func TestLabRouting(t *testing.T) {
	for _, c := range []struct {
		topology string
		options  labOptions
		want     lab.Routing
	}{
		{"two-hosts", labOptions{}, lab.Static},
		{"line 3", labOptions{}, lab.Static},
		{"line 3", labOptions{routing: "bgp"}, lab.BGP},
		{"leaf-spine 4 2", labOptions{}, lab.BGP},
		{"leaf-spine 4 2", labOptions{kernel: true}, lab.Static},
		{"leaf-spine 4 2", labOptions{routing: "static"}, lab.Static},
	} {
		topology, err := c.options.topology(strings.Fields(c.topology))
		if got := cmp.Or(topology.Routing, lab.Static); err != nil || got != c.want {
			t.Errorf("%s %+v: %s, %v, want %s", c.topology, c.options, got, err, c.want)
		}
	}
}
