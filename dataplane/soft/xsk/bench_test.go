package xsk_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/dataplane/soft/device"
	"weft/dataplane/soft/internal/vethtest"
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

// forwarder moves packets from one socket to another, and looks at nothing but their descriptors.
type forwarder struct {
	in, out                *xsk.Socket
	pool                   *device.Pool
	batch                  int
	rounds, moved, dropped uint64
}

func (f *forwarder) run(stop *atomic.Bool) {
	d := make([]device.Descriptor, f.batch)
	for !stop.Load() {
		n := f.in.Receive(d)
		if n == 0 {
			if f.out.Pending() > 0 {
				f.out.Flush()
			}
			continue
		}
		f.rounds++
		f.moved += uint64(n)
		sent := f.out.Transmit(d[:n])
		for _, late := range d[sent:n] {
			f.pool.Put(late.Address)
			f.dropped++
		}
		f.out.Flush()
	}
}

// BenchmarkForward measures the ceiling of any loop over AF_XDP on veth, in copy mode: packets come in by one port
// and leave by another, and nobody looks at them. Worker and sink are on one CPU, the generator on another; there the
// kernel receives, too, as veth does, but in rows named same_cpu: there it does on the worker's.
//
// It needs a quiet machine: Mpps is of the wall clock. cpu-ns/pkt is the worker's thread alone.
func BenchmarkForward(b *testing.B) {
	for _, batch := range []int{16, 32, 64, 128, 256} {
		b.Run(fmt.Sprintf("veth/64/batch=%d", batch), func(b *testing.B) { forward(b, batch, false, xsk.Options{}) })
	}
	b.Run("veth/64/ring=512", func(b *testing.B) { forward(b, 256, false, xsk.Options{Ring: 512}) })
	b.Run("veth/64/ring=8192", func(b *testing.B) { forward(b, 256, false, xsk.Options{Ring: 8192}) })
	busy := xsk.Options{BusyPoll: 20 * time.Microsecond}
	b.Run("veth/64/busypoll", func(b *testing.B) { forward(b, 256, false, busy) })
	b.Run("veth/64/same_cpu", func(b *testing.B) { forward(b, 256, true, xsk.Options{}) })
	b.Run("veth/64/same_cpu/busypoll", func(b *testing.B) { forward(b, 256, true, busy) })
}

// receiveOn has the kernel receive the packets of an interface in a thread of its own, on one CPU.
func receiveOn(b *testing.B, name string, cpu int) {
	dir := b.TempDir()
	err := unix.Unshare(unix.CLONE_NEWNS) // the thread ends with the benchmark, and the mount with it
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err == nil {
		err = unix.Mount("sysfs", dir, "sysfs", 0, "")
	}
	if err == nil {
		err = os.WriteFile(dir+"/class/net/"+name+"/threaded", []byte("1"), 0)
	}
	if err == nil {
		err = unix.Unmount(dir, 0)
	}
	if err != nil {
		b.Fatal(err)
	}
	comms, _ := filepath.Glob("/proc/[0-9]*/comm")
	var set unix.CPUSet
	set.Set(cpu)
	found := false
	for _, path := range comms {
		if comm, err := os.ReadFile(path); err == nil && strings.HasPrefix(string(comm), "napi/"+name+"-") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			found = unix.SchedSetaffinity(pid, &set) == nil || found
		}
	}
	if !found {
		b.Fatal("the kernel has made no thread for " + name)
	}
}

func forward(b *testing.B, batch int, sameCPU bool, o xsk.Options) {
	if runtime.NumCPU() < 2 {
		b.Skip("needs 2 CPUs")
	}
	vethtest.Enter(b)
	pin(b, 1)
	in, inPeer := vethtest.Pair(b, "xskbench", 1)
	out, outPeer := vethtest.Pair(b, "out", 1)
	m, p := vethtest.NewMemory(b, 4*max(o.Ring, xsk.DefaultRing))
	u := xsk.NewUMEM(m)
	f := &forwarder{pool: p, batch: batch}
	f.in = open(b, u, p, xsk.Where{Port: 1, Ifindex: in.Index}, o)
	f.out = open(b, u, p, xsk.Where{Port: 2, Ifindex: out.Index}, o)
	if err := f.in.Register(redirectAll(b, in.Index), 0); err != nil {
		b.Fatal(err)
	}
	if err := f.out.Register(redirectAll(b, out.Index), 0); err != nil {
		b.Fatal(err)
	}
	if sameCPU {
		receiveOn(b, in.Name, 1)
	}
	sink, err := traffic.NewSink(outPeer.Index, traffic.SinkOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer sink.Close()
	g, err := traffic.NewGenerator(traffic.Spec{
		Ifindex: inPeer.Index, SrcMAC: [6]byte(inPeer.HardwareAddr), DstMAC: [6]byte(in.HardwareAddr),
		Src: netip.MustParseAddr("10.0.0.1"), Dst: []netip.Addr{netip.MustParseAddr("10.1.0.1")},
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
	f.run(&stop)
	unix.Getrusage(unix.RUSAGE_THREAD, &after)
	if err := <-sent; err != nil {
		b.Fatal(err)
	}
	c, err := sink.Counts()
	if err != nil {
		b.Fatal(err)
	}
	in1, out1 := f.in.Stats(), f.out.Stats()
	b.ReportMetric(c.Rate/1e6, "Mpps")
	used := func(r *unix.Rusage) int64 { return r.Utime.Nano() + r.Stime.Nano() }
	b.ReportMetric(float64(used(&after)-used(&before))/float64(f.moved), "cpu-ns/pkt")
	b.ReportMetric(float64(f.moved)/float64(max(f.rounds, 1)), "pkt/batch")
	b.ReportMetric(float64(out1.Wakeups)/float64(max(f.rounds, 1)), "calls/batch")
	b.ReportMetric(float64(in1.LostNoFrame), "lost-rx")
	b.Logf("sent %d moved %d dropped %d sink %d in %+v out %+v", n, f.moved, f.dropped, c.Packets, in1, out1)
}
