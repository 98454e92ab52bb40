package ports

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/control"
	"weft/control/kernel"
	"weft/dataplane"
)

// fakeEngine keeps what it is given, and checks that it is what an engine takes.
type fakeEngine struct {
	testing.TB
	ports  map[uint32]dataplane.Port
	calls  []string
	refuse map[string]error // by name
}

func newFake(t testing.TB) *fakeEngine {
	return &fakeEngine{t, map[uint32]dataplane.Port{}, nil, map[string]error{}}
}

func (e *fakeEngine) SetPort(p dataplane.Port) error {
	e.calls = append(e.calls, fmt.Sprintf("set %d %s", p.Number, p.Name))
	if err := e.refuse[p.Name]; err != nil {
		return err
	}
	if p.Number == 0 || p.Ifindex == 0 {
		e.Errorf("set %+v", p)
	}
	for n, other := range e.ports {
		if (n == p.Number) != (other.Ifindex == p.Ifindex) {
			e.Errorf("set %+v while %+v is there", p, other)
		}
	}
	if _, ok := e.ports[p.Parent]; p.Parent != 0 && !ok {
		e.Errorf("set %+v before the port below it", p)
	}
	if old, ok := e.ports[p.Number]; ok && old.VLAN != p.VLAN {
		return fmt.Errorf("%s is another VLAN: remove it first", p.Name)
	}
	e.ports[p.Number] = p
	return nil
}

func (e *fakeEngine) RemovePort(number uint32) error {
	p, ok := e.ports[number]
	if !ok {
		e.Errorf("remove %d: not there", number)
	}
	for _, v := range e.ports {
		if v.Parent == number {
			e.Errorf("remove %s before %s, which is a VLAN of it", p.Name, v.Name)
		}
	}
	e.calls = append(e.calls, fmt.Sprintf("remove %d %s", number, p.Name))
	delete(e.ports, number)
	return nil
}

func (e *fakeEngine) Ports() (all []dataplane.PortStatus) {
	for _, p := range e.ports {
		all = append(all, dataplane.PortStatus{Port: p})
	}
	return all
}

// did returns the calls since the last time.
func (e *fakeEngine) did() string {
	calls := strings.Join(e.calls, ", ")
	e.calls = nil
	return calls
}

// bench is a Set and its engine.
type bench struct {
	*Set
	engine *fakeEngine
	told   []string
}

func newBench(t testing.TB, engine *fakeEngine, names ...string) *bench {
	t.Helper()
	if err := CheckNames(names); err != nil {
		t.Fatal(err)
	}
	b := &bench{engine: engine}
	b.Set = New(Config{
		Engine: engine, Names: names,
		Changed: func(text string) { b.told = append(b.told, text) },
	})
	return b
}

// did checks what the last calls made the engine do, and that the Set tells the
// numbers of the engine's ports.
func (b *bench) did(want string) {
	b.engine.Helper()
	if got := b.engine.did(); got != want {
		b.engine.Errorf("the engine was told: %q, want %q", got, want)
	}
	for index := range 100 {
		n, ok := b.Number(index)
		p, have := b.engine.ports[n]
		if ok && (!have || p.Ifindex != index) || !ok && n != 0 {
			b.engine.Errorf("interface %d is port %d %v, which the engine has as %+v", index, n, ok, p)
		}
	}
}

func (b *bench) refused(want ...string) {
	b.engine.Helper()
	var got []string
	for _, r := range b.Refused() {
		got = append(got, r.Name+": "+r.Err.Error())
	}
	if !slices.Equal(got, want) {
		b.engine.Errorf("refused %q, want %q", got, want)
	}
}

func hardware(index int, name string) control.Interface {
	return control.Interface{
		Link: kernel.Link{Index: index, Name: name, Type: unix.ARPHRD_ETHER, MAC: kernel.MAC{2, 0, 0, 0, 0, byte(index)}, HasMAC: true},
		IPv4: true, IPv6: true,
	}
}

func vlan(index int, name string, parent int, vid uint16) control.Interface {
	i := hardware(index, name)
	i.Kind, i.Parent, i.VLAN, i.TPID = "vlan", parent, vid, unix.ETH_P_8021Q
	return i
}

