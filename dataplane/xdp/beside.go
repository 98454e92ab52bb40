package xdp

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"

	"weft/bpf"
	"weft/dataplane"
)

// Previous is what forwards while an engine is made beside it.
type Previous struct {
	Format   int   // of its pins; 0: there are no maps
	Counters error // why its counters do not go on; nil: they do

	rest map[uint32]dataplane.Port // ports that have no link, by number: VLANs
}

// Beside makes an engine that is to take the place of one whose pins are of another
// format, older or newer, or whose maps cannot be used. It knows the ports by their
// links, which are of all formats, and forwards by none of them: what forwards is
// the old program, by the old maps, until TakeOver. Before that the caller fills the
// image, which stays the caller's as with New, and sets all ports, VLANs too, under
// the numbers that Ports tells. Close leaves everything as it was.
//
// Errors: ErrNotFound, ErrForeignPin.
func Beside(dir string, im *bpf.Image, o Options) (*Engine, error) {
	e, err := beside(pins{dir: dir}, im, o)
	if err != nil {
		return nil, fmt.Errorf("make engine beside another: %w", err)
	}
	return e, nil
}

func beside(p pins, im *bpf.Image, o Options) (_ *Engine, err error) {
	f, err := p.look()
	if err != nil {
		return nil, err
	}
	links, err := p.links()
	if err != nil {
		return nil, err
	}
	before := &Previous{Format: f.current.format, rest: map[uint32]dataplane.Port{}}
	var e *Engine
	defer func() {
		if e == nil {
			closeLinks(links)
		}
	}()
	var counted earlier
	if before.Counters = counted.open(p, f); errors.Is(before.Counters, ErrForeignPin) {
		return nil, errors.Join(before.Counters, counted.close())
	}
	if before.Format == 0 && len(links) > 0 {
		before.Counters = fmt.Errorf("read counters: %w: there are none that are forwarded by", ErrLayout)
	}
	for _, s := range f.later {
		if err := p.removeMaps(s.dir); err != nil {
			return nil, errors.Join(fmt.Errorf("remove unfinished pins: %w", err), counted.close())
		}
	}
	p.maps = f.free()
	highest := slices.Max(append(slices.Collect(maps.Keys(links)), 0))
	o.Ports = min(max(o.Ports, defaultPorts, int(highest)+1), bpf.MaxPorts)
	if e, err = makeBeside(p, im, o, f.current.about.Generation+1); err != nil {
		return nil, errors.Join(err, counted.close())
	}
	e.beside, e.earlier = before, counted
	if err = e.adoptLinks(links); err == nil {
		e.knowNumbers()
		e.lookAtPeers(time.Now(), e.portsWithPeers()...)
		e.watch, err = newWatch(e.state, e.mem)
	}
	if err != nil {
		return nil, errors.Join(err, e.release())
	}
	return e, nil
}

// makeBeside makes an engine without ports.
func makeBeside(p pins, im *bpf.Image, o Options, generation uint32) (*Engine, error) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count CPUs: %w", err)
	}
	p.about = ourAbout(generation, cpus)
	s, err := newState(&o, cpus)
	if err != nil {
		return nil, err
	}
	e, err := newEngine(im, s, p)
	if err != nil {
		return nil, err
	}
	if err := p.createMaps(im, s); err != nil {
		return nil, errors.Join(err, p.removeMaps(p.maps), e.release())
	}
	return e, nil
}

// knowNumbers finds out which ports are the same as those that were counted, and
// which VLANs there were.
func (e *Engine) knowNumbers() {
	for n := range e.ports {
		e.earlier.ports[n] = true
	}
	if len(e.earlier.ledgers) == 0 {
		return
	}
	e.earlier.ledgers[len(e.earlier.ledgers)-1].numbers(func(ifindex int, number uint32) {
		nl, err := netlink.LinkByIndex(ifindex)
		if err == nil && e.ports[number] == nil && number < e.mem.limit() {
			e.beside.rest[number] = dataplane.Port{Number: number, Ifindex: ifindex, Name: nl.Attrs().Name}
		}
	})
}

// Beside describes what forwards instead of the engine; nil: the engine does.
func (e *Engine) Beside() *Previous {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.beside
}

// others are ports by which only the old program forwards yet.
func (b *Previous) others() (all []dataplane.PortStatus) {
	if b == nil {
		return nil
	}
	for _, p := range b.rest {
		all = append(all, dataplane.PortStatus{Port: p})
	}
	return all
}

// taken is told of a port that is new to the engine. What was counted under its
// number goes on if it was the same interface's.
func (b *Previous) taken(p *dataplane.Port, counted *earlier) {
	if b == nil {
		return
	}
	if b.rest[p.Number].Ifindex == p.Ifindex {
		counted.ports[p.Number] = true
	} else {
		delete(counted.ports, p.Number)
	}
	delete(b.rest, p.Number)
}

// forget reports whether there was such a port.
func (b *Previous) forget(number uint32) bool {
	if b == nil {
		return false
	}
	_, ok := b.rest[number]
	delete(b.rest, number)
	return ok
}

// reached is called where a process that ends leaves something else: for tests.
var reached = func(string) error { return nil }

// TakeOver makes all ports forward by the engine, which is made by Beside, and
// removes what forwarded before. No packet is lost, and counters go on. A process
// that ends on the way leaves what Open takes over, and Beside of other formats. For
// other engines it does nothing.
func (e *Engine) TakeOver() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return fmt.Errorf("take over the ports: %w", ErrClosed)
	}
	if e.beside == nil {
		return nil
	}
	if err := e.takeOver(); err != nil {
		return fmt.Errorf("take over the ports: %w", err)
	}
	return nil
}

func (e *Engine) takeOver() error {
	if err := reached("before the maps are current"); err != nil {
		return err
	}
	// gofail: var takeOverBegun struct{}
	if err := e.pins.commit(); err != nil {
		return err
	}
	// gofail: var takeOverCurrent struct{}
	e.beside = nil
	if err := reached("before the links are updated"); err != nil {
		return err
	}
	if err := e.updateLinks(e.progs); err != nil {
		return err
	}
	// gofail: var takeOverLinked struct{}
	if err := e.watch.pin(e.pins); err != nil {
		return err
	}
	return e.finish()
}

// settle makes the counters of an engine that was taken over, but not to the end,
// this one's.
func (e *Engine) settle(sets []set) error {
	_ = e.earlier.openAll(e.pins, sets) // what cannot be read could not be read then
	for n := range e.ports {
		e.earlier.ports[n] = true
	}
	return e.finish()
}

// finish ends a take-over: no link leads to the old maps any more.
func (e *Engine) finish() error {
	if len(e.earlier.ledgers) > 0 {
		if err := reached("before the counters are moved"); err != nil {
			return err
		}
		grace := bpf.NewGrace() // a program may count yet that a link led to
		grace.Begin()
		grace.Close()
		e.earlier.moveTo(e.mem)
	}
	if err := reached("before the old maps are removed"); err != nil {
		return err
	}
	err := errors.Join(e.pins.sweep(e.watch.names()), e.earlier.close())
	// gofail: var takeOverSwept struct{}
	return err
}
