package faults

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/bpf"
	"weft/test/fulltable"
	"weft/test/star"
	"weft/test/traffic"
)

// All routes of many get another next hop: by the object that they lead to, and
// one by one.
func TestNextHopChange(t *testing.T) {
	f := begin(t, "R16", "next hop of all routes changed")
	f.Wait = time.Minute
	prefixes := star.Prefixes(pick(20_000, 100_000))
	f.Run()
	f.Resolve()
	f.Fill(len(prefixes))
	f.IP("r1", "nexthop add id 3 via 10.3.0.2 dev to-h3")
	last := prefixes[len(prefixes)-1].Addr().Next().String()
	dst := []string{"20.0.0.1", prefixes[7].Addr().Next().String(), prefixes[len(prefixes)/2].Addr().Next().String(), last}
	for _, d := range dst {
		f.WantForward(d, "to-h2", "10.2.0.2")
	}
	s := f.Stream(dst...)
	before := f.Count("to-h1", "forwarded")
	s.Begin()
	for range 3 {
		f.IP("r1", "nexthop replace id 2 via 10.3.0.2 dev to-h3")
		f.WantForward(last, "to-h3", "10.3.0.2")
		f.IP("r1", "nexthop replace id 2 via 10.2.0.2 dev to-h2")
		f.WantForward(last, "to-h2", "10.2.0.2")
		f.Put(prefixes, 3)
		f.WantForward(last, "to-h3", "10.3.0.2")
		f.Put(prefixes, 2)
		f.WantForward(last, "to-h2", "10.2.0.2")
		f.proved.Count += 4 * uint64(len(prefixes))
	}
	s.Stop()
	f.proved.Packets = s.WantAll()
	if went := f.Count("to-h1", "forwarded") - before; went != f.proved.Packets {
		t.Errorf("%d packets went by XDP, want all %d", went, f.proved.Packets)
	}
}

const flows = 1 << 14 // as many as the generator has source ports

// One of three next hops goes that all routes of many lead to: the time that takes
// does not depend on how many, and flows of the others stay where they are.
func TestMemberDown(t *testing.T) {
	f := begin(t, "R17", "one of three next hops down")
	f.Wait = time.Minute
	prefixes := star.Prefixes(100_000)
	if soak {
		var err error
		if prefixes, _, err = fulltable.Prefixes(); err != nil {
			t.Fatal(err)
		}
	}
	f.Run()
	f.Resolve()
	third := f.third()
	for _, hop := range []string{"2 via 10.2.0.2 dev to-h2", "3 via 10.3.0.2 dev to-h3", "4 via 10.4.0.2 dev third"} {
		f.IP("r1", "nexthop add id "+hop)
	}
	f.IP("r1", "nexthop add id 10 group 2/3/4 type resilient buckets 128 idle_timer 0")
	f.Put(prefixes, 10)
	f.Until("all routes are in the FIB", func() bool { return f.Status().FIB.IPv4Routes >= len(prefixes) })
	dst := prefixes[len(prefixes)/2].Addr().Next().String()
	f.WantLookup(dst, func(l *star.Lookup) bool { return l.Members == 3 && l.Verdict == "forward" })

	s := f.Stream(dst)
	s.Burst(flows)
	before := []map[uint64]bool{s.At("h2"), s.At("h3")}
	if there, err := third.Counts(); err != nil || int(there.Packets)+len(before[0])+len(before[1]) != flows || there.Packets < flows/4 {
		t.Fatalf("%d, %d and %d of %d flows: %v", len(before[0]), len(before[1]), there.Packets, flows, err)
	}
	took, dropped := f.cut(s, "third")
	there, err := third.Counts()
	if err != nil {
		t.Fatal(err)
	}
	lost := s.Sent() - s.Arrived() - there.Packets
	t.Logf("%d of %d packets lost, %d told by weft; %d went to it", lost, s.Gen.Sent(), dropped, there.Packets)
	s.Close()

	f.WantLookup(dst, func(l *star.Lookup) bool { return l.Members == 2 && l.Verdict == "forward" })
	s = f.Stream(dst)
	s.Burst(flows)
	f.proved.Packets += s.WantAll()
	moved := 0
	for i, host := range []string{"h2", "h3"} {
		now := s.At(host)
		for q := range before[i] {
			if !now[q] {
				moved++
			}
		}
	}
	if moved > 0 {
		t.Errorf("%d flows of the two that are left have moved", moved)
	}
	f.proved.Count, f.proved.Lost = uint64(len(prefixes)), lost
	f.proved.What += fmt.Sprintf(", %d prefixes behind them: last packet to it %.1f ms after RTM_NEWLINK, no flow of the others moved", len(prefixes), took.Seconds()*1e3)
}

