package soft

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weft/dataplane"
	"weft/fib"
)

// Packets are forwarded while routes, groups, adjacencies and the configuration change,
// and others read counters: each leaves by a way that there was.
func TestFIBChangesUnderWay(t *testing.T) {
	readers := new(fib.Readers)
	x := newWorld(t, readers, readers.Join())
	two, three, both := x.to(x.neighbor[2]), x.to(x.neighbor[3]), x.to(x.neighbor[2], x.neighbor[3])
	x.route("10.9.0.0/16", two)
	x.route("2001:db8:900::/48", two)
	var wait sync.WaitGroup
	stop := make(chan struct{})
	var changes atomic.Int64
	wait.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			g := []fib.GroupID{two, three, both}[n%3]
			x.must(x.table.Insert(mustPrefix("10.9.0.0/16"), g))
			x.must(x.table.Insert(mustPrefix(fmt.Sprintf("10.9.%d.0/24", n%256)), []fib.GroupID{two, three}[n%2]))
			x.must(x.table.Insert(mustPrefix("2001:db8:900::/48"), g))
			if n%2 == 1 {
				x.must(x.table.Delete(mustPrefix(fmt.Sprintf("10.9.%d.0/24", (n-1)%256))))
			}
			a := fib.Adjacency{Port: 2, MTU: 1400, Complete: true, RewriteLen: 14, Rewrite: rewrite(2, 0)}
			a.Rewrite[5] = byte(n)
			x.must(x.im.SetAdjacency(x.neighbor[2], a))
			x.im.Publish()
			x.must(x.w.Set(x.config))
			x.w.Counters(1)
			x.w.Stages()
			x.w.Fates()
			changes.Add(1)
		}
	})
	left, sent := 0, 0
	for ; sent < 20_000 || changes.Load() < 10; sent += 100 {
		for i := range 50 {
			four := frame(1, "192.0.2.9", "10.9.1.1", 40)
			binary.BigEndian.PutUint16(four[32:], uint16(sent+i))
			x.send(1, setTTL(four, 64), frame(1, "2001:db8:1::9", "2001:db8:900::1", 40))
		}
		x.run()
		for _, port := range []uint32{2, 3} {
			for _, f := range x.received(x.wires[port]) {
				left++
				if f[3] != byte(port) || f[9] != byte(port) || f[7] != 0 {
					t.Fatalf("out of port %d: %x", port, f[:14])
				}
			}
		}
	}
	close(stop)
	wait.Wait()
	x.wantCounted(1, dataplane.Forwarded, uint64(sent))
	if left != sent {
		t.Errorf("%d of %d packets left, the FIB changed %d times", left, sent, changes.Load())
	}
	x.wantConserved(uint64(sent))
}

// Packets of one flow leave in the order in which they came, whichever way each takes
// through the stages.
func TestOrder(t *testing.T) {
	x := newWorld(t, nil, nil)
	for i := range 600 {
		f := frame(1, "192.0.2.9", "10.2.0.1", 40)
		binary.BigEndian.PutUint16(f[18:], uint16(i))
		f = setTTL(f, 64)
		if i%3 == 1 {
			f = append(f, make([]byte, 10)...) // padding is not usual
		}
		x.send(1, f)
		if i%7 == 0 {
			x.run()
		}
	}
	x.run()
	for i, f := range x.received(x.wires[2]) {
		if got := int(binary.BigEndian.Uint16(f[18:])); got != i {
			t.Fatalf("packet %d left as number %d", got, i)
		}
	}
}

// Stages count what went through them.
func TestStages(t *testing.T) {
	start := time.Now()
	x := newWorld(t, nil, nil)
	for range 300 {
		x.send(1, frame(1, "192.0.2.9", "10.2.0.1", 40))
	}
	x.send(1, frame(1, "192.0.2.9", "192.0.2.1", 40), []byte{1, 2, 3})
	x.run()
	took := time.Duration(0)
	want := map[string][2]uint64{
		"receive": {2, 302}, "input": {2, 302}, "features": {0, 0}, "lookup": {2, 301}, "rewrite": {2, 301},
		"finish": {1, 2}, "transmit": {2, 302}, "count": {2, 302},
	}
	for _, s := range x.w.Stages() {
		if got := [2]uint64{s.Calls, s.Packets}; got != want[s.Stage.String()] {
			t.Errorf("%s: %d calls, %d packets; want %d", s.Stage, got[0], got[1], want[s.Stage.String()])
		}
		took += s.Took
	}
	if most := time.Since(start); took <= 0 || took > most {
		t.Errorf("stages took %v of %v", took, most)
	}
}
