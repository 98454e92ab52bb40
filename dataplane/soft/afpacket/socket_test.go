package afpacket_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"weft/dataplane/soft/afpacket"
	"weft/dataplane/soft/device"
	"weft/dataplane/soft/internal/vethtest"
)

// port is a port with one socket, and what is at the other end of it.
type port struct {
	*afpacket.Socket
	*vethtest.Wire
	mem         *device.Memory
	pool        *device.Pool
	here, there net.Interface
}

func newPort(t testing.TB, frames int, o afpacket.Options) *port {
	t.Helper()
	vethtest.Enter(t)
	p := new(port)
	p.mem, p.pool = vethtest.NewMemory(t, frames)
	p.here, p.there = vethtest.Pair(t, "port", 1)
	p.Socket = open(t, p.mem, []*device.Pool{p.pool}, p.here.Index, o)[0]
	p.Wire = vethtest.NewWire(t, p.there.Index)
	return p
}

func open(t testing.TB, m *device.Memory, pools []*device.Pool, ifindex int, o afpacket.Options) []*afpacket.Socket {
	t.Helper()
	all, err := afpacket.Open(m, pools, 5, ifindex, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, s := range all {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return all
}

// receive takes n packets, waiting for them as a loop that sleeps does.
func (p *port) receive(t testing.TB, n int) []device.Descriptor {
	t.Helper()
	all, got := make([]device.Descriptor, n), 0
	vethtest.Until(t, "packets come in", func() bool {
		if !p.Arm() {
			poll := []unix.PollFd{{Fd: int32(p.FD()), Events: unix.POLLIN}}
			if _, err := unix.Poll(poll, 1000); err != nil && !errors.Is(err, unix.EINTR) {
				t.Fatal(err)
			}
		}
		got += p.Receive(all[got:])
		return got == n
	})
	return all
}

// want asserts that the next packet is so.
func (p *port) want(t testing.TB, want []byte) device.Descriptor {
	t.Helper()
	d := p.receive(t, 1)[0]
	if got := p.mem.Packet(d); d.Port != 5 || !bytes.Equal(got, want) {
		t.Fatalf("came in by port %d as\n% x, want\n% x", d.Port, got, want)
	}
	if head := int(d.Address) & (p.mem.FrameSize() - 1); head < device.Headroom {
		t.Errorf("%d bytes of headroom, want %d", head, device.Headroom)
	}
	return d
}

// TestForward receives packets and sends them back: the same bytes, frames free at once.
func TestForward(t *testing.T) {
	p := newPort(t, 64, afpacket.Options{})
	for i, size := range []int{60, 64, 65, 1000, 1514} {
		sent := vethtest.Frame(i, size)
		p.Send(sent)
		d := p.want(t, sent)
		if n := p.Transmit([]device.Descriptor{d}); n != 1 || p.Pending() != 1 || p.pool.Free() != p.pool.Size()-1 {
			t.Fatalf("%d handed over, %d pending, %d frames free", n, p.Pending(), p.pool.Free())
		}
		p.Quiet()
		p.Flush()
		if got := p.Next(); !bytes.Equal(got, sent) {
			t.Fatalf("went out as\n% x, want\n% x", got, sent)
		}
		if p.Pending() != 0 || p.pool.Free() != p.pool.Size() {
			t.Errorf("%d pending, %d frames free", p.Pending(), p.pool.Free())
		}
	}
	p.Flush()
	if got, want := p.Stats(), (device.Stats{Received: 5, Transmitted: 5, Wakeups: 5}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

// TestBlocks sends so many packets that the ring wraps around, and takes them as they come.
func TestBlocks(t *testing.T) {
	p := newPort(t, 64, afpacket.Options{Blocks: 2})
	const packets = 1110
	d := make([]device.Descriptor, 7)
	next := 0
	take := func() {
		for _, one := range d[:p.Receive(d)] {
			size := 1000 + next%37
			if got := p.mem.Packet(one); !bytes.Equal(got, vethtest.Frame(next, size)) {
				t.Fatalf("packet %d: got\n% x, want\n% x", next, got, vethtest.Frame(next, size))
			}
			p.pool.Put(one.Address)
			next++
		}
	}
	for i := range packets {
		p.Send(vethtest.Frame(i, 1000+i%37))
		if i%2 == 1 { // few enough for two blocks, if each is in one
			vethtest.Until(t, "both come in", func() bool { take(); return next > i })
		}
	}
	if got := p.Stats(); got.Received != packets || got.LostNoFrame != 0 {
		t.Errorf("sent %d, counted %+v", packets, got)
	}
}

// TestTags asserts that VLAN tags stand in frames as they were sent: the kernel has taken the first one off.
func TestTags(t *testing.T) {
	p := newPort(t, 64, afpacket.Options{})
	for _, tags := range [][]byte{{0x81, 0, 0x20, 7}, {0x88, 0xa8, 0, 9}, {0x88, 0xa8, 0, 9, 0x81, 0, 0xff, 0xff}} {
		f := vethtest.Frame(1, 100)
		sent := append(append(append([]byte{}, f[:12]...), tags...), f[12:]...)
		p.Send(sent)
		d := p.want(t, sent)
		p.Transmit([]device.Descriptor{d})
		p.Flush()
		// Their kernel takes it off, too.
		if got, want := p.Next(), append(append(append([]byte{}, f[:12]...), tags[4:]...), f[12:]...); !bytes.Equal(got, want) {
			t.Errorf("went out as\n% x, want\n% x", got, want)
		}
	}
}

// TestChecksums asserts that checksums that a host left to hardware are filled in.
func TestChecksums(t *testing.T) {
	p := newPort(t, 64, afpacket.Options{})
	const start = 14 + 20
	for _, c := range []struct {
		protocol byte
		offset   int
		size     int
	}{{unix.IPPROTO_UDP, 6, 77}, {unix.IPPROTO_TCP, 16, 90}, {unix.IPPROTO_SCTP, 8, 80}} {
		f := vethtest.Frame(1, c.size)
		copy(f[12:], []byte{0x08, 0, 0x45, 0, 0, byte(c.size - 14), 0, 0, 0, 0, 64, c.protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2})
		want := bytes.Clone(f)
		at := f[start+c.offset:]
		if c.protocol == unix.IPPROTO_SCTP {
			clear(at[:4])
			clear(want[start+8 : start+12])
			binary.LittleEndian.PutUint32(want[start+8:], crc32.Checksum(want[start:], crc32.MakeTable(crc32.Castagnoli)))
		} else {
			pseudo := []byte{10, 0, 0, 1, 10, 0, 0, 2, 0, c.protocol, 0, byte(c.size - start)}
			binary.BigEndian.PutUint16(at, sum(pseudo))
			want[start+c.offset], want[start+c.offset+1] = 0, 0
			binary.BigEndian.PutUint16(want[start+c.offset:], ^sum(append(pseudo, want[start:]...)))
		}
		header := []byte{1, 0, 0, 0, 0, 0, start, 0, byte(c.offset), 0}
		p.sendWithHeader(t, header, f)
		p.want(t, want)
	}
}

// sum is the ones' complement sum of RFC 1071, by the book.
func sum(b []byte) uint16 {
	var s uint32
	for i, c := range b {
		if i%2 == 0 {
			s += uint32(c) << 8
		} else {
			s += uint32(c)
		}
	}
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}

// TestTooLong asserts that packets without room in a frame are left out, and the next ones are not.
func TestTooLong(t *testing.T) {
	p := newPort(t, 64, afpacket.Options{})
	for _, name := range []string{p.here.Name, p.there.Name} {
		vethtest.SetMTU(t, name, 3000)
	}
	room := afpacket.PacketMax(p.mem)
	p.Send(vethtest.Frame(1, room+1), vethtest.Frame(2, room), vethtest.Frame(3, 3000), vethtest.Frame(4, 60))
	p.want(t, vethtest.Frame(2, room))
	p.want(t, vethtest.Frame(4, 60))
	if got := p.Stats(); got.Received != 2 || got.LostNoFrame != 0 {
		t.Errorf("counted %+v", got)
	}
}

// TestLost fills the ring: what does not come in is counted, and what is in it waits for frames.
func TestLost(t *testing.T) {
	p := newPort(t, 64, afpacket.Options{Blocks: 2})
	sent := 0
	vethtest.Until(t, "the ring is full", func() bool {
		for range 100 {
			p.Send(vethtest.Frame(sent, 1514))
			sent++
		}
		return p.Stats().LostNoFrame > 0
	})
	frames := make([]uint64, p.pool.Size())
	p.pool.Get(frames)
	d := make([]device.Descriptor, len(frames))
	if n := p.Receive(d); n != 0 {
		t.Fatalf("%d packets came in without a frame", n)
	}
	for _, address := range frames[:5] {
		p.pool.Put(address)
	}
	next := 0
	vethtest.Until(t, "all are received or lost", func() bool {
		n := p.Receive(d)
		if n > 5 {
			t.Fatalf("%d packets came in with 5 frames", n)
		}
		for _, one := range d[:n] {
			if !bytes.Equal(p.mem.Packet(one), vethtest.Frame(next, 1514)) {
				t.Fatalf("packet %d is not what was sent", next)
			}
			p.pool.Put(one.Address)
			next++
		}
		s := p.Stats()
		return s.Received == uint64(next) && s.Received+s.LostNoFrame == uint64(sent)
	})
}

// TestRefused asserts that what the interface does not take is counted, and what is behind it is sent.
func TestRefused(t *testing.T) {
	p := newPort(t, 64, afpacket.Options{})
	var a [3]uint64
	p.pool.Get(a[:])
	var d []device.Descriptor
	for i, size := range []int{64, 1600, 65} {
		d = append(d, device.Descriptor{Address: a[i], Length: uint32(size)})
		copy(p.mem.Packet(d[i]), vethtest.Frame(i, size))
	}
	p.Transmit(d)
	vethtest.Until(t, "all are sent", func() bool { p.Flush(); return p.Pending() == 0 })
	for _, want := range [][]byte{vethtest.Frame(0, 64), vethtest.Frame(2, 65)} {
		if got := p.Next(); !bytes.Equal(got, want) {
			t.Errorf("got % x, want % x", got, want)
		}
	}
	if got := p.Stats(); got.Transmitted != 3 || got.LostTransmit != 1 || got.Error != nil {
		t.Errorf("counted %+v", got)
	}
	if p.pool.Free() != p.pool.Size() {
		t.Errorf("%d frames are free", p.pool.Free())
	}
	l, err := netlink.LinkByIndex(p.here.Index)
	if err == nil {
		err = netlink.LinkSetDown(l)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.pool.Get(a[:1])
	p.Transmit([]device.Descriptor{{Address: a[0], Length: 64}})
	p.Flush()
	if got := p.Stats(); got.LostTransmit != 2 || !errors.Is(got.Error, unix.ENETDOWN) || p.Pending() != 0 {
		t.Errorf("an interface that is down: %+v", got)
	}
}

// TestFanout has several sockets on a port: each packet comes in by one of them, and all of a flow by the same.
func TestFanout(t *testing.T) {
	const sockets, flows, rounds = 4, 64, 4
	for _, byFlow := range []bool{false, true} {
		vethtest.Enter(t)
		m, err := device.NewMemory(4096, device.MinFrameSize)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		var pools []*device.Pool
		for range sockets {
			p, err := m.NewPool(1024)
			if err != nil {
				t.Fatal(err)
			}
			pools = append(pools, p)
		}
		here, there := vethtest.Pair(t, "many", sockets)
		all := open(t, m, pools, here.Index, afpacket.Options{ByFlow: byFlow})
		w := vethtest.NewWire(t, there.Index)
		for i := range flows * rounds {
			f := vethtest.Frame(i%flows, 64)
			copy(f[12:], []byte{0x08, 0, 0x45, 0, 0, 50, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2})
			binary.BigEndian.PutUint16(f[34:], uint16(1000+i%flows))
			w.Send(f)
		}
		var by [flows]int // 1 + socket
		var count [sockets]int
		total := 0
		d := make([]device.Descriptor, 64)
		vethtest.Until(t, "all packets come in", func() bool {
			for n, s := range all {
				for _, one := range d[:s.Receive(d)] {
					flow := binary.BigEndian.Uint16(m.Packet(one)[34:]) - 1000
					if by[flow] != 0 && by[flow] != n+1 {
						t.Errorf("flow %d came by two sockets", flow)
					}
					by[flow] = n + 1
					count[n]++
					total++
				}
			}
			return total >= flows*rounds
		})
		if total != flows*rounds {
			t.Errorf("sent %d packets, %d came in", flows*rounds, total)
		}
		for n, c := range count {
			if c == 0 {
				t.Errorf("by flow %t: nothing came by socket %d: %v", byFlow, n, count)
			}
		}
	}
}

// TestErrors asserts that what keeps sockets from being opened is named, with what to do about it.
func TestErrors(t *testing.T) {
	vethtest.Enter(t)
	m, p := vethtest.NewMemory(t, 64)
	for _, c := range []struct {
		ifindex int
		o       afpacket.Options
		want    error
		words   string
	}{
		{9999, afpacket.Options{}, unix.ENODEV, "namespace"},
		{1, afpacket.Options{Blocks: 1}, afpacket.ErrSize, "2 to 32768"},
	} {
		all, err := afpacket.Open(m, []*device.Pool{p}, 1, c.ifindex, c.o)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) || all != nil {
			t.Errorf("%+v: %v, want %v and %q", c, err, c.want, c.words)
		}
	}
	if p.Free() != p.Size() {
		t.Errorf("%d frames are free", p.Free())
	}
}
