package fpm

import (
	"fmt"
	"testing"

	"weft/test/proof"
)

// pass lets the hold time that goes on now come to its end, and waits for what
// follows: the last part of it, or a sweep.
func (w *world) pass() {
	w.Helper()
	sweeps, asked := w.server.Status().Sweeps, w.clock.count()
	w.clock.pass()
	w.until("the hold time goes on or is over", func() bool { return w.server.Status().Sweeps > sweeps || w.clock.count() > asked })
}

// held waits until the hold time has been started so often.
func (w *world) held(times int) {
	w.Helper()
	w.until("hold time started", func() bool { return w.clock.count() >= times })
}

// A peer goes and comes again: nothing is lost, and what it does not tell again
// goes when the hold time is over, once.
func TestReplay(t *testing.T) {
	w := newWorld(t, Config{})
	c := w.dial()
	const n = 1000
	prefix := func(i int) string { return fmt.Sprintf("10.%d.%d.0/24", i/250, i%250) }
	c.say(object1(1, "198.51.100.1"), object1(2, "198.51.100.2"))
	for i := range n {
		c.say(by(prefix(i), uint32(1+i%2)))
	}
	w.applied(c.sent)
	w.leave(c)
	w.held(1)
	if s := w.server.Status(); s.Routes != n || s.Stale != n {
		t.Errorf("after the end: %+v", s)
	}
	again := w.dial()
	w.held(2)
	// The same number now means another object: stale routes keep the old one.
	again.say(object1(1, "203.0.113.1"))
	for i := range n / 2 {
		again.say(by(prefix(i), 1))
	}
	w.applied(c.sent + again.sent)
	if s := w.server.Status(); s.Routes != n || s.Stale != n/2 || s.NextHops != 3 {
		t.Errorf("in the replay: %+v", s)
	}
	w.wantVia(prefix(0), "203.0.113.1")
	w.wantVia(prefix(n-2), "198.51.100.1")
	w.wantVia(prefix(n-1), "198.51.100.2")
	w.pass() // to the last part, in which some are told again
	again.say(by(prefix(n-1), 1))
	w.applied(c.sent + again.sent)
	w.pass()
	if s := w.server.Status(); s.Sweeps != 0 || s.Routes != n {
		t.Errorf("while the replay goes on: %+v", s)
	}
	if w.sink.deleted() != 0 {
		t.Errorf("%d routes deleted within the hold time", w.sink.deleted())
	}
	w.pass()
	if s := w.server.Status(); s.Sweeps != 1 || s.Swept != n/2-1 || s.Routes != n/2+1 || s.Stale != 0 || s.NextHops != 1 {
		t.Errorf("after the hold time: %+v", s)
	}
	if w.sink.len() != n/2+1 || len(w.sink.nextHops) != 1 || w.sink.deleted() != n/2-1 {
		t.Errorf("sink: %d routes, %d objects, %d deletions", w.sink.len(), len(w.sink.nextHops), w.sink.deleted())
	}
	w.wantVia(prefix(n-1), "203.0.113.1")
	w.wantVia(prefix(n-2), "none")
	proof.Record(t, proof.Result{Kind: proof.Fault, Name: "R21", What: "FPM: peer gone and back, stale routes kept until the hold time is over, then removed", Count: n})
}

// A peer that does not come again loses its routes when the hold time is over.
func TestHoldEndsWithoutPeer(t *testing.T) {
	w := newWorld(t, Config{})
	c := w.dial()
	c.say(object1(1, "198.51.100.1"), group(2, 1), by("192.0.2.0/24", 2), by("203.0.113.0/24", 99), via("2001:db8::/32", "fe80::1"))
	w.applied(1)
	w.leave(c)
	w.held(1)
	w.pass()
	w.pass()
	if s := w.server.Status(); s.Routes != 0 || s.Stale != 0 || s.Swept != 3 || s.NextHops != 0 || s.Parked != 0 {
		t.Errorf("%+v", s)
	}
	if w.sink.len()+len(w.sink.nextHops)+len(w.server.table.objects) != 0 {
		t.Errorf("left: %v, %v, %v", w.sink.routes, w.sink.nextHops, w.server.table.objects)
	}
	w.dial().say(via("192.0.2.0/24", "198.51.100.1"))
	w.applied(2)
	w.wantVia("192.0.2.0/24", "198.51.100.1")
}

// What was said before the end and not worked off yet is not lost, and not fresh.
func TestQueuedAtTheEnd(t *testing.T) {
	w := newWorld(t, Config{})
	c := w.dial()
	w.sink.gate.Lock()
	c.say(via("192.0.2.0/24", "198.51.100.1"))
	w.until("it is in work", func() bool { return w.server.Status().Frames == 1 })
	c.say(via("203.0.113.0/24", "198.51.100.1"))
	w.until("it is taken", func() bool { return w.server.Status().Frames == 2 })
	w.leave(c)
	w.sink.gate.Unlock()
	w.applied(2)
	if s := w.server.Status(); s.Routes != 2 || s.Stale != 2 {
		t.Errorf("%+v", s)
	}
}
