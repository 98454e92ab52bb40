package xdp

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cilium/ebpf"

	"weft/bpf"
	"weft/dataplane"
)

// sockets are where the program of ports that are a loop's finds it.
type sockets struct {
	all      *ebpf.Map // of AF_XDP sockets: bpf.NewXSKs. It is the loop's
	frameMax int
	tapMax   int // by AF_PACKET
}

// errNoLoop: a port is to be a loop's, and there is none.
var errNoLoop = errors.New("there is no loop that could have it")

func (s sockets) load(im *bpf.Image, state *bpf.State, f bpf.Features) (*ebpf.Program, error) {
	if s.all == nil {
		return nil, errNoLoop
	}
	p, err := bpf.LoadXSK(im, state, s.all, s.frameMax, f)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProgram, err)
	}
	return p, nil
}

// loadTap loads the program of ports whose packets the loop has by AF_PACKET.
func (s sockets) loadTap(im *bpf.Image, state *bpf.State, f bpf.Features) (*ebpf.Program, error) {
	if s.all == nil {
		return nil, errNoLoop
	}
	p, err := bpf.LoadTap(im, state, s.tapMax, f)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProgram, err)
	}
	return p, nil
}

// Steer says by which sockets ports are to be reached that are the soft engine's, and how
// long a frame for them may be, of AF_XDP and of AF_PACKET, before there is any such port. The map
// stays the caller's, who keeps it open while the engine is in use.
func (e *Engine) Steer(all *ebpf.Map, frameMax, tapMax int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sockets = sockets{all, frameMax, tapMax}
}

// need loads the program of ports in a mode, of an engine, if it is not there.
func (e *Engine) need(m dataplane.Mode, engine dataplane.Name) (err error) {
	switch {
	case engine != dataplane.Soft && m == dataplane.TC:
		return e.needTC()
	case engine != dataplane.Soft:
	case m == dataplane.TC && e.progs.tap == nil:
		e.progs.tap, err = e.sockets.loadTap(e.image, e.state, e.features)
	case m != dataplane.TC && e.progs.soft == nil:
		e.progs.soft, err = e.sockets.load(e.image, e.state, e.features)
	}
	return err
}

// isTap tells whether a loop has the port's packets by AF_PACKET.
func (p *port) isTap() bool { return p.Mode == dataplane.TC && p.Engine == dataplane.Soft }

// pin pins a port's link, unless it is to end with the process: without a loop Linux must have
// the packets again that the program of AF_PACKET takes from it.
func (e *Engine) pin(p *port) error {
	if p.isTap() {
		return e.pins.unpinLink(p.Number)
	}
	return e.pins.pinLink(p.Number, p.link)
}

// change makes a known port another: one link update if it goes to another engine, in
// which no packet is lost (of AF_PACKET, one: see package afpacket).
func (e *Engine) change(old *port, p dataplane.Port) error {
	if err := e.need(old.Mode, p.Engine); err != nil {
		return err
	}
	before := old.Engine
	old.Port = p
	if before != p.Engine && old.link != nil && e.beside == nil {
		err := e.updateLink(old, e.progs)
		if err == nil && old.Mode == dataplane.TC {
			err = e.pin(old)
		}
		if err != nil {
			old.Engine = before
			return fmt.Errorf("give it to engine %s: %w", p.Engine, err)
		}
	}
	return e.enter(old)
}

// Finished says what became of packets that came in by a port and that the program gave to
// the loop, when they were counted as LoopOverrun. It is one goroutine's.
func (e *Engine) Finished(number uint32, c *dataplane.Counters) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || number >= e.mem.limit() {
		return
	}
	row := &e.mem.portRows(number)[e.mem.cpus]
	for r := range c {
		if c[r] == (dataplane.Counter{}) {
			continue
		}
		// Sums over rows are what is read: one may be below 0.
		lost := &row[dataplane.LoopOverrun]
		atomic.AddUint64(&lost.Packets, -c[r].Packets)
		atomic.AddUint64(&lost.Bytes, -c[r].Bytes)
		atomic.AddUint64(&row[r].Packets, c[r].Packets)
		atomic.AddUint64(&row[r].Bytes, c[r].Bytes)
	}
}