func TestPortFollowsInterface(t *testing.T) {
	b := newBench(t, newFake(t))
	i := hardware(5, "eth0")
	b.Take(i, true)
	b.did("set 1 eth0")
	want := dataplane.Port{Number: 1, Ifindex: 5, Name: "eth0", MAC: dataplane.MAC{2, 0, 0, 0, 0, 5}, IPv4: true, IPv6: true}
	if got := b.engine.ports[1]; got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	b.Take(i, true)
	b.did("") // nothing new
	i.MTU, i.Flags = 9000, unix.IFF_UP
	b.Take(i, true)
	b.did("") // what a port does not have
	for _, change := range []struct {
		name   string
		change func()
		is     func(p dataplane.Port) bool
	}{
		{"rename", func() { i.Name = "wan" }, func(p dataplane.Port) bool { return p.Name == "wan" }},
		{"address", func() { i.MAC[5] = 77 }, func(p dataplane.Port) bool { return p.MAC[5] == 77 }},
		{"vrf", func() { i.VRF = 3 }, func(p dataplane.Port) bool { return p.VRF == 3 }},
		{"no ipv4", func() { i.IPv4 = false }, func(p dataplane.Port) bool { return !p.IPv4 && p.IPv6 }},
		{"ipv4 only", func() { i.IPv4, i.IPv6 = true, false }, func(p dataplane.Port) bool { return p.IPv4 && !p.IPv6 }},
	} {
		change.change()
		b.Take(i, true)
		b.did("set 1 " + i.Name)
		if !change.is(b.engine.ports[1]) {
			t.Errorf("%s: %+v", change.name, b.engine.ports[1])
		}
	}
	i.IPv4 = false // forwards nothing
	b.Take(i, true)
	b.did("remove 1 wan")
	i.IPv4 = true
	b.Take(i, true)
	b.did("set 1 wan")
	i.Member, i.Master = true, 9 // of a bridge
	b.Take(i, true)
	b.did("remove 1 wan")
	i.Member, i.Master = false, 0
	b.Take(i, true)
	b.did("set 1 wan")
	b.Take(i, false)
	b.did("remove 1 wan")
	b.Take(i, false)
	b.did("")
	b.refused()
	if n := len(b.told); n != 11 || b.told[0] != "eth0 is port 1: vrf 0, ipv4 true, ipv6 true" || b.told[n-1] != "wan is no longer port 1" {
		t.Errorf("told: %q", b.told)
	}
}

// TestHold: while the FIB is empty, ports have numbers, and the engine nothing.
func TestHold(t *testing.T) {
	e := newFake(t)
	s := New(Config{Engine: e, Hold: true, Mode: dataplane.TC})
	for index, name := range []string{2: "a", 3: "b", 4: "c"} {
		if name != "" {
			s.Take(hardware(index, name), true)
		}
	}
	s.Take(hardware(3, "b"), false)
	if n, ok := s.Number(4); !ok || n != 3 || e.did() != "" {
		t.Errorf("c is port %d, %v", n, ok)
	}
	e.refuse["c"] = errors.New("busy")
	s.Start()
	if got, want := e.did(), "set 1 a, set 3 c"; got != want {
		t.Errorf("the engine was told %q, want %q", got, want)
	}
	if _, ok := s.Number(4); ok || e.ports[1].Want != dataplane.TC {
		t.Errorf("c is a port, or a is %+v", e.ports[1])
	}
}

// TestHoldOfAdopted: ports that the engine has keep their numbers while they are
// held, and what is none any more goes when they are started.
func TestHoldOfAdopted(t *testing.T) {
	e := newFake(t)
	e.ports[7] = dataplane.Port{Number: 7, Ifindex: 2, Name: "a"}
	e.ports[2] = dataplane.Port{Number: 2, Ifindex: 3, Name: "b"}
	e.ports[3] = dataplane.Port{Number: 3, Ifindex: 9, Name: "gone"}
	s := New(Config{Engine: e, Hold: true})
	off := hardware(3, "b")
	off.IPv4, off.IPv6 = false, false
	s.Take(hardware(2, "a"), true)
	s.Take(off, true)
	s.Take(hardware(4, "c"), true)
	if n, ok := s.Number(2); !ok || n != 7 || e.did() != "" {
		t.Errorf("a is port %d, %v", n, ok)
	}
	s.Start()
	if got, want := e.did(), "remove 2 b, set 7 a, set 1 c"; got != want {
		t.Errorf("the engine was told %q, want %q", got, want)
	}
	s.Retry()
	if got, want := e.did(), "remove 3 gone"; got != want {
		t.Errorf("the engine was told %q, want %q", got, want)
	}
}

