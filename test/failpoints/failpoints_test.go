package failpoints

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"weft/test/proof"
	"weft/test/star"
)

// rounds is how often the daemon is killed at each failpoint.
func rounds() int {
	if os.Getenv("WEFT_SOAK") != "" {
		return 20
	}
	return 1
}

// The daemon is killed at each failpoint, under traffic, and the next one takes over.
// Packets to stable destinations are lost nowhere, not even where a port is being
// attached or given back: they go by Linux or by XDP.
func TestFailpoints(t *testing.T) {
	points, kills, packets := 0, 0, uint64(0)
	for i := range stops {
		stop := &stops[i]
		t.Run(stop.name, func(t *testing.T) {
			points += len(stop.points)
			r := newRouter(t)
			r.furnish()
			r.run()
			r.Before = r.Accounts()
			for range rounds() {
				s := r.stream()
				for _, point := range stop.points {
					r.killAt(s, stop, point)
					if kills++; t.Failed() {
						t.Fatalf("killed at %s", point)
					}
				}
				packets += s.WantAll()
				s.Close()
			}
		})
	}
	proof.Record(t, proof.Result{
		Kind: proof.Failpoint, Name: "R3", Count: uint64(kills), Packets: packets,
		What: fmt.Sprintf("killed at %d places in turn; the next daemon takes over, FIB equals kernel", points),
	})
}

// stream is traffic to the stable destinations that has not begun.
func (r *router) stream() *star.Stream {
	r.Helper()
	var dst []string
	for _, s := range stable {
		dst = append(dst, s.dst)
	}
	return r.Stream(dst...)
}

// killAt kills the daemon at a failpoint and looks at what the next one makes of it.
func (r *router) killAt(s *star.Stream, stop *stopping, point string) {
	r.Helper()
	if stop.prepare != nil {
		stop.prepare(r)
	}
	s.Begin()
	if stop.start != "" {
		r.launch(stop.start, point)
	} else {
		r.arm(point)
		stop.begin(r)
	}
	r.reached(point)
	time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond) // packets meet what is half done
	r.kill()
	r.IP("r1", "route replace 10.210.0.0/24 via 10.2.0.2") // nobody listens
	r.run()
	r.IP("r1", "route del 10.210.0.0/24")
	r.CatchUp()
	s.Stop()
	if lost := s.Sent() - s.Arrived(); lost != 0 {
		r.Errorf("%d packets are lost", lost)
	}
	if stop.fresh {
		r.Before = r.Accounts()
	}
	r.WantBalance()
	r.wantState()
	if stop.undo != nil {
		stop.undo(r)
		r.CatchUp()
	}
}
