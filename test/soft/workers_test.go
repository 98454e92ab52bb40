package soft

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/proof"
	"weft/test/star"
)

// Three loops for three ports: hosts of all ports talk to each other at once, and nothing is lost.
func TestWorkers(t *testing.T) {
	n := star.New(t)
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
	n := star.New(t)
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
	p := n.Path(2)
	for _, dst := range []string{"10.2.0.2", "2001:db8:2::2"} {
		d := p.Packet(dst)
		n.WantCounted("to-h1", "forwarded", 2, func() {
			p.Crosses(d)
			d.Payload = 1400
			p.Crosses(d)
		})
		d.Ttl = 1
		n.WantCounted("to-h1", "ttl_value_is_too_small", 1, func() { p.IsLost(d) })
		n.Command("h1", "ping", "-q", "-c", "3", "-i", "0.01", "-W", "5", dst)
	}
	n.WantCounted("to-h1", "local_route", 3, func() {
		n.Command("h1", "ping", "-q", "-c", "3", "-i", "0.01", "-W", "5", "10.1.0.1")
	})
	n.BeginStable().Finish()
	// Killed, it takes nothing from Linux any more.
	n.Signal(unix.SIGKILL)
	p.Arrives(p.Packet("10.2.0.2"))
}
