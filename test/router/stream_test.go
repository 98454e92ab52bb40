package router

import (
	"testing"

	"weft/test/star"
)

// A stream that cannot lose anything would prove nothing.
func TestStreamTellsLoss(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	n.IP("r1", "route add 10.70.0.0/16 via 10.2.0.2")
	n.IP("r1", "route add blackhole 10.71.0.0/16")
	n.WantForward("10.70.0.1", "to-h2", "10.2.0.2")
	n.WantReason("10.71.0.1", "blackhole_route")
	s := n.Stream("10.70.0.1", "10.70.0.2", "10.70.0.3", "10.71.0.1")
	n.WantCounted("to-h1", "blackhole_route", 256, func() {
		n.WantCounted("to-h1", "forwarded", 768, func() { s.Burst(1024) })
	})
	if lost := s.Lost(); lost != 256 {
		t.Errorf("%d packets are lost, want 256", lost)
	}
}
