package ports

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"weft/control"
	"weft/dataplane"
)

// Engine is what a Set wants of a dataplane.Engine.
type Engine interface {
	SetPort(dataplane.Port) error
	RemovePort(number uint32) error
	Ports() []dataplane.PortStatus
}

// Config says how a Set is made.
type Config struct {
	Engine      Engine
	Names       []string       // globs (path.Match) of interfaces; none: those that are ports by default
	Mode        dataplane.Mode // wanted of all; "": what each can do best
	PortEngine  dataplane.Name // of ports that EngineNames match; the others are the XDP engine's
	EngineNames []string       // globs, as Names; none: all
	Hold        bool           // give the engine no port until Start: the FIB is empty
	Log         *slog.Logger   // nil: nobody is told; Refused tells

	// Explain, if not nil, gives the log more about why an interface is refused.
	Explain func(error) slog.Attr

	// Changed, if not nil, is told in words of each port that comes, changes or
	// goes.
	Changed func(text string)
}

// Set is the ports of an engine, which it takes over as they are. Take, Retry, SetRules
// and Release are for one goroutine.
type Set struct {
	config     Config
	engine     Engine // that of config, or while ports are held one on paper
	interfaces map[int]control.Interface
	released   bool

	// numbers are of interfaces that are ports, or have been: while one is there
	// its number is not another's, as adjacencies may still lead to it.
	numbers map[int]uint32

	mu      sync.Mutex             // guards what follows: the one goroutine may read without
	ports   map[int]dataplane.Port // as the engine has them
	refused map[int]Refused
	rules   []Rule
}

// Refused is an interface that was to be a port, and why it is not.
type Refused struct {
	Name string
	Err  error
}

// ErrParent: the interface below a VLAN is no port.
var ErrParent = errors.New("the interface below it is not a port")

// CheckNames finds a glob that is not one.
func CheckNames(names []string) error {
	for _, g := range names {
		if _, err := path.Match(g, ""); err != nil {
			return fmt.Errorf("%s: %w", g, err)
		}
	}
	return nil
}

// New makes a Set. The engine's ports keep their numbers.
func New(c Config) *Set {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Set{
		config: c, engine: c.Engine, interfaces: map[int]control.Interface{}, ports: map[int]dataplane.Port{},
		numbers: map[int]uint32{}, refused: map[int]Refused{},
	}
	for _, p := range c.Engine.Ports() {
		s.numbers[p.Ifindex], s.ports[p.Ifindex] = p.Number, p.Port
	}
	if c.Hold {
		s.engine = paper{}
	}
	return s
}

// paper is an engine that takes everything and does nothing.
type paper struct{}

func (paper) SetPort(dataplane.Port) error  { return nil }
func (paper) RemovePort(uint32) error       { return nil }
func (paper) Ports() []dataplane.PortStatus { return nil }

// Start gives the engine the ports that were held. Those that it has are not what
// they are to be, yet.
func (s *Set) Start() {
	// gofail: var portsStart struct{}
	s.engine = s.config.Engine
	s.mu.Lock()
	clear(s.ports)
	for _, p := range s.engine.Ports() {
		s.ports[p.Ifindex] = p.Port
	}
	s.mu.Unlock()
	s.update()
}

// Number implements rib.Ports. Any goroutine.
func (s *Set) Number(ifindex int) (uint32, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.ports[ifindex]
	return p.Number, ok
}

// Refused returns the interfaces that were to be ports and are not, by name. Any
// goroutine.
func (s *Set) Refused() []Refused {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.refused), func(a, b Refused) int { return cmp.Compare(a.Name, b.Name) })
}

// Take is what a control.Follower calls for each interface.
func (s *Set) Take(i control.Interface, there bool) {
	if there {
		s.interfaces[i.Index] = i
	} else {
		s.remove(i.Index)
		s.accept(i.Index)
		delete(s.interfaces, i.Index)
		delete(s.numbers, i.Index)
	}
	s.update()
}

// Retry tries again what was refused, and gives ports up that were taken over
// and whose interfaces are not there. All interfaces have been taken before.
func (s *Set) Retry() {
	for _, index := range slices.Sorted(maps.Keys(s.ports)) {
		if _, ok := s.interfaces[index]; !ok {
			s.remove(index)
			delete(s.numbers, index)
		}
	}
	if len(s.refused) > 0 {
		s.update()
	}
}

// Release gives all ports back to Linux, or takes them again.
func (s *Set) Release(released bool) {
	s.released = released
	s.update()
}

// update makes the engine's ports what they are to be.
func (s *Set) update() {
	for _, index := range slices.Sorted(maps.Keys(s.ports)) {
		if i, told := s.interfaces[index]; s.released || told && !s.wanted(&i) {
			s.remove(index)
		}
	}
	for _, i := range slices.SortedFunc(maps.Values(s.interfaces), s.compare) {
		if s.wanted(&i) {
			s.set(&i)
		} else {
			s.accept(i.Index)
		}
	}
}

