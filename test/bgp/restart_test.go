package bgp

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/test/proof"
	"weft/test/star"
)

// graceful is how FRR restarts and helps: it asks for the same as weft does.
const graceful = " bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n"

// forBoth is a network through which packets go both ways by routes of BGP only.
func forBoth(t *testing.T) *network {
	n := begin(t, neighbors+"  redistribute: [{source: connected}]\n")
	n.startFRR(graceful + neighborAt("eth0") + fmt.Sprintf(both, "eth0"))
	n.startBIRD("graceful restart on;")
	n.shared("10.70.0.1")
	n.only("10.72.0.1", "to-h3")
	n.frrHas("10.1.0.0/24", fromWeft)
	n.birdHas("10.1.0.0/24", "BGP.as_path: 65001\n")
	n.IP("h2", "route del default")
	n.Until("FRR's kernel has the route back", func() bool { return len(n.IP("h2", "route show 10.1.0.0/24")) > 0 })
	return n
}

// under is stream while packets go the other way, too.
func (n *network) under(f func()) uint64 {
	n.Helper()
	back := n.beginBack()
	sent := n.stream(f)
	return sent + back.wantAll()
}

// stream runs something while packets go to both neighbors, and asserts that none is lost.
// It returns how many were sent.
func (n *network) stream(f func()) uint64 {
	n.Helper()
	s := n.Stream("10.70.0.1", "10.70.77.1", "10.72.0.1", "10.72.77.1")
	s.Begin()
	pass(s)
	f()
	pass(s)
	s.Stop()
	sent := s.WantAll()
	s.Close()
	return sent
}

// pass waits until a share of the stream more has passed.
func pass(s *star.Stream) {
	s.Helper()
	want := s.Arrived() + star.Rate/4
	s.Until("packets go on", func() bool { return s.Arrived() >= want })
}

// settled waits until all routes are there as before, and fresh.
func (n *network) settled() {
	n.Helper()
	n.forwards("10.70.0.1", 2)
	n.forwards("10.72.0.1", 1)
	n.frrHas("10.1.0.0/24", fromWeft)
	n.birdHas("10.1.0.0/24", "BGP.as_path: 65001\n")
	n.inKernel("10.70.0.0/16", "dev to-h2", "dev to-h3")
	n.inKernel("10.72.0.0/16", "dev to-h3")
}

// weft is killed and started again: its neighbors keep its routes, and packets go on by what
// it has left, both ways.
func TestWeftRestarts(t *testing.T) {
	n := forBoth(t)
	sent := n.under(func() {
		n.Signal(unix.SIGKILL)
		n.frrHas("10.1.0.0/24", func(p *path) bool { return p.Stale })
		n.Run("--config", n.config)
		n.settled()
	})
	n.Before = n.Accounts()
	n.shared("10.70.0.1")
	proof.Record(t, proof.Result{
		Kind: proof.Fault, Name: "R2", What: "weft, a BGP router, killed and started again beside FRR and BIRD (graceful restart): packets both ways", Packets: sent,
	})
}

// FRR's bgpd, then BIRD, are killed and started again: weft keeps what they had told. Packets
// the other way are not asserted: FRR's zebra drops its own stale routes some 40 ms before
// bgpd, which waits for next hops to be found, tells it the new ones.
func TestNeighborsRestart(t *testing.T) {
	n := forBoth(t)
	sent := n.stream(func() {
		n.frr.Daemon("bgpd").Kill()
		n.forwards("10.70.0.1", 2)
		n.frr.Daemon("bgpd").Start()
		n.settled()
		n.bird.Kill()
		n.forwards("10.70.0.1", 2)
		n.bird.Start()
		n.settled()
	})
	n.shared("10.70.0.1")
	proof.Record(t, proof.Result{
		Kind: proof.Fault, Name: "R1", What: "FRR's bgpd and BIRD killed and started again: weft keeps their routes", Count: 2, Packets: sent,
	})
}

// A session ends as the link goes down, and by the hold timer: packets go by the other
// neighbor, and both ways again afterwards.
func TestSessionLost(t *testing.T) {
	n := begin(t, strings.ReplaceAll(neighbors, "hold: 9s", "hold: 6s"))
	n.startFRR(neighborAt("eth0") + fmt.Sprintf(both, "eth0"))
	n.startBIRD("")
	packets := n.shared("10.70.0.1")
	n.IP("h2", "link set eth0 down")
	packets += n.only("10.70.0.1", "to-h3")
	n.IP("h2", "link set eth0 up")
	n.Until("the neighbor is known again", func() bool {
		_, err := n.Lab.Output("r1", "ping", "-q", "-c", "1", "-W", "1", "2001:db8:2::2")
		return err == nil
	})
	packets += n.shared("10.70.0.1")

	s := n.Stream("10.70.0.1")
	s.Begin()
	n.bird.Signal(unix.SIGSTOP) // it hangs; its host takes packets on
	n.forwards("10.70.0.1", 1)
	n.WantForward("10.70.0.1", "to-h2", "")
	n.bird.Signal(unix.SIGCONT)
	n.forwards("10.70.0.1", 2)
	s.Stop()
	packets += s.WantAll()
	s.Close()
	proof.Record(t, proof.Result{
		Kind: proof.Fault, Name: "R17", What: "BGP sessions lost by link and by hold timer (a hop is taken out and put back)", Count: 2, Packets: packets,
	})
}
