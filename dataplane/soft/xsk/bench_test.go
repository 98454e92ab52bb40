package xsk_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/dataplane/soft/device"
	"weft/dataplane/soft/internal/steertest"
	"weft/dataplane/soft/xsk"
	"weft/test/traffic"
)

// pin keeps the calling thread on one CPU.
func pin(b *testing.B, cpu int) {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkForward measures the ceiling of any loop over AF_XDP on veth, in copy mode: packets come in by one port
// and leave by another, and nobody looks at them. Worker and sink are on one CPU, the generator on another; there the
// kernel receives, too, as veth does. In the row loop package soft forwards them, with steering, checks and one route.
//
// It needs a quiet machine, or chrt -f: Mpps is of the wall clock. cpu-ns/pkt is the worker's thread alone.
func BenchmarkForward(b *testing.B) {
	for _, batch := range []int{16, 32, 64, 128, 256} {
		b.Run(fmt.Sprintf("veth/64/batch=%d", batch), func(b *testing.B) { forward(b, batch, xsk.Options{}) })
	}
	b.Run("veth/64/ring=512", func(b *testing.B) { forward(b, 256, xsk.Options{Ring: 512}) })
	b.Run("veth/64/ring=8192", func(b *testing.B) { forward(b, 256, xsk.Options{Ring: 8192}) })
	busy := xsk.Options{BusyPoll: 20 * time.Microsecond}
	b.Run("veth/64/busypoll", func(b *testing.B) { forward(b, 256, busy) })
	b.Run("veth/64/loop", loop)
}

// forward moves packets from one socket to the other.
func forward(b *testing.B, batch int, o xsk.Options) {
	pin(b, 1)
	p := newTwoPorts(b, 4*max(o.Ring, xsk.DefaultRing), o)
	in, out := p.sockets[0], p.sockets[1]
	if err := in.Register(redirectAll(b, p.ports[0].Index), 0); err != nil {
		b.Fatal(err)
	}
	d := make([]device.Descriptor, batch)
	measure(b, p, func() int {
		n := in.Receive(d)
		for _, late := range d[out.Transmit(d[:n]):n] {
			p.pool.Put(late.Address)
		}
		if out.Pending() > 0 {
			out.Flush()
		}
		return n
	})
}

// loop has a worker of package soft do it.
func loop(b *testing.B) {
	pin(b, 1)
	e := newEngine(b, 4*xsk.DefaultRing, xsk.Options{})
	measure(b, e.twoPorts, e.Round)
}

// measure sends packets through what round forwards them by.
func measure(b *testing.B, p *twoPorts, round func() int) {
	if runtime.NumCPU() < 2 {
		b.Skip("needs 2 CPUs")
	}
	sink, err := traffic.NewSink(p.peers[1].Index, traffic.SinkOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer sink.Close()
	g, err := traffic.NewGenerator(traffic.Spec{
		Ifindex: p.peers[0].Index, SrcMAC: steertest.HostMAC, DstMAC: steertest.OurMAC,
		Src: netip.MustParseAddr("10.9.0.1"), Dst: []netip.Addr{netip.MustParseAddr("10.1.0.5")},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer g.Close()
	n := max(b.N, 1<<20)
	var stop atomic.Bool
	sent := make(chan error)
	go func() {
		runtime.LockOSThread()
		pin(b, 0)
		_, err := g.Send(n)
		time.Sleep(10 * time.Millisecond)
		stop.Store(true)
		sent <- err
	}()
	var before, after unix.Rusage
	unix.Getrusage(unix.RUSAGE_THREAD, &before)
	var rounds, moved uint64
	for !stop.Load() {
		if n := round(); n > 0 {
			rounds++
			moved += uint64(n)
		}
	}
	unix.Getrusage(unix.RUSAGE_THREAD, &after)
	if err := <-sent; err != nil {
		b.Fatal(err)
	}
	c, err := sink.Counts()
	if err != nil {
		b.Fatal(err)
	}
	used := func(r *unix.Rusage) int64 { return r.Utime.Nano() + r.Stime.Nano() }
	b.ReportMetric(c.Rate/1e6, "Mpps")
	b.ReportMetric(float64(used(&after)-used(&before))/float64(moved), "cpu-ns/pkt")
	b.ReportMetric(float64(moved)/float64(rounds), "pkt/batch")
	in, out := p.sockets[0].Stats(), p.sockets[1].Stats()
	b.ReportMetric(float64(out.Wakeups)/float64(rounds), "calls/batch")
	b.ReportMetric(100*float64(in.LostNoFrame)/float64(n), "%lost")
	if c.Packets+out.LostTransmit != out.Transmitted {
		b.Errorf("sent %d packets, lost %d, arrived %d", out.Transmitted, out.LostTransmit, c.Packets)
	}
}
