package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/test/root"
)

// links puts the test's thread into a network namespace of its own, with a veth pair a and b, up.
func links(t *testing.T) {
	t.Helper()
	root.Require(t)
	runtime.LockOSThread() // not unlocked: the namespace ends with the thread
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "a"}, PeerName: "b"})
	for _, name := range []string{"a", "b"} {
		if err == nil {
			err = os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0)
		}
		var l netlink.Link
		if err == nil {
			l, err = netlink.LinkByName(name)
		}
		if err == nil {
			err = netlink.LinkSetUp(l)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func options() GenOptions {
	return GenOptions{
		Device: "a", DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Destinations: 1 << 10, Sizes: slices.Clone(imix), Flows: 64, TTL: 9, CPU: -1,
		Dst: []netip.Prefix{netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("2001:2::/48")}, Packets: 2400,
	}
}

// What the generator says it has sent is what the sink says has come.
func TestGenAndSink(t *testing.T) {
	links(t)
	for _, rate := range []float64{0, 100_000} {
		ctx, cancel := context.WithCancel(t.Context())
		ready, last := make(chan bool), make(chan SinkCount, 1)
		ended := make(chan error, 1)
		in, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			runtime.LockOSThread() // not unlocked
			if err := unix.Setns(in, unix.CLONE_NEWNET); err != nil {
				ended <- err
				return
			}
			l, err := netlink.LinkByName("b")
			if err == nil {
				close(ready)
				_ = l
				err = Sink(ctx, SinkOptions{Device: "b", Packets: 2400}, func(c SinkCount) error {
					if c.Done {
						last <- c
					}
					return nil
				})
			}
			ended <- err
		}()
		<-ready
		attached(t, "b")
		o := options()
		o.Rate = rate
		var sent GenCount
		if err := Gen(ctx, o, func(c GenCount) error { sent = c; return nil }); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		got := <-last
		if !sent.Done || sent.Packets != 2400 || got.Packets != 2400 || got.IPv6 != 1200 || got.Bytes != sent.Bytes {
			t.Errorf("sent %+v, got %+v", sent, got)
		}
		if got.Lost+got.Repeated+got.Reordered+got.Corrupt != 0 || got.Latency == nil || got.Latency.Count != 2400/16 || got.Latency.P50 <= 0 {
			t.Errorf("got %+v, %+v", got, got.Latency)
		}
		cancel()
		unix.Close(in)
	}
}

// attached waits until a link has an XDP program.
func attached(t *testing.T, name string) {
	t.Helper()
	for t.Context().Err() == nil {
		l, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if x := l.Attrs().Xdp; x != nil && x.Attached {
			return
		}
		runtime.Gosched()
	}
}

func TestGenRefuses(t *testing.T) {
	links(t)
	for want, edit := range map[string]func(*GenOptions){
		"do not fit the MTU of a, which is 1500: want at most 1518": func(o *GenOptions) { o.Sizes = []int{64, 1519} },
		"Link not found":     func(o *GenOptions) { o.Device = "none" },
		"want 0.001 to":      func(o *GenOptions) { o.Rate = 1e10 },
		"it is down":         func(o *GenOptions) { o.Device = "lo" },
		"no Ethernet interf": func(o *GenOptions) { o.DstMAC = nil },
	} {
		o := options()
		edit(&o)
		err := Gen(t.Context(), o, func(GenCount) error { return nil })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A reader that is gone ends it.
func TestGenIsNotListenedTo(t *testing.T) {
	links(t)
	o, gone := options(), errors.New("gone")
	o.Packets, o.Rate = 0, 10_000
	if err := Gen(t.Context(), o, func(GenCount) error { return gone }); !errors.Is(err, gone) {
		t.Errorf("%v, want %v", err, gone)
	}
}

func TestParseSizes(t *testing.T) {
	for text, want := range map[string]string{
		"64": "64", "64, 1518": "64 1518", "imix": "64 570 64 64 570 64 1518 64 570 64 64 570", "genome:aag": "64 64 1518", "9018": "9018",
		"": "!", "63": "!", "9019": "!", "genome:": "!", "genome:z": "!", "big": "!", "64,": "!",
	} {
		sizes, err := ParseSizes(text)
		got := strings.Trim(fmt.Sprint(sizes), "[]")
		if errors.Is(err, ErrSize) {
			got = "!"
		}
		if got != want {
			t.Errorf("%q: %s, %v, want %s", text, got, err, want)
		}
	}
	// 7, 4 and 1 of 12.
	count := map[int]int{}
	for _, s := range imix {
		count[s]++
	}
	if count[64] != 7 || count[570] != 4 || count[1518] != 1 {
		t.Errorf("imix has %v", count)
	}
}

func TestParseRate(t *testing.T) {
	for text, want := range map[string]float64{"max": 0, "500": 500, "100k": 1e5, "1.5M": 1.5e6, "1G": 1e9, "0.001": 0.001} {
		if got, err := ParseRate(text); got != want || err != nil {
			t.Errorf("%q: %g, %v, want %g", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "0", "NaN", "2G", "1T", "k", "inf"} {
		if got, err := ParseRate(text); !errors.Is(err, ErrRate) {
			t.Errorf("%q: %g, %v", text, got, err)
		}
	}
}
