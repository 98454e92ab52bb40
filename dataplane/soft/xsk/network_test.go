package xsk_test

import (
	"net"
	"os"
	"runtime"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/dataplane/soft/device"
	"weft/dataplane/soft/xsk"
)

func requireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("this test opens AF_XDP sockets: CI must run it as root")
		}
		t.Skip("this test opens AF_XDP sockets: run it as root")
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
}

// enterNetns puts the test's thread into a new network namespace, which ends with it.
func enterNetns(t testing.TB) {
	t.Helper()
	requireRoot(t)
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

// veth makes a pair with so many queues, up, that nothing but the test sends by. It returns both ends.
func veth(t testing.TB, name string, queues int) (here, there net.Interface) {
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

// redirectAll attaches a program that gives all packets of an interface to the socket that its map has for the queue.
func redirectAll(t testing.TB, ifindex int) *ebpf.Map {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	const rxQueueIndex, pass = 16, 2 // struct xdp_md, enum xdp_action
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, rxQueueIndex, asm.Word),
		asm.LoadMapPtr(asm.R1, m.FD()),
		asm.Mov.Imm(asm.R3, pass),
		asm.FnRedirectMap.Call(),
		asm.Return(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: ifindex, Flags: link.XDPDriverMode})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return m
}

// newMemory makes frames, and a pool of all of them.
func newMemory(t testing.TB, frames int) (*device.Memory, *device.Pool) {
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

// open makes a socket that is closed before its memory.
func open(t testing.TB, u *xsk.UMEM, p *device.Pool, w xsk.Where, o xsk.Options) *xsk.Socket {
	t.Helper()
	s, err := xsk.Open(u, p, w, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// wire is an open AF_PACKET socket on the other end of a port.
type wire struct {
	t  testing.TB
	fd int
}

func newWire(t testing.TB, ifindex int) *wire {
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
	return &wire{t, fd}
}

func (w *wire) send(frames ...[]byte) {
	w.t.Helper()
	for _, f := range frames {
		if _, err := unix.Write(w.fd, f); err != nil {
			w.t.Fatal(err)
		}
	}
}

// receive returns the next frame that comes in.
func (w *wire) receive() []byte {
	w.t.Helper()
	b := make([]byte, 4096)
	n, err := unix.Read(w.fd, b)
	if err != nil {
		w.t.Fatalf("receive: %v", err)
	}
	return b[:n]
}

// quiet asserts that no frame waits.
func (w *wire) quiet() {
	w.t.Helper()
	b := make([]byte, 4096)
	if n, _, err := unix.Recvfrom(w.fd, b, unix.MSG_DONTWAIT); err == nil {
		w.t.Errorf("a frame has come in: % x", b[:n])
	}
}
