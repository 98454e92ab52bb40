package soft

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"weft/bpf"
	"weft/dataplane"
	"weft/dataplane/soft/afpacket"
	"weft/dataplane/soft/device"
	"weft/dataplane/soft/xsk"
)

const (
	mostRing  = 4096 // what comes in at 100,000 packets a second in 40 ms: as long may a core be busy otherwise
	leastRing = 64
)

// portSockets is what the loops have of a port.
type portSockets struct {
	number  uint32
	ifindex int
	queues  []*xsk.Socket      // by the interface's queue: packets come in by them, if they are of AF_XDP
	sharers []*xsk.Socket      // by which other loops send
	packets []*afpacket.Socket // all, if they are of AF_PACKET
	of      []*socketQueue     // by loop
	why     error              // that they are not of AF_XDP
	steers  bool               // the program gives packets to them
	counted device.Stats       // of those that have been closed
}

// kind says what they are.
func (p *portSockets) kind() dataplane.Sockets {
	switch {
	case len(p.queues) == 0:
		return dataplane.AFPacket
	case p.queues[0].ZeroCopy():
		return dataplane.ZeroCopy
	}
	return dataplane.AFXDP
}

// socketQueue is a port's queues as one loop has them: it sends by one, and packets come in by some, or by none.
type socketQueue struct {
	in       []device.Queue
	out      device.Queue
	attached bool // the loop sends by it
}

var _ device.Queue = (*socketQueue)(nil)

// has is what a loop has of the port.
func (p *portSockets) has(loop int) *socketQueue {
	for len(p.of) <= loop {
		p.of = append(p.of, &socketQueue{})
	}
	return p.of[loop]
}

// ringFor leaves frames for the sockets that come, and for packets under way.
func ringFor(free int) int {
	ring := mostRing
	for ring > leastRing && ring > free/4 {
		ring /= 2
	}
	return ring
}

// steer has the port's packets come to the sockets, or not.
func (p *portSockets) steer(all *ebpf.Map, on bool) error {
	if p.steers == on {
		return nil
	}
	p.steers = on
	for _, s := range p.packets {
		if err := s.Receives(on); err != nil {
			return err
		}
	}
	if !on {
		return p.unregister(all)
	}
	for i, s := range p.queues {
		if err := s.Register(all, bpf.XSKKey(p.number, i)); err != nil {
			return err
		}
	}
	return nil
}

// unregister has the program leave a port's packets to the kernel.
func (p *portSockets) unregister(all *ebpf.Map) error {
	var errs []error
	for i := range p.queues {
		if err := all.Delete(bpf.XSKKey(p.number, i)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			errs = append(errs, fmt.Errorf("take sockets of port %d away: %w", p.number, err))
		}
	}
	return errors.Join(errs...)
}

// each is all sockets, those first that others must outlive.
func (p *portSockets) each() (all []device.Queue) {
	for _, s := range p.sharers {
		all = append(all, s)
	}
	for _, s := range p.queues {
		all = append(all, s)
	}
	for _, s := range p.packets {
		all = append(all, s)
	}
	return all
}

// Stats sums what all sockets have counted.
func (p *portSockets) Stats() (sum device.Stats) {
	sum = p.counted
	for _, s := range p.each() {
		addStats(&sum, s.Stats())
	}
	return sum
}

func addStats(sum *device.Stats, one device.Stats) {
	sum.Received += one.Received
	sum.Transmitted += one.Transmitted
	sum.LostNoFrame += one.LostNoFrame
	sum.LostTooLong += one.LostTooLong
	sum.LostTransmit += one.LostTransmit
	sum.Wakeups += one.Wakeups
	if one.Error != nil {
		sum.Error = one.Error
	}
}

// Receive implements device.Queue.
func (q *socketQueue) Receive(d []device.Descriptor) (n int) {
	for _, s := range q.in {
		n += s.Receive(d[n:])
	}
	return n
}

// Transmit implements device.Queue.
func (q *socketQueue) Transmit(d []device.Descriptor) int { return q.out.Transmit(d) }

// Flush implements device.Queue. What others of the sockets have to take back they take back when they receive.
func (q *socketQueue) Flush() { q.out.Flush() }

// Pending implements device.Queue.
func (q *socketQueue) Pending() int { return q.out.Pending() }

// FD implements device.Queue: there may be several, which the loop knows.
func (q *socketQueue) FD() int { return -1 }

// Arm implements device.Queue.
func (q *socketQueue) Arm() (some bool) {
	for _, s := range q.in {
		some = s.Arm() || some
	}
	return some
}

// Stats implements device.Queue: of what the loop receives by.
func (q *socketQueue) Stats() (sum device.Stats) {
	for _, s := range q.in {
		addStats(&sum, s.Stats())
	}
	return sum
}

// Close implements device.Queue: the sockets are the port's.
func (q *socketQueue) Close() error { return nil }
