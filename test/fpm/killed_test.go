package fpm

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/proof"
	"weft/test/star"
)

// fresh waits until FRR has told all of its routes over a connection that is up.
func (n *network) fresh(routes uint64) {
	n.Helper()
	n.Until("FRR has told all routes again", func() bool {
		s := askFPM(n.Network)
		return s.Peer != "" && s.Routes == routes && s.Stale+s.Parked+s.Queued == 0
	})
}

// Under traffic to FRR's routes first weft is killed, then zebra. Nothing is lost: the
// pins go on, and the next weft finds FRR's routes in the kernel before FRR tells them
// again; zebra, which removes routes or some of their next hops from the kernel when it
// starts, does not so with what it has told weft.
func TestKilled(t *testing.T) {
	n := newNetwork(t, true)
	n.tellAll()
	const routes = 7
	s := &star.Stable{Stream: n.Stream(inside(byOSPF), inside(byBGP), inside(far), inside(by3))}
	s.Begin()
	n.Signal(unix.SIGKILL)
	s.Pass(500 * time.Millisecond)
	n.Start("--fpm", fpmAddress)
	for _, prefix := range []string{byOSPF, byBGP, far, by3} {
		if l := n.Lookup(inside(prefix)); l.Verdict != "forward" || l.Prefix != prefix {
			t.Errorf("after the start packets to %s: %+v", prefix, l)
		}
	}
	n.fresh(routes)
	s.Pass(100 * time.Millisecond)
	before := s.Arrived()

	n.r1.Daemon("zebra").Kill()
	s.Pass(200 * time.Millisecond)
	n.r1.Daemon("zebra").Start()
	n.Until("zebra is connected", func() bool { return askFPM(n.Network).Peer != "" })
	s.Pass(500 * time.Millisecond)
	t.Logf("FRR's routes in the kernel:\n%s", n.IP("r1", "route show proto ospf")+n.IP("r1", "route show proto bgp"))
	// FRR's other daemons go on, and do not tell a new zebra what they have told the old
	// one: so watchfrr starts them again, too.
	for _, name := range []string{"staticd", "ospfd", "bgpd"} {
		n.r1.Daemon(name).Kill()
		n.r1.Daemon(name).Start()
	}
	n.r1.Configure("staticd", "ip route "+hole+" blackhole") // which no file of its has
	n.fresh(routes)
	n.wantVia(byBGP, "to-h2", "to-h3")
	n.wantVia(far, "to-h2", "to-h3")
	s.Stop()
	sent := s.WantAll()
	proof.Record(t, proof.Result{
		Kind: proof.Fault, Name: "R2", What: "weft killed and started again with routes of FRR over FPM", Count: 1, Packets: before,
	})
	proof.Record(t, proof.Result{
		Kind: proof.Fault, Name: "R21", What: "FRR: zebra killed and started again, which takes routes out of the kernel, then its daemons", Count: 1, Packets: sent - before,
	})
}
