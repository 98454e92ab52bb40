package xsk

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"weft/dataplane/soft/device"
)

// Options of a Socket. The zero value is right for most.
type Options struct {
	// Ring is how many packets may wait for the worker, and how many for the kernel: a power of two. 0: DefaultRing.
	// So many frames each socket takes from its Pool while it waits for packets, and at most as many to send.
	Ring int
	// Copy: the kernel copies, also where the driver could do without.
	Copy bool
	// BusyPoll: a system call of the worker runs the driver's receive routine, for up to so long, on the worker's
	// CPU, and interrupts are put off meanwhile. 0: off.
	BusyPoll time.Duration
	// BusyBudget is how many packets the driver receives then at most. 0: 64.
	BusyBudget int
	// Beside is a socket of the same queue and UMEM, open for as long as this one: then this only sends, for another
	// goroutine, and Copy is as that one has it.
	Beside *Socket
}

const (
	// DefaultRing is what comes in at 1 Mpps in 2 ms.
	DefaultRing = 2048
	minRing     = 64
	maxRing     = 1 << 16

	// queueFree is how long the kernel may take until the queue of a closed socket is free: it leaves that to a worker of
	// its own, also for sockets of a process that has ended.
	queueFree = 100 * time.Millisecond

	// copyBatch is how many packets one system call sends in copy mode, where it can be told (Linux 6.18); else 32.
	copyBatch = 256
	// sendBuffer has room for the kernel's copies of a ring of packets. By default it has for 200 or so.
	sendBuffer = 64 << 20
)

// Socket is an AF_XDP socket: one queue of a port, or one more that sends by it. It is a device.Queue.
type Socket struct {
	umem    *UMEM
	pool    *device.Pool
	port    uint32
	ifindex int
	queue   int
	mode    uint16 // XDP_ZEROCOPY or XDP_COPY
	busy    bool   // polls

	rx, tx  *ring[unix.XDPDesc]
	fill    *ring[uint64]
	sent    *completion
	shared  bool // sent is another's
	short   bool // the pool had fewer frames than the fill ring has room for
	scratch []uint64

	received, transmitted, refused, wakeups atomic.Uint64
	errno                                   atomic.Uintptr

	mu   sync.Mutex // guards the two: Statistics is for all
	fd   int
	last Statistics
}

var _ device.Queue = (*Socket)(nil)

// Where says which queue a Socket is of.
type Where struct {
	Port    uint32 // number of the port, for descriptors
	Ifindex int    // of the calling thread's network namespace
	Queue   int    // of the interface, from 0 on
}

// Open makes a socket, whose frames come from a pool of the UMEM's memory. It receives nothing before Register. Needs
// Linux 5.10, CAP_NET_RAW, and a limit of locked memory that has room for the UMEM, or CAP_IPC_LOCK.
//
// Errors: ErrQueueInUse, ErrNoQueue, ErrUnsupported, ErrRing, ErrLocked, and the kernel's.
func Open(u *UMEM, p *device.Pool, w Where, o Options) (*Socket, error) {
	if o.Ring == 0 {
		o.Ring = DefaultRing
	}
	if o.Ring < minRing || o.Ring > maxRing || bits.OnesCount(uint(o.Ring)) != 1 {
		return nil, fmt.Errorf("open AF_XDP socket with rings of %d packets: %w: want a power of two from %d to %d", o.Ring, ErrRing, minRing, maxRing)
	}
	modes := []uint16{unix.XDP_ZEROCOPY, unix.XDP_COPY} // drivers say in many ways that they have no zero-copy
	switch {
	case o.Beside != nil:
		modes = []uint16{o.Beside.mode}
	case o.Copy:
		modes = modes[1:]
	}
	var err error
	for began := time.Now(); ; time.Sleep(queueFree / 20) {
		for _, mode := range modes {
			s := &Socket{
				umem: u, pool: p, port: w.Port, fd: -1, ifindex: w.Ifindex, queue: w.Queue, mode: mode, busy: o.BusyPoll > 0,
				scratch: make([]uint64, o.Ring),
			}
			if err = s.open(o); err == nil {
				if s.fill != nil {
					s.refill()
				}
				return s, nil
			}
			s.release()
		}
		if !errors.Is(err, unix.EBUSY) || time.Since(began) > queueFree {
			break
		}
	}
	return nil, fmt.Errorf("open AF_XDP socket on queue %d of %s: %w", w.Queue, name(w.Ifindex), explain(err, w))
}

func (s *Socket) open(o Options) (err error) {
	if s.fd, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return &socketError{err}
	}
	if err := s.mapRings(uint32(o.Ring), o.Beside == nil); err != nil {
		return err
	}
	if err := s.setSending(o.Ring); err != nil {
		return err
	}
	if err := s.setBusyPolling(o); err != nil {
		return err
	}
	if o.Beside != nil {
		s.sent, s.shared = o.Beside.sent, true
		return s.bind(unix.XDP_SHARED_UMEM, o.Beside.fd)
	}
	return s.umem.join(s, s.mode|unix.XDP_USE_NEED_WAKEUP)
}

