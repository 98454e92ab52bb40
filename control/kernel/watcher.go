package kernel

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// ErrOverrun: the kernel had more to tell than the receive buffer holds
// (ENOBUFS). What is lost is only found by dumping again.
var ErrOverrun = errors.New("netlink receive buffer overrun")

// Watcher is told of changes. One goroutine may receive.
type Watcher struct{ conn *netlink.Conn }

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
	return &Watcher{conn}, nil
}

// Receive waits for changes and returns one or more, in order.
//
// Errors: ErrOverrun, after which it goes on; os.ErrClosed.
func (w *Watcher) Receive() ([]Event, error) {
	messages, err := w.conn.Receive()
	if errors.Is(err, unix.ENOBUFS) {
		return nil, ErrOverrun
	}
	if err != nil {
		return nil, fmt.Errorf("receive changes: %w", err)
	}
	events := make([]Event, len(messages))
	for i, m := range messages {
		events[i] = Event{uint16(m.Header.Type), uint16(m.Header.Flags), m.Data}
	}
	return events, nil
}

// Pending reports whether changes wait in the receive buffer (SO_MEMINFO, Linux
// 4.12), or whether it is not known.
func (w *Watcher) Pending() bool {
	var info [9]uint32 // SK_MEMINFO_*: the first is what the queue takes, bytes
	size := uint32(unsafe.Sizeof(info))
	errno := unix.EINVAL
	c, err := w.conn.SyscallConn()
	if err == nil {
		err = c.Control(func(fd uintptr) {
			_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
				uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		})
	}
	return err != nil || errno != 0 || info[0] > 0
}

// Close ends the subscription, and a Receive that waits.
func (w *Watcher) Close() error { return w.conn.Close() }
