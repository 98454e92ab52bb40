package fpm

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Listener waits for FRR on an address of one network namespace.
type Listener struct {
	tcp     *net.TCPListener
	sockets []*os.File // tables of the namespace's TCP sockets, IPv4 and IPv6
}

// DefaultPort is where zebra looks for its server when nothing else is said.
const DefaultPort = 2620

// keepAlive finds out within a minute that a peer on another machine has gone.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 4}

// ParseAddress reads ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT.
func ParseAddress(s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, DefaultPort), nil
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no address with a port: want one like 127.0.0.1:%d", s, DefaultPort)
	}
	return a, nil
}

// Listen listens in the network namespace of the calling thread.
func Listen(at netip.AddrPort) (*Listener, error) {
	config := net.ListenConfig{KeepAliveConfig: keepAlive, Control: widen}
	tcp, err := config.Listen(context.Background(), "tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("listen for FRR: %w", err)
	}
	l := &Listener{tcp: tcp.(*net.TCPListener)}
	for _, name := range []string{"tcp", "tcp6"} {
		f, err := os.Open("/proc/thread-self/net/" + name)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // a kernel without IPv6 has no tcp6
			l.Close()
			return nil, fmt.Errorf("find out who connects: %w", err)
		}
		if err == nil {
			l.sockets = append(l.sockets, f)
		}
	}
	return l, nil
}

// receiveBuffer is what zebra can write while weft has no time to read: it stops for a
// second when it can write no more. A full table is twice as much.
const receiveBuffer = 64 << 20

// widen gives the connections of a socket that is to listen a large receive buffer. It is
// memory of the kernel's only while data is in it.
func widen(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) // it works without
	})
}

// Addr is where it listens.
func (l *Listener) Addr() netip.AddrPort { return addrPort(l.tcp.Addr()) }

// Close ends it. Connections stay.
func (l *Listener) Close() error {
	errs := []error{l.tcp.Close()}
	for _, f := range l.sockets {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// permit checks who has connected. A peer on another machine cannot be known: it is
// the listener's address that lets it in.
//
// Errors: ErrForeign.
func (l *Listener) permit(peer, own netip.AddrPort) error {
	for _, f := range l.sockets {
		uid, ok, err := owner(io.NewSectionReader(f, 0, 1<<62), peer, own)
		switch {
		case err != nil:
			return fmt.Errorf("find out who connects: %w", err)
		case ok && !trusted(uid):
			return fmt.Errorf("%w: user %d", ErrForeign, uid)
		case ok:
			return nil
		}
	}
	if peer.Addr().IsLoopback() {
		return fmt.Errorf("%w: the connection has ended", ErrForeign)
	}
	return nil
}

// trusted reports whether a user may decide where packets go.
func trusted(uid int) bool {
	if uid == 0 || uid == os.Geteuid() {
		return true
	}
	frr, err := user.Lookup("frr")
	return err == nil && frr.Uid == strconv.Itoa(uid)
}

// Columns of /proc/net/tcp.
const (
	columnLocal  = 1
	columnRemote = 2
	columnState  = 3
	columnUser   = 7
	established  = "01" // a socket that was closed has no user any more
)

// owner finds the user whose established socket goes from one address to another.
func owner(sockets io.Reader, from, to netip.AddrPort) (uid int, ok bool, err error) {
	lines := bufio.NewScanner(sockets)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) <= columnUser || f[columnLocal] != procAddress(from) || f[columnRemote] != procAddress(to) || f[columnState] != established {
			continue
		}
		uid, err := strconv.Atoi(f[columnUser])
		return uid, err == nil, err
	}
	return 0, false, lines.Err()
}

// procAddress writes an address as the kernel does there: words in its own order.
func procAddress(a netip.AddrPort) string {
	var b strings.Builder
	for w := a.Addr().AsSlice(); len(w) > 0; w = w[4:] {
		fmt.Fprintf(&b, "%08X", binary.NativeEndian.Uint32(w))
	}
	fmt.Fprintf(&b, ":%04X", a.Port())
	return b.String()
}
