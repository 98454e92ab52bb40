package xsk_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"weft/bpf"
	"weft/dataplane"
	"weft/dataplane/soft/internal/steertest"
	"weft/dataplane/soft/xsk"
)

// Actions of a program (enum xdp_action).
const (
	drop     = 1
	pass     = 2
	redirect = 4
)

// loops are the reasons of the XDP engine for packets that a loop finishes.
var loops = map[dataplane.Reason]bool{
	dataplane.Forwarded: true, dataplane.Glean: true, dataplane.UnresolvedNeigh: true, dataplane.TTLValueIsTooSmall: true,
	dataplane.MTUValueIsTooSmall: true, dataplane.IPv4LPMMiss: true, dataplane.IPv6LPMMiss: true, dataplane.RejectRoute: true,
	dataplane.ErifDisabled: true, dataplane.EncapUnknown: true, dataplane.BlackholeRoute: true,
}

// run gives a frame to a program, as if it came in by an interface.
func run(t testing.TB, p *ebpf.Program, frame []byte, ifindex int) (action uint32, out []byte) {
	t.Helper()
	ctx := make([]uint32, 6) // struct xdp_md
	ctx[1], ctx[3] = uint32(len(frame)), uint32(ifindex)
	o := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256), Context: ctx, Repeat: 1}
	action, err := p.Run(&o)
	if err != nil {
		t.Fatalf("frame % x: %v", frame, err)
	}
	return action, o.DataOut
}

// TestAgrees gives the same packets to the program that forwards and to the one that steers. The loop gets those that it
// can finish, as they came in; the others end for the same reason, and leave with the same bytes.
func TestAgrees(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for _, chunked := range []bool{false, true} {
		for bits := range 4 {
			f := bpf.Features{VLANs: bits&1 != 0, Partial: bits&2 != 0}
			t.Run(fmt.Sprintf("chunked=%t/vlans=%t/partial=%t", chunked, f.VLANs, f.Partial), func(t *testing.T) {
				agrees(t, rand.New(rand.NewPCG(seed, uint64(bits))), chunked, f)
			})
		}
	}
}

func agrees(t *testing.T, random *rand.Rand, chunked bool, f bpf.Features) {
	two := newTwoPorts(t, 4096, xsk.Options{Ring: 512})
	ports, sockets := two.ports, two.sockets
	image := steertest.NewFIB(t, chunked)
	flags := uint16(0)
	if f.Partial {
		flags = bpf.PortPartial
	}
	steers := steertest.New(t, ports[0].Index, ports[1].Index, flags)
	steers.LoadXSK(image, 1<<16, f)
	if err := sockets[0].Register(steers.XSKs, bpf.XSKKey(steertest.PortOne, 0)); err != nil {
		t.Fatal(err)
	}
	forwards := steertest.New(t, ports[0].Index, ports[1].Index, flags)
	if err := forwards.State.TxPorts.Put(uint32(steertest.PortTwo), uint32(ports[1].Index)); err != nil {
		t.Fatal(err)
	}
	var err error
	if forwards.Program, err = bpf.Load(image, forwards.State, f); err != nil {
		t.Fatal(err)
	}
	defer forwards.Close()
	seen, behind := map[dataplane.Reason]int{}, 0
	for range 4000 {
		in := randomFrame(random)
		action, out := run(t, forwards.Program, in, ports[0].Index)
		port, reason := forwards.One(len(in))
		gotAction, got := run(t, steers.Program, in, ports[0].Index)
		gotPort, gotReason := steers.One(len(in))
		seen[gotReason]++
		if gotPort != port {
			t.Fatalf("frame % x: counted for port %d, want %d", in, gotPort, port)
		}
		link := in[0] & 1
		switch {
		case f.Partial && link == 0 && loops[reason] && gotReason == dataplane.ChecksumPartial:
			// Whatever the loop would send of it would have no checksum.
			if gotAction != pass || !bytes.HasPrefix(in, got) {
				t.Fatalf("frame % x: %s, action %d\n% x", in, gotReason, gotAction, got)
			}
		case link == 0 && onlyKernelAnswers(in, reason):
			seen[reason]++
			behind++
			if gotReason != reason || gotAction != pass || !bytes.HasPrefix(in, got) {
				t.Fatalf("frame % x: %s, action %d\n% x\nwant %s, action %d", in, gotReason, gotAction, got, reason, pass)
			}
		case link == 0 && loops[reason]:
			if gotReason != dataplane.LoopOverrun || gotAction != redirect || !bytes.HasPrefix(in, got) || len(got) < 34 {
				t.Fatalf("frame % x: %s forwarding, but %s steering, action %d\n% x", in, reason, gotReason, gotAction, got)
			}
		default:
			if gotReason != reason || gotAction != action || !bytes.Equal(got, out) {
				t.Fatalf("frame % x: %s, action %d\n% x\nwant %s, action %d\n% x", in, gotReason, gotAction, got, reason, action, out)
			}
		}
	}
	for _, r := range []dataplane.Reason{dataplane.LoopOverrun, dataplane.LocalRoute, dataplane.PuntRoute, dataplane.ARP, dataplane.NotOurMAC,
		dataplane.UCDIPOverMCDMAC, dataplane.Multicast, dataplane.IPv4ChecksumWrong, dataplane.IPLengthWrong, dataplane.IPv4Options} {
		if seen[r] == 0 {
			t.Errorf("no packet for %s: %v", r, seen)
		}
	}
	for _, r := range []dataplane.Reason{dataplane.TTLValueIsTooSmall, dataplane.IPv4LPMMiss, dataplane.RejectRoute, dataplane.Glean} {
		if seen[r] == 0 {
			t.Errorf("no packet for %s from behind a route of the kernel's: %d in all", r, behind)
		}
	}
	if (seen[dataplane.ChecksumPartial] > 0) != f.Partial {
		t.Errorf("%d packets for %s", seen[dataplane.ChecksumPartial], dataplane.ChecksumPartial)
	}
}

