package lab

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// FuzzParse holds that what Parse takes can be made, and that the rest is ErrTopology.
func FuzzParse(f *testing.F) {
	for _, line := range []string{"two-hosts", "line 3", "leaf-spine 4 2", "leaf-spine 32 16", "line -1", "line 0x3", "ring 3", ""} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		topology, err := Parse(strings.Fields(line))
		if err != nil {
			if !errors.Is(err, ErrTopology) {
				t.Errorf("%q: %v", line, err)
			}
			return
		}
		if err := topology.check(); err != nil || len(topology.Hosts()) == 0 || len(topology.Routers()) == 0 {
			t.Errorf("%q: %v", line, err)
		}
		again, err := Parse(strings.Fields(topology.Name))
		if err != nil || again.Name != topology.Name || len(again.Links) != len(topology.Links) {
			t.Errorf("%q is called %q: %v", line, topology.Name, err)
		}
	})
}

// FuzzTopology reads what a lab has written of itself, and somebody else has changed.
func FuzzTopology(f *testing.F) {
	b, err := json.Marshal(TwoHosts())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"Nodes":[{"Name":"a"}],"Links":[{"A":{"Node":"a","Addrs":["10.0.0.1/33"]}}],"Routes":[{"Node":"a","Via":[""]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var topology Topology
		if json.Unmarshal(b, &topology) != nil {
			return
		}
		l := &Lab{topology, DefaultPrefix}
		_, _ = l.check(), l.Try()
		for _, n := range topology.Nodes {
			for _, a := range topology.Addrs(n.Name) {
				_ = a.String()
			}
		}
	})
}
