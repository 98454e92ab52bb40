package soft

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"weft/dataplane"
	"weft/dataplane/packet"
	"weft/dataplane/soft/device"
)

func TestForwards(t *testing.T) {
	x := newWorld(t, nil, nil)
	a, b := frame(1, "192.0.2.9", "10.2.0.1", 40), frame(1, "2001:db8:1::9", "2001:db8:300::1", 40)
	padded := append(frame(1, "192.0.2.9", "10.3.0.1", 10), make([]byte, 30)...)
	x.send(1, a, b, padded)
	x.run()
	x.wantOut(2, forwarded(a, 2))
	x.wantOut(3, forwarded(b, 3), forwarded(padded, 3)[:60]) // RFC 1812 5.2.2: padding goes
	c := x.w.Counters(1)
	if want := (dataplane.Counter{Packets: 3, Bytes: uint64(len(a) + len(b) + len(padded))}); c[dataplane.Forwarded] != want {
		t.Errorf("forwarded %+v, want %+v: bytes as received", c[dataplane.Forwarded], want)
	}
	x.wantFates(nil)
	x.wantConserved(3)
}

// All packets of a flow go one way, and flows both ways.
func TestSpreads(t *testing.T) {
	x := newWorld(t, nil, nil)
	for i := range 200 {
		f := frame(1, "192.0.2.9", "10.5.0.1", 40)
		binary.BigEndian.PutUint16(f[34:], uint16(i/4))
		x.send(1, f)
	}
	x.run()
	flows := map[uint16]uint32{}
	var n [4]int
	for _, port := range []uint32{2, 3} {
		for _, f := range x.received(x.wires[port]) {
			flow := binary.BigEndian.Uint16(f[34:])
			if was, ok := flows[flow]; ok && was != port {
				t.Fatalf("flow %d goes by %d and %d", flow, was, port)
			}
			flows[flow] = port
			n[port]++
		}
	}
	if n[2]+n[3] != 200 || n[2] < 40 || n[3] < 40 {
		t.Errorf("%d and %d packets of 200", n[2], n[3])
	}
}

// Tags that lead to a port go, and come back on what is punted; others are the kernel's.
func TestVLAN(t *testing.T) {
	x := newWorld(t, nil, nil)
	plain := frame(4, "192.0.2.9", "10.2.0.1", 40)
	tagged := func(f []byte, tags ...uint32) []byte {
		var b []byte
		for _, tag := range tags {
			b = binary.BigEndian.AppendUint32(b, tag)
		}
		return slices.Insert(slices.Clone(f), 12, b...)
	}
	const vlan, priority = packet.Type8021Q<<16 | 100, packet.Type8021Q<<16 | 7<<13
	in := tagged(plain, vlan)
	x.send(1, in, tagged(plain, priority, vlan))
	x.run()
	x.wantOut(2, forwarded(plain, 2), forwarded(plain, 2))
	x.wantCounted(4, dataplane.Forwarded, 2)
	if c := x.w.Counters(4); c[dataplane.Forwarded].Bytes != uint64(2*len(in)+4) {
		t.Errorf("%d bytes", c[dataplane.Forwarded].Bytes)
	}

	local := tagged(frame(4, "192.0.2.9", "192.0.2.1", 40), priority, vlan)
	other := tagged(plain, packet.Type8021Q<<16|200)
	provider := tagged(plain, packet.Type8021A<<16|100)
	x.send(1, local, other, provider)
	x.run()
	x.wantUp(1, local, other, provider)
	x.wantCounted(4, dataplane.LocalRoute, 1)
	x.wantCounted(1, dataplane.NotOurMAC, 2) // they are to the VLAN's MAC

	out := frame(2, "198.51.100.9", "10.4.0.1", 40)
	x.send(2, out)
	x.run()
	x.wantOut(1, tagged(forwarded(out, 4), vlan))
	x.wantConserved(6)
}

func TestPunts(t *testing.T) {
	x := newWorld(t, nil, nil)
	local := frame(1, "192.0.2.9", "203.0.113.1", 40)
	arp := append(bytes.Repeat([]byte{0xff}, 6), frame(1, "192.0.2.9", "192.0.2.1", 40)[6:]...)
	arp[13] = 6
	x.send(1, local, arp)
	x.run()
	x.wantUp(1, local, arp)
	x.wantCounted(1, dataplane.LocalRoute, 1)
	x.wantCounted(1, dataplane.ARP, 1)
	x.wantFates(map[Fate]uint64{FatePunted: 2})
	x.wantConserved(2)
}

