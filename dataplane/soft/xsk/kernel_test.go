package xsk_test

import (
	"bytes"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"weft/bpf"
	"weft/dataplane"
	"weft/dataplane/soft/device"
	"weft/dataplane/soft/internal/steertest"
	"weft/dataplane/soft/internal/vethtest"
	"weft/dataplane/soft/xsk"
	"weft/test/proof"
	"weft/test/traffic"
)

// TestKernel has a kernel beside the loop: it answers for itself, and forwards when the loop is away.
func TestKernel(t *testing.T) {
	two := newTwoPorts(t, 4096, xsk.Options{Ring: 512})
	ports, peers, sockets := two.ports, two.peers, two.sockets
	vethtest.SetMAC(t, "one", steertest.OurMAC)
	vethtest.Address(t, "one", "10.0.0.1/16", "10.0.0.5", steertest.HostMAC)
	vethtest.Address(t, "two", "10.1.0.1/16", "10.1.0.5", steertest.HostMAC)
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	s := steertest.New(t, ports[0].Index, ports[1].Index, 0)
	s.LoadXSK(steertest.NewFIB(t, false), 1<<16, bpf.Features{})
	if err := sockets[0].Register(s.XSKs, bpf.XSKKey(steertest.PortOne, 0)); err != nil {
		t.Fatal(err)
	}
	s.AttachXDP(ports[0].Index)
	host, other := vethtest.NewWire(t, peers[0].Index), vethtest.NewWire(t, peers[1].Index)

	// ARP (RFC 826).
	request := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, steertest.HostMAC[:]...)
	request = append(request, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1)
	request = append(append(append(request, steertest.HostMAC[:]...), 10, 0, 0, 5, 0, 0, 0, 0, 0, 0), 10, 0, 0, 1)
	host.Send(request)
	reply := append(append([]byte{}, steertest.HostMAC[:]...), steertest.OurMAC[:]...)
	reply = append(reply, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2)
	reply = append(append(append(append(reply, steertest.OurMAC[:]...), 10, 0, 0, 1), steertest.HostMAC[:]...), 10, 0, 0, 5)
	if got := host.Next(); !bytes.HasPrefix(got, reply) {
		t.Errorf("ARP request answered by\n% x, want\n% x", got, reply)
	}
	// To a port that nobody listens at: the kernel says so.
	host.Send(steertest.Packet{Src: "10.0.0.5", Dst: "10.0.0.1"}.Bytes())
	if got := host.Next(); len(got) < 36 || got[23] != unix.IPPROTO_ICMP || got[34] != 3 || got[35] != 3 {
		t.Errorf("a packet to the router was answered by % x, want ICMP port unreachable", got)
	}
	// Transit: the loop's.
	transit := steertest.Packet{Src: "10.0.0.5", Dst: "10.1.0.5", TTL: 9}
	host.Send(transit.Bytes())
	receive(t, sockets[0], 1)
	other.Quiet()
	// Without the loop the kernel forwards.
	if err := sockets[0].Close(); err != nil {
		t.Fatal(err)
	}
	host.Send(transit.Bytes())
	transit.TTL--
	want := transit.Bytes()
	if got := other.Next(); !bytes.Equal(got[14:], want[14:]) {
		t.Errorf("the kernel has forwarded\n% x, want\n% x", got[14:], want[14:])
	}
	got := s.Counters(steertest.PortOne)
	for reason, n := range map[dataplane.Reason]uint64{
		dataplane.ARP: 1, dataplane.LocalRoute: 1, dataplane.LoopOverrun: 1, dataplane.LoopAbsent: 1,
	} {
		if got[reason].Packets != n {
			t.Errorf("%d packets counted for %s, want %d", got[reason].Packets, reason, n)
		}
	}
	if sum := got.Received().Packets; sum != 4 {
		t.Errorf("%d packets counted, want 4", sum)
	}
}

// TestConservation overruns a loop: what was given to the socket is what came in and what the kernel counts as lost there,
// and what was handed over has arrived.
func TestConservation(t *testing.T) {
	const packets = 1 << 17
	two := newTwoPorts(t, 4096, xsk.Options{Ring: 512})
	ports, peers, sockets := two.ports, two.peers, two.sockets
	vethtest.SetMAC(t, "one", steertest.OurMAC)
	s := steertest.New(t, ports[0].Index, ports[1].Index, 0)
	s.LoadXSK(steertest.NewFIB(t, false), 1<<16, bpf.Features{})
	in, out := sockets[0], sockets[1]
	if err := in.Register(s.XSKs, bpf.XSKKey(steertest.PortOne, 0)); err != nil {
		t.Fatal(err)
	}
	s.AttachXDP(ports[0].Index)
	sink, err := traffic.NewSink(peers[1].Index, traffic.SinkOptions{Check: true, TTL: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	g, err := traffic.NewGenerator(traffic.Spec{
		Ifindex: peers[0].Index, SrcMAC: steertest.HostMAC, DstMAC: steertest.OurMAC,
		Src: netip.MustParseAddr("10.9.0.1"), Dst: []netip.Addr{netip.MustParseAddr("10.1.0.5")},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	ended := make(chan error, 1)
	go func() {
		_, err := g.Send(packets)
		ended <- err
	}()
	d := make([]device.Descriptor, 256)
	sent, running := uint64(0), true
	forward := func() int {
		n := in.Receive(d)
		for rest := d[:n]; len(rest) > 0; out.Flush() {
			taken := out.Transmit(rest)
			rest = rest[taken:]
			sent += uint64(taken)
		}
		return n
	}
	for running {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		default:
			forward()
		}
	}
	steered := func() uint64 { return s.Counters(steertest.PortOne)[dataplane.LoopOverrun].Packets }
	vethtest.Until(t, "all packets have come in", func() bool {
		n := forward()
		st := in.Stats()
		return n == 0 && st.Received+st.LostNoFrame == steered()
	})
	vethtest.Until(t, "all frames come back", func() bool { out.Flush(); return out.Pending() == 0 })
	all := s.Counters(steertest.PortOne)
	if n := all.Received().Packets; n != steered() {
		t.Errorf("%d packets came in, %d of them for the loop", n, steered())
	}
	arrived := sent - out.Stats().LostTransmit
	c, err := sink.Wait(arrived)
	if err != nil {
		t.Fatal(err)
	}
	if c.Packets != arrived || c.WrongTTL+c.Corrupt+c.Repeated != 0 {
		t.Errorf("sent %d, arrived %+v", arrived, c)
	}
	st := in.Stats()
	t.Logf("generated %d, steered %d, received %d, lost before %d, sent %d, lost behind %d, arrived %d",
		packets, steered(), st.Received, st.LostNoFrame, sent, out.Stats().LostTransmit, c.Packets)
	if st.Received == 0 || st.Received != sent {
		t.Errorf("received %d, sent %d", st.Received, sent)
	}
	proof.Record(t, proof.Result{
		Kind: proof.Case, Name: "af_xdp", What: "given to sockets: came in, or counted as lost", Packets: steered(),
		Lost: steered() - st.Received - st.LostNoFrame,
	})
}
