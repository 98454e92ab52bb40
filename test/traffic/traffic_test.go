package traffic_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/rlimit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/test/root"
	"weft/test/traffic"
)

// pair puts the test's thread into a network namespace of its own, with a veth pair, up.
func pair(t *testing.T) (from, to int) {
	t.Helper()
	root.Require(t)
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // not unlocked: the namespace ends with the thread
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "from"}, PeerName: "to"})
	if err != nil {
		t.Fatal(err)
	}
	var index []int
	for _, name := range []string{"from", "to"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(l)
		}
		if err != nil {
			t.Fatal(err)
		}
		index = append(index, l.Attrs().Index)
	}
	return index[0], index[1]
}

func spec(ifindex int, family string, size int) traffic.Spec {
	s := traffic.Spec{
		Ifindex: ifindex, SrcMAC: [6]byte{2, 0, 0, 0, 0, 1}, DstMAC: [6]byte{2, 0, 0, 0, 0, 2},
		Src: netip.MustParseAddr("10.0.0.2"), FrameSize: size, TTL: 33,
	}
	for i := range 8 {
		s.Dst = append(s.Dst, netip.MustParseAddr(fmt.Sprintf("198.18.%d.%d", i, 200+i)))
	}
	if family == "ipv6" {
		s.Src = netip.MustParseAddr("2001:db8::2")
		for i := range s.Dst {
			s.Dst[i] = netip.MustParseAddr(fmt.Sprintf("2001:2:%x::%x:ff", i, 0xfff0+i))
		}
	}
	return s
}

// capture opens a packet socket: what comes in at an interface as bytes.
func capture(t *testing.T, ifindex int) func() []byte {
	t.Helper()
	all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex}); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}); err != nil {
		t.Fatal(err)
	}
	return func() []byte {
		b := make([]byte, 2000)
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err != nil {
			t.Fatalf("capture: %v", err)
		}
		return b[:n]
	}
}

// sum16 is the ones' complement sum of RFC 1071, by the book.
func sum16(parts ...[]byte) uint16 {
	var sum uint32
	b := slices.Concat(parts...)
	if len(b)%2 != 0 {
		b = append(b, 0)
	}
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// checkPacket looks at the fields of a frame without using what made it.
func checkPacket(t *testing.T, b []byte, s traffic.Spec, sequence uint64) {
	t.Helper()
	if len(b) != s.FrameSize || [6]byte(b) != s.DstMAC || [6]byte(b[6:]) != s.SrcMAC {
		t.Fatalf("frame of %d bytes, want %d, or wrong MAC: %x", len(b), s.FrameSize, b)
	}
	dst := s.Dst[sequence%uint64(len(s.Dst))]
	ip := b[14:]
	var udp, addresses []byte
	if s.Src.Is4() {
		udp, addresses = ip[20:], ip[12:20]
		if b[12] != 8 || b[13] != 0 || ip[0] != 0x45 || int(binary.BigEndian.Uint16(ip[2:])) != len(ip) || ip[8] != s.TTL || ip[9] != 17 {
			t.Errorf("IPv4 header %x", ip[:20])
		}
		if sum16(ip[:20]) != 0xffff {
			t.Errorf("IPv4 checksum of %x adds up to %#x", ip[:20], sum16(ip[:20]))
		}
	} else {
		udp, addresses = ip[40:], ip[8:40]
		if b[12] != 0x86 || b[13] != 0xdd || ip[0] != 0x60 || int(binary.BigEndian.Uint16(ip[4:])) != len(udp) || ip[6] != 17 || ip[7] != s.TTL {
			t.Errorf("IPv6 header %x", ip[:40])
		}
	}
	if want := append(s.Src.AsSlice(), dst.AsSlice()...); !bytes.Equal(addresses, want) {
		t.Errorf("packet %d: addresses %x, want %x", sequence, addresses, want)
	}
	if binary.BigEndian.Uint16(udp) < 0xc000 || udp[2] != 0 || udp[3] != 9 || int(binary.BigEndian.Uint16(udp[4:])) != len(udp) {
		t.Errorf("UDP header %x", udp[:8])
	}
	pseudo := []byte{0, 17, udp[4], udp[5]}
	if got := sum16(addresses, pseudo, udp); got != 0xffff || udp[6]|udp[7] == 0 {
		t.Errorf("packet %d: UDP checksum adds up to %#x in %x", sequence, got, udp)
	}
	if len(udp) >= 26 && (string(udp[8:12]) != "weft" || binary.BigEndian.Uint64(udp[10:])&(1<<48-1) != sequence) {
		t.Errorf("packet %d: payload %x", sequence, udp[8:])
	}
}

var cases = []struct {
	family string
	size   int
	marked bool
}{
	{"ipv4", 60, true}, {"ipv4", 64, true}, {"ipv4", 1514, true}, {"ipv4", 99, true},
	{"ipv6", 62, false}, {"ipv6", 64, false}, {"ipv6", 80, true}, {"ipv6", 1514, true},
}

// Without a sink the frames go up to the kernel, where they are seen as bytes.
func TestFrames(t *testing.T) {
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s/%d", c.family, c.size), func(t *testing.T) {
			from, to := pair(t)
			if err := traffic.EnableGRO("to"); err != nil {
				t.Fatal(err)
			}
			s := spec(from, c.family, c.size)
			s.First = 1<<32 - 2
			g, err := traffic.NewGenerator(s)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			next := capture(t, to)
			ports := map[uint16]bool{}
			// Two calls: the second takes up where the first ended, and both reuse pages.
			for range 2 {
				if n, err := g.Send(20); n != 20 || err != nil {
					t.Fatalf("sent %d: %v", n, err)
				}
			}
			for i := range uint64(40) {
				b := next()
				checkPacket(t, b, s, s.First+i)
				if want := g.Frame(s.First + i); !bytes.Equal(b, want) {
					t.Fatalf("frame\n%x, Frame says\n%x", b, want)
				}
				ports[binary.BigEndian.Uint16(b[len(b)-s.FrameSize+map[string]int{"ipv4": 34, "ipv6": 54}[c.family]:])] = true
			}
			if len(ports) < 35 {
				t.Errorf("%d source ports for 40 packets", len(ports))
			}
		})
	}
}

