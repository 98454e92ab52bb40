package agreement

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring takes in what arrives by any interface of a namespace: PACKET_MMAP, so that
// a look costs a load (packet(7), TPACKET_V2).
type ring struct {
	fd   int
	mem  []byte
	next int
}

const (
	slotSize  = 16 << 10
	slots     = 512
	blockSize = 64 << 10
)

// header is struct tpacket2_hdr of linux/if_packet.h, and what it stands before:
// struct sockaddr_ll.
type slotHeader struct {
	status, length, caught uint32
	mac, net               uint16
	_                      [16]byte
	from                   struct {
		family, protocol uint16
		ifindex          int32
	}
}

var htonsAll = uint16(unix.ETH_P_ALL)<<8 | uint16(unix.ETH_P_ALL)>>8

func newRing() (_ *ring, err error) {
	r := new(ring)
	r.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	err = errors.Join(
		unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V2),
		unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptTpacketReq(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq{
			Block_size: blockSize, Block_nr: slots * slotSize / blockSize, Frame_size: slotSize, Frame_nr: slots,
		}))
	if err == nil {
		r.mem, err = unix.Mmap(r.fd, 0, slots*slotSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err == nil {
		err = unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: htonsAll})
	}
	if err != nil {
		return nil, fmt.Errorf("make a packet ring: %w", err)
	}
	return r, nil
}

// take returns the next frame and the interface that it came in by. It is valid
// until release.
func (r *ring) take() (frame []byte, ifindex int, ok bool) {
	slot := r.mem[r.next*slotSize : (r.next+1)*slotSize]
	h := (*slotHeader)(unsafe.Pointer(&slot[0]))
	if atomic.LoadUint32(&h.status)&unix.TP_STATUS_USER == 0 {
		return nil, 0, false
	}
	return slot[h.mac : uint32(h.mac)+h.caught], int(h.from.ifindex), true
}

// release gives the slot of the last frame back.
func (r *ring) release() {
	h := (*slotHeader)(unsafe.Pointer(&r.mem[r.next*slotSize]))
	atomic.StoreUint32(&h.status, unix.TP_STATUS_KERNEL)
	r.next = (r.next + 1) % slots
}

func (r *ring) close() {
	if r.mem != nil {
		unix.Munmap(r.mem)
	}
	unix.Close(r.fd)
}

// newSender makes a socket that writes frames to an interface, past its queue.
func newSender(ifindex int) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open a packet socket: %w", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1),
		unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex}))
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind a packet socket: %w", err)
	}
	return fd, nil
}
