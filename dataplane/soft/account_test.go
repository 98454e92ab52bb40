package soft

import (
	"testing"

	"weft/dataplane"
)

// fakeBase counts as the base does: what is given to the loop is LoopOverrun until it is finished.
type fakeBase struct{ all dataplane.Counters }

func (b *fakeBase) Counters(uint32) dataplane.Counters { return b.all }

func (b *fakeBase) Finished(_ uint32, c *dataplane.Counters) {
	for r := range c {
		b.all[r].Add(c[r])
		b.all[dataplane.LoopOverrun].Packets -= c[r].Packets
		b.all[dataplane.LoopOverrun].Bytes -= c[r].Bytes
	}
}

func (b *fakeBase) give(packets uint64) {
	b.all[dataplane.LoopOverrun].Add(dataplane.Counter{Packets: packets, Bytes: packets * 100})
}

// What is on its way is not lost; what the kernel says is lost is, at once; what nobody
// has moved for some looks is, too.
func TestAccount(t *testing.T) {
	b, a := &fakeBase{}, &account{}
	var loop dataplane.Counters
	b.give(1000)
	a.settle(b, 1, &loop, 0, true)
	loop[dataplane.Forwarded] = dataplane.Counter{Packets: 900, Bytes: 90000}
	loop[dataplane.TTLValueIsTooSmall] = dataplane.Counter{Packets: 50, Bytes: 5000}
	a.settle(b, 1, &loop, 0, true)
	if got := b.all[dataplane.Forwarded]; got != loop[dataplane.Forwarded] || a.lost.Packets != 0 {
		t.Errorf("forwarded %v, lost %v", got, a.lost)
	}
	if sum := b.all.Received(); sum != (dataplane.Counter{Packets: 1000, Bytes: 100000}) {
		t.Errorf("received %v", sum)
	}
	a.settle(b, 1, &loop, 20, false)
	if a.lost != (dataplane.Counter{Packets: 20, Bytes: 2000}) {
		t.Errorf("20 packets are lost: %v", a.lost)
	}
	a.settle(b, 1, &loop, 20, true) // begins to stand still
	b.give(1)
	a.settle(b, 1, &loop, 20, true)
	if a.lost.Packets != 20 {
		t.Errorf("while packets come in: lost %v", a.lost)
	}
	for range stillMost {
		a.settle(b, 1, &loop, 20, true)
	}
	if a.lost != (dataplane.Counter{Packets: 51, Bytes: 5100}) {
		t.Errorf("all is still: lost %v", a.lost)
	}
}

// What was given up for lost, and is finished after all, is counted once.
func TestAccountOfLate(t *testing.T) {
	b, a := &fakeBase{}, &account{}
	var loop dataplane.Counters
	b.give(3)
	for range stillMost + 1 {
		a.settle(b, 1, &loop, 0, true)
	}
	if a.lost.Packets != 3 {
		t.Errorf("all is still: lost %v", a.lost)
	}
	for n := range uint64(3) {
		loop[dataplane.Forwarded] = dataplane.Counter{Packets: n + 1, Bytes: 100 * (n + 1)}
		a.settle(b, 1, &loop, 0, false)
		if want := (dataplane.Counter{Packets: 2 - n, Bytes: 100 * (2 - n)}); a.lost != want {
			t.Errorf("%d are finished: lost %v, want %v", n+1, a.lost, want)
		}
	}
}

// A loop before this one has been killed: what it had is lost, and nothing is counted twice.
func TestAccountOfNewLoop(t *testing.T) {
	b := &fakeBase{}
	b.give(10)
	a := &account{}
	var loop dataplane.Counters
	for range stillMost + 1 {
		a.settle(b, 1, &loop, 0, true)
	}
	b.give(5)
	loop[dataplane.Forwarded] = dataplane.Counter{Packets: 5, Bytes: 500}
	a.settle(b, 1, &loop, 0, true)
	if a.lost.Packets != 10 || b.all[dataplane.Forwarded].Packets != 5 {
		t.Errorf("lost %v, forwarded %v", a.lost, b.all[dataplane.Forwarded])
	}
}
