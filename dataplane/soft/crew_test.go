package soft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/dataplane"
	"weft/dataplane/soft/device"
	"weft/dataplane/soft/internal/steertest"
	"weft/dataplane/soft/internal/vethtest"
	"weft/dataplane/soft/xsk"
	"weft/dataplane/xdp"
	"weft/fib"
)

// engineTest is an Engine with two ports on veths, of numbers 1 and 2, that forwards to 10.1.0.0/16 by the second.
type engineTest struct {
	*Engine
	testing.TB
	ports [2]net.Interface
	wires [2]*vethtest.Wire
	netns int
}

func newEngineTest(t testing.TB, queues int, o LoopOptions) *engineTest {
	t.Helper()
	vethtest.Enter(t)
	x := &engineTest{TB: t}
	for i, name := range []string{"one", "two"} {
		var there net.Interface
		x.ports[i], there = vethtest.Pair(t, name, queues)
		vethtest.SetMAC(t, name, steertest.OurMAC)
		x.wires[i] = vethtest.NewWire(t, there.Index)
	}
	var err error
	if x.netns, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(x.netns) })
	image := steertest.NewFIB(t, false)
	readers := new(fib.Readers)
	im, err := fib.Open(image.Mem(), fib.Options{Grace: readers})
	if err != nil {
		t.Fatal(err)
	}
	base, err := xdp.New(image, xdp.Options{Ports: 4})
	if err != nil {
		t.Fatal(err)
	}
	o.Thread = func() error { return unix.Setns(x.netns, unix.CLONE_NEWNET) }
	x.Engine = New(base, im, readers, o)
	t.Cleanup(func() {
		if err := x.Stop(); err != nil {
			t.Error(err)
		}
	})
	return x
}

func (x *engineTest) port(i int, engine dataplane.Name) dataplane.Port {
	return dataplane.Port{Number: uint32(i + 1), Ifindex: x.ports[i].Index, Name: x.ports[i].Name, MAC: steertest.OurMAC, IPv4: true, IPv6: true, Engine: engine}
}

func (x *engineTest) set(p dataplane.Port) {
	x.Helper()
	if err := x.SetPort(p); err != nil {
		x.Fatal(err)
	}
}

// cross sends packets of several flows to port 1, and wants those of each in order behind port 2.
func (x *engineTest) cross(packets, flows int) {
	x.Helper()
	before := x.Counters(1)
	const burst = 64 // at once: a veth's peer takes some hundreds
	next := map[uint16]uint32{}
	for sent := 0; sent < packets; {
		for range burst {
			p := steertest.Packet{Src: "10.9.0.1", Dst: fmt.Sprintf("10.1.0.%d", sent%flows), Payload: 40}
			f := p.Bytes()
			binary.BigEndian.PutUint32(f[len(f)-4:], uint32(sent/flows))
			x.wires[0].Send(f)
			sent++
		}
		for range burst {
			f := x.wires[1].Next()
			flow, n := uint16(f[33]), binary.BigEndian.Uint32(f[len(f)-4:])
			if n != next[flow] || f[22] != 63 {
				x.Fatalf("flow %d: packet %d with TTL %d came, want packet %d", flow, n, f[22], next[flow])
			}
			next[flow]++
		}
	}
	vethtest.Until(x, "all are counted", func() bool {
		if err := x.Check(); err != nil {
			x.Fatal(err)
		}
		c := x.Counters(1)
		c = c.Since(&before)
		if c[dataplane.Forwarded].Packets > uint64(packets) {
			x.Fatalf("forwarded %d", c[dataplane.Forwarded].Packets)
		}
		return c[dataplane.Forwarded].Packets == uint64(packets) && c.Received() == c[dataplane.Forwarded]
	})
}

func firstCPU(t testing.TB) []int {
	t.Helper()
	all, err := allowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	return all[:1]
}

// Several loops share a port's queues, and each sends by all: no packet is lost or overtakes one of its flow, and no
// frame is lost in the end.
func TestSeveralLoops(t *testing.T) {
	x := newEngineTest(t, 4, LoopOptions{Workers: 3, CPUs: firstCPU(t)})
	x.set(x.port(0, dataplane.Soft))
	x.set(x.port(1, dataplane.XDP))
	var has []int
	for _, l := range x.crew.loops {
		has = append(has, l.receives)
		l.do(func() {
			var set unix.CPUSet
			if err := unix.SchedGetaffinity(0, &set); err != nil || set.Count() != 1 || !set.IsSet(l.cpu) {
				t.Errorf("a loop is not pinned to CPU %d alone: %v", l.cpu, err)
			}
		})
	}
	if slices.Sort(has); !slices.Equal(has, []int{2, 3, 3}) { // of eight queues
		t.Errorf("loops have %v queues", has)
	}
	x.cross(6400, 32)
	for _, p := range x.Ports() {
		if p.Sockets != dataplane.AFXDP || p.SocketsReason != "" {
			t.Errorf("port %s: sockets %q: %s", p.Name, p.Sockets, p.SocketsReason)
		}
	}
	served := 0
	for _, l := range x.crew.loops {
		if c := l.Counters(1); c[dataplane.Forwarded].Packets > 0 {
			served++
		}
	}
	if served < 2 { // veth: flows are spread over the queues
		t.Errorf("%d loops have had packets", served)
	}
	if got := x.Stages()[stageTransmit].Packets; got != 6400 {
		t.Errorf("loops have sent %d packets together", got)
	}
	for n := range uint32(2) {
		if err := x.RemovePort(n + 1); err != nil {
			t.Error(err)
		}
	}
	if free := x.freeFrames(); free != x.crew.mem.Frames() {
		t.Errorf("%d of %d frames are free in the end", free, x.crew.mem.Frames())
	}
}

