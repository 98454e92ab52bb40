package soft

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"weft/bpf"
	"weft/dataplane"
	"weft/dataplane/soft/device"
	"weft/dataplane/soft/xsk"
)

const (
	mostRing  = 4096 // what comes in at 100,000 packets a second in 40 ms: as long may a core be busy otherwise
	leastRing = 64
)

// portSockets is what the loop has of a port: one socket for each of its queues.
type portSockets struct {
	queues
	upward *upward
	steers bool // the program finds them
}

// queues are a port's, as one: packets leave by the first.
type queues []*xsk.Socket

var _ device.Queue = (queues)(nil)

// openSockets takes frames from the loop's pool: it is for the loop's goroutine.
func (l *loop) openSockets(u *xsk.UMEM, p *dataplane.Port) (all queues, err error) {
	n := min(xsk.Queues(p.Ifindex), bpf.XSKQueues)
	for q := range max(n, 1) {
		s, err := xsk.Open(u, l.pool, xsk.Where{Port: p.Number, Ifindex: p.Ifindex, Queue: q}, xsk.Options{
			Ring: ringFor(l.pool.Free()), Copy: p.Engine != dataplane.Soft, // the XDP engine's port has its driver's own memory
		})
		if err != nil {
			return nil, errors.Join(err, all.Close())
		}
		all = append(all, s)
	}
	return all, nil
}

// ringFor leaves frames for the sockets that come, and for packets under way.
func ringFor(free int) int {
	ring := mostRing
	for ring > leastRing && ring > free/4 {
		ring /= 2
	}
	return ring
}

// register has the program find the sockets.
func (q queues) register(all *ebpf.Map, port uint32) error {
	for i, s := range q {
		if err := s.Register(all, bpf.XSKKey(port, i)); err != nil {
			return err
		}
	}
	return nil
}

// unregister has the program leave a port's packets to the kernel.
func unregister(all *ebpf.Map, port uint32, n int) error {
	var errs []error
	for i := range n {
		if err := all.Delete(bpf.XSKKey(port, i)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			errs = append(errs, fmt.Errorf("take sockets of port %d away: %w", port, err))
		}
	}
	return errors.Join(errs...)
}

// Receive implements device.Queue.
func (q queues) Receive(d []device.Descriptor) (n int) {
	for _, s := range q {
		n += s.Receive(d[n:])
	}
	return n
}

// Transmit implements device.Queue.
func (q queues) Transmit(d []device.Descriptor) int { return q[0].Transmit(d) }

// Flush implements device.Queue.
func (q queues) Flush() { q[0].Flush() }

// Pending implements device.Queue.
func (q queues) Pending() int { return q[0].Pending() }

// FD implements device.Queue.
func (q queues) FD() int { return q[0].FD() }

// Arm implements device.Queue.
func (q queues) Arm() (some bool) {
	for _, s := range q {
		some = s.Arm() || some
	}
	return some
}

// Stats implements device.Queue.
func (q queues) Stats() (sum device.Stats) {
	for _, s := range q {
		one := s.Stats()
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
	return sum
}

// Close implements device.Queue.
func (q queues) Close() error {
	var errs []error
	for _, s := range q {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
