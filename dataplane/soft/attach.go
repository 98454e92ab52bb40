package soft

import (
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"weft/bpf"
	"weft/dataplane"
	"weft/dataplane/soft/afpacket"
	"weft/dataplane/soft/device"
	"weft/dataplane/soft/xsk"
)

// open gives the loops a port's sockets, if they have none: of AF_XDP, or of AF_PACKET if they are to be that, or AF_XDP is
// not to be had.
func (e *Engine) open(p *dataplane.Port, kind dataplane.Sockets) error {
	if p.Parent != 0 || e.sockets[p.Number] != nil {
		return nil
	}
	s := &portSockets{number: p.Number, ifindex: p.Ifindex}
	soft := p.Engine == dataplane.Soft
	var err error
	if kind != dataplane.AFPacket {
		// The XDP engine's port has its driver's own memory.
		s.why = e.openXSK(s, xsk.Options{Copy: !soft, BusyPoll: time.Duration(e.options.BusyPoll) * time.Microsecond})
		if soft && s.why != nil && !isMissing(s.why) {
			err = s.why
		}
	}
	if err == nil && (s.why != nil || kind == dataplane.AFPacket) {
		err = e.closeSockets(s)
		if err == nil && soft {
			err = e.openPackets(s)
		}
	}
	if err != nil {
		return errors.Join(err, e.closeSockets(s))
	}
	e.sockets[p.Number] = s
	return e.equip(p.Number)
}

// isMissing tells whether AF_XDP cannot be had, whatever is done on this machine as it is.
func isMissing(err error) bool {
	return slices.ContainsFunc([]error{
		xsk.ErrUnsupported, xsk.ErrLocked, unix.EPERM, unix.EACCES, unix.EOPNOTSUPP, unix.ENOPROTOOPT,
	}, func(one error) bool { return errors.Is(err, one) })
}

// openXSK opens a socket of AF_XDP for each of a port's queues, which the loops have in turns.
func (e *Engine) openXSK(s *portSockets, o xsk.Options) error {
	for q := range max(min(xsk.Queues(s.ifindex), bpf.XSKQueues), 1) {
		err := e.recruit(s, func(l *loop) (device.Queue, error) {
			o.Ring = ringFor(l.pool.Free())
			one, err := e.openQueue(e.crew.umem, l.pool, xsk.Where{Port: s.number, Ifindex: s.ifindex, Queue: q}, o)
			if err == nil {
				s.queues = append(s.queues, one)
			}
			return one, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// openPackets opens a socket of AF_PACKET, which one loop has. It receives nothing yet.
func (e *Engine) openPackets(s *portSockets) error {
	return e.recruit(s, func(l *loop) (device.Queue, error) {
		all, err := afpacket.Open(e.crew.mem, []*device.Pool{l.pool}, s.number, s.ifindex, afpacket.Options{Closed: true})
		if err != nil {
			return nil, err
		}
		s.packets = all
		return all[0], nil
	})
}

// recruit finds a loop for what open makes, on its thread.
func (e *Engine) recruit(s *portSockets, open func(*loop) (device.Queue, error)) error {
	n, err := e.crew.recruit()
	if err != nil {
		return err
	}
	l, q := e.crew.loops[n], s.has(n)
	l.do(func() {
		var one device.Queue
		if one, err = open(l); err != nil {
			return
		}
		q.in = append(q.in, one)
		if q.out == nil {
			q.out = one
		}
		l.receives++
	})
	return err
}

// equip lets all loops send by all ports. An error is the given port's: others may have gone, which their owner will say.
func (e *Engine) equip(number uint32) (err error) {
	for _, s := range e.sockets {
		for i, l := range e.crew.loops {
			l.do(func() {
				if one := e.equipOne(s, i); one != nil && s.number == number {
					err = one
				}
			})
		}
	}
	return err
}

func (e *Engine) equipOne(s *portSockets, i int) error {
	l, q := e.crew.loops[i], s.has(i)
	if q.attached {
		return nil
	}
	if q.out == nil {
		if err := e.openOut(s, q, i); err != nil {
			return err
		}
	}
	var kernel device.Queue
	if s.kind() != dataplane.AFPacket { // else it would come in by that again
		kernel = &upward{mem: e.crew.mem, pool: l.pool, ifindex: s.ifindex, to: e.aside.frames}
	}
	if err := l.Attach(s.number, q, kernel); err != nil {
		return err
	}
	q.attached = true
	l.setPolled()
	return nil
}

// openOut opens what a loop sends by that packets do not come to.
func (e *Engine) openOut(s *portSockets, q *socketQueue, i int) error {
	pool := e.crew.loops[i].pool
	if len(s.queues) == 0 {
		all, err := afpacket.Open(e.crew.mem, []*device.Pool{pool}, s.number, s.ifindex, afpacket.Options{SendOnly: true})
		if err != nil {
			return err
		}
		s.packets, q.out = append(s.packets, all...), all[0]
		return nil
	}
	beside := s.queues[i%len(s.queues)]
	one, err := xsk.Open(e.crew.umem, pool, beside.Where(), xsk.Options{Ring: mostRing, Beside: beside})
	if err != nil {
		return err
	}
	s.sharers, q.out = append(s.sharers, one), one
	return nil
}

// close takes a port's sockets from the loops, when they have finished what came in by them.
func (e *Engine) close(number uint32) error {
	s := e.sockets[number]
	if s == nil {
		return nil
	}
	e.crew.drain()
	e.settle(false)
	delete(e.sockets, number)
	err := errors.Join(s.unregister(e.xsks), e.closeSockets(s))
	e.account(number).gone += s.Stats().LostNoFrame
	return err
}

// closeSockets closes them on the threads of their loops: first what sends by others' queues.
func (e *Engine) closeSockets(s *portSockets) error {
	var errs []error
	for i, q := range s.of {
		l := e.crew.loops[i]
		l.do(func() {
			if q.attached {
				errs = append(errs, l.Detach(s.number))
				l.setPolled()
			}
			if q.out != nil && len(q.in) == 0 {
				errs = append(errs, q.out.Close())
			}
		})
	}
	for i, q := range s.of {
		l := e.crew.loops[i]
		l.do(func() {
			for _, one := range q.in {
				errs = append(errs, one.Close())
				l.receives--
			}
		})
	}
	s.counted = s.Stats()
	s.of, s.queues, s.sharers, s.packets = nil, nil, nil, nil
	return errors.Join(errs...)
}
