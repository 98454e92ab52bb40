package soft

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/control/api"
	"weft/test/proof"
	"weft/test/star"
)

// keep switches all ports to and fro until the end of f, and returns how often.
func (s *switcher) keep(f func()) (times uint64) {
	s.Helper()
	done, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			for _, engine := range []string{"soft", "xdp"} {
				if _, err := s.client.SetPorts(s.Context(), &api.SetPortsRequest{Match: []string{"to-*"}, Engine: engine}); err != nil {
					ended <- err
					return
				}
				times++
			}
			select {
			case <-done:
				ended <- nil
				return
			default:
			}
		}
	}()
	f()
	close(done)
	if err := <-ended; err != nil {
		s.Fatal(err)
	}
	return times
}

// What else changes while ports go to and fro: routes, a neighbor's MAC, and the image, which
// grows. No packet is lost.
func TestSwitchWhileAllChanges(t *testing.T) {
	n := newNetwork(t)
	n.Wait = time.Minute
	n.Run()
	n.Resolve()
	s := newSwitcher(n)
	m := beginMesh(n)
	mac := [6]byte{2, 0, 0, 0, 7, 7}
	times := s.keep(func() {
		size := n.Status().FIB.Size
		n.Fill(30000)
		if grown := n.Status().FIB.Size; grown <= size {
			t.Errorf("the image has %d bytes, as before", grown)
		}
		churned := star.Prefixes(30000)[:500]
		for i := range uint32(6) { // to another next hop and back
			n.Put(churned, 1+i%2)
		}
		n.Delete(churned)
		n.SetMAC("h2", "eth0", mac)
		for _, family := range []int{4, 6} {
			n.IP("r1", fmt.Sprintf("neigh replace %s lladdr %s dev to-h2 nud reachable", star.HostAddr(2, family), net.HardwareAddr(mac[:])))
		}
		n.CatchUp()
		m.pass(500)
	})
	p := m.finish()
	if last, err := m.sinks["h2"].Last(); err != nil || !bytes.HasPrefix(last, mac[:]) {
		t.Errorf("the last packet at h2 is % x (%v), want it to be for % x", last, err, mac)
	}
	if times < 4 {
		t.Errorf("ports were switched %d times", times)
	}
	if !t.Failed() {
		proof.Record(t, proof.Result{
			Kind: proof.Fault, Name: "switch", What: "ports change their engine while routes, a MAC and the image's size do", Packets: p.sent, Count: times,
		})
	}
}

// The daemon is killed while it switches ports: the next one takes over, with what the configuration
// says. What is lost is what the loop had, and is counted.
func TestSwitchKilled(t *testing.T) {
	n := newNetwork(t)
	n.Run()
	n.Resolve()
	m := beginMesh(n)
	const kills = 6
	for i := range kills {
		engine := [2]string{"soft", "xdp"}[i%2]
		set, err := n.Lab.Start("r1", star.Weft, "ports", "set", "to-*", "engine", engine)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(10*(i/2)+rand.IntN(20)) * time.Millisecond) // anywhere in it
		n.Signal(unix.SIGKILL)
		<-set.Done
		m.pass(100) // by Linux, where there is no loop
		n.Start()
		wantConfigured(n)
	}
	p := m.end()
	n.Until("what is lost is counted", func() bool { return overrun(n) >= p.lost })
	t.Logf("%d of %d packets lost, %d of them were the loop's; %d late", p.lost, p.sent, overrun(n), p.late)
	if !t.Failed() {
		proof.Record(t, proof.Result{
			Kind: proof.Fault, Name: "switch", What: "killed while ports change their engine; what is lost is counted", Packets: p.sent, Lost: p.lost, Count: kills,
		})
	}
}

// overrun is how many packets were lost with loops that were killed.
func overrun(n *star.Network) (sum uint64) {
	n.Helper()
	for name := range n.Ports() {
		sum += n.Count(name, "loop_overrun")
	}
	return sum
}

// wantConfigured asserts that all ports have the engine that the configuration in force says, which is
// that before the kill or that after it.
func wantConfigured(n *star.Network) {
	n.Helper()
	var engines []string
	for name, p := range n.Ports() {
		if engines = append(engines, p.Engine); p.EngineMatch == "" && p.Engine != "xdp" {
			n.Errorf("%s has engine %s, which the configuration does not say", name, p.Engine)
		}
	}
	slices.Sort(engines)
	if len(slices.Compact(engines)) != 1 {
		n.Errorf("ports have several engines: %v", n.Ports())
	}
}
