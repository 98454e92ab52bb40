package afpacket

import (
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"weft/dataplane/soft/device"
)

const (
	// RetireTimeout is how long a packet waits for others at most: the shortest that there is.
	RetireTimeout = time.Millisecond

	// DefaultBlocks are 4 MiB, which is what comes in of short packets at 1 Mpps in 30 ms. Of few packets each is a block of
	// its own, RetireTimeout apart: a worker may be away for 128 ms then.
	DefaultBlocks = 128
	blockSize     = 32 << 10

	// batch is how many packets one system call sends.
	batch = 256

	tagLen     = 4
	sendBuffer = 16 << 20
)

// What keeps a socket from being opened.
var (
	ErrUnsupported = errors.New("not supported")
	ErrSize        = errors.New("not a possible size")
)

// Options of the sockets of a port. The zero value is right for most.
type Options struct {
	Blocks int // of 32 KiB each, for packets that wait; 0: DefaultBlocks
	// ByFlow: sockets of a port share packets out by flow (PACKET_FANOUT_HASH) instead of by the interface's queue.
	ByFlow bool
	Closed bool // they receive nothing before Receives
	// SendOnly: they never receive, and have no ring.
	SendOnly bool
}

// Socket is one of a port's sockets: a device.Queue.
type Socket struct {
	mem  *device.Memory
	pool *device.Pool
	port uint32
	fd   int // receives
	out  int // sends: it has no header of its own in front of packets

	ring     []byte
	blocks   int
	block    int    // that is being read
	left     uint32 // packets of it; 0: it is the kernel's, or has not been looked at
	at       uint32 // the next, in the ring
	frame    [1]uint64
	messages []message
	iovecs   []unix.Iovec
	queued   []uint64 // frames of messages

	received, transmitted, refused, wakeups atomic.Uint64
	errno                                   atomic.Uintptr

	mu    sync.Mutex // guards what is below: Stats is for all
	open  bool
	drops uint64
}

// message is struct mmsghdr.
type message struct {
	header unix.Msghdr
	sent   uint32
	_      uint32
}

var _ device.Queue = (*Socket)(nil)

// Open makes as many sockets for a port as there are pools, of one memory. ifindex is of the calling thread's network
// namespace. They receive at once, unless the options say otherwise. Needs Linux 4.20 and CAP_NET_RAW.
//
// Errors: ErrUnsupported, ErrSize, and the kernel's.
func Open(m *device.Memory, pools []*device.Pool, port uint32, ifindex int, o Options) (all []*Socket, err error) {
	if o.Blocks == 0 {
		o.Blocks = DefaultBlocks
	}
	if o.Blocks < 2 || o.Blocks > 1<<15 {
		return nil, fmt.Errorf("open AF_PACKET socket with a ring of %d blocks: %w: want 2 to %d", o.Blocks, ErrSize, 1<<15)
	}
	defer func() {
		if err != nil {
			for _, s := range all {
				s.Close()
			}
			all, err = nil, fmt.Errorf("open AF_PACKET socket on %s: %w", name(ifindex), explain(err))
		}
	}()
	group := -1
	for _, p := range pools {
		s := &Socket{mem: m, pool: p, port: port, fd: -1, out: -1, open: true, blocks: o.Blocks}
		all = append(all, s)
		if !o.SendOnly {
			if err := s.openIn(ifindex, o); err != nil {
				return all, err
			}
		}
		if len(pools) > 1 && !o.SendOnly {
			if group, err = s.joinFanout(group, o); err != nil {
				return all, err
			}
		}
		if err := s.openOut(ifindex); err != nil {
			return all, err
		}
	}
	for _, s := range all { // now that each packet is for one of them
		if err := s.Receives(!o.Closed && !o.SendOnly); err != nil {
			return all, err
		}
	}
	return all, nil
}

// Receives lets packets come in that come from now on, or none.
func (s *Socket) Receives(on bool) error {
	switch {
	case s.fd < 0:
		return nil
	case on:
		return s.snap(PacketMax(s.mem))
	}
	return s.snap(0)
}

// protocols are all, in network order.
const protocols = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8