// What a queue does not take is lost, and counted; its frames come back.
func TestQueueFull(t *testing.T) {
	x := newWorld(t, nil, nil)
	_, small, err := device.NewWire(x.mem, [2]uint32{0, 2}, [2]*device.Pool{x.pool, x.pool}, 16)
	x.must(err)
	x.must(x.w.Detach(2))
	x.must(x.w.Attach(2, small, nil))
	f := frame(1, "192.0.2.9", "10.2.0.1", 40)
	for range 100 {
		x.send(1, f)
	}
	x.run()
	x.wantCounted(1, dataplane.Forwarded, 100)
	lost := x.w.Lost(2)
	if lost.Forwarded.Packets != 84 || lost.Forwarded.Bytes != 84*uint64(len(f)) || x.pool.Size()-x.pool.Free() != 16 {
		t.Errorf("lost %+v, %d frames are the queue's", lost, x.pool.Size()-x.pool.Free())
	}
	if err := x.w.Attach(2, small, nil); err == nil {
		t.Error("a port has two queues")
	}
	x.send(2, frame(2, "198.51.100.9", "198.51.100.1", 40)) // from the old wire: nobody takes it
	x.run()
	x.wantCounted(2, dataplane.LocalRoute, 0)
}

// What the way to the kernel does not take is counted as that, instead of its reason.
func TestKernelQueueFull(t *testing.T) {
	x := newWorld(t, nil, nil)
	_, small, err := device.NewWire(x.mem, [2]uint32{0, 1}, [2]*device.Pool{x.pool, x.pool}, 16)
	x.must(err)
	in := x.w.link(1).queue
	x.must(x.w.Detach(1))
	x.must(x.w.Attach(1, in, small))
	local, through := frame(1, "192.0.2.9", "203.0.113.1", 40), frame(1, "192.0.2.9", "10.2.0.1", 40)
	for range 20 {
		x.send(1, local, through)
	}
	x.run()
	x.wantCounted(1, dataplane.LocalRoute, 16)
	x.wantCounted(1, dataplane.LoopPuntOverrun, 4)
	x.wantCounted(1, dataplane.Forwarded, 20)
	x.must(x.w.Detach(1))
	x.must(x.w.Attach(1, in, nil))
	x.send(1, local)
	x.run()
	x.wantCounted(1, dataplane.LoopPuntOverrun, 5)
}

// Frames that a queue has sent come back also when no more are sent to it.
func TestReclaims(t *testing.T) {
	x := newWorld(t, nil, nil)
	memory, err := x.mem.NewPool(x.mem.Frames() - worldFrames)
	x.must(err)
	host, port, err := device.NewWire(x.mem, [2]uint32{0, 2}, [2]*device.Pool{memory, x.pool}, 16)
	x.must(err)
	x.must(x.w.Detach(2))
	x.must(x.w.Attach(2, port, nil))
	for range 10 {
		x.send(1, frame(1, "192.0.2.9", "10.2.0.1", 40))
	}
	x.run()
	if port.Pending() != 10 {
		t.Fatalf("%d frames are the queue's", port.Pending())
	}
	got := make([]device.Descriptor, 16)
	if n := host.Receive(got); n != 10 {
		t.Fatalf("%d packets came out", n)
	}
	x.run()
	if port.Pending() != 0 {
		t.Errorf("%d frames are the queue's still", port.Pending())
	}
	x.wantConserved(10)
}

// A port that is busy does not keep others waiting.
func TestFairness(t *testing.T) {
	x := newWorld(t, nil, nil)
	for range 3 * VectorSize {
		x.send(1, frame(1, "192.0.2.9", "10.2.0.1", 40))
	}
	for range 10 {
		x.send(3, frame(3, "203.0.113.9", "10.2.0.1", 40))
	}
	x.w.Round()
	x.w.Round()
	x.wantCounted(3, dataplane.Forwarded, 10)
	if c := x.w.Counters(1); c.Received().Packets >= 3*VectorSize {
		t.Error("all of port 1 came first")
	}
}

// Vectors of all lengths and mixtures come to what each of their packets comes to by
// itself, by the way that most go or by the slow one.
func TestVectorsAreTheirPackets(t *testing.T) {
	r := random(t)
	probe, err := NewProbe()
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	x := newWorld(t, nil, nil)
	c := *x.config
	c.Limits = packet.Limits{PerSecond: 1 << 20, Burst: 1 << 20}
	x.must(x.w.Set(&c))
	x.must(probe.Set(&c))
	total := uint64(0)
	for range 60 {
		want := map[string]int{}
		n := 1 + r.IntN(300)
		for range n {
			port := uint32(1 + r.IntN(3))
			f := randomFrame(r, byte(port))
			o, err := probe.Run(f, port)
			x.must(err)
			for _, s := range o.Sent {
				want[place(s.Port, s.Kernel, s.Frame)]++
			}
			x.send(port, f)
		}
		total += uint64(n)
		x.run()
		x.forgetHeld()
		for port := range x.wires {
			for _, f := range x.received(x.wires[port]) {
				want[place(port, false, f)]--
			}
			for _, f := range x.received(x.kernels[port]) {
				want[place(port, true, f)]--
			}
		}
		for k, n := range want {
			if n != 0 {
				t.Fatalf("%d times more by itself: %s", n, k)
			}
		}
	}
	x.wantConserved(total)
	if n := x.w.Fates()[FateAnswered].Packets; n < total/50 {
		t.Errorf("%d of %d packets were answered", n, total)
	}
}
