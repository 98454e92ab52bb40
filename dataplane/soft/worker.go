package soft

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
	"unsafe"

	"weft/dataplane"
	"weft/dataplane/packet"
	"weft/dataplane/soft/device"
	"weft/fib"
)

// Worker is the loop, of one goroutine: see the package documentation. Its owner calls
// Round again and again. Methods are for that goroutine, except those that say so.
type Worker struct {
	mem       *device.Memory
	base      unsafe.Pointer
	frameMask uint64
	pool      *device.Pool
	reader    *fib.Reader
	now       func() time.Duration
	asks      chan Neighbor

	state  atomic.Pointer[state]
	linked *state // that links are made for
	seed   uint32 // of the flow hash
	next   int    // queue that is asked first

	links  []*link // by port number; a VLAN's is that of the port at its root
	queues []*link // each once

	v        vector
	again    bool // the vector is packets that have been counted
	limiter  *packet.Limiter
	limits   packet.Limits
	identify uint16 // of the next ICMP error
	holds    holds
	counters [maxPorts]atomic.Pointer[counters]
	fates    fates
	stages   stages
	scratch  [1]uint64
}

// Options say how a Worker is made. Memory and Pool it must have.
type Options struct {
	Memory *device.Memory
	Pool   *device.Pool         // the Worker's own, with its queues
	Reader *fib.Reader          // joined to the Readers of all images that Configs will have; nil: they do not change
	Now    func() time.Duration // grows only; nil: time since NewWorker
	Asks   chan Neighbor        // where it asks for neighbors, with others; nil: one of its own
}

// Neighbor is one that the kernel is to resolve.
type Neighbor struct {
	Port uint32
	Addr netip.Addr
}

// asksMost is how many questions wait for their listener.
const asksMost = 256

// NewWorker makes a Worker without ports or queues.
func NewWorker(o Options) *Worker {
	w := &Worker{
		mem: o.Memory, base: o.Memory.Base(), frameMask: uint64(o.Memory.FrameSize() - 1), pool: o.Pool, reader: o.Reader, now: o.Now,
		asks: o.Asks, limiter: packet.NewLimiter(packet.Limits{}),
	}
	if w.asks == nil {
		w.asks = make(chan Neighbor, asksMost)
	}
	if w.now == nil {
		start := time.Now()
		w.now = func() time.Duration { return time.Since(start) }
	}
	w.stages.begin()
	w.holds.begin(o.Pool.Size())
	return w
}

// Asks is where the Worker asks for neighbors. Whoever listens has the kernel resolve
// them; the FIB has them then. Any goroutine.
func (w *Worker) Asks() <-chan Neighbor { return w.asks }

// Set gives the Worker another Config, by which all packets are forwarded that Round
// takes from then on. Any goroutine, one at a time.
//
// Errors: fib.ErrNoVRF; nothing has changed then.
func (w *Worker) Set(c *Config) error {
	s, err := newState(c)
	if err != nil {
		return fmt.Errorf("set configuration: %w", err)
	}
	w.state.Store(s)
	return nil
}

// ErrPort: the port has queues, or has none.
var ErrPort = errors.New("not possible with this port")

// Attach gives the Worker a port's queue, and one that brings packets to the kernel as
// come in by the port: nil if there is none, then what is punted is lost and counted.
//
// Errors: ErrPort.
func (w *Worker) Attach(number uint32, queue, kernel device.Queue) error {
	if number == 0 || number >= maxPorts || w.root(number) != nil {
		return fmt.Errorf("attach queue to port %d: %w: it has one, or its number is not one", number, ErrPort)
	}
	l := &link{number: number, queue: queue, kernel: kernel}
	w.queues = append(w.queues, l)
	w.linkPorts()
	return nil
}

// Detach takes a port's queue away. What it has still to send is the queue's.
//
// Errors: ErrPort.
func (w *Worker) Detach(number uint32) error {
	for i, l := range w.queues {
		if l.number == number {
			w.queues = append(w.queues[:i:i], w.queues[i+1:]...)
			w.linkPorts()
			return nil
		}
	}
	return fmt.Errorf("detach queue from port %d: %w: it has none", number, ErrPort)
}

func (w *Worker) root(number uint32) *link {
	for _, l := range w.queues {
		if l.number == number {
			return l
		}
	}
	return nil
}

// linkPorts finds the queues of all ports.
func (w *Worker) linkPorts() {
	s := w.linked
	n := 1
	for _, l := range w.queues {
		n = max(n, int(l.number)+1)
	}
	if s != nil {
		n = max(n, len(s.ports))
	}
	w.links = make([]*link, n)
	for _, l := range w.queues {
		w.links[l.number] = l
	}
	for i := range w.links {
		if s != nil && i < len(s.ports) && w.links[i] == nil {
			w.links[i] = w.root(s.ports[i].root)
		}
		if w.counters[i].Load() == nil {
			w.counters[i].Store(new(counters))
		}
	}
}