func (x *engineTest) freeFrames() int {
	free := x.crew.depot.Free()
	for _, l := range x.crew.loops {
		l.do(func() { free += l.pool.Free() - x.crew.depot.Free() })
	}
	return free
}

// Without AF_XDP a port's packets come by AF_PACKET: what goes on leaves once, what is the kernel's stays with it, and all
// is counted once.
func TestWithoutAFXDP(t *testing.T) {
	x := newEngineTest(t, 1, LoopOptions{Workers: 2, CPUs: firstCPU(t)})
	x.openQueue = func(*xsk.UMEM, *device.Pool, xsk.Where, xsk.Options) (*xsk.Socket, error) {
		return nil, fmt.Errorf("open it: %w", xsk.ErrUnsupported)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil { // the kernel would, too
		t.Fatal(err)
	}
	vethtest.Address(t, "one", "10.9.0.2/16", "10.9.0.1", steertest.HostMAC)
	vethtest.Address(t, "two", "10.1.1.1/16", "10.1.0.1", steertest.HostMAC)
	for i := range x.ports {
		x.set(x.port(i, dataplane.Soft))
	}
	for _, p := range x.Ports() {
		if p.Sockets != dataplane.AFPacket || p.Mode != dataplane.TC || !strings.Contains(p.SocketsReason, "not supported") {
			t.Errorf("port %s: mode %s, sockets %q: %s", p.Name, p.Mode, p.Sockets, p.SocketsReason)
		}
	}
	x.cross(640, 16)
	local := steertest.Packet{Src: "10.9.0.1", Dst: "10.0.0.1"}.Bytes()
	x.wires[0].Send(local)
	vethtest.Until(t, "what is the kernel's is counted once", func() bool {
		c := x.Counters(1)
		return c[dataplane.LocalRoute].Packets == 1 && c[dataplane.LocalRoute].Bytes == uint64(len(local))
	})
	about := steertest.Packet{Src: "10.1.0.9", Dst: "10.1.2.3", TTL: 1}.Bytes()
	x.wires[0].Send(about)
	if f := x.wires[1].Next(); f[23] != 1 {
		t.Errorf("%x is no ICMP error", f)
	}
	vethtest.Until(t, "the error is counted", func() bool {
		if err := x.Check(); err != nil {
			t.Fatal(err)
		}
		c := x.Counters(1)
		return c[dataplane.TTLValueIsTooSmall].Packets == 1 && c.Received().Packets == 642
	})
	x.wires[1].Quiet()
	// The XDP engine has it in mode tc then, and gives it back.
	x.set(x.port(0, dataplane.XDP))
	x.cross(64, 16)
	if c := x.crew.Counters(1); c[dataplane.Forwarded].Packets != 640 {
		t.Errorf("the loop has forwarded %d packets", c[dataplane.Forwarded].Packets)
	}
	x.set(x.port(0, dataplane.Soft))
	x.cross(64, 16)
	if c := x.crew.Counters(1); c[dataplane.Forwarded].Packets != 704 {
		t.Errorf("the loop has forwarded %d packets", c[dataplane.Forwarded].Packets)
	}
}

// An error that AF_PACKET does not mend is the port's.
func TestQueueInUse(t *testing.T) {
	x := newEngineTest(t, 1, LoopOptions{CPUs: firstCPU(t)})
	x.openQueue = func(*xsk.UMEM, *device.Pool, xsk.Where, xsk.Options) (*xsk.Socket, error) {
		return nil, xsk.ErrQueueInUse
	}
	if err := x.SetPort(x.port(0, dataplane.Soft)); !errors.Is(err, xsk.ErrQueueInUse) {
		t.Errorf("a port whose queue is in use: %v", err)
	}
	if ports := x.Ports(); len(ports) != 0 {
		t.Errorf("there are ports: %v", ports)
	}
}

func TestLoopOptions(t *testing.T) {
	for _, c := range []struct {
		o    LoopOptions
		want string
	}{
		{LoopOptions{}, ""},
		{LoopOptions{Workers: 64, CPUs: firstCPU(t), BusyPoll: 10000}, ""},
		{LoopOptions{Workers: -1}, "-1 workers: not possible: want 1 to 64"},
		{LoopOptions{Workers: 65}, "65 workers"},
		{LoopOptions{CPUs: []int{100000}}, "CPU 100000: not possible: this process may use ["},
		{LoopOptions{CPUs: slices.Concat(firstCPU(t), firstCPU(t))}, "named twice"},
		{LoopOptions{BusyPoll: -1}, "busy polling for -1 µs: not possible: want 0 to 10000"},
	} {
		err := c.o.Check()
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
	for _, c := range []struct {
		o       LoopOptions
		allowed []int
		process int
		want    []int
	}{
		{LoopOptions{}, []int{3}, 7, nil},
		{LoopOptions{}, []int{0, 2, 5}, 7, []int{2, 5, 0}},
		{LoopOptions{CPUs: []int{3}}, []int{3}, 7, []int{3}},
	} {
		if got := c.o.pins(c.allowed, c.process); !slices.Equal(got, c.want) {
			t.Errorf("%v of %v: pinned to %v, want %v", c.o.CPUs, c.allowed, got, c.want)
		}
	}
}
