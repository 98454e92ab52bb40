package control

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/control/rib"
)

// Who asks has his turn while the end of a synchronization takes long: between the
// prefixes that have changed, between those that are gone, and between the changes that
// were held.
func TestEndOfSynchronizationLeavesTurns(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	w := follow(t, Config{})
	key := func(i int) rib.Key {
		return rib.KeyOf(0, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i)}), 24))
	}
	neighbor := kernel.Event{Type: unix.RTM_NEWNEIGH} // of no use: it is counted, and left
	for _, c := range []struct {
		name string
		long func(f *Follower)
	}{
		{"changed while they were dumped", func(f *Follower) {
			f.retakes, f.dumped = map[rib.Key]*retake{}, true
			for i := range 2 * pollEvery {
				f.retakes[key(i)] = new(retake)
			}
			f.retake()
		}},
		{"held", func(f *Follower) {
			f.held = make([]kernel.Event, 2*batch)
			for i := range f.held {
				f.held[i] = neighbor
			}
			f.release()
		}},
	} {
		ended := make(chan struct{})
		w.do(func(*rib.RIB) {
			asked := false
			go func() {
				defer close(ended)
				if err := w.Do(context.Background(), func(*rib.RIB) { asked = true }); err != nil {
					t.Error(err)
				}
			}()
			for deadline := time.Now().Add(30 * time.Second); !asked; {
				if time.Now().After(deadline) {
					t.Errorf("%s: nobody has had a turn", c.name)
					return
				}
				c.long(w.Follower)
			}
		})
		<-ended
	}
}

// It is told that all is read again, why, and since when.
func TestRereadingIsTold(t *testing.T) {
	enterNetns(t)
	twoPorts(t)
	w := follow(t, Config{})
	tells := func() Rereading {
		t.Helper()
		c, err := w.Counts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c.Rereading
	}
	w.eventually(func() string { return tells().Why }) // links have come up
	before := time.Now()
	w.do(func(*rib.RIB) { w.lastTook, w.lastSync = 300*time.Millisecond, before }) // it is due four times that later
	ip(t, "link set port1 down")
	var pending Rereading
	w.eventually(func() string {
		if pending = tells(); pending.Why == "" {
			return "nothing is to be read again"
		}
		return ""
	})
	if pending.Why != string(rib.LinkChanged) || pending.Since.Before(before) || pending.Since.After(time.Now()) {
		t.Errorf("%+v, want %q since %v", pending, rib.LinkChanged, before)
	}
	w.do(func(*rib.RIB) { w.running = Rereading{"it is a test", before, true} })
	if got, want := tells(), (Rereading{"it is a test", before, true}); got != want {
		t.Errorf("%+v, want %+v: what runs goes before what is due", got, want)
	}
}