// mapRings makes the rings. To send by another's queue takes one: who has the others has them for all.
func (s *Socket) mapRings(size uint32, all bool) (err error) {
	options := []int{unix.XDP_TX_RING}
	if all {
		options = append(options, unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_RX_RING)
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_XDP, o, int(size)); err != nil {
			return fmt.Errorf("make ring of %d entries: %w", size, err)
		}
	}
	var at unix.XDPMmapOffsets
	if err := getsockopt(s.fd, unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&at), unsafe.Sizeof(at)); err != nil {
		return fmt.Errorf("find rings: %w", err)
	}
	if s.tx, err = mapRing[unix.XDPDesc](s.fd, unix.XDP_PGOFF_TX_RING, at.Tx, size); err != nil || !all {
		return err
	}
	if s.fill, err = mapRing[uint64](s.fd, unix.XDP_UMEM_PGOFF_FILL_RING, at.Fr, size); err != nil {
		return err
	}
	s.sent = new(completion)
	if s.sent.ring, err = mapRing[uint64](s.fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, at.Cr, size); err != nil {
		return err
	}
	s.rx, err = mapRing[unix.XDPDesc](s.fd, unix.XDP_PGOFF_RX_RING, at.Rx, size)
	return err
}

// setSending makes one system call send much, as far as it is allowed: it works without, too.
func (s *Socket) setSending(ring int) error {
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer); err != nil {
			return fmt.Errorf("set send buffer: %w", err)
		}
	}
	_ = unix.SetsockoptInt(s.fd, unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, min(copyBatch, ring))
	return nil
}

func (s *Socket) setBusyPolling(o Options) error {
	if !s.busy {
		return nil
	}
	if o.BusyBudget == 0 {
		o.BusyBudget = 64
	}
	for _, v := range []struct{ option, value int }{
		{unix.SO_PREFER_BUSY_POLL, 1}, {unix.SO_BUSY_POLL, int(o.BusyPoll.Microseconds())}, {unix.SO_BUSY_POLL_BUDGET, o.BusyBudget},
	} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, v.option, v.value); err != nil {
			return fmt.Errorf("set busy polling: %w: it needs Linux 5.11 and CAP_NET_ADMIN", err)
		}
	}
	return nil
}

func (s *Socket) bind(flags uint16, shared int) error {
	return unix.Bind(s.fd, &unix.SockaddrXDP{
		Flags: flags, Ifindex: uint32(s.ifindex), QueueID: uint32(s.queue), SharedUmemFD: uint32(shared),
	})
}

// Register puts the socket into a map of sockets, from where a program of XDP sends packets to it. The kernel takes
// it out when it is closed, or its process ends.
func (s *Socket) Register(m *ebpf.Map, key uint32) error {
	if err := m.Put(key, uint32(s.fd)); err != nil {
		return fmt.Errorf("register AF_XDP socket of queue %d of %s: %w", s.queue, name(s.ifindex), err)
	}
	return nil
}

// Where returns which queue the socket is of.
func (s *Socket) Where() Where { return Where{s.port, s.ifindex, s.queue} }

// ZeroCopy tells whether the driver works on the UMEM itself, as the kernel says. Else each packet is copied, in and out.
func (s *Socket) ZeroCopy() bool {
	var flags uint32
	err := getsockopt(s.fd, unix.XDP_OPTIONS, unsafe.Pointer(&flags), unsafe.Sizeof(flags))
	return err == nil && flags&unix.XDP_OPTIONS_ZEROCOPY != 0
}

// Close implements device.Queue. Sockets beside this one are closed before. In copy mode the frames in the rings are the pool's again: the kernel has copied what
// it is to send, and is done with the rest when it has closed.
func (s *Socket) Close() error {
	if s.fd < 0 {
		return nil
	}
	s.umem.leave(s)
	s.Statistics()
	err := s.closeFD()
	if s.mode == unix.XDP_COPY {
		s.giveBack()
	}
	return errors.Join(err, s.release())
}

func (s *Socket) release() error {
	err := errors.Join(s.rx.unmap(), s.tx.unmap(), s.fill.unmap(), s.closeFD())
	if s.sent != nil && !s.shared {
		err = errors.Join(err, s.sent.ring.unmap())
	}
	return err
}

func (s *Socket) closeFD() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 {
		return nil
	}
	err := unix.Close(s.fd)
	s.fd = -1
	return err
}

func setsockopt(fd, option int, value unsafe.Pointer, size uintptr) error {
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option), uintptr(value), size, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func getsockopt(fd, option int, value unsafe.Pointer, size uintptr) error {
	length := uint32(size)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option), uintptr(value),
		uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
