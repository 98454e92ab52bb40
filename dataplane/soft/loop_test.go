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
	m, pool := vethtest.NewMemory(t, 256)
	l, err := newLoop(readers, m, pool, nil, -1)
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
	l.do(func() {
		if err := l.Attach(1, eventWire{newWire(t, m, pool), event}, nil); err != nil {
			t.Error(err)
		}
		l.setPolled()
	})
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

func newWire(t *testing.T, m *device.Memory, pool *device.Pool) *device.Wire {
	_, w, err := device.NewWire(m, [2]uint32{0, 1}, [2]*device.Pool{pool, pool}, 16)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestRings(t *testing.T) {
	const all = framesFirst + framesEach
	free, sockets := all, 0
	for ; free > all/8; sockets++ {
		free -= ringFor(free)
	}
	if first := ringFor(all); first != mostRing || sockets < 8 || ringFor(0) != leastRing {
		t.Errorf("the first ring has %d packets, %d sockets take all but an eighth", first, sockets)
	}
}
