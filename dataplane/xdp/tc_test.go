package xdp_test

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/bpf"
	"weft/dataplane"
	"weft/dataplane/xdp"
)

// tcRouter is a router with its ports in mode tc. Their peers have no NAPI.
func tcRouter(t testing.TB, o xdp.Options) *router {
	t.Helper()
	r := newRouter(t, o)
	r.useTC(t)
	return r
}

func (r *router) useTC(t testing.TB) {
	t.Helper()
	for n := uint32(1); n < uint32(len(r.port)); n++ {
		p := r.Ports()[n-1].Port
		if err := r.RemovePort(n); err != nil {
			t.Fatal(err)
		}
		p.Want = dataplane.TC
		if err := r.SetPort(p); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"in", "out", "off", "vrf"} {
		setGRO(t, name+"-peer", false)
	}
	fillTable(t, r)
}

// runsInTC leaves out what only XDP can be run on: an interface that is no port has
// no mode, and the kernel runs no skb with less than an IP header (TestTCWire does).
func runsInTC(p packet) bool {
	return p.ingress != 0 && !strings.Contains(p.name, "/frame of ")
}

// inTC is what becomes of a packet there: an skb says what is left to hardware.
func inTC(p packet) packet {
	if p.reason == dataplane.ChecksumPartial {
		p.reason, p.out, p.egress = dataplane.Forwarded, forwarded(p.in[:14+length(p.in[14:])]), portOut
	}
	return p
}

// TestTCPackets has the table's packets through the program of tc: the same
// becomes of them as in XDP.
func TestTCPackets(t *testing.T) {
	testTCPackets(t, tcRouter(t, xdp.Options{Ports: 16}))
}

// TestTCPacketsChunked is on an image as older kernels have it.
func TestTCPacketsChunked(t *testing.T) {
	r := newChunkedRouter(t, xdp.Options{Ports: 16})
	r.useTC(t)
	testTCPackets(t, r)
}

func testTCPackets(t *testing.T, r *router) {
	t.Helper()
	seen := 0
	for _, p := range packets() {
		if !runsInTC(p) {
			continue
		}
		r.check(t, inTC(p), p.ingress)
		seen++
	}
	if seen < 150 {
		t.Errorf("saw %d packets", seen)
	}
	if c := r.Counters(portIn); c.Received().Packets != 0 {
		t.Errorf("test runs counted as traffic: %v", c.Received())
	}
}

// TestTCVLANs has them in a VLAN as well.
func TestTCVLANs(t *testing.T) {
	r := tcRouter(t, xdp.Options{Ports: 16})
	r.addVLANs(t)
	for _, p := range packets() {
		if !runsInTC(p) {
			continue
		}
		p = inTC(p)
		r.check(t, p, p.ingress)
		if p.ingress != portIn || p.reason == dataplane.VLANUnknown {
			continue
		}
		if p.out == nil && p.reason.Verdict() == dataplane.Drop {
			p.out = p.in
		}
		p.in, p.ingress, p.name = withTags(p.in, tag(0x8100, 100)), vlanC, "in a VLAN: "+p.name
		r.check(t, p, portIn)
	}
}

