package ports

import (
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"weft/dataplane"
)

// wantEngines asserts which engines ports have, in the engine and by the Set.
func (b *bench) wantEngines(want map[string]dataplane.Name) {
	b.engine.Helper()
	got := map[string]dataplane.Name{}
	for _, p := range b.engine.ports {
		got[p.Name] = p.Engine
	}
	if !maps.Equal(got, want) {
		b.engine.Errorf("engines %v, want %v", got, want)
	}
	for index, p := range b.ports {
		if b.engine.ports[p.Number] != p {
			b.engine.Errorf("interface %d is %+v, which the engine has as %+v", index, p, b.engine.ports[p.Number])
		}
	}
}

// threePorts are eth0 with a VLAN, eth1 and eth2.
func threePorts(t *testing.T) *bench {
	b := newBench(t, newFake(t))
	for index, name := range []string{"eth0", "eth1", "eth2"} {
		b.Take(hardware(index+1, name), true)
	}
	b.Take(vlan(4, "eth0.10", 1, 10), true)
	b.engine.did()
	return b
}

func TestRules(t *testing.T) {
	b := threePorts(t)
	set := func(calls string, rules ...Rule) {
		t.Helper()
		if err := b.SetRules(rules); err != nil {
			t.Error(err)
		}
		b.did(calls)
	}
	set("set 1 eth0, set 3 eth2", Rule{"eth1", dataplane.XDP}, Rule{"eth*", dataplane.Soft})
	b.wantEngines(map[string]dataplane.Name{"eth0": dataplane.Soft, "eth0.10": "", "eth1": "", "eth2": dataplane.Soft})
	if r, ok := b.Rule("eth1"); !ok || r.Match != "eth1" {
		t.Errorf("eth1 goes by %+v, %t", r, ok)
	}
	if got := b.told[len(b.told)-1]; got != "eth2 has engine soft, instead of xdp" {
		t.Errorf("told %q", got)
	}
	set("", Rule{"eth1", dataplane.XDP}, Rule{"eth*", dataplane.Soft})
	set("set 2 eth1", Rule{"eth*", dataplane.Soft})
	set("set 1 eth0, set 2 eth1, set 3 eth2")
	b.wantEngines(map[string]dataplane.Name{"eth0": "", "eth0.10": "", "eth1": "", "eth2": ""})
	if r, ok := b.Rule("eth1"); ok {
		t.Errorf("eth1 goes by %+v", r)
	}
	// They hold for what comes later, and by its new name.
	set("", Rule{"wan", dataplane.Soft})
	i := hardware(3, "wan")
	b.Take(i, true)
	b.did("set 3 wan")
	b.wantEngines(map[string]dataplane.Name{"eth0": "", "eth0.10": "", "eth1": "", "wan": dataplane.Soft})
}

// One port that cannot change leaves all as they were.
func TestRulesRefused(t *testing.T) {
	b := threePorts(t)
	if err := b.SetRules([]Rule{{"eth1", dataplane.Soft}}); err != nil {
		t.Fatal(err)
	}
	b.engine.did()
	b.engine.refuse["eth2"] = errors.New("no AF_XDP")
	err := b.SetRules([]Rule{{"eth*", dataplane.Soft}})
	if !errors.Is(err, ErrRule) || !strings.Contains(err.Error(), "eth2") || !strings.Contains(err.Error(), "no AF_XDP") {
		t.Errorf("%v", err)
	}
	b.did("set 1 eth0, set 3 eth2, set 1 eth0")
	b.wantEngines(map[string]dataplane.Name{"eth0": "", "eth0.10": "", "eth1": dataplane.Soft, "eth2": ""})
	b.refused()
	if _, ok := b.Rule("eth0"); ok {
		t.Error("the rules are not those before")
	}
	if err := b.SetRules([]Rule{{"e[", dataplane.Soft}}); !errors.Is(err, ErrRule) {
		t.Errorf("no glob: %v", err)
	}
	b.Take(hardware(1, "eth0"), true)
	b.did("")
}

// Rules that are there before any interface is told of are kept from the first moment: what was
// adopted does not go to another engine and back.
func TestRulesOfAdopted(t *testing.T) {
	e := newFake(t)
	e.ports[1] = dataplane.Port{Number: 1, Ifindex: 3, Name: "eth0", MAC: dataplane.MAC{2, 0, 0, 0, 0, 3}, IPv4: true, IPv6: true}
	b := newBench(t, e)
	if err := b.SetRules([]Rule{{"eth0", dataplane.Soft}}); err != nil {
		t.Fatal(err)
	}
	b.did("")
	b.Take(hardware(3, "eth0"), true)
	b.did("set 1 eth0")
	b.wantEngines(map[string]dataplane.Name{"eth0": dataplane.Soft})
}

// While ports are held, rules only say what they will be.
func TestRulesOfHeld(t *testing.T) {
	e := newFake(t)
	s := New(Config{Engine: e, Hold: true, PortEngine: dataplane.Soft, Log: slog.New(slog.DiscardHandler)})
	s.Take(hardware(3, "eth0"), true)
	if err := s.SetRules([]Rule{{"eth0", dataplane.XDP}}); err != nil || e.did() != "" {
		t.Error(err)
	}
	s.Start()
	if got := e.did(); got != "set 1 eth0" || e.ports[1].Engine != dataplane.XDP {
		t.Errorf("%q, %+v", got, e.ports[1])
	}
}
