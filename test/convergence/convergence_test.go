package convergence

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/test/daemons"
	"weft/test/fulltable"
	"weft/test/star"
)

func TestMain(m *testing.M) { star.Main(m) }

const (
	prefix      = "198.18.7.0/24"
	destination = "198.18.7.1"

	flows     = 1 << 14 // as many as the generator has source ports
	perSecond = 10_000
	quiet     = time.Second // without a packet lost, or late: it is over
)

// BenchmarkConvergence tells for each system how long packets went astray.
func BenchmarkConvergence(b *testing.B) {
	for _, c := range []struct {
		name string
		all  bool
	}{{"1_prefix", false}, {"900k_prefixes", true}} {
		b.Run(c.name, func(b *testing.B) { side(b, c.all) })
	}
}

// side measures all systems in one network, one after the other.
func side(b *testing.B, all bool) {
	var prefixes []netip.Prefix
	if all {
		var err error
		if prefixes, _, err = fulltable.Prefixes(); err != nil {
			b.Fatal(err)
		}
	}
	w := newWorld(b, prefixes)
	for _, s := range systems {
		b.Run(s.name, func(b *testing.B) { w.measure(b, s) })
	}
}

// newWorld makes a router whose neighbors announce these prefixes beside the one.
func newWorld(t testing.TB, prefixes []netip.Prefix) *world {
	t.Helper()
	w := &world{Network: star.New(t), want: len(prefixes) + 1, rounds: 3}
	w.Wait = 2 * time.Minute
	w.Sysctl("r1", "net.ipv4.fib_multipath_hash_policy", "1") // by flow, as weft does
	file := ""
	if len(prefixes) > 0 {
		// A round is four times as many changes for BGP, FIB and kernel.
		file, w.rounds = routes(t, prefixes), 1
	}
	w.two, w.three = neighbor(w.Network, 2, file), neighbor(w.Network, 3, file)
	return w
}

// routes writes a table as BIRD reads it.
func routes(t testing.TB, prefixes []netip.Prefix) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "routes")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for _, p := range prefixes {
		fmt.Fprintf(w, "route %s blackhole;\n", p)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// world is a router between two neighbors that announce the same.
type world struct {
	*star.Network
	two, three *daemons.BIRD
	want       int // prefixes that they announce
	rounds     int

	speakers []*daemons.Daemon
	weft     bool
	before   int // routes of the kernel without BGP
}

func (w *world) measure(b *testing.B, s system) {
	outer := w.TB
	w.TB = b
	defer func() { w.TB = outer }()
	w.begin(s)
	defer w.end()
	var link, withdraw []float64
	for range w.rounds {
		withdraw = append(withdraw, w.withdraw())
		link = append(link, w.link())
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(link), "ms-link")
	b.ReportMetric(median(withdraw), "ms-withdraw")
	b.ReportMetric(slices.Max(link), "ms-link-max")
	b.ReportMetric(slices.Max(withdraw), "ms-withdraw-max")
}

func median(of []float64) float64 {
	s := slices.Sorted(slices.Values(of))
	return s[len(s)/2]
}

// begin starts a system and waits until it has all routes by both neighbors.
func (w *world) begin(s system) {
	w.Helper()
	w.before, w.weft, w.speakers = w.KernelRoutes(), s.weft, nil
	switch {
	case s.start == nil:
		w.Run("--config", configuration(w.Network))
	case s.weft:
		w.Run()
	}
	if s.start != nil {
		w.speakers = s.start(w.Network)
	}
	start := time.Now()
	w.settle()
	w.Logf("%s: all routes after %.0f s", s.name, time.Since(start).Seconds())
}

func (w *world) end() {
	w.Helper()
	for _, d := range w.speakers {
		d.Stop()
	}
	if w.weft {
		// 'weft stop' would wait until the kernel has none of weft's own routes: a minute.
		if err := unix.Kill(w.Daemon.Pid, unix.SIGINT); err != nil {
			w.Fatal(err)
		}
		w.Until("weft has ended", func() bool {
			select {
			case <-w.Daemon.Done:
				return true
			default:
				return false
			}
		})
		w.Ended()
	}
	w.IP("r1", "route flush proto bgp")
	w.IP("r1", "route flush proto bird")
	w.await("the kernel has what it had", func() bool { return w.KernelRoutes() <= w.before })
}

// settle waits until all routes are there, packets go both ways, and what speaks BGP has
// nothing left to do.
func (w *world) settle() {
	w.Helper()
	var slowest time.Duration // answer of weft's
	w.await("all routes are there", func() bool {
		inFIB := w.want
		if w.weft {
			start := time.Now()
			inFIB = w.Status().FIB.IPv4Routes
			slowest = max(slowest, time.Since(start))
		}
		return inFIB >= w.want && w.KernelRoutes()-w.before >= w.want
	})
	if w.weft && w.want > 1 {
		w.Logf("weft status took %.1f s at most", slowest.Seconds())
	}
	s := w.Stream(destination) // one for all tries: each takes tens of megabytes until the end
	w.await("packets go to both neighbors", func() bool { return shared(s) })
	s.Close()
	pids := make([]int, 0, 3)
	for _, d := range w.speakers {
		pids = append(pids, d.Pid())
	}
	if w.weft {
		pids = append(pids, w.Daemon.Pid)
	}
	for last := 0; ; time.Sleep(time.Second) {
		now := ticks(w.Network, pids)
		if now-last < 5 {
			return
		}
		last = now
	}
}

// await is Until that asks seldom when there are many routes: the kernel counts them all each time.
func (w *world) await(what string, is func() bool) {
	w.Helper()
	w.Until(what, func() bool {
		there := is()
		if !there && w.want > 1 {
			time.Sleep(500 * time.Millisecond)
		}
		return there
	})
}

// shared reports whether what arrives of a burst comes to both neighbors, in equal parts.
func shared(s *star.Stream) bool {
	s.Helper()
	two, all := s.Counts("h2").Packets, s.Arrived()
	s.Burst(flows / 4)
	two, all = s.Counts("h2").Packets-two, s.Arrived()-all
	return two > all/3 && two < all*2/3
}

// ticks returns the CPU time that processes have used, in hundredths of a second.
func ticks(n *star.Network, pids []int) (sum int) {
	n.Helper()
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			n.Fatal(err)
		}
		var user, system int
		f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')'):]))
		if _, err := fmt.Sscan(f[12]+" "+f[13], &user, &system); err != nil {
			n.Fatal(err)
		}
		sum += user + system
	}
	return sum
}