// TestTCWire sends frames with and without tags over veth whose ends have no
// NAPI: XDP would lose them all.
func TestTCWire(t *testing.T) {
	r := tcRouter(t, xdp.Options{Ports: 16})
	r.addVLANs(t)
	tx, rx := socket(t, r.in[portIn]), socket(t, r.in[portOut])
	c, s, o := tag(0x8100, 100), tag(0x88a8, 5), tag(0x8100, 200)
	var want [10]dataplane.Counters
	count := func(ingress uint32, reason dataplane.Reason, in []byte) {
		n := &want[ingress][reason]
		n.Packets++
		n.Bytes += uint64(len(in))
	}
	exchange := func(ingress uint32, in, out []byte) {
		t.Helper()
		send(t, tx, in)
		count(ingress, dataplane.Forwarded, in)
		if got := receiveTagged(t, rx); !bytes.Equal(got, out) {
			t.Fatalf("frame\n%x, want\n%x", got, out)
		}
	}
	for n := range 100 {
		for _, in := range [][]byte{numbered(uint32(n), 4), numbered(uint32(n), 6)} {
			exchange(portIn, in, forwarded(in))
			exchange(vlanC, withTags(in, c|0x6000), forwarded(in))
			exchange(portIn, withTags(in, tag(0x8100, 0xe000)), forwarded(in))
		}
		for _, in := range [][]byte{
			toUs(ethIPv4, ipv4(host4, "10.21.0.1", 64, at16(4, n))), toUs(ethIPv6, ipv6(host6, "2001:db8:15::1", 64, at(3, byte(n)))),
		} {
			exchange(portIn, in, forwarded(in, tag(0x88a8, 6), o))
			exchange(vlanSC, withTags(in, s, c), forwarded(in, tag(0x88a8, 6), o))
		}
		in := toUs(ethIPv4, ipv4(host4, "10.20.0.1", 64, at16(4, n)))
		exchange(vlanSC, withTags(in, s, c), forwarded(in, o))
	}
	plain := numbered(0, 4)
	for _, p := range []packet{
		{"unknown VLAN", portIn, withTags(plain, tag(0x8100, 99)), dataplane.VLANUnknown, nil, 0},
		{"unknown VLAN behind a known", vlanS, withTags(to(serviceMAC, ethIPv4, plain[14:]), s, tag(0x8100, 99)), dataplane.VLANUnknown, nil, 0},
		{"blackhole in a VLAN", vlanC, withTags(toUs(ethIPv4, ipv4(host4, "10.9.0.1", 64)), c), dataplane.BlackholeRoute, nil, 0},
		{"padding", portIn, pad(plain, 30), dataplane.Forwarded, forwarded(plain), portOut},
		{"header cut off", portIn, plain[:33], dataplane.IPLengthWrong, nil, 0},
		{"no header", portIn, plain[:14], dataplane.IPLengthWrong, nil, 0},
		{"header cut off, IPv6", portIn, numbered(0, 6)[:53], dataplane.IPLengthWrong, nil, 0},
		{"header cut off in a VLAN", vlanC, withTags(plain, c)[:37], dataplane.IPLengthWrong, nil, 0},
		{"reject", portIn, toUs(ethIPv4, ipv4(host4, "10.10.0.1", 64)), dataplane.RejectRoute, nil, 0},
	} {
		send(t, tx, p.in)
		count(p.ingress, p.reason, p.in)
		if p.out == nil {
			continue
		}
		if got := receiveTagged(t, rx); !bytes.Equal(got, p.out) {
			t.Errorf("%s: frame\n%x, want\n%x", p.name, got, p.out)
		}
	}
	for _, n := range []uint32{portIn, vlanC, vlanSC, vlanS} {
		if c := settle(r.Engine, n, want[n].Received().Packets); c != want[n] {
			t.Errorf("counters of port %d%s, want%s", n, nonzero(c), nonzero(want[n]))
		}
	}
}

// TestTCWithoutVLANs sends a frame whose tag stands beside it to a program that
// is not made for VLANs: it must not take it for the port's own.
func TestTCWithoutVLANs(t *testing.T) {
	r := tcRouter(t, xdp.Options{Ports: 16})
	tx := socket(t, r.in[portIn])
	in := withTags(numbered(0, 4), tag(0x8100, 100))
	send(t, tx, in)
	c := settle(r.Engine, portIn, 1)
	if want := (dataplane.Counter{Packets: 1, Bytes: uint64(len(in))}); c[dataplane.VLANUnknown] != want || c.Received() != want {
		t.Errorf("counters%s, want vlan_unknown=%v", nonzero(c), want)
	}
}

// virtioHeader is struct virtio_net_hdr of linux/virtio_net.h.
type virtioHeader struct {
	Flags, GSOType              uint8
	Header, Size, Start, Offset uint16
}

const (
	needsChecksum = 1
	gsoTCP4       = 1
)

