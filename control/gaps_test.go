package control

import (
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/control/rib"
)

// offline is a Follower that a test feeds by hand.
func offline(t *testing.T) *Follower {
	t.Helper()
	f := &Follower{
		config: Config{Log: slog.New(slog.DiscardHandler)}, arrived: make(chan arrival, 8), timer: time.NewTimer(time.Hour),
		rib: rib.New(newImage(t, 1<<20), rib.Options{Ports: &testPorts{}, Reasons: testReasons}),
	}
	f.rib.BeginSync()
	f.rib.EndSync()
	f.rib.BeginSync()
	f.retakes = map[rib.Key]*retake{}
	return f
}

func routeMessage(prefix string, nextHop uint32) []byte {
	return appendRoute(nil, netip.MustParsePrefix(prefix), nextHop, false)[unix.SizeofNlMsghdr:]
}

// What a dump has shown of a prefix stays, though another of its routes changes behind that, and what
// it shows behind the change is put together with it.
func TestShownBeforeTheChange(t *testing.T) {
	const prefix = "10.0.0.0/8"
	k := rib.KeyOf(0, netip.MustParsePrefix(prefix))
	for name, behind := range map[string]bool{"the change is last": false, "the dump goes on": true} {
		f := offline(t)
		seven, local := routeMessage(prefix, 7), routeMessage(prefix, 8)
		local[4] = unix.RT_TABLE_LOCAL
		f.takeDumpedRoute(seven)
		f.takeTwice(kernel.Event{Type: unix.RTM_NEWROUTE, Payload: local})
		if behind {
			f.takeDumpedRoute(local)
		}
		f.dumped = true
		f.retake()
		f.rib.EndSync()
		if got := f.rib.At(k); len(got) != 2 || !got[0].Local || got[1].Local {
			t.Errorf("%s: the RIB has %+v, want a local route and another one", name, got)
		}
	}
}

// While IPv6 routes go Linux leaves out others when it dumps them: those stay.
func TestDumpsOfIPv6HaveGaps(t *testing.T) {
	const stable, changing = 4000, 100
	enterNetns(t)
	twoPorts(t)
	name := func(i, half int) string { return fmt.Sprintf("2001:db8:%x:%d000::/64", 0x100+i, half) }
	lines := make([]string, 0, stable)
	for i := range stable {
		lines = append(lines, "route add "+name(i, 8)+" via 2001:db8:1::2")
	}
	ipBatch(t, lines)
	lines = lines[:0]
	for range 20 {
		for _, op := range []string{"add", "del"} {
			for i := range changing {
				lines = append(lines, fmt.Sprintf("route %s %s via 2001:db8:1::2", op, name(i, 4)))
			}
		}
	}
	var missed, synced atomic.Int64
	var w *world
	w = follow(t, Config{Image: newImage(t, 4<<20), Synced: func(time.Duration) {
		if w == nil {
			return // the first
		}
		synced.Add(1)
		for i := range stable {
			if len(w.rib.At(rib.KeyOf(0, netip.MustParsePrefix(name(i, 8))))) == 0 {
				missed.Add(1)
			}
		}
	}})
	stop := w.rereading()
	ipBatch(t, lines)
	stop()
	w.wantVerified("at the end")
	if n := missed.Load(); n > 0 {
		t.Errorf("%d times a route was not there any more that has not changed", n)
	}
	t.Logf("%d synchronizations", synced.Load())
}

// A difference while all is read again may be over behind it.
func TestVerifyWhileRereading(t *testing.T) {
	enterNetns(t)
	shortPause(t)
	twoPorts(t)
	w := follow(t, Config{})
	w.wantVerified("at first")
	w.do(func(r *rib.RIB) {
		r.SetRoute(inKernel(r), rib.Add)
		w.running = Rereading{"it is a test", time.Now(), true}
	})
	if v := w.verify(nil); v.Changing != 1 || len(v.Differences) != 0 {
		t.Errorf("while all is read again: %+v, want one prefix that changes", v)
	}
	w.do(func(*rib.RIB) { w.running = Rereading{} })
	if v := w.verify(nil); v.Changing != 0 || len(v.Differences) != 1 {
		t.Errorf("afterwards: %+v, want one difference", v)
	}
}