func TestWhatIsAPort(t *testing.T) {
	for _, c := range []struct {
		name  string
		names []string
		edit  func(i *control.Interface)
		want  bool
	}{
		{"hardware", nil, func(*control.Interface) {}, true},
		{"veth", nil, func(i *control.Interface) { i.Kind = "veth" }, true},
		{"tap", nil, func(i *control.Interface) { i.Kind = "tun" }, true},
		{"tun", nil, func(i *control.Interface) { i.Kind, i.Type, i.HasMAC = "tun", unix.ARPHRD_NONE, false }, false},
		{"loopback", nil, func(i *control.Interface) { i.Name, i.Type = "lo", unix.ARPHRD_LOOPBACK }, false},
		{"bridge", nil, func(i *control.Interface) { i.Kind = "bridge" }, false},
		{"bridge, named", []string{"eth*"}, func(i *control.Interface) { i.Kind = "bridge" }, true},
		{"vxlan", nil, func(i *control.Interface) { i.Kind = "vxlan" }, false},
		{"another name", []string{"wan", "lan*"}, func(*control.Interface) {}, false},
		{"this name", []string{"wan", "eth0"}, func(*control.Interface) {}, true},
		{"a glob", []string{"eth[0-3]"}, func(*control.Interface) {}, true},
		{"named, in a bridge", []string{"eth0"}, func(i *control.Interface) { i.Member = true }, false},
		{"named, forwards nothing", []string{"eth0"}, func(i *control.Interface) { i.IPv4, i.IPv6 = false, false }, false},
		{"no address", nil, func(i *control.Interface) { i.HasMAC = false }, false},
		{"in a VRF", nil, func(i *control.Interface) { i.Master, i.VRF = 7, 1 }, true},
	} {
		b := newBench(t, newFake(t), c.names...)
		i := hardware(3, "eth0")
		c.edit(&i)
		b.Take(i, true)
		if _, got := b.Number(3); got != c.want {
			t.Errorf("%s: a port %v, want %v", c.name, got, c.want)
		}
	}
	if err := CheckNames([]string{"eth*", "e[th"}); err == nil || !strings.Contains(err.Error(), "e[th") {
		t.Errorf("CheckNames: %v", err)
	}
}

func TestRefusedIsTriedAgain(t *testing.T) {
	b := newBench(t, newFake(t))
	busy := errors.New("busy")
	b.engine.refuse["eth1"] = busy
	b.Take(hardware(1, "eth0"), true)
	b.Take(hardware(2, "eth1"), true)
	b.Take(hardware(3, "eth2"), true) // each Take tries it, too
	b.did("set 1 eth0, set 2 eth1, set 2 eth1, set 2 eth2")
	b.refused("eth1: busy")
	b.Retry()
	b.did("set 3 eth1")
	delete(b.engine.refuse, "eth1")
	b.Retry()
	b.did("set 3 eth1")
	b.refused()
	b.Retry()
	b.did("")
	// One that is refused and goes is not heard of any more.
	b.engine.refuse["eth3"] = busy
	b.Take(hardware(4, "eth3"), true)
	b.refused("eth3: busy")
	b.Take(hardware(4, "eth3"), false)
	b.refused()
	i := hardware(5, "eth3")
	b.Take(i, true)
	b.refused("eth3: busy")
	i.IPv4, i.IPv6 = false, false // not to be a port any more
	b.Take(i, true)
	b.refused()
}

// A port that cannot become what it is to be does not stay what it was: it would
// forward in the wrong VRF.
func TestRefusedChange(t *testing.T) {
	b := newBench(t, newFake(t))
	i := hardware(5, "eth0")
	b.Take(i, true)
	b.did("set 1 eth0")
	b.engine.refuse["eth0"] = errors.New("no such VRF")
	i.VRF = 9
	b.Take(i, true)
	b.did("set 1 eth0, remove 1 eth0, set 1 eth0")
	b.refused("eth0: no such VRF")
	if _, ok := b.Number(5); ok {
		t.Error("it is a port still")
	}
	i.VRF = 0
	delete(b.engine.refuse, "eth0")
	b.Take(i, true)
	b.did("set 1 eth0")
	b.refused()
}

