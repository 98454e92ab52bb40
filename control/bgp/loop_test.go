package bgp

import (
	"testing"

	"weft/control/config"
)

// Neighbors for whom another AS is ours, or may be in a path, have patterns of their own.
func TestLoopPatterns(t *testing.T) {
	for _, test := range []struct{ neighbors, want string }{
		{"[]", ""},
		{"[{address: 192.0.2.2, remote_as: 65002}, {address: 192.0.2.3, remote_as: 65003}]", ": _65001_; "},
		{
			"[{address: 192.0.2.2, remote_as: 65002, local_as: 65009}, {address: 192.0.2.3, remote_as: 65003, allow_own_as: 2}]",
			"neighbor 192.0.2.2: _65009_; neighbor 192.0.2.3: _65001_(.*_)?65001_(.*_)?65001_; ",
		},
	} {
		c, err := config.Parse("f", []byte("version: 1\nbgp: {as: 65001, neighbors: "+test.neighbors+"}"))
		if err != nil {
			t.Fatal(err)
		}
		p, err := compile(c.BGP, nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		patterns := map[string]string{}
		for _, s := range p.request.DefinedSets {
			patterns[s.Name] = s.List[0]
		}
		got := ""
		for _, s := range p.in.Statements {
			got += s.Conditions.NeighborSet.GetName() + ": " + patterns[s.Conditions.AsPathSet.Name] + "; "
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.neighbors, got, test.want)
		}
	}
}
