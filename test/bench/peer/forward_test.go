package peer

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"weft/test/root"
	"weft/test/traffic"
)

// What each engine forwards is complete, and each packet's TTL, MAC and bytes are right.
func TestEnginesForward(t *testing.T) {
	root.Require(t)
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // not unlocked: the thread ends with the test
	r, err := New(t.Context(), Options{Sink: traffic.SinkOptions{Check: true, TTL: 63, MAC: hopMAC(1)}})
	if err != nil {
		t.Fatal(err)
	}
	defer closeNetwork(t, r)
	const n, size = 5000, 80
	for _, family := range []string{"ipv4", "ipv6"} {
		for _, name := range Names() {
			what := fmt.Sprintf("%s %s", name, family)
			if strings.HasPrefix(name, "testpmd") { // is no router
				continue
			}
			g, err := r.Generator(stream(family, One().Destinations(family == "ipv6", 1024, nil), size))
			if err != nil {
				t.Fatal(err)
			}
			a, err := r.Attach(name)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			load := traffic.Load{Packets: n}
			if name == "weft_soft" {
				load.Rate = 5000 // on one CPU it has its turn only when the generator sleeps
			}
			o, err := r.Trial(t.Context(), g, load)
			if err = errors.Join(err, a.Detach()); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			counts := o.Got
			counts.Rate = 0
			if want := (traffic.Counts{Packets: n, Bytes: n * size, IPv6: counts.IPv6, Marked: n, Next: n}); counts != want {
				t.Errorf("%s: sink has %+v, want %+v", what, counts, want)
			}
			if missing, err := r.Sink.Missing(0, n); err != nil || len(missing) > 0 {
				t.Errorf("%s: %d packets are missing: %v", what, len(missing), err)
			}
			last, err := r.Sink.Last()
			if err != nil {
				t.Fatal(err)
			}
			if want := forwarded(g.Frame(n-1), family); string(last) != string(want) {
				t.Errorf("%s: last frame is\n%x, want\n%x", what, last, want)
			}
			g.Close()
		}
	}
}

func stream(family string, dst []netip.Addr, size int) Stream {
	if family == "ipv6" {
		return Stream{Dst6: dst, Pattern: []traffic.Kind{{Size: size, IPv6: true}}}
	}
	return Stream{Dst4: dst, Pattern: []traffic.Kind{{Size: size}}}
}

func closeNetwork(t *testing.T, n *Network) {
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

// forwarded is what must become of a frame.
func forwarded(b []byte, family string) []byte {
	to := hopMAC(1)
	copy(b, to[:])
	copy(b[6:], outMAC[:])
	ip := b[14:]
	if family == "ipv6" {
		ip[7]--
		return b
	}
	ip[8]--
	ip[10], ip[11] = 0, 0
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(ip[i])<<8 | uint32(ip[i+1])
	}
	sum = sum&0xffff + sum>>16
	sum = ^(sum&0xffff + sum>>16)
	ip[10], ip[11] = byte(sum>>8), byte(sum)
	return b
}

// An engine that leaves packets to Linux must not get Linux's figure.
func TestUnforwardedIsNoticed(t *testing.T) {
	root.Require(t)
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	r, err := New(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeNetwork(t, r)
	dst := One().Destinations(false, 2, nil)
	dst[1] = sources["ipv6"].Next() // of another family: refused
	if _, err := r.Generator(stream("ipv4", dst, 64)); err == nil {
		t.Error("a generator took destinations of two families")
	}
	dst[1] = gatewaysIPv4.Next() // attached, not in the tries
	for _, name := range []string{"lpm_trie", "weft_xdp"} {
		dst := dst
		if name == "weft_xdp" {
			dst[1] = sources["ipv4"].Prev() // the router itself
		}
		g, err := r.Generator(stream("ipv4", dst, 64))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Forward(t.Context(), name, g, 0, 10); !errors.Is(err, ErrUnforwarded) {
			t.Errorf("%s: 5 of 10 packets were not to be forwarded, and what was said is: %v", name, err)
		}
		g.Close()
	}
}

// With a CPU of its own for the router packets arrive as well, and what is too fast is lost and known.
func TestApart(t *testing.T) {
	root.Require(t)
	if runtime.NumCPU() < 2 {
		t.Skip("needs two CPUs")
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	n, err := New(t.Context(), Options{Apart: true, RouterCPU: 1, Sink: traffic.SinkOptions{Sequences: true, Latency: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer closeNetwork(t, n)
	s := stream("ipv4", One().Destinations(false, 1024, nil), 60)
	s.Stamp = 1
	g, err := n.Generator(s)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for _, name := range []string{"linux", "weft_xdp", "weft_soft"} {
		a, err := n.Attach(name)
		if err != nil {
			t.Fatal(err)
		}
		if name == "weft_xdp" {
			wantThread(t, n.port("in"), 1)
		}
		o, err := n.Trial(t.Context(), g, traffic.Load{Rate: 10_000, Packets: 1000})
		if err != nil || o.Sent.Packets != 1000 || o.Got.Packets == 0 || o.Got.Repeated+o.Got.Corrupt+o.Got.Foreign != 0 {
			t.Errorf("%s: %+v: %v", name, o.Got, err)
		}
		if o.Latencies.Count() != o.Got.Packets || o.Latencies.Quantile(0.5) == 0 {
			t.Errorf("%s: %d times of %d packets", name, o.Latencies.Count(), o.Got.Packets)
		}
		t.Logf("%s: %d lost, median %v, p99 %v", name, o.Lost(), o.Latencies.Quantile(0.5), o.Latencies.Quantile(0.99))
		o, err = n.Trial(t.Context(), g, traffic.Load{Packets: 500_000})
		if err != nil || o.Got.Packets+o.Lost() != 500_000 {
			t.Errorf("%s: %+v: %v", name, o.Got, err)
		}
		t.Logf("%s: sent %.0f, got %.0f a second, %.1f %% lost", name, o.Sent.Rate, o.Got.Rate, 100*o.Loss())
		if err := a.Detach(); err != nil {
			t.Error(err)
		}
	}
}

// wantThread asserts that the kernel polls a port in a thread of its own, on one CPU.
func wantThread(t *testing.T, port string, cpu int) {
	t.Helper()
	pids, err := threadsOf(port)
	if err != nil || len(pids) != 1 {
		t.Fatalf("%d threads poll the port: %v", len(pids), err)
	}
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(pids[0], &cpus); err != nil || cpus.Count() != 1 || !cpus.IsSet(cpu) {
		t.Errorf("the thread is on %d CPUs: %v", cpus.Count(), err)
	}
}
