package soft

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"

	"weft/bpf"
	"weft/dataplane"
	"weft/dataplane/soft/afpacket"
	"weft/dataplane/soft/device"
	"weft/dataplane/soft/xsk"
	"weft/dataplane/xdp"
	"weft/fib"
)

// Engine is the XDP engine with loops beside it, which have those ports whose Engine is
// dataplane.Soft. There is no loop before the first of them. It works in the network namespace
// that all threads of the process are in. Any goroutine may call its
// methods.
//
// Packets leave by all ports, whoever has them: loops have sockets of those of the XDP
// engine, too, by which nothing comes in.
type Engine struct {
	*xdp.Engine
	readers     *fib.Readers
	options     LoopOptions
	openQueue   func(*xsk.UMEM, *device.Pool, xsk.Where, xsk.Options) (*xsk.Socket, error)
	notHandedUp atomic.Uint64

	mu      sync.Mutex // guards what follows
	image   *fib.Image
	config  *Config // that the loop goes by
	stale   bool    // the kernel has changed something that is not in it
	probe   *probe  // made by the first Run
	ports   map[uint32]dataplane.Port
	counted map[uint32]*account
	crew    *crew // nil: there is no loop
	xsks    *ebpf.Map
	sockets map[uint32]*portSockets // of ports at the root
	aside   aside
	lost    map[uint32]Lost // as last looked at
}

// aside is what goes on beside the loop.
type aside struct {
	injector *xdp.Injector
	frames   chan punted
	follower *follower
	resolver *Resolver
	stop     chan struct{}
	done     sync.WaitGroup
}

var _ dataplane.Engine = (*Engine)(nil)

// New makes an Engine of one of package xdp, which is its own then. The image is what is in
// that one's: who writes to it waits for the readers, too. LoopOptions are not checked before
// there is a loop.
func New(e *xdp.Engine, im *fib.Image, readers *fib.Readers, o LoopOptions) *Engine {
	all := &Engine{
		Engine: e, readers: readers, options: o, openQueue: xsk.Open, image: im, ports: map[uint32]dataplane.Port{}, counted: map[uint32]*account{},
		sockets: map[uint32]*portSockets{}, lost: map[uint32]Lost{},
	}
	for _, p := range e.Ports() {
		all.ports[p.Number] = p.Port
	}
	e.OnTap(all.setTap)
	return all
}

// start makes what loops need, once.
func (e *Engine) start() (err error) {
	if e.crew != nil {
		return nil
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start the loop: %w", err), e.end())
		}
	}()
	if e.xsks, err = bpf.NewXSKs(bpf.MaxPorts); err != nil {
		return err
	}
	if e.crew, err = newCrew(e.readers, &e.options); err != nil {
		return err
	}
	e.crew.tap = e.Tap()
	e.Steer(e.xsks, e.crew.umem.PacketMax(), afpacket.PacketMax(e.crew.mem))
	if err := e.startAside(); err != nil {
		return err
	}
	for _, p := range e.ports { // to send by
		if err := e.open(&p, dataplane.AFXDP); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) startAside() (err error) {
	a := &e.aside
	a.stop, a.frames = make(chan struct{}), make(chan punted, mostPunted)
	if a.injector, err = xdp.NewInjector(); err != nil {
		return err
	}
	if a.resolver, err = NewResolver(); err != nil {
		return err
	}
	if a.follower, err = newFollower(); err != nil {
		return err
	}
	a.done.Go(func() { e.handUp(a.injector, a.frames) })
	asks := e.crew.asks
	a.done.Go(func() { e.resolve(a.resolver, asks, a.stop) })
	a.done.Go(func() {
		for range a.follower.changed {
			e.refresh()
		}
	})
	return nil
}

func (a *aside) end() error {
	if a.stop == nil {
		return nil
	}
	var errs []error
	close(a.stop)
	close(a.frames)
	if a.follower != nil {
		errs = append(errs, a.follower.conn.Close())
	}
	a.done.Wait()
	if a.resolver != nil {
		errs = append(errs, a.resolver.Close())
	}
	if a.injector != nil {
		errs = append(errs, a.injector.Close())
	}
	return errors.Join(errs...)
}

// resolve has the kernel look for the neighbors that the loop asks for.
func (e *Engine) resolve(r *Resolver, asks <-chan Neighbor, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case n := <-asks:
			if ifindex := e.ifindex(n.Port); ifindex != 0 && n.Addr != (netip.Addr{}) {
				_ = r.Resolve(ifindex, n.Addr) // the loop asks again, and tells the source in the end
			}
		}
	}
}

func (e *Engine) ifindex(number uint32) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ports[number].Ifindex
}

// SetPort implements dataplane.Engine. A port that changes its engine loses no packet.
func (e *Engine) SetPort(p dataplane.Port) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.setPort(p); err != nil {
		return err
	}
	return e.configure()
}

