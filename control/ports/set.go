package ports

import (
	"cmp"
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
	Engine Engine
	Names  []string       // globs (path.Match) of interfaces; none: those that are ports by default
	Mode   dataplane.Mode // wanted of all; "": what each can do best
	Log    *slog.Logger
}

// Set is the ports of an engine, which it takes over as they are. Take and Retry
// are for one goroutine.
type Set struct {
	config     Config
	interfaces map[int]control.Interface
	ports      map[int]dataplane.Port // as set
	released   bool

	mu      sync.Mutex // guards what follows
	numbers map[int]uint32
	refused map[int]Refused
}

// Refused is an interface that was to be a port, and the engine's error.
type Refused struct {
	Name string
	Err  error
}

// CheckNames finds a glob that is not one.
func CheckNames(names []string) error {
	for _, g := range names {
		if _, err := path.Match(g, ""); err != nil {
			return fmt.Errorf("ports %q: %w", g, err)
		}
	}
	return nil
}

// New makes a Set. The engine's ports keep their numbers.
func New(c Config) *Set {
	s := &Set{
		config: c, interfaces: map[int]control.Interface{}, ports: map[int]dataplane.Port{},
		numbers: map[int]uint32{}, refused: map[int]Refused{},
	}
	for _, p := range c.Engine.Ports() {
		s.numbers[p.Ifindex] = p.Number
	}
	return s
}

// Number implements rib.Ports. Any goroutine.
func (s *Set) Number(ifindex int) (uint32, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.numbers[ifindex]
	return n, ok
}

// Refused returns the interfaces that the engine did not take, by name. Any
// goroutine.
func (s *Set) Refused() []Refused {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.refused), func(a, b Refused) int { return cmp.Compare(a.Name, b.Name) })
}

// Take is what a control.Follower calls for each interface.
func (s *Set) Take(i control.Interface, there bool) {
	if !there {
		s.remove(i.Index)
		delete(s.interfaces, i.Index)
		s.accept(i.Index)
	} else {
		s.interfaces[i.Index] = i
	}
	s.update()
}

// Retry tries again what the engine did not take, and gives ports up that were
// taken over and whose interfaces are not there. All interfaces have been taken
// before.
func (s *Set) Retry() {
	s.mu.Lock()
	numbered := slices.Collect(maps.Keys(s.numbers))
	s.mu.Unlock()
	for _, index := range numbered {
		if _, ok := s.interfaces[index]; !ok {
			s.remove(index)
		}
	}
	if len(s.Refused()) > 0 {
		s.update()
	}
}

// Release gives all ports back to Linux, or takes them again.
func (s *Set) Release(released bool) {
	s.released = released
	s.update()
}

// update makes the engine's ports what they are to be. The order of ifindexes
// has a port before its VLANs.
func (s *Set) update() {
	s.mu.Lock()
	adopted := slices.Sorted(maps.Keys(s.numbers))
	s.mu.Unlock()
	for _, index := range adopted {
		if i, ok := s.interfaces[index]; ok && !s.wanted(&i) {
			s.remove(index)
		}
	}
	for _, index := range slices.Sorted(maps.Keys(s.interfaces)) {
		if i := s.interfaces[index]; s.wanted(&i) {
			s.set(&i)
		} else {
			s.accept(index)
		}
	}
}

// kinds are those that are ports without being named; "" is hardware.
var kinds = []string{"", "veth", "tun"}

func (s *Set) wanted(i *control.Interface) bool {
	if s.released || i.Type != unix.ARPHRD_ETHER || !i.HasMAC || i.Member || !i.IPv4 && !i.IPv6 {
		return false
	}
	if len(s.config.Names) == 0 {
		return slices.Contains(kinds, i.Kind)
	}
	return slices.ContainsFunc(s.config.Names, func(glob string) bool {
		match, _ := path.Match(glob, i.Name)
		return match
	})
}

func (s *Set) set(i *control.Interface) {
	number, known := s.Number(i.Index)
	if !known {
		number = s.free()
	}
	want := dataplane.Port{
		Number: number, Ifindex: i.Index, Name: i.Name, MAC: dataplane.MAC(i.MAC), VRF: i.VRF, IPv4: i.IPv4, IPv6: i.IPv6,
	}
	if have, ok := s.ports[i.Index]; ok && have == want {
		return
	}
	if err := s.config.Engine.SetPort(want); err != nil {
		s.refuse(i, err)
		return
	}
	s.ports[i.Index] = want
	s.mu.Lock()
	defer s.mu.Unlock()
	s.numbers[i.Index] = number
	delete(s.refused, i.Index)
}

func (s *Set) refuse(i *control.Interface, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.refused[i.Index]; !ok || old.Err.Error() != err.Error() {
		s.config.Log.Error("an interface stays with Linux", "dev", i.Name, "error", err)
	}
	s.refused[i.Index] = Refused{i.Name, err}
}

// accept forgets what the engine said of an interface.
func (s *Set) accept(ifindex int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.refused, ifindex)
}

// remove gives a port back to Linux.
func (s *Set) remove(ifindex int) {
	number, ok := s.Number(ifindex)
	if !ok {
		return
	}
	s.mu.Lock()
	delete(s.numbers, ifindex)
	s.mu.Unlock()
	delete(s.ports, ifindex)
	if err := s.config.Engine.RemovePort(number); err != nil {
		s.config.Log.Warn("give port back", "error", err)
	}
}

// free returns the lowest number that no port has.
func (s *Set) free() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
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