// Sources to which only the kernel knows the way.
var behind4, behind6 = netip.MustParseAddr("10.8.0.7"), netip.MustParseAddr("2001:db8:8::7")

// onlyKernelAnswers tells whether a packet ends with an error that only the kernel can send.
func onlyKernelAnswers(frame []byte, r dataplane.Reason) bool {
	l3 := 14
	for len(frame) >= l3+24 && frame[l3-2] == 0x81 {
		l3 += 4
	}
	if len(frame) < l3+20 {
		return false
	}
	ttl, source := frame[l3+8], frame[l3+12:l3+14]
	prefix := behind4.AsSlice()[:2]
	if frame[l3]>>4 == 6 {
		ttl, source, prefix = frame[l3+7], frame[l3+8:l3+14], behind6.AsSlice()[:6]
	}
	if !bytes.Equal(source, prefix) {
		return false
	}
	switch r {
	case dataplane.TTLValueIsTooSmall, dataplane.IPv4LPMMiss, dataplane.IPv6LPMMiss, dataplane.RejectRoute:
		return true
	}
	return r == dataplane.Glean && ttl <= 1
}

// randomFrame makes one that comes to each step often enough.
func randomFrame(r *rand.Rand) []byte {
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	p := steertest.Packet{DstMAC: steertest.OurMAC, TTL: byte(1 + r.IntN(3)), Payload: r.IntN(64)}
	switch r.IntN(12) {
	case 0:
		p.DstMAC = [6]byte{2, 0, 0, 0, 0, 9}
	case 1:
		p.DstMAC = [6]byte{1, 0, 0x5e, 0, 0, 9}
	}
	for range r.IntN(8) - 5 {
		p.Tags = append(p.Tags, []uint16{0, steertest.VLANID, steertest.VLANID + 1}[r.IntN(3)])
	}
	if r.IntN(2) == 0 {
		p.Src = one("10.9.0.1", "10.9.0.1", behind4.String(), behind4.String(), "127.0.0.1", "0.0.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1")
		p.Dst = fmt.Sprintf("10.%d.0.5", r.IntN(10))
		if r.IntN(6) == 0 {
			p.Dst = one("224.0.0.5", "255.255.255.255", "127.0.0.1", "0.0.0.0", "240.0.0.1", "192.0.2.1")
		}
	} else {
		p.Src = one("2001:db8:9::1", behind6.String(), "fe80::1", "::1", "::", "ff02::1", "::ffff:1.2.3.4")
		p.Dst = fmt.Sprintf("2001:db8:%x::5", r.IntN(10))
		if r.IntN(6) == 0 {
			p.Dst = one("ff02::5", "ff01::1", "::1", "::", "fe80::1", "3000::1", "::ffff:1.2.3.4")
		}
	}
	f := p.Bytes()
	l3 := 14 + 4*len(p.Tags)
	v4 := f[l3]>>4 == 4
	switch r.IntN(16) {
	case 0:
		binary.BigEndian.PutUint16(f[12:], 0x0806)
	case 1: // padding
		f = append(f, make([]byte, r.IntN(40))...)
	case 2:
		f = f[:14+r.IntN(len(f)-14)]
	case 3:
		f[l3+r.IntN(20)] ^= byte(1 << r.IntN(8))
	case 4:
		f[l3] = byte(r.IntN(256))
	case 5:
		if v4 { // options
			f[l3] = 0x46
			f[l3+10], f[l3+11] = 0, 0
		} else {
			f[l3+6] = 0
		}
	case 6, 7: // checksum left to hardware
		if v4 {
			pseudo := append(append([]byte{}, f[l3+12:l3+20]...), 0, f[l3+9], f[l3+24], f[l3+25])
			binary.BigEndian.PutUint16(f[l3+26:], steertest.Sum(pseudo))
		} else {
			pseudo := append(append([]byte{}, f[l3+8:l3+40]...), 0, f[l3+6], f[l3+4], f[l3+5])
			binary.BigEndian.PutUint16(f[l3+46:], steertest.Sum(pseudo))
		}
	}
	return f
}