// compare orders interfaces such that one is before the VLANs on it.
func (s *Set) compare(a, b control.Interface) int {
	return cmp.Or(s.depth(&a)-s.depth(&b), a.Index-b.Index)
}

// maxDepth is more than an engine takes.
const maxDepth = 8

// depth is how many VLANs an interface is made of.
func (s *Set) depth(i *control.Interface) (n int) {
	for one := *i; one.Kind == vlanKind && n < maxDepth; n++ {
		one = s.interfaces[one.Parent]
	}
	return n
}

const vlanKind = "vlan"

// kinds are those that are ports without being named; "" is hardware.
var kinds = []string{"", "veth", "tun", vlanKind}

func (s *Set) wanted(i *control.Interface) bool {
	if s.released || i.Type != unix.ARPHRD_ETHER || !i.HasMAC || i.Member || !i.IPv4 && !i.IPv6 {
		return false
	}
	if len(s.config.Names) == 0 {
		return slices.Contains(kinds, i.Kind)
	}
	return matches(s.config.Names, i.Name)
}

func matches(globs []string, name string) bool {
	return slices.ContainsFunc(globs, func(glob string) bool {
		match, _ := path.Match(glob, name)
		return match
	})
}

func (s *Set) set(i *control.Interface) {
	want := dataplane.Port{
		Number: s.number(i.Index), Ifindex: i.Index, Name: i.Name, MAC: dataplane.MAC(i.MAC), VRF: i.VRF, IPv4: i.IPv4, IPv6: i.IPv6,
		Want: s.config.Mode, Engine: s.engineOf(i.Name),
	}
	if i.Kind == vlanKind {
		want.Want, want.Engine = "", dataplane.XDP // it is taken from as the port below is
		below, ok := s.ports[i.Parent]
		if !ok {
			s.refuse(i, fmt.Errorf("VLAN %d: %w", i.VLAN, ErrParent))
			return
		}
		want.Parent, want.VLAN, want.TPID = below.Number, i.VLAN, i.TPID
	}
	have, known := s.ports[i.Index]
	if known && have == want {
		s.accept(i.Index)
		return
	}
	// gofail: var portTake struct{}
	err := s.engine.SetPort(want)
	if err != nil && known { // what it is now it is not to stay
		s.remove(i.Index)
		err = s.engine.SetPort(want)
	}
	if err != nil {
		s.refuse(i, err)
		return
	}
	// gofail: var portTaken struct{}
	s.accept(i.Index)
	s.numbers[i.Index] = want.Number
	s.keep(&want)
	s.tell("%s is port %d: vrf %d, ipv4 %t, ipv6 %t", want.Name, want.Number, want.VRF, want.IPv4, want.IPv6)
}

func (s *Set) tell(format string, args ...any) {
	if s.config.Changed != nil {
		s.config.Changed(fmt.Sprintf(format, args...))
	}
}

func (s *Set) refuse(i *control.Interface, err error) {
	s.mu.Lock()
	old, known := s.refused[i.Index]
	s.refused[i.Index] = Refused{i.Name, err}
	s.mu.Unlock()
	if !known || old.Err.Error() != err.Error() {
		more := slog.Attr{}
		if s.config.Explain != nil {
			more = s.config.Explain(err)
		}
		s.config.Log.Error("an interface stays with Linux", "dev", i.Name, "error", err, more)
	}
}

// accept forgets why an interface was refused.
func (s *Set) accept(ifindex int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.refused, ifindex)
}

// remove gives a port back to Linux, after the VLANs on it.
func (s *Set) remove(ifindex int) {
	p, ok := s.ports[ifindex]
	if !ok {
		return
	}
	for index, v := range maps.Clone(s.ports) {
		if v.Parent == p.Number {
			s.remove(index)
		}
	}
	s.mu.Lock()
	delete(s.ports, ifindex)
	s.mu.Unlock()
	// gofail: var portRelease struct{}
	if err := s.engine.RemovePort(p.Number); err != nil {
		s.config.Log.Warn("give port back", "error", err)
	}
	// gofail: var portReleased struct{}
	s.tell("%s is no longer port %d", p.Name, p.Number)
}

// number returns the number that an interface has or had, or the lowest one that
// no interface has.
func (s *Set) number(ifindex int) uint32 {
	if n, ok := s.numbers[ifindex]; ok {
		return n
	}
	taken := map[uint32]bool{}
	for _, n := range s.numbers {
		taken[n] = true
	}
	n := uint32(1)
	for taken[n] {
		n++
	}
	return n
}
