package xsk

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// What keeps a socket from being opened.
var (
	ErrQueueInUse  = errors.New("another AF_XDP socket has the queue")
	ErrNoQueue     = errors.New("no such queue")
	ErrUnsupported = errors.New("not supported")
	ErrRing        = errors.New("not a possible size")
	ErrLocked      = errors.New("more memory than may be locked")
)

// socketError is from making a socket, registerError from making memory its UMEM. All others are from binding it.
type (
	socketError   struct{ error }
	registerError struct {
		size int
		error
	}
)

func (e *socketError) Unwrap() error   { return e.error }
func (e *registerError) Unwrap() error { return e.error }

// explain says what an errno means where it came from, and the remedy.
func explain(err error, w Where) error {
	var s *socketError
	var r *registerError
	switch {
	case errors.As(err, &s) && errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: it needs CAP_NET_RAW: run as root, or give it", s.error)
	case errors.As(err, &s) && errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("%w by this kernel (%w): use one with CONFIG_XDP_SOCKETS, or AF_PACKET", ErrUnsupported, s.error)
	case errors.As(err, &r) && errors.Is(err, unix.ENOBUFS):
		return fmt.Errorf("register UMEM of %d bytes: %w (%w): raise the limit (ulimit -l), or give CAP_IPC_LOCK", r.size, ErrLocked, r.error)
	case errors.As(err, &r):
		return fmt.Errorf("register UMEM of %d bytes: %w", r.size, r.error)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w (%w): end its program, or take another queue", ErrQueueInUse, err)
	case errors.Is(err, unix.EINVAL) && w.Queue >= Queues(w.Ifindex):
		return fmt.Errorf("%w (%w): it has %d: ethtool -l %s", ErrNoQueue, err, Queues(w.Ifindex), name(w.Ifindex))
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w by its driver (%w): use AF_PACKET", ErrUnsupported, err)
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w: it is not there any more, or in another network namespace", err)
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
