package soft

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/proof"
	"weft/test/star"
)

// newNetwork is one in which nothing is lost however busy the machine is: a loop that does not come to run takes no
// packet, and its rings end.
func newNetwork(t *testing.T) *star.Network {
	t.Helper()
	n := star.New(t)
	n.Trickle = true
	return n
}

// wantEngines asserts which engine each port has.
func wantEngines(n *star.Network, want map[string]string) {
	n.Helper()
	for name, p := range n.Ports() {
		if p.Engine != want[name] {
			n.Errorf("%s has engine %q, want %q", name, p.Engine, want[name])
		}
	}
}

// all is each port with one engine.
func all(engine string) map[string]string {
	return map[string]string{"to-h1": engine, "to-h2": engine, "to-h3": engine}
}

// wantForwarding has h1 and h2 talk, through an engine.
func wantForwarding(n *star.Network, engine string) {
	n.Helper()
	p := n.Path(2)
	for _, dst := range []string{"10.2.0.2", "2001:db8:2::2"} {
		d := p.Packet(dst)
		n.WantCounted("to-h1", "forwarded", 2, func() {
			p.Crosses(d)
			d.Payload = 1400
			p.Crosses(d)
		})
		if l := n.Lookup(dst); l.Engine != engine || l.Verdict != "forward" || l.Dev != "to-h2" {
			n.Errorf("explained: %+v", l)
		}
		d.Ttl = 1
		n.WantCounted("to-h1", "ttl_value_is_too_small", 1, func() { p.IsLost(d) })
		n.Command("h1", "ping", "-q", "-c", "3", "-i", "0.01", "-W", "5", dst)
	}
}

// Hosts talk through the loop: bytes, TTL, and errors of weft's own.
func TestForward(t *testing.T) {
	n := newNetwork(t)
	n.Run("--engine", "soft")
	wantEngines(n, all("soft"))
	n.Resolve()
	wantForwarding(n, "soft")
	var l []star.Lookup
	if n.Ask(&l, "routes", "get", "10.2.0.2", "ttl", "1"); len(l) != 1 || l[0].Engine != "soft" || l[0].Fate != "answered" {
		t.Errorf("of a packet that expires: %+v", l)
	}
	n.WantCounted("to-h1", "loop_overrun", 0, func() { n.BeginStable().Finish() })
}

// Killed, the loop is missed by nobody: Linux forwards, and the next daemon takes over.
func TestKilled(t *testing.T) {
	n := newNetwork(t)
	n.Run("--engine", "soft")
	n.Resolve()
	before := n.Count("to-h1", "loop_absent")
	n.Signal(unix.SIGKILL)
	p := n.Path(2)
	p.Arrives(p.Packet("10.2.0.2"))
	p.Arrives(p.Packet("2001:db8:2::2"))
	n.Start("--engine", "soft")
	wantEngines(n, all("soft"))
	n.WantCounted("to-h1", "forwarded", 1, func() { p.Crosses(p.Packet("10.2.0.2")) })
	if got := n.Count("to-h1", "loop_absent") - before; got < 2 {
		t.Errorf("%d packets were Linux's without the loop, want 2", got)
	}
}

// Ports of both engines forward to each other.
func TestMixed(t *testing.T) {
	n := newNetwork(t)
	n.Run("--engine", "soft:to-h1,to-h[4-9]")
	want := all("xdp")
	want["to-h1"] = "soft"
	wantEngines(n, want)
	n.Resolve()
	p := n.Path(2)
	for _, dst := range []string{"10.2.0.2", "2001:db8:2::2"} {
		n.WantCounted("to-h1", "forwarded", 1, func() { p.Crosses(p.Packet(dst)) })
		// There and back: what comes in by to-h2 leaves by a port of the loop's.
		n.WantCounted("to-h2", "forwarded", 3, func() { n.Command("h1", "ping", "-q", "-c", "3", "-i", "0.01", "-W", "5", dst) })
	}
	n.BeginStable().Finish()
}

// A port goes from one engine to the other under traffic, when a daemon takes over from another:
// no packet is lost.
func TestSwitch(t *testing.T) {
	n := newNetwork(t)
	n.Wait = time.Minute
	n.Run()
	n.Resolve()
	s := n.BeginStable()
	engines := []string{"soft", "xdp", "soft:to-h1"}
	for _, engine := range engines {
		if code := n.Signal(unix.SIGTERM); code != 0 {
			t.Errorf("exit code %d", code)
		}
		n.Start("--engine", engine)
		s.Pass(200 * time.Millisecond)
	}
	wantEngines(n, map[string]string{"to-h1": "soft", "to-h2": "xdp", "to-h3": "xdp"})
	sent := s.Finish()
	if !t.Failed() {
		proof.Record(t, proof.Result{
			Kind: proof.Fault, Name: "engines", What: "a port changes its engine, by a daemon that takes over", Packets: sent, Count: uint64(len(engines)),
		})
	}
}

// The image grows while the loop reads it: routes are added until it is full, several times.
func TestGrow(t *testing.T) {
	n := newNetwork(t)
	n.Wait = time.Minute
	n.Run("--engine", "soft")
	n.Resolve()
	s := n.BeginStable()
	size := n.Status().FIB.Size
	n.Fill(60000)
	if grown := n.Status().FIB.Size; grown <= size {
		t.Errorf("the image has %d bytes, as before", grown)
	}
	s.Finish()
}
