package soft

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/star"
)

// Hosts talk through the loop: bytes, TTL, and errors of weft's own.
func TestForward(t *testing.T) {
	n := star.New(t)
	n.Run("--engine", "soft")
	for name, p := range n.Ports() {
		if p.Engine != "soft" {
			t.Errorf("%s has engine %s", name, p.Engine)
		}
	}
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
	}
	for _, dst := range []string{"10.2.0.2", "2001:db8:2::2"} {
		if out := n.Command("h1", "ping", "-c", "3", "-i", "0.01", "-W", "5", dst); out == "" {
			t.Error("no answer")
		}
	}
	n.WantCounted("to-h1", "loop_overrun", 0, func() {
		s := n.Stream("10.2.0.2")
		s.Begin()
		time.Sleep(time.Second)
		s.Stop()
		s.WantAll()
	})
}

// Killed, the loop is missed by nobody: Linux forwards, and the next daemon takes over.
func TestKilled(t *testing.T) {
	n := star.New(t)
	n.Run("--engine", "soft")
	n.Resolve()
	n.Signal(unix.SIGKILL)
	p := n.Path(2)
	p.Arrives(p.Packet("10.2.0.2"))
	p.Arrives(p.Packet("2001:db8:2::2"))
	n.Start("--engine", "soft")
	p.Crosses(p.Packet("10.2.0.2"))
}
