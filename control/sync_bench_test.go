package control

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weft/control/kernel"
	"weft/control/rib"
	"weft/test/fulltable"
)

// BenchmarkFollowerSync measures the time from Open to the filled image with the
// Internet table in the kernel (s/sync), next to that of the dumps alone
// (s/dump), and the memory that the process holds afterwards.
func BenchmarkFollowerSync(b *testing.B) {
	b.Run("full", func(b *testing.B) {
		enterNetns(b)
		twoPorts(b)
		v4, v6, err := fulltable.Prefixes()
		if err != nil {
			b.Fatal(err)
		}
		loadKernel(b, v4, v6)
		var dump, sync time.Duration
		for b.Loop() {
			dump += timeDump(b)
			start := time.Now()
			image := newImage(b, 64<<20)
			w := follow(b, Config{Image: image})
			sync += time.Since(start)
			var n4, n6 int
			w.do(func(r *rib.RIB) {
				if c := r.Counts(); c.NotInstalled+int(c.Failed) != 0 {
					b.Fatalf("%+v", c)
				}
				table, err := r.Image().Table(0)
				if err != nil {
					b.Fatal(err)
				}
				n4, n6 = table.Len()
			})
			if n4 < len(v4) || n6 < len(v6) {
				b.Fatalf("%d and %d routes installed, want %d and %d", n4, n6, len(v4), len(v6))
			}
			runtime.GC()
			b.ReportMetric(float64(peakMemory(b)), "B/peak")
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(m.HeapAlloc), "B/heap")
			w.stop()
			runtime.KeepAlive(w)
		}
		b.ReportMetric(dump.Seconds()/float64(b.N), "s/dump")
		b.ReportMetric(sync.Seconds()/float64(b.N), "s/sync")
		b.ReportMetric(0, "ns/op")
	})
}

// timeDump measures the kernel's answers without looking into them.
func timeDump(b *testing.B) time.Duration {
	start := time.Now()
	c, err := kernel.Open()
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	n := 0
	for _, t := range []kernel.Table{kernel.RoutesIPv4, kernel.RoutesIPv6} {
		if err := c.Dump(t, func([]byte) { n++ }); err != nil {
			b.Fatal(err)
		}
	}
	if n < 1_000_000 {
		b.Fatalf("dump of %d routes", n)
	}
	return time.Since(start)
}

func peakMemory(b *testing.B) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				b.Fatal(err)
			}
			return n << 10
		}
	}
	return 0
}

// loadKernel puts a table into the kernel, over some 250 next-hop objects of each
// family on port1.
func loadKernel(t testing.TB, v4, v6 []netip.Prefix) {
	t.Helper()
	var lines []string
	for n := 1; n <= 255; n++ {
		lines = append(lines, fmt.Sprintf("nexthop add id %d via 10.0.1.%d dev port1 onlink", n, n),
			fmt.Sprintf("nexthop add id %d via 2001:db8:1::%x dev port1 onlink", 256+n, n))
	}
	lines = append(lines, "link set lo up")
	ipBatch(t, lines)
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 1<<20); err != nil {
		t.Fatal(err)
	}
	for family, prefixes := range [...][]netip.Prefix{v4, v6} {
		var batch []byte
		hops := fulltable.NextHops(len(prefixes), 1)
		for i, p := range prefixes {
			last := i == len(prefixes)-1 || len(batch) > 128<<10
			batch = appendRoute(batch, p, hops[i]%253+2+256*uint32(family), last)
			if !last {
				continue
			}
			if err := unix.Sendto(fd, batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
				t.Fatal(err)
			}
			answer := make([]byte, 8192)
			if _, _, err := unix.Recvfrom(fd, answer, 0); err != nil {
				t.Fatal(err)
			}
			if errno := -int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); errno != 0 {
				t.Fatalf("add routes up to %s: %v", p, unix.Errno(errno))
			}
			batch = batch[:0]
		}
	}
}

// appendRoute appends RTM_NEWROUTE. With ack the kernel answers.
func appendRoute(b []byte, p netip.Prefix, nextHop uint32, ack bool) []byte {
	flags, family := uint16(unix.NLM_F_REQUEST|unix.NLM_F_CREATE|unix.NLM_F_EXCL), byte(unix.AF_INET)
	if ack {
		flags |= unix.NLM_F_ACK
	}
	if p.Addr().Is6() {
		family = unix.AF_INET6
	}
	start := len(b)
	b = append(b, make([]byte, unix.SizeofNlMsghdr)...)
	b = append(b, family, byte(p.Bits()), 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, 0, unix.RTN_UNICAST, 0, 0, 0, 0)
	attribute := func(kind uint16, value []byte) {
		b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
		b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	}
	attribute(unix.RTA_DST, p.Addr().AsSlice())
	attribute(30, binary.NativeEndian.AppendUint32(nil, nextHop)) // RTA_NH_ID
	head := b[start:]
	binary.NativeEndian.PutUint32(head, uint32(len(head)))
	binary.NativeEndian.PutUint16(head[4:], unix.RTM_NEWROUTE)
	binary.NativeEndian.PutUint16(head[6:], flags)
	return b
}

// BenchmarkFollowerChurn measures how fast the Follower keeps up with a routing
// daemon that fills the kernel: from the first route sent to the last one in the
// image (s/followed), next to the time that the kernel takes (s/kernel).
func BenchmarkFollowerChurn(b *testing.B) {
	b.Run("full", func(b *testing.B) {
		v4, v6, err := fulltable.Prefixes()
		if err != nil {
			b.Fatal(err)
		}
		var inKernel, followed time.Duration
		var counts Counts
		for b.Loop() {
			enterNetns(b)
			twoPorts(b)
			w := follow(b, Config{Image: newImage(b, 64<<20)})
			start := time.Now()
			loadKernel(b, v4, v6)
			inKernel += time.Since(start)
			for {
				var n4, n6 int
				w.do(func(r *rib.RIB) {
					table, err := r.Image().Table(0)
					if err != nil {
						b.Fatal(err)
					}
					n4, n6 = table.Len()
				})
				if n4 >= len(v4) && n6 >= len(v6) {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			followed += time.Since(start)
			if counts, err = w.Counts(b.Context()); err != nil {
				b.Fatal(err)
			}
			w.stop()
		}
		b.ReportMetric(inKernel.Seconds()/float64(b.N), "s/kernel")
		b.ReportMetric(followed.Seconds()/float64(b.N), "s/followed")
		b.ReportMetric(float64(counts.Overruns), "overruns")
		b.ReportMetric(0, "ns/op")
	})
}
