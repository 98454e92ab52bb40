package soft

import (
	"bytes"
	"net"
	"slices"
	"testing"

	"weft/bpf"
	"weft/dataplane"
	"weft/dataplane/packet"
	"weft/dataplane/soft/afpacket"
	"weft/dataplane/soft/device"
	"weft/dataplane/soft/internal/steertest"
	"weft/dataplane/soft/internal/vethtest"
	"weft/dataplane/soft/xsk"
	"weft/fib"
)

// TestSockets: a Worker forwards between interfaces of the kernel, by each kind of socket
// that there is, and answers.
func TestSockets(t *testing.T) {
	t.Run("xsk", func(t *testing.T) {
		n := newSocketNetwork(t)
		u := xsk.NewUMEM(n.mem)
		steers := steertest.New(t, n.ports[0].Index, n.ports[1].Index, 0)
		steers.LoadXSK(n.image, n.mem.FrameSize(), bpf.Features{})
		for i, p := range n.ports {
			s, err := xsk.Open(u, n.pool, xsk.Where{Port: uint32(i + 1), Ifindex: p.Index}, xsk.Options{Ring: 512})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			if err := s.Register(steers.XSKs, bpf.XSKKey(uint32(i+1), 0)); err != nil {
				t.Fatal(err)
			}
			steers.AttachXDP(p.Index)
			n.attach(i, s)
		}
		n.exchange()
	})
	t.Run("afpacket", func(t *testing.T) {
		n := newSocketNetwork(t)
		for i, p := range n.ports {
			all, err := afpacket.Open(n.mem, []*device.Pool{n.pool}, uint32(i+1), p.Index, afpacket.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { all[0].Close() })
			n.attach(i, all[0])
		}
		n.exchange()
	})
}

// socketNetwork is a Worker with two ports on veths, and who is at their other ends.
type socketNetwork struct {
	testing.TB
	mem   *device.Memory
	pool  *device.Pool
	image *bpf.Image
	w     *Worker
	ports [2]net.Interface
	wires [2]*vethtest.Wire
}

func newSocketNetwork(t testing.TB) *socketNetwork {
	vethtest.Enter(t)
	n := &socketNetwork{TB: t, image: steertest.NewFIB(t, false)}
	n.mem, n.pool = vethtest.NewMemory(t, 4096)
	n.w = NewWorker(Options{Memory: n.mem, Pool: n.pool})
	im, err := fib.Open(n.image.Mem(), fib.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := &Config{Image: im}
	for i, name := range []string{"one", "two"} {
		here, there := vethtest.Pair(t, name, 1)
		n.ports[i], n.wires[i] = here, vethtest.NewWire(t, there.Index)
		c.Ports = append(c.Ports, Port{Port: dataplane.Port{Number: uint32(i + 1), Name: name, MAC: steertest.OurMAC, IPv4: true, IPv6: true}})
	}
	if err := n.w.Set(c); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *socketNetwork) attach(i int, q device.Queue) {
	n.Helper()
	if err := n.w.Attach(uint32(i+1), q, nil); err != nil {
		n.Fatal(err)
	}
}

// exchange sends packets to port one: those that go on leave by port two with new MACs
// and a smaller TTL; an error about one whose TTL is over goes back to where it came from.
func (n *socketNetwork) exchange() {
	const packets = 300
	var want [][]byte
	for i := range packets {
		p := steertest.Packet{Src: "10.1.0.9", Dst: "10.1.2.3", Payload: i % 100}
		if i%2 == 1 {
			p = steertest.Packet{Src: "2001:db8:1::9", Dst: "2001:db8:1::3", Payload: i % 100}
		}
		f := p.Bytes()
		n.wires[0].Send(f)
		f = slices.Concat(steertest.HostMAC[:], steertest.OurMAC[:], f[12:])
		if f[14]>>4 == 6 {
			packet.IPv6(f[14:]).Forward()
		} else {
			packet.IPv4(f[14:]).Forward()
		}
		want = append(want, f)
	}
	n.until("all are forwarded", func() bool { c := n.w.Counters(1); return c[dataplane.Forwarded].Packets == packets })
	got := map[string]int{}
	for range packets {
		got[string(n.wires[1].Next())]++
	}
	for i, f := range want {
		if got[string(f)]--; got[string(f)] < 0 {
			n.Fatalf("packet %d did not leave as\n%x", i, f)
		}
	}
	about := steertest.Packet{Src: "10.1.0.9", Dst: "10.1.2.3", TTL: 1}.Bytes()
	n.wires[0].Send(about)
	n.until("the error is sent", func() bool { return n.w.Fates()[FateAnswered].Packets == 1 })
	if f := n.wires[1].Next(); f[23] != 1 || f[34] != packet.TimeExceeded4 || !bytes.Equal(f[42:], about[14:]) {
		n.Errorf("%x is no error about %x", f, about)
	}
	if lost := n.w.Lost(2); lost != (Lost{}) {
		n.Errorf("lost %+v", lost)
	}
}

func (n *socketNetwork) until(what string, f func() bool) {
	n.Helper()
	vethtest.Until(n, what, func() bool {
		n.w.Round()
		return f()
	})
}