func TestNumbersAreStable(t *testing.T) {
	b := newBench(t, newFake(t))
	eth := []control.Interface{hardware(9, "eth0"), hardware(4, "eth1"), hardware(6, "eth2")}
	for _, i := range eth {
		b.Take(i, true)
	}
	b.did("set 1 eth0, set 2 eth1, set 3 eth2")
	b.Release(true)
	b.did("remove 2 eth1, remove 3 eth2, remove 1 eth0")
	b.Take(hardware(2, "eth3"), true)
	b.did("")
	b.Release(false)
	b.did("set 4 eth3, set 2 eth1, set 3 eth2, set 1 eth0")
	// While an interface is there that is no port now, routes may lead to it still: no other gets its number.
	off := eth[1]
	off.IPv4, off.IPv6 = false, false
	b.Take(off, true)
	b.Take(hardware(1, "eth4"), true)
	b.did("remove 2 eth1, set 5 eth4")
	b.Take(eth[1], true)
	b.did("set 2 eth1")
	b.Take(eth[1], false)
	b.Take(hardware(20, "eth5"), true)
	b.did("remove 2 eth1, set 2 eth5")
}

func TestAdoption(t *testing.T) {
	e := newFake(t)
	for n, i := range map[uint32]control.Interface{7: hardware(3, "eth0"), 2: hardware(4, "eth1"), 4: hardware(5, "eth2")} {
		e.ports[n] = dataplane.Port{Number: n, Ifindex: i.Index, Name: i.Name, MAC: dataplane.MAC(i.MAC), IPv4: true, IPv6: true}
	}
	b := newBench(t, e)
	b.did("")
	if n, ok := b.Number(4); n != 2 || !ok {
		t.Errorf("before anything is told, interface 4 is port %d %v, want 2", n, ok)
	}
	i := hardware(4, "eth1")
	i.MAC[5] = 99 // it has changed while no daemon was there
	b.Take(hardware(3, "eth0"), true)
	b.Take(i, true)
	b.Take(hardware(6, "eth3"), true)
	b.did("set 2 eth1, set 1 eth3")
	b.Retry() // all have been told of: eth2 is gone
	b.did("remove 4 eth2")
	b.Take(hardware(8, "eth4"), true)
	b.did("set 3 eth4")
	b.Retry()
	b.did("")
}

// What was a port and is none by today's names is given back when it is told.
func TestAdoptionWithOtherNames(t *testing.T) {
	e := newFake(t)
	e.ports[1] = dataplane.Port{Number: 1, Ifindex: 3, Name: "eth0"}
	e.ports[2] = dataplane.Port{Number: 2, Ifindex: 4, Name: "eth1"}
	b := newBench(t, e, "eth1")
	b.Take(hardware(3, "eth0"), true)
	b.did("remove 1 eth0")
	b.Take(hardware(4, "eth1"), true)
	b.did("set 2 eth1")
	b.Release(true)
	b.did("remove 2 eth1")
}

func TestReleaseOfAdopted(t *testing.T) {
	e := newFake(t)
	e.ports[1] = dataplane.Port{Number: 1, Ifindex: 3, Name: "eth0"}
	b := newBench(t, e)
	b.Release(true) // before its interface is told of
	b.did("remove 1 eth0")
	b.Take(hardware(3, "eth0"), true)
	b.did("")
	b.Release(false)
	b.did("set 1 eth0")
}