// third makes a second link from the router to h3, and a sink at its end.
func (f *fault) third() *traffic.Sink {
	f.Helper()
	f.IP("r1", "link add third type veth peer name eth1 netns "+f.Lab.Namespace("h3"))
	f.IP("r1", "addr add 10.4.0.1/24 dev third")
	f.IP("h3", "addr add 10.4.0.2/24 dev eth1")
	f.IP("h3", "link set eth1 up")
	f.IP("r1", "link set third up")
	index := f.Link("h3", "eth1").Attrs().Index
	var sink *traffic.Sink
	err := f.Lab.In("h3", func() (err error) {
		sink, err = traffic.NewSink(index, traffic.SinkOptions{Check: true})
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { sink.Close() })
	f.IsPort("third")
	f.Command("r1", "ping", "-q", "-c", "1", "-W", "5", "10.4.0.2")
	f.WantForward("10.4.0.2", "third", "")
	return sink
}

// cut takes a link of the router down while packets go there as fast as they do. It
// returns how long after the kernel has told of it packets were still sent there,
// and how many of them were lost.
func (f *fault) cut(s *star.Stream, name string) (took time.Duration, lost uint64) {
	f.Helper()
	dropped := f.dropped(f.Ports()[name].Number)
	told := make(chan time.Time, 1)
	done := make(chan struct{})
	defer close(done)
	err := f.Lab.In("r1", func() error {
		updates := make(chan netlink.LinkUpdate, 64)
		if err := netlink.LinkSubscribe(updates, done); err != nil {
			return err
		}
		go func() {
			for u := range updates {
				if u.Attrs().Name == name && u.Flags&unix.IFF_UP == 0 {
					select {
					case told <- time.Now():
					default:
					}
				}
			}
		}()
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	var enough atomic.Bool
	sent := make(chan error, 1)
	go func() {
		var err error
		for err == nil && !enough.Load() {
			_, err = s.Gen.Send(1 << 18)
		}
		sent <- err
	}()
	f.Until("packets flow", func() bool { return s.Arrived() > 4*flows })
	before := dropped.Load()
	// Looked at while the command runs, too: it returns when the kernel has dropped all
	// routes over the link, long after weft has stopped sending there.
	changed, until := make(chan time.Time, 1), make(chan struct{})
	go func() { changed <- lastChange(dropped, until) }()
	f.IP("r1", "link set "+name+" down")
	at := <-told
	time.Sleep(500 * time.Millisecond) // no packet goes there any more
	close(until)
	last := <-changed
	enough.Store(true)
	if err := <-sent; err != nil {
		f.Fatal(err)
	}
	s.Await()
	f.proved.Packets += s.Gen.Sent()
	if last.After(at) {
		took = last.Sub(at)
	}
	return took, dropped.Load() - before
}

// lastChange returns when a counter was last seen to have changed.
func lastChange(counter *atomic.Uint64, until <-chan struct{}) (last time.Time) {
	for n := counter.Load(); ; time.Sleep(100 * time.Microsecond) {
		if now := counter.Load(); now != n {
			n, last = now, time.Now()
		}
		select {
		case <-until:
			return last
		default:
		}
	}
}

// dropped returns the counter of frames that a port did not take.
func (f *fault) dropped(port uint32) *atomic.Uint64 {
	f.Helper()
	var mem []byte
	f.Pins(func(dir string) {
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, "current", "transmits"), nil)
		if err == nil {
			defer m.Close()
			size := (int(unsafe.Sizeof(bpf.Transmits{})) + unix.Getpagesize() - 1) &^ (unix.Getpagesize() - 1)
			mem, err = unix.Mmap(m.FD(), 0, size, unix.PROT_READ, unix.MAP_SHARED)
		}
		if err != nil {
			f.Fatal(err)
		}
	})
	f.Cleanup(func() { unix.Munmap(mem) })
	return (*atomic.Uint64)(unsafe.Pointer(&(*bpf.Transmits)(unsafe.Pointer(&mem[0])).Port[port].Dropped))
}
