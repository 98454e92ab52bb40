package kernel

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rowLength is how many messages are received with one system call: a routing daemon
// that fills the kernel makes some 200,000 a second, each a datagram of its own.
const rowLength = 64

// row is memory for datagrams that are received at once. Of each only what the
// kernel writes to is ever touched.
type row struct {
	headers [rowLength]multiHeader
	vectors [rowLength]unix.Iovec
	memory  []byte
}

// multiHeader is struct mmsghdr of linux/socket.h.
type multiHeader struct {
	unix.Msghdr
	length uint32
	_      [4]byte
}

func newRow() row { return row{memory: make([]byte, rowLength*receiveBuffer)} }

// receive receives what there is, without waiting (recvmmsg, Linux 2.6.33), and
// returns how many datagrams that are. An error behind the first is returned by the next call.
func (r *row) receive(fd uintptr) (int, unix.Errno) {
	for i := range r.headers {
		r.vectors[i].Base = &r.memory[i*receiveBuffer]
		r.vectors[i].SetLen(receiveBuffer)
		r.headers[i] = multiHeader{Msghdr: unix.Msghdr{Iov: &r.vectors[i], Iovlen: 1}}
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.headers)), rowLength, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// events returns what the first n datagrams say, in memory of its own.
//
// Errors: ErrMessage.
func (r *row) events(n int) ([]Event, error) {
	size := 0
	for i := range n {
		size += int(r.headers[i].length)
	}
	memory, events := make([]byte, 0, size), make([]Event, 0, n)
	for i := range n {
		if r.headers[i].Flags&unix.MSG_TRUNC != 0 {
			return nil, fmt.Errorf("receive changes: %w: longer than %d bytes", ErrMessage, receiveBuffer)
		}
		start := len(memory)
		memory = append(memory, r.memory[i*receiveBuffer:][:r.headers[i].length]...)
		var err error
		if events, err = appendEvents(events, memory[start:len(memory):len(memory)]); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// appendEvents appends the messages of a datagram.
func appendEvents(events []Event, b []byte) ([]Event, error) {
	for len(b) > 0 {
		if err := short("change", b, unix.SizeofNlMsghdr); err != nil {
			return nil, err
		}
		n := int(binary.NativeEndian.Uint32(b))
		if n < unix.SizeofNlMsghdr || n > len(b) {
			return nil, fmt.Errorf("receive changes: %w: %d bytes in %d", ErrMessage, n, len(b))
		}
		events = append(events, Event{
			Type: binary.NativeEndian.Uint16(b[4:]), Flags: binary.NativeEndian.Uint16(b[6:]), Payload: b[unix.SizeofNlMsghdr:n:n],
		})
		b = b[min((n+3)&^3, len(b)):]
	}
	return events, nil
}