func (e *Engine) setPort(p dataplane.Port) error {
	wanted := p.Engine == dataplane.Soft && p.Parent == 0
	if wanted {
		if err := e.start(); err != nil {
			return fmt.Errorf("set port %d (%s): %w", p.Number, p.Name, err)
		}
	}
	if e.crew == nil {
		err := e.Engine.SetPort(p)
		if err == nil {
			e.ports[p.Number] = p
		}
		return err
	}
	before, known := e.ports[p.Number]
	mode := e.mode(p.Number)
	err := e.take(p, mode, dataplane.AFXDP)
	if wanted && mode == "" && p.Want == "" && isWithoutXDP(err) {
		err = e.takePackets(p, err)
	}
	if err == nil {
		return nil
	}
	if known { // it stays what it was
		e.ports[p.Number] = before
		if s := e.sockets[p.Number]; s != nil && before.Engine != dataplane.Soft {
			err = errors.Join(err, s.steer(e.xsks, false))
		}
		return err
	}
	delete(e.ports, p.Number)
	return errors.Join(err, e.close(p.Number))
}

// mode is how packets come in by a port, "" if there is no such port.
func (e *Engine) mode(number uint32) dataplane.Mode {
	for _, p := range e.Engine.Ports() {
		if p.Number == number {
			return p.Mode
		}
	}
	return ""
}

// attachError is the XDP engine's: the port has its sockets.
type attachError struct{ error }

func (e *attachError) Unwrap() error { return e.error }

// isWithoutXDP tells whether a port has got no program of XDP, for no reason of another program's or the caller's.
func isWithoutXDP(err error) bool {
	var a *attachError
	return errors.As(err, &a) && !errors.Is(err, xdp.ErrForeign) && !errors.Is(err, xdp.ErrPort) && !errors.Is(err, xdp.ErrProgram)
}

// takePackets is take for a port that has no program of XDP, and why.
func (e *Engine) takePackets(p dataplane.Port, why error) error {
	if err := errors.Join(e.close(p.Number), e.take(p, dataplane.TC, dataplane.AFPacket)); err != nil {
		return errors.Join(why, err)
	}
	e.sockets[p.Number].why = why
	return nil
}

// take gives a port its sockets, and then packets. In mode tc they come by AF_PACKET.
func (e *Engine) take(p dataplane.Port, mode dataplane.Mode, kind dataplane.Sockets) error {
	failed := func(err error) error { return fmt.Errorf("set port %d (%s): %w", p.Number, p.Name, err) }
	wanted := p.Engine == dataplane.Soft && p.Parent == 0
	if wanted && (mode == dataplane.TC || mode == "" && p.Want == dataplane.TC) {
		kind = dataplane.AFPacket
	}
	// Those of the XDP engine's port may be others: it can be sent to, whatever it was that was not to be had.
	if s := e.sockets[p.Number]; wanted && s != nil && !s.steers && (s.kind() == dataplane.AFPacket) != (kind == dataplane.AFPacket) {
		if err := e.close(p.Number); err != nil {
			return failed(err)
		}
	}
	if err := e.open(&p, kind); err != nil {
		return failed(err)
	}
	s, set := e.sockets[p.Number], p
	packets := s != nil && s.kind() == dataplane.AFPacket
	if wanted {
		if packets && mode != "" && mode != dataplane.TC {
			return failed(fmt.Errorf("%w: and it is attached in mode %s, AF_PACKET needs tc: take it out of the ports first", s.why, mode))
		}
		e.ports[p.Number] = p
		if err := e.configure(); err != nil {
			return failed(err)
		}
	}
	// Sockets of AF_XDP are there before the program, and go after it: nothing is lost. By AF_PACKET the kernel has a packet,
	// too, for which there is no program yet: such a socket comes last and goes first.
	if s != nil && wanted != packets {
		if err := s.steer(e.xsks, wanted); err != nil {
			return failed(err)
		}
	}
	if wanted && packets {
		set.Want = dataplane.TC
	}
	if err := e.Engine.SetPort(set); err != nil {
		return &attachError{err}
	}
	e.ports[p.Number] = p
	if s != nil { // if it is the XDP engine's now, the loop finishes what it has
		return s.steer(e.xsks, wanted)
	}
	return nil
}

// RemovePort implements dataplane.Engine.
func (e *Engine) RemovePort(number uint32) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	err := e.Engine.RemovePort(number)
	err = errors.Join(err, e.close(number))
	for n, p := range maps.Clone(e.ports) {
		if n == number || p.Parent == number {
			delete(e.ports, n)
			delete(e.lost, n)
			if e.crew != nil { // the number's next port has counted nothing
				e.counted[n] = &account{moved: e.crew.Counters(n)}
			}
		}
	}
	return errors.Join(err, e.configure())
}

