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
	"weft/dataplane/soft/device"
	"weft/dataplane/soft/xsk"
	"weft/dataplane/xdp"
	"weft/fib"
)

// Engine is the XDP engine with a loop beside it, which has those ports whose Engine is
// dataplane.Soft. There is no loop before the first of them. It works in the network namespace
// that all threads of the process are in. Any goroutine may call its
// methods.
//
// Packets leave by all ports, whoever has them: the loop has sockets of those of the XDP
// engine, too, by which nothing comes in.
type Engine struct {
	*xdp.Engine
	readers     *fib.Readers
	notHandedUp atomic.Uint64

	mu      sync.Mutex // guards what follows
	image   *fib.Image
	ports   map[uint32]dataplane.Port
	counted map[uint32]*account
	loop    *loop // nil: there is none
	xsks    *ebpf.Map
	umem    *xsk.UMEM
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
// that one's: who writes to it waits for the readers, too.
func New(e *xdp.Engine, im *fib.Image, readers *fib.Readers) *Engine {
	all := &Engine{
		Engine: e, readers: readers, image: im, ports: map[uint32]dataplane.Port{}, counted: map[uint32]*account{},
		sockets: map[uint32]*portSockets{}, lost: map[uint32]Lost{},
	}
	for _, p := range e.Ports() {
		all.ports[p.Number] = p.Port
	}
	e.OnTap(all.setTap)
	return all
}

// start makes the loop, once.
func (e *Engine) start() (err error) {
	if e.loop != nil {
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
	if e.loop, err = newLoop(e.readers); err != nil {
		return err
	}
	tap := e.Tap()
	e.loop.do(func() { e.loop.setTap(tap) })
	e.umem = xsk.NewUMEM(e.loop.mem)
	e.Steer(e.xsks, e.umem.PacketMax())
	if err := e.startAside(); err != nil {
		return err
	}
	for _, p := range e.ports { // to send by
		if err := e.open(&p); err != nil {
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
	asks := e.loop.Asks()
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

// open gives the loop a port's sockets, if it has none.
func (e *Engine) open(p *dataplane.Port) error {
	if p.Parent != 0 || e.sockets[p.Number] != nil {
		return nil
	}
	s := &portSockets{upward: &upward{mem: e.loop.mem, pool: e.loop.pool, ifindex: p.Ifindex, to: e.aside.frames}}
	var err error
	e.loop.do(func() {
		if s.queues, err = e.loop.openSockets(e.umem, p); err != nil {
			return
		}
		e.sockets[p.Number] = s
		err = e.loop.Attach(p.Number, s.queues, s.upward)
		e.setPolled()
	})
	return err
}

func (e *Engine) setPolled() {
	var all []device.Queue
	for _, s := range e.sockets {
		for _, q := range s.queues {
			all = append(all, q)
		}
	}
	e.loop.setPolled(all)
}

// close takes a port's sockets from the loop, when it has finished what came in by them.
func (e *Engine) close(number uint32) error {
	s := e.sockets[number]
	if s == nil {
		return nil
	}
	e.loop.drain()
	e.settle(false)
	delete(e.sockets, number)
	err := unregister(e.xsks, number, len(s.queues))
	e.loop.do(func() {
		err = errors.Join(err, e.loop.Detach(number), s.Close())
		e.setPolled()
	})
	e.account(number).gone += s.Stats().LostNoFrame
	return err
}

// steer has the program find the sockets of a port, or not.
func (e *Engine) steer(number uint32, on bool) error {
	s := e.sockets[number]
	if s == nil || s.steers == on {
		return nil
	}
	s.steers = on
	if !on {
		return unregister(e.xsks, number, len(s.queues))
	}
	return s.register(e.xsks, number)
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
	before, known := e.ports[p.Number]
	if wanted {
		if err := e.start(); err != nil {
			return fmt.Errorf("set port %d (%s): %w", p.Number, p.Name, err)
		}
	}
	if e.loop == nil {
		err := e.Engine.SetPort(p)
		if err == nil {
			e.ports[p.Number] = p
		}
		return err
	}
	err := e.open(&p)
	if err == nil && wanted { // before a packet can come
		e.ports[p.Number] = p
		if err = e.configure(); err == nil {
			err = e.steer(p.Number, true)
		}
	}
	if err != nil {
		err = fmt.Errorf("set port %d (%s): %w", p.Number, p.Name, err)
	} else {
		err = e.Engine.SetPort(p)
	}
	if err == nil {
		e.ports[p.Number] = p
		if !wanted { // it is the XDP engine's now: what the loop has it finishes
			err = e.steer(p.Number, false)
		}
		return err
	}
	if known {
		e.ports[p.Number] = before
		return err
	}
	delete(e.ports, p.Number)
	return errors.Join(err, e.close(p.Number))
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
			if e.loop != nil { // the number's next port has counted nothing
				e.counted[n] = &account{moved: e.loop.Counters(n)}
			}
		}
	}
	return errors.Join(err, e.configure())
}

// configure tells the loop of what there is.
func (e *Engine) configure() error {
	if e.loop == nil {
		return nil
	}
	c := &Config{Image: e.image, Limits: readLimits()}
	numbers := map[int]uint32{}
	for _, n := range slices.Sorted(maps.Keys(e.ports)) {
		p := e.ports[n]
		if _, below := e.ports[p.Parent]; p.Parent != 0 && !below {
			continue
		}
		c.Ports = append(c.Ports, Port{Port: p})
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
	e.loop.do(func() { err = e.loop.Set(c) })
	return err
}

// refresh is configure when the kernel has changed something.
func (e *Engine) refresh() {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.configure() // the next change, or Check, tries again
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
	if e.loop == nil {
		return
	}
	for n := range e.ports {
		c := e.loop.Counters(n)
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
	if _, known := e.ports[number]; e.loop == nil || !known {
		return e.Engine.Counters(number)
	}
	a, c := e.account(number), e.loop.Counters(number)
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
		root := p.Number
		for p, ok := e.ports[root]; ok && p.Parent != 0; p, ok = e.ports[root] {
			root = p.Parent
		}
		p.Engine = e.ports[root].Engine
		if s := e.sockets[root]; s != nil {
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
	if e.loop != nil {
		e.loop.do(func() {
			for n := range e.sockets {
				e.lost[n] = e.loop.Lost(n)
			}
		})
	}
	return err
}

// Stages reads what each stage of the loop has had to do; nil: there is no loop.
func (e *Engine) Stages() (all []dataplane.Stage) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.loop == nil {
		return nil
	}
	for _, s := range e.loop.Stages() {
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
			errs = append(errs, e.Engine.SetPort(p), e.steer(p.Number, false))
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

// end ends the loop, when it has finished what it has.
func (e *Engine) end() error {
	if e.loop == nil {
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
	errs = append(errs, e.loop.close(), e.xsks.Close())
	e.loop, e.xsks, e.aside = nil, nil, aside{}
	return errors.Join(errs...)
}
