package kernel

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// ErrOverrun: the kernel had more to tell than the receive buffer holds
// (ENOBUFS). What is lost is only found by dumping again.
var ErrOverrun = errors.New("netlink receive buffer overrun")

// Watcher is told of changes. One goroutine may receive.
type Watcher struct {
	conn *netlink.Conn
	raw  syscall.RawConn
	row  row
}

// Event is one change.
type Event struct {
	Type    uint16 // RTM_NEW* or RTM_DEL*
	Flags   uint16 // NLM_F_REPLACE, NLM_F_APPEND and their kin, as the one who made the change gave them
	Payload []byte // owned by the receiver
}

// Watch subscribes to links, their settings, addresses, neighbors, next hops,
// routes and rules in the network namespace of the calling thread. The receive
// buffer is buffer bytes, with CAP_NET_ADMIN whatever net.core.rmem_max says.
func Watch(buffer int) (*Watcher, error) {
	bit := func(group uint) uint32 { return 1 << (group - 1) }
	conn, err := dial(bit(unix.RTNLGRP_LINK) | bit(unix.RTNLGRP_NEIGH) |
		bit(unix.RTNLGRP_IPV4_IFADDR) | bit(unix.RTNLGRP_IPV6_IFADDR) |
		bit(unix.RTNLGRP_IPV4_ROUTE) | bit(unix.RTNLGRP_IPV6_ROUTE) | bit(unix.RTNLGRP_NEXTHOP) |
		bit(unix.RTNLGRP_IPV4_NETCONF) | bit(unix.RTNLGRP_IPV6_NETCONF) |
		bit(unix.RTNLGRP_IPV4_RULE) | bit(unix.RTNLGRP_IPV6_RULE))
	if err != nil {
		return nil, err
	}
	if err := conn.SetReadBuffer(buffer); err != nil {
		conn.Close()
		return nil, fmt.Errorf("set receive buffer of %d bytes: %w", buffer, err)
	}
	w := &Watcher{conn: conn, row: newRow()}
	if w.raw, err = conn.SyscallConn(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("use netlink socket: %w", err)
	}
	return w, nil
}

// Receive waits for changes and returns one or more, in order.
//
// Errors: ErrOverrun, after which it goes on; what it returns when it is closed.
func (w *Watcher) Receive() ([]Event, error) {
	n, errno := 0, unix.Errno(0)
	err := w.raw.Read(func(fd uintptr) bool {
		n, errno = w.row.receive(fd)
		return errno != unix.EAGAIN && errno != unix.EINTR
	})
	switch {
	case errno == unix.ENOBUFS:
		return nil, ErrOverrun
	case err == nil && errno != 0:
		err = errno
	}
	if err != nil {
		return nil, fmt.Errorf("receive changes: %w", err)
	}
	return w.row.events(n)
}

// Pending reports whether changes wait in the receive buffer (SO_MEMINFO, Linux
// 4.12), or whether it is not known.
func (w *Watcher) Pending() bool {
	var info [9]uint32 // SK_MEMINFO_*: the first is what the queue takes, bytes
	size := uint32(unsafe.Sizeof(info))
	errno := unix.EINVAL
	err := w.raw.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	})
	return err != nil || errno != 0 || info[0] > 0
}

// Close ends the subscription, and a Receive that waits.
func (w *Watcher) Close() error { return w.conn.Close() }
