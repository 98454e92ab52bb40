// Package vethtest is what tests of sockets need: a network namespace with veth pairs in
// it, and somebody at their other ends.
package vethtest

import (
	"encoding/binary"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/dataplane/soft/device"
)

// RequireRoot skips a test that cannot run otherwise; CI must not skip it.
func RequireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("this test opens packet sockets: CI must run it as root")
		}
		t.Skip("this test opens packet sockets: run it as root")
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
}

// Enter puts the test's thread into a new network namespace, which ends with it.
func Enter(t testing.TB) {
	t.Helper()
	RequireRoot(t)
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

// Pair makes a pair with so many queues, up, that nothing but the test sends by. It returns both ends.
func Pair(t testing.TB, name string, queues int) (here, there net.Interface) {
	t.Helper()
	v := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name, NumRxQueues: queues, NumTxQueues: queues},
		PeerName:  name + "-peer", PeerNumRxQueues: uint32(queues), PeerNumTxQueues: uint32(queues),
	}
	if err := netlink.LinkAdd(v); err != nil {
		t.Fatal(err)
	}
	for i, n := range []string{name, name + "-peer"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+n+"/disable_ipv6", []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
		l, err := netlink.LinkByName(n)
		if err == nil {
			err = netlink.LinkSetUp(l)
		}
		if err != nil {
			t.Fatal(err)
		}
		end := net.Interface{Index: l.Attrs().Index, Name: n, HardwareAddr: l.Attrs().HardwareAddr}
		if i == 0 {
			here = end
		} else {
			there = end
		}
	}
	return here, there
}

// SetMAC gives an interface one.
func SetMAC(t testing.TB, name string, mac [6]byte) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetHardwareAddr(l, mac[:])
	}
	if err != nil {
		t.Fatal(err)
	}
}

// SetMTU gives an interface one.
func SetMTU(t testing.TB, name string, mtu int) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetMTU(l, mtu)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Address gives an interface one, and a neighbor that is always there.
func Address(t testing.TB, name, cidr, neighbor string, mac [6]byte) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	a, err := netlink.ParseAddr(cidr)
	if err == nil {
		err = netlink.AddrAdd(l, a)
	}
	if err == nil {
		err = netlink.NeighSet(&netlink.Neigh{
			LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(neighbor), HardwareAddr: mac[:],
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// NewMemory makes frames, and a pool of all of them.
func NewMemory(t testing.TB, frames int) (*device.Memory, *device.Pool) {
	t.Helper()
	m, err := device.NewMemory(frames, device.MinFrameSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	p, err := m.NewPool(frames)
	if err != nil {
		t.Fatal(err)
	}
	return m, p
}

// Wire is an open AF_PACKET socket on the other end of a port.
type Wire struct {
	t  testing.TB
	fd int
}

// NewWire opens one.
func NewWire(t testing.TB, ifindex int) *Wire {
	t.Helper()
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
	if err == nil {
		t.Cleanup(func() { unix.Close(fd) })
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
	}
	if err == nil {
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5})
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex})
	}
	if err != nil {
		t.Fatal(err)
	}
	return &Wire{t, fd}
}

// Send sends frames, which come in by the port.
func (w *Wire) Send(frames ...[]byte) {
	w.t.Helper()
	for _, f := range frames {
		if _, err := unix.Write(w.fd, f); err != nil {
			w.t.Fatal(err)
		}
	}
}

// Next returns the next frame that comes in.
func (w *Wire) Next() []byte {
	w.t.Helper()
	b := make([]byte, 4096)
	n, err := unix.Read(w.fd, b)
	if err != nil {
		w.t.Fatalf("receive: %v", err)
	}
	return b[:n]
}

// Quiet asserts that no frame waits.
func (w *Wire) Quiet() {
	w.t.Helper()
	b := make([]byte, 4096)
	if n, _, err := unix.Recvfrom(w.fd, b, unix.MSG_DONTWAIT); err == nil {
		w.t.Errorf("a frame has come in: % x", b[:n])
	}
}

// Frame makes the n-th of a stream: no two are alike, and no kernel answers them.
func Frame(n, size int) []byte {
	f := make([]byte, size)
	copy(f, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5})
	binary.BigEndian.PutUint32(f[14:], uint32(n))
	for i := 18; i < size; i++ {
		f[i] = byte(n + i)
	}
	return f
}

// Until calls f again and again, until it is so.
func Until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
