package xsk

import (
	"errors"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"weft/dataplane/soft/device"
)

// UMEM is a Memory that the kernel knows of, which sockets of any ports and queues share: what one has received
// another sends from where it lies.
//
// The kernel wants to be told once for all sockets whether drivers work on the memory (zero-copy) or it copies, and
// refuses sockets of the other sort. So the memory is registered twice where there are both. The frames are the same.
type UMEM struct {
	mem *device.Memory

	mu      sync.Mutex
	sockets []*Socket // bound
}

// NewUMEM makes a Memory one for sockets. The first that is opened registers it.
func NewUMEM(m *device.Memory) *UMEM { return &UMEM{mem: m} }

// PacketMax returns the length of the longest frame that is received, bytes from the Ethernet header on. The kernel
// drops longer ones: who steers packets into a socket has to leave them out.
func (u *UMEM) PacketMax() int { return u.mem.FrameSize() - unix.XDP_PACKET_HEADROOM }

// register makes the memory the UMEM of a socket that is not bound yet.
func (u *UMEM) register(fd int) error {
	size := len(u.mem.Bytes())
	r := unix.XDPUmemReg{Addr: uint64(uintptr(u.mem.Base())), Len: uint64(size), Size: uint32(u.mem.FrameSize())}
	if err := setsockopt(fd, unix.XDP_UMEM_REG, unsafe.Pointer(&r), unsafe.Sizeof(r)); err != nil {
		return &registerError{size, err}
	}
	return nil
}

// join binds a socket, which shares a registration with those that are bound in the same way.
func (u *UMEM) join(s *Socket, flags uint16) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, other := range u.sockets {
		if other.ifindex == s.ifindex && other.queue == s.queue {
			return unix.EBUSY // what it says between memories; else it says EINVAL
		}
		if other.mode != s.mode {
			continue
		}
		err := s.bind(unix.XDP_SHARED_UMEM, other.fd) // with the other's flags
		if err == nil {
			u.sockets = append(u.sockets, s)
			return nil
		}
		if !errors.Is(err, unix.EBADF) { // that one's interface is gone: it shares nothing any more
			return err
		}
	}
	if err := u.register(s.fd); err != nil {
		return err
	}
	if err := s.bind(flags, 0); err != nil {
		return err
	}
	u.sockets = append(u.sockets, s)
	return nil
}

func (u *UMEM) leave(s *Socket) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sockets = slices.DeleteFunc(u.sockets, func(other *Socket) bool { return other == s })
}
