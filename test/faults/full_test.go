package faults

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weft/test/star"
)

// The FIB is full and may not grow. What it has is forwarded as before; Linux
// forwards what it lacks, by the right route and not by a shorter one.
func TestFIBFull(t *testing.T) {
	f := begin(t, "R29", "FIB full: what does not fit is Linux's, all else as before")
	f.Wait = time.Minute
	prefixes := star.Prefixes(pick(60_000, 500_000))
	f.Run("--fib-size", "1")
	f.Resolve()
	f.IP("r1", "nexthop add id 2 via 10.2.0.2 dev to-h2")
	f.IP("r1", "route add 16.0.0.0/4 via 10.3.0.2") // shorter than all of them, and elsewhere
	stable := f.BeginStable()
	start := time.Now()
	f.Put(prefixes, 2)
	f.Until("routes are not installed", func() bool { return f.Status().FIB.NotInstalled > 0 })
	told := time.Since(start)
	f.Until("all routes are read", func() bool { s := f.Status(); return s.FIB.IPv4Routes+s.FIB.NotInstalled >= len(prefixes) })
	s := f.Status()
	if s.State != "forwarding" || s.FIB.Size != 1<<20 || len(s.Trouble) == 0 || !strings.Contains(s.Trouble[0], "FIB FULL") {
		t.Errorf("the daemon is %+v", s)
	}
	f.proved.Count = uint64(s.FIB.NotInstalled)
	lacked := f.notInstalled()
	f.WantVerified()
	f.proved.Packets = stable.Finish()
	stable.Close()

	for _, dst := range lacked {
		f.WantLookup(dst, func(l *star.Lookup) bool { return l.Verdict == "punt" && l.Kernel.Dev == "to-h2" })
	}
	stream := f.Stream(lacked...)
	f.WantCounted("to-h1", "forwarded", 0, func() { stream.Burst(4096) })
	f.proved.Packets += stream.WantAll()
	stream.WantShare(100)
	stream.Close()

	// Room again.
	stable = f.AgainStable()
	f.Delete(prefixes[:len(prefixes)-1000])
	f.Until("all routes are installed", func() bool { return f.Status().FIB.NotInstalled == 0 })
	f.WantForward(prefixes[len(prefixes)-1].Addr().Next().String(), "to-h2", "10.2.0.2")
	f.WantForward("20.0.0.1", "to-h3", "10.3.0.2")
	if s := f.Status(); s.State != "forwarding" || len(s.Trouble) != 0 {
		t.Errorf("the daemon is %+v", s)
	}
	f.proved.Packets += stable.Finish()
	f.proved.What += fmt.Sprintf(" (known %d ms after the first of the routes came)", told.Milliseconds())
	wantKernelsRoutes(f.Network)
}

// A daemon that starts where more routes are than fit does as well.
func TestFIBFullFromTheStart(t *testing.T) {
	f := begin(t, "R29", "FIB too small for what a daemon finds")
	f.Wait = time.Minute
	prefixes := star.Prefixes(60_000)
	f.IP("r1", "nexthop add id 2 via 10.2.0.2 dev to-h2")
	f.IP("r1", "route add 16.0.0.0/4 via 10.3.0.2")
	f.Put(prefixes, 2)
	for range 2 { // and one that takes over
		f.Run("--fib-size", "1")
		f.Command("r1", "ping", "-q", "-c", "1", "-W", "5", "10.2.0.2") // a host that the FIB may lack, too
		if s := f.Status(); s.State != "forwarding" || s.FIB.NotInstalled == 0 {
			t.Errorf("the daemon is %+v", s)
		}
		f.WantVerified()
		stream := f.Stream(f.notInstalled()...)
		stream.Burst(4096)
		f.proved.Packets += stream.WantAll()
		stream.WantShare(100)
		stream.Close()
		f.proved.Count++
		f.Signal(9)
	}
	f.Run()
	f.Resolve()
	if s := f.Status(); s.State != "forwarding" || s.FIB.NotInstalled != 0 || !s.Adopted {
		t.Errorf("the daemon is %+v", s)
	}
	f.WantForward("20.0.0.1", "to-h2", "10.2.0.2")
}

// notInstalled returns addresses that are in prefixes that the FIB lacks: 4 of them.
func (f *fault) notInstalled() (dst []string) {
	f.Helper()
	var routes []struct {
		Dst       string
		Installed bool
	}
	f.Ask(&routes, "routes", "16.0.0.0/4")
	for _, r := range routes {
		if p, ok := strings.CutSuffix(r.Dst, ".0/20"); ok && !r.Installed {
			dst = append(dst, p+".1")
		}
	}
	if len(dst) < 4 {
		f.Fatalf("of %d routes the FIB lacks %d", len(routes), len(dst))
	}
	return []string{dst[0], dst[len(dst)/3], dst[len(dst)/2], dst[len(dst)-1]}
}

// The FIB image is full several times over, and larger ones take its place.
func TestGrowth(t *testing.T) {
	f := begin(t, "R29", "FIB that grows")
	f.Run()
	f.Resolve()
	size := f.Status().FIB.Size
	s := f.BeginStable()
	f.Fill(pick(100_000, 200_000))
	if st := f.Status(); st.FIB.Size < 4*size || st.FIB.NotInstalled != 0 || st.State != "forwarding" {
		t.Errorf("the image has grown from %d bytes: %+v", size, st)
	}
	f.proved.Packets, f.proved.Count = s.Finish(), 1
}
