package ports

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"weft/control"
	"weft/control/kernel"
	"weft/dataplane"
)

// engine keeps to what a dataplane.Engine says of ports and their VLANs.
type engine struct {
	ports  map[uint32]dataplane.Port
	refuse string
}

func (e *engine) SetPort(p dataplane.Port) error {
	if _, ok := e.ports[p.Parent]; p.Parent != 0 && !ok {
		return fmt.Errorf("port %d is on %d, which is none", p.Number, p.Parent)
	}
	if p.Name == e.refuse {
		return errors.New("refused")
	}
	e.ports[p.Number] = p
	return nil
}

func (e *engine) RemovePort(number uint32) error {
	if _, ok := e.ports[number]; !ok {
		return fmt.Errorf("no port %d", number)
	}
	for _, p := range e.ports {
		if p.Parent == number {
			return fmt.Errorf("port %d is on %d", p.Number, number)
		}
	}
	delete(e.ports, number)
	return nil
}

func (e *engine) Ports() []dataplane.PortStatus { return nil }

// names says which ports there are: each with the names of those that it is on.
func (e *engine) names() (names []string) {
	for _, p := range e.ports {
		name := p.Name
		for p.Parent != 0 {
			p = e.ports[p.Parent]
			name = p.Name + "/" + name
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func iface(index, parent int, name string) control.Interface {
	l := kernel.Link{Index: index, Name: name, Type: unix.ARPHRD_ETHER, HasMAC: true, Flags: unix.IFF_UP}
	if parent != 0 {
		l.Kind, l.Parent, l.VLAN, l.TPID = "vlan", parent, uint16(index), unix.ETH_P_8021Q
	}
	return control.Interface{Link: l, IPv4: true}
}

func TestVLANs(t *testing.T) {
	e := &engine{ports: map[uint32]dataplane.Port{}}
	s := New(Config{Engine: e, Mode: dataplane.TC, Log: slog.New(slog.DiscardHandler)})
	want := func(step string, names ...string) {
		t.Helper()
		if got := e.names(); !slices.Equal(got, names) {
			t.Errorf("%s: ports %v, want %v", step, got, names)
		}
		if r := s.Refused(); len(r) > 0 && e.refuse == "" {
			t.Errorf("%s: refused %v", step, r)
		}
	}
	s.Take(iface(3, 5, "c"), true) // a lower ifindex than what it is on
	s.Take(iface(5, 9, "s"), true)
	want("without the wire")
	s.Take(iface(9, 0, "eth"), true)
	want("with it", "eth", "eth/s", "eth/s/c")
	for _, p := range e.ports {
		if p.Name == "eth" != (p.Want == dataplane.TC) || p.Name == "s" && (p.VLAN != 5 || p.TPID != unix.ETH_P_8021Q) {
			t.Errorf("port %+v", p)
		}
	}
	off := iface(5, 9, "s")
	off.IPv4 = false
	s.Take(off, true)
	want("the middle does not forward", "eth")
	s.Take(iface(5, 9, "s"), true)
	want("it does again", "eth", "eth/s", "eth/s/c")
	s.Take(iface(9, 0, "eth"), false)
	want("the wire is gone")
	e.refuse = "eth"
	s.Take(iface(9, 0, "eth"), true)
	want("the engine refuses the wire")
	if r := s.Refused(); len(r) != 1 || r[0].Name != "eth" {
		t.Errorf("refused %v, want eth alone", r)
	}
	e.refuse = ""
	s.Retry()
	want("and takes it later", "eth", "eth/s", "eth/s/c")
	s.Release(true)
	want("released")
	s.Take(iface(7, 7, "ring"), true)
	s.Take(iface(10, 11, "ring of"), true)
	s.Take(iface(11, 10, "two"), true)
	s.Release(false)
	want("taken again", "eth", "eth/s", "eth/s/c")
}