// link takes the carrier of the link to h2 and returns the milliseconds in which packets
// were lost.
func (w *world) link() float64 {
	w.Helper()
	s, stop := w.trickle()
	perMS := w.rate(s)
	w.IP("h2", "link set eth0 down")
	w.over(func() uint64 { return s.Gen.Sent() - s.Arrived() })
	stop()
	lost := float64(s.Sent() - s.Arrived())
	s.Close()
	start := time.Now()
	w.IP("h2", "link set eth0 up")
	w.IP("h2", "route replace default via 10.2.0.1")
	w.settle()
	w.Logf("lost %.0f packets when the link went; all routes %.0f s after it came again", lost, time.Since(start).Seconds())
	return lost / perMS
}

// withdraw lets h2 withdraw the prefix and returns for how many milliseconds packets went
// there none the less.
func (w *world) withdraw() float64 {
	w.Helper()
	s, stop := w.trickle()
	perMS := w.rate(s)
	came := s.Counts("h2").Packets
	w.two.Do("disable one")
	w.over(func() uint64 { return s.Counts("h2").Packets })
	stop()
	late := float64(s.Counts("h2").Packets - came)
	if lost := s.Sent() - s.Arrived(); lost > 0 {
		w.Logf("%d packets lost while the prefix was withdrawn", lost)
	}
	s.Close()
	w.two.Do("enable one")
	w.settle()
	return late / perMS
}

// trickle begins a stream that is even in time.
func (w *world) trickle() (s *star.Stream, stop func()) {
	w.Helper()
	s = w.Stream(destination)
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- w.Lab.In("h1", func() error { return s.Gen.Trickle(ctx, perSecond) })
	}()
	w.Until("packets arrive", func() bool { return s.Arrived() > perSecond/20 })
	return s, func() {
		w.Helper()
		cancel()
		if err := <-ended; err != nil {
			w.Fatal(err)
		}
		s.Await()
	}
}

// rate returns how many packets come to h2 in a millisecond.
func (w *world) rate(s *star.Stream) float64 {
	w.Helper()
	begin, two := time.Now(), s.Counts("h2").Packets
	time.Sleep(200 * time.Millisecond)
	return float64(s.Counts("h2").Packets-two) / (time.Since(begin).Seconds() * 1e3)
}

// over waits until a count has not grown for a while; some packets are always on their way.
func (w *world) over(count func() uint64) {
	w.Helper()
	last, since := uint64(0), time.Now()
	w.Until("it is over", func() bool {
		if now := count(); now > last+50 {
			last, since = now, time.Now()
		}
		return time.Since(since) > quiet
	})
}

// TestConvergence makes sure of the measurement: what is lost, or late, stops to be.
func TestConvergence(t *testing.T) {
	w := newWorld(t, nil)
	w.begin(system{weft: true})
	defer w.end()
	t.Logf("%.1f ms without the link, %.1f ms of what was withdrawn", w.link(), w.withdraw())
}