// configure tells the loop of what there is.
func (e *Engine) configure() error {
	if e.crew == nil {
		return nil
	}
	c := &Config{Image: e.image, Limits: readLimits()}
	numbers := map[int]uint32{}
	for _, n := range slices.Sorted(maps.Keys(e.ports)) {
		p := e.ports[n]
		if _, below := e.ports[p.Parent]; p.Parent != 0 && !below {
			continue
		}
		s := e.sockets[n]
		c.Ports = append(c.Ports, Port{Port: p, Tap: s != nil && s.kind() == dataplane.AFPacket})
		numbers[p.Ifindex] = n
	}
	var indexes []int
	var err error
	if c.Interfaces, indexes, err = readInterfaces(); err != nil {
		return err
	}
	for i := range c.Interfaces {
		c.Interfaces[i].Port = numbers[indexes[i]]
	}
	if err = e.crew.set(c); err == nil {
		e.config = c
	}
	return err
}

// refresh is configure when the kernel has changed something.
func (e *Engine) refresh() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stale = e.configure() != nil // Check tries again, and tells why not
}

// Replace takes all ports to another image, which has the routes of im. Nobody reads the
// old one then.
func (e *Engine) Replace(mem *bpf.Image, im *fib.Image) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.Engine.Replace(mem); err != nil {
		return err
	}
	e.image = im
	return e.configure()
}

func (e *Engine) account(number uint32) *account {
	a := e.counted[number]
	if a == nil {
		a = &account{}
		e.counted[number] = a
	}
	return a
}

// settle brings the counters of all ports up to date.
func (e *Engine) settle(look bool) {
	if e.crew == nil {
		return
	}
	for n := range e.ports {
		c := e.crew.Counters(n)
		overrun := uint64(0)
		if s := e.sockets[n]; s != nil && look {
			overrun = s.Stats().LostNoFrame
		}
		e.account(n).settle(e.Engine, n, &c, overrun, look)
	}
}

// Counters implements dataplane.Engine.
func (e *Engine) Counters(number uint32) dataplane.Counters {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, known := e.ports[number]; e.crew == nil || !known {
		return e.Engine.Counters(number)
	}
	a, c := e.account(number), e.crew.Counters(number)
	a.settle(e.Engine, number, &c, 0, false)
	all := e.Engine.Counters(number)
	all[dataplane.LoopOverrun] = a.lost // not what is on its way
	return all
}

// Ports implements dataplane.Engine.
func (e *Engine) Ports() []dataplane.PortStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.Engine.Ports()
	for i := range all {
		p := &all[i]
		root := e.root(p.Number)
		p.Engine = e.ports[root].Engine
		if s := e.sockets[root]; s != nil {
			p.Sockets = s.kind()
			if s.why != nil {
				p.SocketsReason = s.why.Error()
			}
			p.EgressLost += s.Stats().LostTransmit + e.lost[root].Forwarded.Packets
		}
	}
	return all
}

// Check implements dataplane.Engine.
func (e *Engine) Check() error {
	err := e.Engine.Check()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle(true)
	if e.stale {
		failed := e.configure()
		e.stale = failed != nil
		err = errors.Join(err, failed)
	}
	if e.crew != nil {
		for n := range e.sockets {
			e.lost[n] = e.crew.lost(n)
		}
	}
	return err
}

// Stages reads what each stage of the loop has had to do; nil: there is no loop.
func (e *Engine) Stages() (all []dataplane.Stage) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.crew == nil {
		return nil
	}
	for _, s := range e.crew.stages() {
		all = append(all, dataplane.Stage{Name: s.Stage.String(), Calls: s.Calls, Packets: s.Packets, Took: s.Took})
	}
	return all
}

// Close implements dataplane.Engine: ports of the loop are the XDP engine's from then on.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for _, p := range e.ports {
		if s := e.sockets[p.Number]; s != nil && s.steers {
			p.Engine = dataplane.XDP
			errs = append(errs, e.Engine.SetPort(p), s.steer(e.xsks, false))
		}
	}
	return errors.Join(append(errs, e.end(), e.Engine.Close())...)
}

// Stop implements dataplane.Engine.
func (e *Engine) Stop() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	err := e.Engine.Stop()
	return errors.Join(err, e.end())
}

// end ends the loops, when they have finished what they have.
func (e *Engine) end() error {
	if e.crew == nil {
		err := e.xsks.Close() // nil, too
		e.xsks = nil
		return err
	}
	var errs []error
	for n := range maps.Clone(e.sockets) {
		errs = append(errs, e.close(n))
	}
	e.mu.Unlock() // what goes on aside may want it
	errs = append(errs, e.aside.end())
	e.mu.Lock()
	errs = append(errs, e.probe.close(), e.crew.close(), e.xsks.Close())
	e.crew, e.xsks, e.aside, e.probe = nil, nil, aside{}, nil
	return errors.Join(errs...)
}
