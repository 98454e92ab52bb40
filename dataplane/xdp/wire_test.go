package xdp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/dataplane"
	"weft/dataplane/xdp"
	"weft/fib"
)

// passProgram makes the peer of a port receive what is redirected to it: a veth
// drops redirected frames unless its peer has a program or GRO.
func passProgram(t testing.TB, ifindex int) {
	t.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "pass", Type: ebpf.XDP, License: "MIT",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: ifindex, Flags: link.XDPDriverMode})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); prog.Close() })
}

// socket opens a packet socket at an interface.
func socket(t testing.TB, ifindex int) int {
	t.Helper()
	all := binary.BigEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 0xff})
	proto := int(all<<8 | all>>8)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, proto)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: uint16(proto), Ifindex: ifindex})
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
	}
	if err == nil {
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func send(t testing.TB, fd int, b []byte) {
	t.Helper()
	if _, err := unix.Write(fd, b); err != nil {
		t.Fatal(err)
	}
}

// receive returns the next frame to nextMAC.
func receive(t testing.TB, fd int) []byte {
	t.Helper()
	b := make([]byte, 2048)
	for {
		n, err := unix.Read(fd, b)
		if err != nil {
			t.Fatalf("receive: %v", err)
		}
		if n >= 6 && bytes.Equal(b[:6], nextMAC[:]) {
			return b[:n]
		}
	}
}

func numbered(n uint32, family int) []byte {
	edit := func(at int) func([]byte) {
		return func(b []byte) { binary.BigEndian.PutUint32(b[at:], n) }
	}
	if family == 4 {
		return toUs(ethIPv4, ipv4(host4, "10.0.0.1", 64, edit(20+8)))
	}
	return toUs(ethIPv6, ipv6(host6, "2001:db8::1", 64, edit(40+8)))
}

func TestWire(t *testing.T) {
	r := newRouter(t, xdp.Options{Ports: 16})
	fillTable(t, r)
	passProgram(t, r.in[portOut])
	tx, rx := socket(t, r.in[portIn]), socket(t, r.in[portOut])
	for _, p := range r.Ports() {
		if p.Mode != dataplane.NativeXDP {
			t.Errorf("port %d is %s", p.Number, p.Mode)
		}
	}
	const count = 1000
	var bytesIn uint64
	for n := range uint32(count) {
		in := numbered(n, 4+2*int(n&1))
		bytesIn += uint64(len(in))
		send(t, tx, in)
		if got, want := receive(t, rx), forwarded(in); !bytes.Equal(got, want) {
			t.Fatalf("frame %d:\n%x, want\n%x", n, got, want)
		}
	}
	drop := toUs(ethIPv4, ipv4(host4, "10.9.0.1", 64))
	punt := toUs(ethIPv4, ipv4(host4, "10.10.0.1", 64))
	for range 3 {
		send(t, tx, drop)
		send(t, tx, punt)
		send(t, tx, punt)
	}
	c := settle(r.Engine, portIn, count+9)
	want := dataplane.Counters{}
	want[dataplane.Forwarded] = dataplane.Counter{Packets: count, Bytes: bytesIn}
	want[dataplane.BlackholeRoute] = dataplane.Counter{Packets: 3, Bytes: 3 * uint64(len(drop))}
	want[dataplane.RejectRoute] = dataplane.Counter{Packets: 6, Bytes: 6 * uint64(len(punt))}
	if c != want {
		t.Errorf("counters %v, want %v", nonzero(c), nonzero(want))
	}
	if got := c.Received().Packets; got != c.Of(dataplane.Forward).Packets+c.Of(dataplane.Punt).Packets+c.Of(dataplane.Drop).Packets || got != count+9 {
		t.Errorf("received %d, want %d", got, count+9)
	}
}

// settle waits until a port has received so many packets: a driver counts after the sender's call returns.
func settle(e *xdp.Engine, port uint32, packets uint64) dataplane.Counters {
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(time.Millisecond) {
		if c := e.Counters(port); c.Received().Packets >= packets || time.Now().After(end) {
			return c
		}
	}
}

func nonzero(c dataplane.Counters) string {
	var b strings.Builder
	for r, n := range c {
		if n.Packets > 0 {
			fmt.Fprintf(&b, " %s=%v", dataplane.Reason(r), n)
		}
	}
	return b.String()
}

// TestPorts changes, removes and adds ports under way.
func TestPorts(t *testing.T) {
	r := newRouter(t, xdp.Options{Ports: 16})
	fillTable(t, r)
	in := numbered(1, 4)
	reason := func(want dataplane.Reason) {
		t.Helper()
		if got, err := r.Run(in, portIn); err != nil || got.Reason != want {
			t.Errorf("%s, %v; want %s", got.Reason, err, want)
		}
	}
	reason(dataplane.Forwarded)
	p := port(portIn, r.port[portIn], 0, true)
	p.MAC = otherMAC
	if err := r.SetPort(p); err != nil {
		t.Fatal(err)
	}
	reason(dataplane.NotOurMAC)
	p.MAC, p.IPv4 = ourMAC, false
	if err := r.SetPort(p); err != nil {
		t.Fatal(err)
	}
	reason(dataplane.IrifDisabled)
	p.IPv4 = true
	if err := r.SetPort(p); err != nil {
		t.Fatal(err)
	}
	if err := r.RemovePort(portOut); err != nil {
		t.Fatal(err)
	}
	reason(dataplane.ErifDisabled)
	if err := r.RemovePort(portOut); !errors.Is(err, xdp.ErrNoPort) {
		t.Errorf("remove twice: %v", err)
	}
	if err := r.SetPort(port(portOut, r.port[portOut], 0, true)); err != nil {
		t.Fatal(err)
	}
	reason(dataplane.Forwarded)
}

func TestSetPortRefuses(t *testing.T) {
	r := newRouter(t, xdp.Options{Ports: 16})
	free, _ := veth(t, "free", "free-peer")
	busy, _ := veth(t, "busy", "busy-peer")
	passProgram(t, busy)
	group := port(9, free, 0, true)
	group.MAC = groupMAC
	for _, c := range []struct {
		name string
		p    dataplane.Port
		want error
		says string
	}{
		{"number 0", port(0, free, 0, true), xdp.ErrPort, "number 0"},
		{"number too large", port(16, free, 0, true), xdp.ErrPort, "want 1 to 15"},
		{"ifindex 0", port(9, 0, 0, true), xdp.ErrPort, "ifindex 0"},
		{"ifindex too large", port(9, 65536, 0, true), xdp.ErrPort, "ifindex 65536"},
		{"no such interface", port(9, 60000, 0, true), xdp.ErrPort, "ifindex 60000"},
		{"no such VRF", port(9, free, 1024, true), xdp.ErrPort, "VRF 1024"},
		{"group MAC", group, xdp.ErrPort, "01:00:5e:00:00:05"},
		{"ifindex in use", port(9, r.port[portIn], 0, true), xdp.ErrPort, "is port 1"},
		{"number in use", port(portIn, free, 0, true), xdp.ErrPort, "remove it first"},
		{"foreign program", port(9, busy, 0, true), xdp.ErrForeign, "(pass) on busy"},
	} {
		before := len(r.Ports())
		err := r.SetPort(c.p)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %v with %q", c.name, err, c.want, c.says)
		}
		if len(r.Ports()) != before {
			t.Errorf("%s: there are %d ports, want %d", c.name, len(r.Ports()), before)
		}
	}
}