func TestSinkCounts(t *testing.T) {
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s/%d", c.family, c.size), func(t *testing.T) {
			from, to := pair(t)
			s := spec(from, c.family, c.size)
			g, err := traffic.NewGenerator(s)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			sink, err := traffic.NewSink(to, traffic.SinkOptions{Check: true, TTL: s.TTL, MAC: s.DstMAC})
			if err != nil {
				t.Fatal(err)
			}
			defer sink.Close()
			n := 0
			for range 2 {
				sent, err := g.Send(25_000)
				if sent != 25_000 || err != nil {
					t.Fatalf("sent %d: %v", sent, err)
				}
				n += sent
			}
			got, err := sink.Wait(uint64(n))
			if err != nil {
				t.Fatal(err)
			}
			if got.Rate < 1000 {
				t.Errorf("rate %f", got.Rate)
			}
			got.Rate = 0
			want := traffic.Counts{Packets: uint64(n), Bytes: uint64(n * c.size)}
			if c.marked {
				want.Marked, want.Next = want.Packets, want.Packets
			}
			if c.family == "ipv6" {
				want.IPv6 = want.Packets
			}
			if got != want {
				t.Errorf("counts %+v, want %+v", got, want)
			}
			last, err := sink.Last()
			if err != nil {
				t.Fatal(err)
			}
			checkPacket(t, last, s, uint64(n-1))
			missing, err := sink.Missing(0, n+2)
			if err != nil {
				t.Fatal(err)
			}
			if want := []uint64{uint64(n), uint64(n) + 1}; c.marked && !slices.Equal(missing, want) {
				t.Errorf("missing %v, want %v", missing, want)
			}
			if g.Sent() != uint64(n) {
				t.Errorf("Sent says %d", g.Sent())
			}
		})
	}
}