// TestWithoutSocket asserts that the kernel gets what no loop takes: by a queue without a socket, by a port that the map
// has no room for, and frames that are longer than the loop's memory has room for.
func TestWithoutSocket(t *testing.T) {
	two := newTwoPorts(t, 4096, xsk.Options{Ring: 512})
	ports, sockets := two.ports, two.sockets
	image := steertest.NewFIB(t, false)
	s := steertest.New(t, ports[0].Index, ports[1].Index, 0)
	const longest = 200
	s.LoadXSK(image, longest, bpf.Features{VLANs: true})
	plain := steertest.Packet{Src: "10.9.0.1", Dst: "10.1.0.5"}
	long := steertest.Packet{Src: "10.9.0.1", Dst: "10.1.0.5", Payload: longest}
	exact := steertest.Packet{Src: "10.9.0.1", Dst: "10.1.0.5", Payload: longest - len(plain.Bytes())}
	tagged := steertest.Packet{Src: "10.9.0.1", Dst: "10.1.0.5", Tags: []uint16{steertest.VLANID}}
	longTagged := steertest.Packet{Src: "10.9.0.1", Dst: "10.1.0.5", Tags: []uint16{steertest.VLANID}, Payload: longest - len(plain.Bytes())}
	want := func(p steertest.Packet, port int, reason dataplane.Reason, action uint32) {
		t.Helper()
		in := p.Bytes()
		gotAction, out := run(t, s.Program, in, ports[0].Index)
		gotPort, gotReason := s.One(len(in))
		if gotPort != port || gotReason != reason || gotAction != action || !bytes.Equal(in, out) {
			t.Errorf("%+v: port %d, %s, action %d\n% x\nwant port %d, %s, action %d\n% x",
				p, gotPort, gotReason, gotAction, out, port, reason, action, in)
		}
	}
	want(plain, steertest.PortOne, dataplane.LoopAbsent, pass)
	want(tagged, steertest.PortVLAN, dataplane.LoopAbsent, pass)
	if err := sockets[0].Register(s.XSKs, bpf.XSKKey(steertest.PortOne, 0)); err != nil {
		t.Fatal(err)
	}
	want(plain, steertest.PortOne, dataplane.LoopOverrun, redirect)
	want(exact, steertest.PortOne, dataplane.LoopOverrun, redirect)
	want(long, steertest.PortOne, dataplane.LoopFrameTooLong, pass)
	want(tagged, steertest.PortVLAN, dataplane.LoopOverrun, redirect)
	want(longTagged, steertest.PortVLAN, dataplane.LoopFrameTooLong, pass)
	if err := sockets[0].Close(); err != nil {
		t.Fatal(err)
	}
	want(plain, steertest.PortOne, dataplane.LoopAbsent, pass)
}