// TestTCOffloads sends what a host leaves to its hardware: a checksum, and a
// packet that is several. The far end gets them as they were.
func TestTCOffloads(t *testing.T) {
	r := tcRouter(t, xdp.Options{Ports: 16})
	tx, rx := socket(t, r.in[portIn]), socket(t, r.in[portOut])
	for _, fd := range []int{tx, rx} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
			t.Fatal(err)
		}
	}
	const segment = 1400
	segments := func(size int, dst string) []byte {
		tcp := make([]byte, 20+3*size)
		tcp[12] = 5 << 4
		for i := range tcp[20:] {
			tcp[20+i] = byte(i)
		}
		ip := ipv4(host4, dst, 64, sized(20+len(tcp)), at(9, unix.IPPROTO_TCP))[:20]
		return toUs(ethIPv4, append(ip, tcp...))
	}
	for _, c := range []struct {
		name   string
		in     []byte
		header virtioHeader
		reason dataplane.Reason
	}{
		{"checksum", numbered(1, 4), virtioHeader{Flags: needsChecksum, Start: 34, Offset: 6}, dataplane.Forwarded},
		{"segments", segments(segment, "10.0.0.1"),
			virtioHeader{needsChecksum, gsoTCP4, 54, segment, 34, 16}, dataplane.Forwarded},
		{"segments above the MTU", segments(segment, "10.1.0.1"),
			virtioHeader{needsChecksum, gsoTCP4, 54, segment, 34, 16}, dataplane.MTUValueIsTooSmall},
		{"segments at the MTU", segments(28, "10.1.0.1"),
			virtioHeader{needsChecksum, gsoTCP4, 54, 28, 34, 16}, dataplane.Forwarded},
	} {
		before := r.Counters(portIn)
		head, _ := binary.Append(nil, binary.NativeEndian, c.header)
		send(t, tx, append(head, c.in...))
		after := settle(r.Engine, portIn, before.Received().Packets+1)
		since := after.Since(&before)
		if since[c.reason].Packets != 1 || since.Received().Packets != 1 {
			t.Errorf("%s: counters%s, want %s=1", c.name, nonzero(since), c.reason)
			continue
		}
		if c.reason != dataplane.Forwarded {
			continue
		}
		b := make([]byte, 1<<16)
		n, err := unix.Read(rx, b)
		if err != nil {
			t.Fatalf("%s: receive: %v", c.name, err)
		}
		var got virtioHeader
		if _, err := binary.Decode(b[:len(head)], binary.NativeEndian, &got); err != nil {
			t.Fatal(err)
		}
		if got.Flags&needsChecksum == 0 || got.GSOType != c.header.GSOType || got.Size != c.header.Size || got.Start != c.header.Start || got.Offset != c.header.Offset {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.header)
		}
		if want := forwarded(c.in); !bytes.Equal(b[len(head):n], want) {
			t.Errorf("%s: frame\n%x, want\n%x", c.name, b[len(head):min(n, 90)], want[:80])
		}
	}
}

// TestTCMixed has ports in both modes: each sends to the other.
func TestTCMixed(t *testing.T) {
	r := newRouter(t, xdp.Options{Ports: 16})
	fillTable(t, r)
	if err := r.RemovePort(portIn); err != nil {
		t.Fatal(err)
	}
	p := port(portIn, r.port[portIn], 0, true)
	p.Want = dataplane.TC
	if err := r.SetPort(p); err != nil {
		t.Fatal(err)
	}
	back := r.add(t, adjacency(portIn, 1500))
	r.route(t, 0, via(back), "10.30.0.0/16")
	a, b := socket(t, r.in[portIn]), socket(t, r.in[portOut])
	for n := range 50 {
		in := numbered(uint32(n), 4)
		send(t, a, in)
		if got, want := receive(t, b), forwarded(in); !bytes.Equal(got, want) {
			t.Fatalf("tc to XDP:\n%x, want\n%x", got, want)
		}
		in = toUs(ethIPv4, ipv4(host4, "10.30.0.1", 64, at16(4, n)))
		send(t, b, in)
		if got, want := receive(t, a), forwarded(in); !bytes.Equal(got, want) {
			t.Fatalf("XDP to tc:\n%x, want\n%x", got, want)
		}
	}
}

// TestTCAdopt closes an engine in mode tc under traffic, opens it again and
// replaces its image.
func TestTCAdopt(t *testing.T) {
	dir := filepath.Join(pinRoot(t), "engine")
	r := tcRouter(t, xdp.Options{Ports: 16, Dir: dir})
	tx, rx := socket(t, r.in[portIn]), socket(t, r.in[portOut])
	sent := uint32(0)
	pass := func() {
		t.Helper()
		for range 20 {
			in := numbered(sent, 4)
			sent++
			send(t, tx, in)
			if got, want := receive(t, rx), forwarded(in); !bytes.Equal(got, want) {
				t.Fatalf("frame %d:\n%x, want\n%x", sent, got, want)
			}
		}
	}
	pass()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	pass()
	e, im, err := xdp.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	defer e.Stop()
	for _, p := range e.Ports() {
		if p.Mode != dataplane.TC {
			t.Errorf("port %d is in mode %s", p.Number, p.Mode)
		}
	}
	pass()
	r.Engine = e
	r.addVLANs(t) // another program
	pass()
	mem, err := bpf.NewImage(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() })
	copy(mem.Mem(), r.image.Mem())
	if err := e.Replace(mem); err != nil {
		t.Fatal(err)
	}
	pass()
	if got, err := e.Run(numbered(0, 4), portIn); err != nil || got.Reason != dataplane.Forwarded || got.Egress != portOut {
		t.Errorf("%+v, %v", got, err)
	}
	if c := settle(e, portIn, uint64(sent)); c[dataplane.Forwarded].Packets != uint64(sent) || c.Received().Packets != uint64(sent) {
		t.Errorf("counters%s, want forwarded=%d", nonzero(c), sent)
	}
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	before := received(t, rx)
	send(t, tx, numbered(sent, 4))
	if n := received(t, rx); n != 0 || before != 0 {
		t.Errorf("%d frames came through after Stop", n)
	}
}
