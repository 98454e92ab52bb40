package soft

import (
	"testing"

	"golang.org/x/sys/unix"

	"weft/dataplane/soft/device"
	"weft/dataplane/soft/internal/vethtest"
	"weft/fib"
)

// eventWire is a wire whose end can be waited for.
type eventWire struct {
	*device.Wire
	event int
}

func (w eventWire) FD() int   { return w.event }
func (w eventWire) Arm() bool { return false }

// An idle loop sleeps, and does not wake for nothing. A sleeping one does what it is told,
// and keeps no writer of the FIB waiting.
func TestLoopSleeps(t *testing.T) {
	readers := new(fib.Readers)
	l, err := newLoop(readers)
	if err != nil {
		t.Fatal(err)
	}
	vethtest.Until(t, "it sleeps", func() bool { return l.sleeps.Load() == 1 })
	vethtest.Until(t, "writers do not wait for it", func() bool { return readers.Over(readers.Begin()) })
	for n := range uint64(100) {
		done := false
		l.do(func() { done = true })
		if !done {
			t.Fatal("do has returned before its task was done")
		}
		vethtest.Until(t, "it sleeps again", func() bool { return l.sleeps.Load() == n+2 })
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(event)
	before := l.sleeps.Load()
	l.do(func() { l.setPolled([]device.Queue{eventWire{event: event}}) })
	vethtest.Until(t, "it sleeps", func() bool { return l.sleeps.Load() > before })
	if _, err := unix.Write(event, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	vethtest.Until(t, "a queue wakes it", func() bool { return l.sleeps.Load() > before+1 })
	if err := l.close(); err != nil {
		t.Error(err)
	}
	if !readers.Over(readers.Begin()) {
		t.Error("a loop that has ended keeps writers waiting")
	}
}

func TestRings(t *testing.T) {
	free, sockets := loopFrames, 0
	for ; free > loopFrames/8; sockets++ {
		free -= ringFor(free)
	}
	if first := ringFor(loopFrames); first != mostRing || sockets < 8 || ringFor(0) != leastRing {
		t.Errorf("the first ring has %d packets, %d sockets take all but an eighth", first, sockets)
	}
}
