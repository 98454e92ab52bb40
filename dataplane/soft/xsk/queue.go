package xsk

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"weft/dataplane/soft/device"
)

// Receive implements device.Queue.
func (s *Socket) Receive(d []device.Descriptor) int {
	if s.shared {
		return 0
	}
	n := s.rx.ready(uint32(len(d)))
	for i := range n {
		e := s.rx.at(i)
		d[i] = device.Descriptor{Address: e.Addr, Length: e.Len, Port: s.port}
	}
	if n > 0 {
		s.rx.consume(n)
		s.received.Add(uint64(n))
	}
	if n > 0 || s.short { // else the kernel has taken no frame, or none that matters
		s.refill()
	}
	if n == 0 && s.busy || s.mode == unix.XDP_ZEROCOPY && s.fill.needsWakeup() {
		s.wake(unix.SYS_RECVFROM)
	}
	return int(n)
}

// refill gives the kernel free frames to receive into, as many as it has room for.
func (s *Socket) refill() {
	room := s.fill.room(s.fill.size())
	n := s.pool.Get(s.scratch[:room])
	s.short = n < int(room)
	for i, address := range s.scratch[:n] {
		*s.fill.at(uint32(i)) = address // the kernel starts at the frame's beginning, whatever the address in it
	}
	if n > 0 {
		s.fill.produce(uint32(n))
	}
}

// Transmit implements device.Queue.
func (s *Socket) Transmit(d []device.Descriptor) int {
	n := s.tx.room(uint32(len(d)))
	for i := range n {
		*s.tx.at(i) = unix.XDPDesc{Addr: d[i].Address, Len: d[i].Length}
	}
	if n > 0 {
		s.sent.pending.Add(int64(n))
		s.tx.produce(n)
		s.transmitted.Add(uint64(n))
	}
	return int(n)
}

// Flush implements device.Queue.
func (s *Socket) Flush() {
	if s.tx.waiting() > 0 && s.tx.needsWakeup() {
		s.wake(unix.SYS_SENDTO)
	}
	s.reclaim()
}

// completion is the ring by which frames come back that have been sent by any of a queue's sockets.
type completion struct {
	ring    *ring[uint64]
	taken   atomic.Bool  // some goroutine is at the ring
	pending atomic.Int64 // frames that have not come back
}

// reclaim takes frames back that have been sent, into the socket's pool whoever sent them. While another does that
// it leaves them.
func (s *Socket) reclaim() {
	c := s.sent
	if !c.taken.CompareAndSwap(false, true) {
		return
	}
	n := c.ring.ready(c.ring.size())
	for i := range n {
		s.pool.Put(*c.ring.at(i))
	}
	if n > 0 {
		c.ring.consume(n)
		c.pending.Add(-int64(n))
	}
	c.taken.Store(false)
}

// Pending implements device.Queue: of all sockets of the queue, so that one that goes on takes back what others have sent.
func (s *Socket) Pending() int { return int(s.sent.pending.Load()) }

// FD implements device.Queue.
func (s *Socket) FD() int { return s.fd }

// Arm implements device.Queue. Where a driver sleeps, poll wakes it.
func (s *Socket) Arm() bool {
	if s.shared {
		return false
	}
	s.refill()
	return s.rx.ready(1) > 0
}

// wake makes the kernel look at the rings.
func (s *Socket) wake(call uintptr) {
	s.wakeups.Add(1)
	_, _, errno := unix.Syscall6(call, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0, unix.EAGAIN, unix.EINTR, unix.ENOBUFS: // there is more to send than it takes at once
	case unix.EBUSY: // in copy mode, and it has ended with a packet that the interface did not take
		if s.mode == unix.XDP_COPY && call == unix.SYS_SENDTO {
			s.refused.Add(1)
		}
	default:
		s.errno.Store(uintptr(errno))
	}
}

// giveBack puts the frames into the pool that are in the rings of a socket that has been closed.
func (s *Socket) giveBack() {
	s.reclaim()
	n := s.tx.waiting()
	s.sent.pending.Add(-int64(n))
	for ; n > 0; n-- {
		s.pool.Put(s.tx.at(-n).Addr)
	}
	if s.shared {
		return
	}
	for n := s.fill.waiting(); n > 0; n-- {
		s.pool.Put(*s.fill.at(-n))
	}
	n = s.rx.ready(s.rx.size())
	for i := range n {
		s.pool.Put(s.rx.at(i).Addr)
	}
}

// Statistics are what the kernel counts of a socket.
type Statistics struct {
	RxDropped            uint64 // for another reason: in copy mode no frame to receive into, or too long for one
	RxInvalidDescs       uint64 // addresses in the fill ring outside of the UMEM
	TxInvalidDescs       uint64
	RxRingFull           uint64 // the worker did not take packets in time
	RxFillRingEmptyDescs uint64 // times that there was no frame to receive into
	TxRingEmptyDescs     uint64 // times that there was nothing to send
}

// Statistics reads what the kernel has counted; of a closed socket, what it had when it was closed.
func (s *Socket) Statistics() Statistics {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd >= 0 {
		var k unix.XDPStatistics
		if getsockopt(s.fd, unix.XDP_STATISTICS, unsafe.Pointer(&k), unsafe.Sizeof(k)) == nil {
			s.last = Statistics{
				k.Rx_dropped, k.Rx_invalid_descs, k.Tx_invalid_descs, k.Rx_ring_full, k.Rx_fill_ring_empty_descs, k.Tx_ring_empty_descs,
			}
		}
	}
	return s.last
}

// Stats implements device.Queue.
func (s *Socket) Stats() device.Stats {
	k := s.Statistics()
	stats := device.Stats{
		Received:    s.received.Load(),
		Transmitted: s.transmitted.Load(),
		// In copy mode the kernel counts an empty fill ring here, too. With zero-copy it is the driver that drops then.
		LostNoFrame:  k.RxDropped + k.RxRingFull,
		LostTransmit: s.refused.Load() + k.TxInvalidDescs,
		Wakeups:      s.wakeups.Load(),
	}
	if errno := unix.Errno(s.errno.Load()); errno != 0 {
		stats.Error = errno
	}
	return stats
}