func (s *Socket) openIn(ifindex int, o Options) (err error) {
	// Of no protocol: it receives nothing before it is bound.
	if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return err
	}
	for _, v := range []struct {
		what          string
		option, value int
	}{
		{"TPACKET_V3", unix.PACKET_VERSION, unix.TPACKET_V3},
		{"PACKET_VNET_HDR", unix.PACKET_VNET_HDR, 1}, // which checksums are to be filled in
		{"PACKET_IGNORE_OUTGOING", unix.PACKET_IGNORE_OUTGOING, 1},
	} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, v.option, v.value); err != nil {
			return fmt.Errorf("set %s: %w", v.what, err)
		}
	}
	if err := s.snap(0); err != nil {
		return err
	}
	request := unix.TpacketReq3{
		Block_size: blockSize, Block_nr: uint32(o.Blocks), Frame_size: device.MinFrameSize,
		Frame_nr: uint32(o.Blocks) * blockSize / device.MinFrameSize, Retire_blk_tov: uint32(RetireTimeout.Milliseconds()),
	}
	if err := unix.SetsockoptTpacketReq3(s.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &request); err != nil {
		return fmt.Errorf("make ring of %d KiB: %w", o.Blocks*blockSize>>10, err)
	}
	s.ring, err = unix.Mmap(s.fd, 0, o.Blocks*blockSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("map ring of %d KiB: %w", o.Blocks*blockSize>>10, err)
	}
	return unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: protocols, Ifindex: ifindex})
}

// PacketMax returns the length of the longest frame that is received, bytes from the Ethernet header on, not counting a tag
// that was taken off.
func PacketMax(m *device.Memory) int { return m.FrameSize() - device.Headroom - tagLen }

// snap keeps all but the first bytes of packets out of the ring; 0: all packets.
func (s *Socket) snap(bytes int) error {
	filter := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: uint32(bytes)}}
	program := unix.SockFprog{Len: 1, Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return fmt.Errorf("set length of packets: %w", err)
	}
	return nil
}

// joinFanout makes the socket one of a group, a new one for -1.
func (s *Socket) joinFanout(group int, o Options) (int, error) {
	mode := unix.PACKET_FANOUT_QM
	if o.ByFlow {
		mode = unix.PACKET_FANOUT_HASH
	}
	mode |= unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING
	value := mode<<16 | group
	if group < 0 {
		value = (mode | unix.PACKET_FANOUT_FLAG_UNIQUEID) << 16
	}
	if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_FANOUT, value); err != nil {
		return 0, fmt.Errorf("join fanout group: %w", err)
	}
	if group >= 0 {
		return group, nil
	}
	got, err := unix.GetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
	if err != nil {
		return 0, fmt.Errorf("find fanout group: %w", err)
	}
	return got & math.MaxUint16, nil
}

func (s *Socket) openOut(ifindex int) (err error) {
	if s.out, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(s.out, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
		return fmt.Errorf("set PACKET_QDISC_BYPASS: %w", err)
	}
	if unix.SetsockoptInt(s.out, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
		if err := unix.SetsockoptInt(s.out, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer); err != nil {
			return fmt.Errorf("set send buffer: %w", err)
		}
	}
	s.messages, s.iovecs, s.queued = make([]message, batch), make([]unix.Iovec, batch), make([]uint64, 0, batch)
	for i := range s.messages {
		s.messages[i].header.Iov, s.messages[i].header.Iovlen = &s.iovecs[i], 1
	}
	return unix.Bind(s.out, &unix.SockaddrLinklayer{Ifindex: ifindex})
}

// Close implements device.Queue. Frames that were to be sent are the pool's again.
func (s *Socket) Close() error {
	s.Stats()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open {
		return nil
	}
	s.open = false
	for _, address := range s.queued {
		s.pool.Put(address)
	}
	s.queued = s.queued[:0]
	var errs []error
	if s.ring != nil {
		errs = append(errs, unix.Munmap(s.ring))
		s.ring = nil
	}
	for _, fd := range []*int{&s.fd, &s.out} {
		if *fd >= 0 {
			errs = append(errs, unix.Close(*fd))
			*fd = -1
		}
	}
	return errors.Join(errs...)
}

// explain says what an errno means here, and the remedy.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: it needs CAP_NET_RAW: run as root, or give it", err)
	case errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("%w by this kernel (%w): use one with CONFIG_PACKET", ErrUnsupported, err)
	case errors.Is(err, unix.ENOPROTOOPT):
		return fmt.Errorf("%w by this kernel (%w): use Linux 4.20 or newer", ErrUnsupported, err)
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("%w: use a ring of fewer blocks", err)
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w: it is not there any more, or in another network namespace", err)
	case errors.Is(err, unix.ENETDOWN):
		return fmt.Errorf("%w: ip link set it up", err)
	}
	return err
}

// name is an interface's, for people.
func name(ifindex int) string {
	if i, err := net.InterfaceByIndex(ifindex); err == nil {
		return i.Name
	}
	return fmt.Sprintf("ifindex %d", ifindex)
}

var _ [64]byte = [unsafe.Sizeof(message{})]byte{}