// A sink that never complains would make every test pass.
func TestSinkComplains(t *testing.T) {
	from, to := pair(t)
	s := spec(from, "ipv4", 64)
	sink, err := traffic.NewSink(to, traffic.SinkOptions{Check: true, TTL: s.TTL - 1, MAC: s.SrcMAC})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	send := func(s traffic.Spec, n int) {
		t.Helper()
		g, err := traffic.NewGenerator(s)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		if _, err := g.Send(n); err != nil {
			t.Fatal(err)
		}
	}
	send(s, 10)
	s.First = 8
	send(s, 4)
	s.First = uint64(traffic.Sequences)
	send(s, 3)
	got, err := sink.Wait(17)
	if err != nil {
		t.Fatal(err)
	}
	want := traffic.Counts{
		Packets: 17, Bytes: 17 * 64, WrongTTL: 17, WrongMAC: 17, Marked: 17, Repeated: 2, Next: uint64(traffic.Sequences) + 3,
	}
	if got.Rate = 0; got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	if lost := got.Lost(); lost != uint64(traffic.Sequences)+3-15 {
		t.Errorf("%d lost", lost)
	}
	if missing, err := sink.Missing(3, 11); err != nil || !slices.Equal(missing, []uint64{12, 13}) {
		t.Errorf("missing %v, %v", missing, err)
	}
	if err := sink.Reset(); err != nil {
		t.Fatal(err)
	}
	if got, err := sink.Counts(); err != nil || got != (traffic.Counts{}) {
		t.Errorf("counts after Reset %+v, %v", got, err)
	}
	if missing, err := sink.Missing(0, 14); err != nil || len(missing) != 14 {
		t.Errorf("missing after Reset %v, %v", missing, err)
	}
}

// What is not a generator's goes up to the kernel.
func TestSinkPasses(t *testing.T) {
	from, to := pair(t)
	sink, err := traffic.NewSink(to, traffic.SinkOptions{Check: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	next := capture(t, to)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	arp := append(bytes.Repeat([]byte{0xff}, 12), 8, 6)
	arp = append(arp, make([]byte, 46)...)
	if err := unix.Sendto(fd, arp, 0, &unix.SockaddrLinklayer{Ifindex: from, Halen: 6}); err != nil {
		t.Fatal(err)
	}
	if got := next(); !bytes.Equal(got, arp) {
		t.Errorf("got %x, want %x", got, arp)
	}
	if c, err := sink.Counts(); err != nil || c.Packets != 0 {
		t.Errorf("counts %+v, %v", c, err)
	}
}

func TestPace(t *testing.T) {
	from, to := pair(t)
	g, err := traffic.NewGenerator(spec(from, "ipv4", 64))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	sink, err := traffic.NewSink(to, traffic.SinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begin := time.Now()
	if err := g.Pace(ctx, 20_000); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	want := 20_000 * time.Since(begin).Seconds()
	c, err := sink.Wait(g.Sent())
	if err != nil {
		t.Fatal(err)
	}
	if n := float64(g.Sent()); c.Packets != g.Sent() || n < 0.75*want || n > 1.1*want {
		t.Errorf("sent %d, %d came in, want about %.0f of both", g.Sent(), c.Packets, want)
	}
}

func TestBadSpecs(t *testing.T) {
	for want, edit := range map[string]func(*traffic.Spec){
		"power of two":       func(s *traffic.Spec) { s.Dst = s.Dst[:3] },
		"0 destinations":     func(s *traffic.Spec) { s.Dst = nil },
		"frames of 59 bytes": func(s *traffic.Spec) { s.FrameSize = 59 },
		"9015 bytes":         func(s *traffic.Spec) { s.FrameSize = 9015 },
		"3 flows":            func(s *traffic.Spec) { s.Flows = 3 },
		"one of 5 packets":   func(s *traffic.Spec) { s.Stamp = 5 },
		"4097 frames":        func(s *traffic.Spec) { s.Pattern = make([]traffic.Kind, 4097) },
		"no source for it":   func(s *traffic.Spec) { s.Pattern = []traffic.Kind{{64, false}, {80, true}} },
		"want 80 or more":    func(s *traffic.Spec) { s.Pattern = []traffic.Kind{{64, false}, {78, true}} },
		"a multiple of 4":    func(s *traffic.Spec) { s.Pattern = []traffic.Kind{{64, false}, {66, false}} },
		"one family":         func(s *traffic.Spec) { s.Dst[2] = netip.MustParseAddr("2001:db8::") },
		"neither IPv4":       func(s *traffic.Spec) { s.Src = netip.Addr{} },
	} {
		s := spec(1, "ipv4", 64)
		edit(&s)
		if _, err := traffic.NewGenerator(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}