func TestVLANs(t *testing.T) {
	b := newBench(t, newFake(t))
	eth, v, vv := hardware(9, "eth0"), vlan(3, "eth0.10", 9, 10), vlan(2, "eth0.10.20", 3, 20)
	// The ifindexes are in the wrong order: links may come from another namespace.
	b.Take(vv, true)
	b.Take(v, true)
	b.did("")
	b.refused("eth0.10: VLAN 10: "+ErrParent.Error(), "eth0.10.20: VLAN 20: "+ErrParent.Error())
	b.Take(eth, true)
	b.did("set 1 eth0, set 2 eth0.10, set 3 eth0.10.20")
	b.refused()
	want := dataplane.Port{
		Number: 3, Ifindex: 2, Name: "eth0.10.20", MAC: dataplane.MAC{2, 0, 0, 0, 0, 2}, IPv4: true, IPv6: true,
		Parent: 2, VLAN: 20, TPID: unix.ETH_P_8021Q,
	}
	if got := b.engine.ports[3]; got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	v.IPv4 = false
	b.Take(v, true)
	b.did("set 2 eth0.10")
	v.IPv6 = false // the one in the middle
	b.Take(v, true)
	b.did("remove 3 eth0.10.20, remove 2 eth0.10")
	b.refused("eth0.10.20: VLAN 20: " + ErrParent.Error())
	v.IPv4 = true
	b.Take(v, true)
	b.did("set 2 eth0.10, set 3 eth0.10.20")
	b.refused()
	eth.Member = true
	b.Take(eth, true)
	b.did("remove 3 eth0.10.20, remove 2 eth0.10, remove 1 eth0")
	eth.Member = false
	b.Take(eth, true)
	b.did("set 1 eth0, set 2 eth0.10, set 3 eth0.10.20")
	b.Release(true)
	b.Release(false)
	b.engine.did()
	b.Take(eth, false) // the kernel tells of its VLANs, too, in any order
	b.did("remove 3 eth0.10.20, remove 2 eth0.10, remove 1 eth0")
	b.Take(v, false)
	b.Take(vv, false)
	b.did("")
	b.refused()
}

// A VLAN stays with Linux while what it is on does.
func TestVLANOfRefusedPort(t *testing.T) {
	b := newBench(t, newFake(t))
	b.engine.refuse["eth0"] = errors.New("busy")
	b.Take(hardware(1, "eth0"), true)
	b.Take(vlan(2, "eth0.10", 1, 10), true)
	b.did("set 1 eth0, set 1 eth0")
	b.refused("eth0: busy", "eth0.10: VLAN 10: "+ErrParent.Error())
	delete(b.engine.refuse, "eth0")
	b.Retry()
	b.did("set 1 eth0, set 2 eth0.10")
	// Another VLAN with the ifindex of the one that has gone, unheard.
	b.Take(vlan(2, "eth0.11", 1, 11), true)
	b.did("set 2 eth0.11, remove 2 eth0.10, set 2 eth0.11")
}

// Named without what it is on.
func TestVLANNamedAlone(t *testing.T) {
	b := newBench(t, newFake(t), "eth0.10")
	b.Take(hardware(1, "eth0"), true)
	b.Take(vlan(2, "eth0.10", 1, 10), true)
	b.did("")
	if r := b.Refused(); len(r) != 1 || !errors.Is(r[0].Err, ErrParent) {
		t.Errorf("%v", r)
	}
}

func TestVLANAdoption(t *testing.T) {
	e := newFake(t)
	e.ports[5] = dataplane.Port{Number: 5, Ifindex: 1, Name: "eth0", MAC: dataplane.MAC{2, 0, 0, 0, 0, 1}, IPv4: true, IPv6: true}
	e.ports[6] = dataplane.Port{
		Number: 6, Ifindex: 2, Name: "eth0.10", MAC: dataplane.MAC{2, 0, 0, 0, 0, 2}, IPv4: true, IPv6: true,
		Parent: 5, VLAN: 10, TPID: unix.ETH_P_8021Q,
	}
	before := maps.Clone(e.ports)
	b := newBench(t, e)
	b.Take(vlan(2, "eth0.10", 1, 10), true) // before the one below
	b.Take(hardware(1, "eth0"), true)
	b.did("")
	if !reflect.DeepEqual(before, e.ports) {
		t.Errorf("%+v", e.ports)
	}
	b = newBench(t, e) // again: the interfaces are gone
	b.Retry()
	if len(e.ports) != 0 {
		t.Errorf("%+v", e.ports)
	}
}

// A made order of interfaces ends, even for one that no kernel has.
func TestVLANOfItself(t *testing.T) {
	b := newBench(t, newFake(t))
	b.Take(vlan(2, "a", 3, 10), true)
	b.Take(vlan(3, "b", 2, 10), true)
	b.did("")
	b.refused("a: VLAN 10: "+ErrParent.Error(), "b: VLAN 10: "+ErrParent.Error())
}
