package soft

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/proof"
	"weft/test/star"
	"weft/test/traffic"
)

// Three loops for three ports: hosts of all ports talk to each other at once, and nothing is lost.
func TestWorkers(t *testing.T) {
	n := newNetwork(t)
	n.Run("--engine", "soft", "--engine-workers", "3")
	wantEngines(n, all("soft"))
	n.Resolve()
	p := n.Path(2)
	n.WantCounted("to-h1", "forwarded", 2, func() {
		p.Crosses(p.Packet("10.2.0.2"))
		p.Crosses(p.Packet("2001:db8:2::2"))
	})
	s := n.BeginStable()
	s.Pass(500 * time.Millisecond)
	sent := s.Finish()
	if !t.Failed() {
		proof.Record(t, proof.Result{Kind: proof.Fault, Name: "workers", What: "ports have loops of their own, which send by all", Packets: sent, Count: 3})
	}
}

// Without AF_XDP: mode tc has the loop receive by AF_PACKET. What is Linux's it has once, and what is the loop's not at
// all.
func TestPackets(t *testing.T) {
	n := newNetwork(t)
	n.Start("--engine", "soft", "--mode", "tc")
	n.Until("weft forwards by three ports", func() bool {
		ports := 0
		for _, p := range n.Ports() {
			if p.Mode == "tc" && p.Sockets == "af_packet" {
				ports++
			}
		}
		return ports == 3
	})
	n.Before = n.Accounts()
	wantEngines(n, all("soft"))
	n.Resolve()
	wantForwarding(n, "soft")
	n.WantCounted("to-h1", "local_route", 3, func() {
		n.Command("h1", "ping", "-q", "-c", "3", "-i", "0.01", "-W", "5", "10.1.0.1")
	})
	n.BeginStable().Finish()
	// Killed, it takes nothing from Linux any more.
	n.Signal(unix.SIGKILL)
	p := n.Path(2)
	p.Arrives(p.Packet("10.2.0.2"))
}

// A flood that comes in by one port, as fast as packets are made, takes nothing from a trickle that comes in by another: one
// loop has both.
func TestFlood(t *testing.T) {
	n := newNetwork(t)
	n.Run("--engine", "soft", "--engine-workers", "1")
	n.Resolve()
	trickle := n.Stream("10.2.0.2")
	flood := newFlood(n)
	overrun := n.Count("to-h1", "loop_overrun")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Lab.In("h1", func() error { return trickle.Gen.Trickle(ctx, 1000) }) }()
	flooded := 0
	for range 4 {
		sent, err := flood.Send(1 << 18)
		if err != nil {
			t.Fatal(err)
		}
		flooded += sent
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	sent := trickle.Gen.Sent()
	counts, err := trickle.Sinks["h2"].Wait(sent)
	if err != nil {
		t.Fatal(err)
	}
	if counts.Packets != sent || sent < 100 {
		t.Errorf("%d packets of the trickle's %d have come", counts.Packets, sent)
	}
	if got := n.Count("to-h1", "loop_overrun") - overrun; got != 0 {
		t.Errorf("%d packets of the trickle did not come to the loop", got)
	}
	if got := n.Count("to-h3", "forwarded"); got < 1000 {
		t.Errorf("%d packets of a flood of %d are forwarded", got, flooded)
	}
	if !t.Failed() {
		proof.Record(t, proof.Result{Kind: proof.Fault, Name: "flood", What: "a port is flooded, a trickle comes in by another of the same loop", Packets: sent, Count: 1})
	}
}

// newFlood is from h3 to h1, which drops what it gets.
func newFlood(n *star.Network) (g *traffic.Generator) {
	n.Helper()
	h1 := n.Link("h1", "eth0").Attrs().Index
	err := n.Lab.In("h1", func() error {
		sink, err := traffic.NewSink(h1, traffic.SinkOptions{})
		if err == nil {
			n.Cleanup(func() { sink.Close() })
		}
		return err
	})
	if err == nil {
		spec := traffic.Spec{
			Ifindex: n.Link("h3", "eth0").Attrs().Index, SrcMAC: n.MAC("h3", "eth0"), DstMAC: n.MAC("r1", "to-h3"),
			Src: star.HostAddr(3, 4), Dst: []netip.Addr{star.HostAddr(1, 4)}, FrameSize: 64,
		}
		err = n.Lab.In("h3", func() (err error) {
			g, err = traffic.NewGenerator(spec)
			return err
		})
	}
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(g.Close)
	return g
}