// link is that of a port, nil if packets cannot be sent to it.
func (w *Worker) link(number uint32) *link {
	if int(number) >= len(w.links) {
		return nil
	}
	return w.links[number]
}

// Round takes one vector through the stages, and returns how many packets it had: 0 when
// none of the queues had any.
func (w *Worker) Round() int {
	if w.reader != nil {
		w.reader.Quiesce()
	}
	s := w.state.Load()
	if s == nil {
		return 0
	}
	if s != w.linked {
		w.changeTo(s)
	}
	t := w.stages.start()
	n := w.receive()
	if n > 0 {
		t = w.stages.end(stageReceive, n, t)
		w.v.begin(n)
		w.process(s, t)
	} else {
		w.stages.publish()
		w.reclaim()
	}
	if w.holds.n > 0 {
		w.lookAfter(s)
	}
	return n
}

// process takes the vector through all stages but the first.
func (w *Worker) process(s *state, t uint64) {
	t = w.decide(s, t)
	w.deliver(s, t)
}

// decide finds out what becomes of each packet of the vector, and rewrites those that
// leave.
func (w *Worker) decide(s *state, t uint64) uint64 {
	v := &w.v
	w.input(s)
	t = w.stages.end(stageInput, v.n, t)
	inputEnded := v.ended
	if v.seen&isPartial != 0 {
		w.features(s)
		t = w.stages.end(stageFeatures, v.n, t)
	}
	w.lookup()
	t = w.stages.end(stageLookup, v.four.n+v.six.n, t)
	w.rewrite(s)
	if v.seen&isTap != 0 && !w.again {
		w.leaveToKernel(s, inputEnded)
	}
	return w.stages.end(stageRewrite, v.four.n+v.six.n, t)
}

// deliver brings all packets to where they go, and counts them.
func (w *Worker) deliver(s *state, t uint64) {
	v := &w.v
	if v.ended > 0 {
		w.finish(s)
		t = w.stages.end(stageFinish, v.ended, t)
	}
	w.transmit()
	t = w.stages.end(stageTransmit, v.n, t)
	if !w.again {
		w.count()
		w.stages.end(stageCount, v.n, t)
	}
}

// changeTo begins with another Config.
func (w *Worker) changeTo(s *state) {
	w.linked, w.seed = s, s.image.HashSeed()
	if s.limits != w.limits {
		w.limits, w.limiter = s.limits, packet.NewLimiter(s.limits)
	}
	w.linkPorts()
}

// receive fills the vector from the queues, one after the other. The one after that which
// was asked last is asked first the next time: so none waits for others longer than a
// vector of each.
func (w *Worker) receive() (n int) {
	v := &w.v
	for range w.queues {
		if w.next >= len(w.queues) {
			w.next = 0
		}
		n += w.queues[w.next].queue.Receive(v.packets[n:])
		w.next++
		if n == VectorSize {
			break
		}
	}
	return n
}

// transmit hands all packets to the queues that they leave by.
func (w *Worker) transmit() {
	for _, l := range w.queues {
		if l.n > 0 {
			w.send(l.queue, l.out[:l.n], &l.lost)
			l.n = 0
		}
		if l.up > 0 {
			taken := w.send(l.kernel, l.punted[:l.up], &l.refused)
			for _, i := range l.from[taken:l.up] {
				w.v.reason[i] = dataplane.LoopPuntOverrun // it is counted yet
			}
			l.up = 0
		}
	}
}

// reclaim takes back what queues have sent to which nothing more is sent now.
func (w *Worker) reclaim() {
	for _, l := range w.queues {
		if l.queue.Pending() > 0 {
			l.queue.Flush()
		}
		if l.kernel != nil && l.kernel.Pending() > 0 {
			l.kernel.Flush()
		}
	}
}

// send returns how many of the packets a queue has taken. The others are lost.
func (w *Worker) send(q device.Queue, d []device.Descriptor, lost *counter) (n int) {
	n = q.Transmit(d)
	q.Flush()
	for _, one := range d[n:] {
		lost.add(1, uint64(one.Length))
		w.pool.Put(one.Address)
	}
	return n
}

// Counters reads what came in by a port. Any goroutine.
func (w *Worker) Counters(number uint32) dataplane.Counters {
	if number < maxPorts {
		if c := w.counters[number].Load(); c != nil {
			return c.read()
		}
	}
	return dataplane.Counters{}
}

// Lost is what did not find room in the queues of a port, or for which there was none.
type Lost struct {
	Forwarded dataplane.Counter // it was counted as forwarded
	Punted    dataplane.Counter
}

// Lost reads what a port has lost, of the Worker's own goroutine.
func (w *Worker) Lost(number uint32) Lost {
	l := w.link(number)
	if l == nil {
		return Lost{}
	}
	return Lost{l.lost.read(), l.refused.read()}
}