// TestModes has a port whose driver knows no XDP, and one that does.
func TestModes(t *testing.T) {
	r := newRouter(t, xdp.Options{Ports: 16})
	const loopback = 1
	free, _ := veth(t, "free", "free-peer")
	for _, c := range []struct {
		ifindex    int
		want, mode dataplane.Mode
	}{
		{loopback, "", dataplane.TC},
		{loopback, dataplane.TC, dataplane.TC},
		{loopback, dataplane.GenericXDP, dataplane.GenericXDP},
		{loopback, dataplane.NativeXDP, ""},
		{loopback, "fast", ""},
		{free, "", dataplane.NativeXDP},
		{free, dataplane.NativeXDP, dataplane.NativeXDP},
		{free, dataplane.TC, dataplane.TC},
		{free, dataplane.GenericXDP, dataplane.GenericXDP},
	} {
		p := port(9, c.ifindex, 0, true)
		p.Want = c.want
		if err := r.SetPort(p); (err == nil) != (c.mode != "") {
			t.Errorf("ifindex %d, mode %q: %v", c.ifindex, c.want, err)
		}
		if c.mode == "" {
			continue
		}
		if ports := r.Ports(); ports[len(ports)-1].Mode != c.mode {
			t.Errorf("port %+v, want mode %s", ports[len(ports)-1], c.mode)
		}
		p.Want = dataplane.NativeXDP
		if err := r.SetPort(p); (err == nil) != (c.mode == dataplane.NativeXDP) {
			t.Errorf("from mode %s to native: %v", c.mode, err)
		}
		if err := r.RemovePort(9); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEgressOfLoopback has a port that nothing can be redirected to.
func TestEgressOfLoopback(t *testing.T) {
	r := newRouter(t, xdp.Options{Ports: 16})
	if err := r.SetPort(port(9, 1, 0, true)); err != nil {
		t.Fatal(err)
	}
	ports := r.Ports()
	if p := ports[len(ports)-1]; p.Egress != dataplane.KernelEgress || !strings.Contains(p.EgressReason, "not supported") || p.EgressErrno != 0 {
		t.Errorf("port %+v, want egress kernel: not supported", p)
	}
}

// TestVanish deletes a port's interface.
func TestVanish(t *testing.T) {
	dir := filepath.Join(pinRoot(t), "engine")
	r := newRouter(t, xdp.Options{Ports: 16, Dir: dir})
	l, err := netlink.LinkByIndex(r.port[portOff])
	if err == nil {
		err = netlink.LinkDel(l)
	}
	if err == nil {
		err = r.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	e, im, err := xdp.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	defer e.Stop()
	for _, p := range e.Ports() {
		if p.Number == portOff {
			t.Errorf("adopted port %+v, whose interface is gone", p)
		}
	}
	if err := e.RemovePort(portOut); err != nil {
		t.Error(err)
	}
	if n := len(e.Ports()); n != 2 {
		t.Errorf("%d ports are left, want 2", n)
	}
}

// TestOpenFinishesReplace opens what a process left that died between pinning a
// new image and taking the last port to it.
func TestOpenFinishesReplace(t *testing.T) {
	dir := filepath.Join(pinRoot(t), "engine")
	r := newRouter(t, xdp.Options{Ports: 16, Dir: dir})
	fillTable(t, r)
	mem, next := newImage(t, 2<<20)
	if _, err := next.AddGroup(fib.Group{Kind: fib.Blackhole}); err != nil {
		t.Fatal(err)
	}
	tab, err := next.Table(0)
	if err == nil {
		err = tab.Insert(netip.MustParsePrefix("0.0.0.0/0"), 1)
	}
	if err == nil {
		err = mem.Map().Pin(filepath.Join(dir, "current", "image_next"))
	}
	if err == nil {
		err = r.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	e, im, err := xdp.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	defer e.Stop()
	runs(t, e)
	if got, err := e.Run(numbered(0, 4), portIn); err != nil || got.Reason != dataplane.BlackholeRoute {
		t.Errorf("%v, %v; want the new image's blackhole_route", got.Reason, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "current", "image_next")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("image_next is left: %v", err)
	}
}

// TestOpenRefusesAnotherVersion: the program of this one would take the image of
// another for its own.
func TestOpenRefusesAnotherVersion(t *testing.T) {
	dir := filepath.Join(pinRoot(t), "engine")
	r := newRouter(t, xdp.Options{Ports: 16, Dir: dir})
	fillTable(t, r)
	program := func() (id int) {
		l, err := netlink.LinkByIndex(r.port[portIn])
		if err != nil {
			t.Fatal(err)
		}
		return int(l.Attrs().Xdp.ProgId)
	}
	before := program()
	r.image.Mem()[8]++ // struct fib_header, version
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := xdp.Open(dir); !errors.Is(err, xdp.ErrLayout) || !errors.Is(err, fib.ErrVersion) {
		t.Errorf("%v, want %v", err, xdp.ErrLayout)
	}
	if now := program(); now != before {
		t.Errorf("port has program %d, had %d", now, before)
	}
	if err := xdp.Remove(dir); err != nil {
		t.Error(err)
	}
}

// pinRoot makes a directory for pins that the test removes.
func pinRoot(t testing.TB) string {
	t.Helper()
	requireRoot(t)
	root, err := os.MkdirTemp("/sys/fs/bpf", "weft-test-")
	if err != nil {
		t.Fatalf("make directory on bpffs: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	return root
}

// runs checks that all ports have the program that the engine has now.
func runs(t testing.TB, e *xdp.Engine) {
	t.Helper()
	info, err := e.Program().Info()
	if err != nil {
		t.Fatal(err)
	}
	want, _ := info.ID()
	for _, p := range e.Ports() {
		if p.Parent != 0 {
			continue // it has none of its own
		}
		l, err := netlink.LinkByIndex(p.Ifindex)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Attrs().Xdp.ProgId; got != uint32(want) {
			t.Errorf("port %d has program %d, want %d", p.Number, got, want)
		}
	}
}

// TestAdopt closes an engine under traffic, opens it again, replaces its image
// by a larger one, and stops it: no frame is lost or counted twice.
func TestAdopt(t *testing.T) {
	dir := filepath.Join(pinRoot(t), "engine")
	r := newRouter(t, xdp.Options{Dir: dir})
	fillTable(t, r)
	passProgram(t, r.in[portOut])
	tx, rx := socket(t, r.in[portIn]), socket(t, r.in[portOut])
	var sent uint64
	pass := func() {
		t.Helper()
		for range 50 {
			in := numbered(uint32(sent), 4)
			send(t, tx, in)
			sent++
			if got, want := receive(t, rx), forwarded(in); !bytes.Equal(got, want) {
				t.Fatalf("frame %d:\n%x, want\n%x", sent, got, want)
			}
		}
	}
	pass()
	if _, err := xdp.New(r.image, xdp.Options{Dir: dir}); !errors.Is(err, xdp.ErrExists) {
		t.Fatalf("New over an engine that is pinned: %v", err)
	}
	ports := r.Ports()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	pass() // nobody is home

	e, im, err := xdp.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	pass()
	runs(t, e)
	if len(e.Ports()) != len(ports) {
		t.Fatalf("ports %v, want %v", e.Ports(), ports)
	}
	if err := e.Watch(); err != nil {
		t.Errorf("lost frames are not counted: %v", err)
	}
	for i, p := range e.Ports() {
		ports[i].Name = p.Name // the kernel's
		if p != ports[i] {
			t.Errorf("port %+v, want %+v", p, ports[i])
		}
	}
	mem, _ := newImage(t, 1<<20)
	clear(mem.Mem())
	old, err := fib.Open(im.Mem(), fib.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.CopyTo(mem.Mem(), fib.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := e.Replace(mem); err != nil {
		t.Fatal(err)
	}
	pass()
	runs(t, e)
	if got, err := e.Run(numbered(0, 4), portIn); err != nil || got.Reason != dataplane.Forwarded {
		t.Errorf("%v, %v", got, err)
	}
	if c := settle(e, portIn, sent); c[dataplane.Forwarded].Packets != sent || c.Received().Packets != sent {
		t.Errorf("counters%s, want forwarded=%d", nonzero(c), sent)
	}
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("pins are left: %v", err)
	}
	if _, _, err := xdp.Open(dir); !errors.Is(err, xdp.ErrNotFound) {
		t.Errorf("Open after Stop: %v", err)
	}
	// The port is free again: anyone can attach.
	passProgram(t, r.port[portIn])
}
