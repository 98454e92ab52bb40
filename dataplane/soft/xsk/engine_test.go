package xsk_test

import (
	"bytes"
	"testing"

	"weft/bpf"
	"weft/dataplane"
	"weft/dataplane/soft"
	"weft/dataplane/soft/device"
	"weft/dataplane/soft/internal/steertest"
	"weft/dataplane/soft/internal/vethtest"
	"weft/dataplane/soft/xsk"
	"weft/fib"
)

// engine is a worker of the loop with two ports.
type engine struct {
	*soft.Worker
	*twoPorts
	steers *steertest.Steering
}

func newEngine(t testing.TB, frames int, o xsk.Options) *engine {
	t.Helper()
	e := &engine{twoPorts: newTwoPorts(t, frames, o)}
	image := steertest.NewFIB(t, false)
	im, err := fib.Open(image.Mem(), fib.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e.steers = steertest.New(t, e.ports[0].Index, e.ports[1].Index, 0)
	e.steers.LoadXSK(image, e.umem.PacketMax(), bpf.Features{})
	e.Worker = soft.NewWorker(soft.Options{Memory: e.mem, Pool: e.pool})
	c := &soft.Config{Image: im}
	for i, s := range e.sockets {
		n := uint32(i + 1)
		c.Ports = append(c.Ports, soft.Port{Port: dataplane.Port{Number: n, MAC: steertest.OurMAC, IPv4: true, IPv6: true}})
		if err := s.Register(e.steers.XSKs, bpf.XSKKey(n, 0)); err != nil {
			t.Fatal(err)
		}
		if err := e.Attach(n, s, nil); err != nil {
			t.Fatal(err)
		}
		e.steers.AttachXDP(e.ports[i].Index)
	}
	if err := e.Set(c); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestEngine has the loop forward packets that come in by AF_XDP: they leave in the frames that they came in, with a new
// header and one TTL less, and are counted once by the program and once by the loop.
func TestEngine(t *testing.T) {
	e := newEngine(t, 4096, xsk.Options{Ring: 512})
	from, to := vethtest.NewWire(t, e.peers[0].Index), vethtest.NewWire(t, e.peers[1].Index)
	for _, p := range []steertest.Packet{
		{Src: "10.9.0.1", Dst: "10.1.0.5", TTL: 9}, {Src: "2001:db8:9::1", Dst: "2001:db8:1::5", TTL: 9, Payload: 1400},
	} {
		from.Send(p.Bytes())
		vethtest.Until(t, "the loop has a packet", func() bool { return e.Round() > 0 })
		want := p
		want.TTL--
		frame := want.Bytes()
		copy(frame, steertest.HostMAC[:])
		copy(frame[6:], steertest.OurMAC[:])
		if got := to.Next(); !bytes.Equal(got, frame) {
			t.Errorf("%s: got\n% x, want\n% x", p.Dst, got, frame)
		}
	}
	vethtest.Until(t, "all frames come back", func() bool { e.Round(); return e.sockets[1].Pending() == 0 })
	steered, forwarded := e.steers.Counters(1), e.Counters(1)
	if steered[dataplane.LoopOverrun] != forwarded[dataplane.Forwarded] || forwarded[dataplane.Forwarded].Packets != 2 {
		t.Errorf("the program has counted %+v, the loop %+v", steered[dataplane.LoopOverrun], forwarded[dataplane.Forwarded])
	}
	if want := (device.Stats{Transmitted: 2, Wakeups: 2}); e.sockets[1].Stats() != want {
		t.Errorf("sent %+v, want %+v", e.sockets[1].Stats(), want)
	}
}
