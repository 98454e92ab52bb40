package conformance

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// wire is the far end of one of the router's ports: frames go in and come out.
type wire struct {
	fd int
}

// openWire opens an interface of the calling thread's network namespace.
func openWire(ifindex int) (*wire, error) {
	all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open AF_PACKET: %w", err)
	}
	w := &wire{fd}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex}))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open AF_PACKET: %w", err), w.close())
	}
	return w, nil
}

func (w *wire) close() error { return unix.Close(w.fd) }

func (w *wire) send(frame []byte) error {
	if _, err := unix.Write(w.fd, frame); err != nil {
		return fmt.Errorf("send frame of %d bytes: %w", len(frame), err)
	}
	return nil
}

// receive returns the frames that are there.
func (w *wire) receive(buf []byte) (all [][]byte, err error) {
	for {
		n, _, err := unix.Recvfrom(w.fd, buf, 0)
		switch {
		case err == nil:
			all = append(all, append([]byte{}, buf[:n]...))
		case errors.Is(err, unix.EAGAIN):
			return all, nil
		case !errors.Is(err, unix.EINTR):
			return all, fmt.Errorf("receive frames: %w", err)
		}
	}
}
