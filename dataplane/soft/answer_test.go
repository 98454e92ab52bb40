package soft

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"weft/dataplane"
	"weft/dataplane/packet"
	"weft/dataplane/soft/device"
	"weft/fib"
)

// wantError checks that one ICMP error has left by a port: its type, code, second word
// and source, that it quotes the packet, and its checksums.
func (x *world) wantError(port uint32, kind, code byte, info uint32, source string, about []byte) {
	x.Helper()
	all := x.received(x.wires[port])
	if len(all) != 1 {
		x.Fatalf("%d frames out of port %d, want one ICMP error", len(all), port)
	}
	f := all[0]
	r := rewrite(byte(port), 0)
	at, src := 34, f[26:30]
	if f[14]>>4 == 6 {
		at, src = 54, f[22:38]
	}
	m := f[at:]
	if !bytes.Equal(f[:12], r[:12]) || !bytes.Equal(f[12:14], about[12:14]) {
		x.Errorf("header %x", f[:14])
	}
	if from, _ := netip.AddrFromSlice(src); from.String() != source {
		x.Errorf("from %s, want %s", from, source)
	}
	if m[0] != kind || m[1] != code || binary.BigEndian.Uint32(m[4:]) != info {
		x.Errorf("type %d code %d with %d, want %d, %d with %d", m[0], m[1], binary.BigEndian.Uint32(m[4:]), kind, code, info)
	}
	if quote := m[8:]; !bytes.Equal(quote, about[14:][:len(quote)]) || len(quote) < min(len(about)-14, 500) {
		x.Errorf("it quotes %x\nof %x", quote, about[14:])
	}
	if at == 34 && (packet.Checksum(f[14:34]) != 0 || packet.Checksum(m) != 0) {
		x.Errorf("checksums of %x", f)
	}
}

// RFC 1812 4.3.2, 5.2.7; RFC 4443 3: each error has its type, goes back to the source, and
// comes from the address of the port that it leaves by.
func TestErrors(t *testing.T) {
	x := newWorld(t, nil, nil)
	df := frame(1, "10.1.0.5", "10.2.0.1", 1450)
	df[20] = 0x40
	setTTL(df, 64)
	for _, c := range []struct {
		name       string
		frame      []byte
		reason     dataplane.Reason
		kind, code byte
		info       uint32
		source     string
	}{
		{"ttl", setTTL(frame(1, "192.0.2.9", "10.2.0.1", 40), 1), dataplane.TTLValueIsTooSmall, 11, 0, 0, "192.0.2.1"},
		{"no route", frame(1, "192.0.2.9", "9.9.9.9", 1000), dataplane.IPv4LPMMiss, 3, 0, 0, "192.0.2.1"},
		{"prohibited", frame(1, "192.0.2.9", "10.6.0.1", 40), dataplane.RejectRoute, 3, 13, 0, "192.0.2.1"},
		{"too big", df, dataplane.MTUValueIsTooSmall, 3, 4, 1400, "192.0.2.1"},
		{"hop limit", setTTL(frame(1, "2001:db8:1::9", "2001:db8:200::1", 40), 1), dataplane.TTLValueIsTooSmall, 3, 0, 0, "2001:db8:1::1"},
		{"no IPv6 route", frame(1, "2001:db8:100::9", "2001:db9::", 1400), dataplane.IPv6LPMMiss, 1, 0, 0, "2001:db8:1::1"},
		{"IPv6 too big", frame(1, "2001:db8:1::9", "2001:db8:200::1", 1361), dataplane.MTUValueIsTooSmall, 2, 0, 1400, "2001:db8:1::1"},
	} {
		before := x.w.Counters(1)
		x.now += time.Hour
		x.send(1, c.frame)
		x.run()
		after := x.w.Counters(1)
		if after[c.reason].Packets != before[c.reason].Packets+1 {
			t.Errorf("%s: not counted for %s", c.name, c.reason)
		}
		x.wantError(1, c.kind, c.code, c.info, c.source, c.frame)
		x.wantOut(2)
	}
	x.wantFates(map[Fate]uint64{FateAnswered: 7})
	x.wantConserved(7)
}

// RFC 1812 4.3.2.7, RFC 4443 2.4 (e).
func TestNoErrors(t *testing.T) {
	x := newWorld(t, nil, nil)
	icmp := setTTL(frame(1, "192.0.2.9", "10.2.0.1", 40), 1)
	icmp[23], icmp[34] = 1, 11
	setTTL(icmp, 1)
	fragment := setTTL(frame(1, "192.0.2.9", "10.2.0.1", 40), 1)
	fragment[21] = 1
	setTTL(fragment, 1)
	icmp6 := setTTL(frame(1, "2001:db8:1::9", "2001:db8:200::1", 40), 1)
	icmp6[20], icmp6[54] = 58, 1
	group := frame(1, "192.0.2.9", "9.9.9.9", 40)
	group[0] |= 1
	nobody := frame(1, "8.8.8.8", "9.9.9.9", 40)
	own := frame(1, "192.0.2.1", "9.9.9.9", 40)
	x.send(1, icmp, fragment, icmp6, group, nobody, own)
	x.run()
	for n := range x.wires {
		x.wantOut(n)
		x.wantUp(n)
	}
	x.wantFates(map[Fate]uint64{FateUnanswered: 6})
	x.wantConserved(6)
}

// Linux's defaults: six errors in a row for one host, then one a second; IPv6: ten.
func TestErrorsAreLimited(t *testing.T) {
	x := newWorld(t, nil, nil)
	f4, f6 := setTTL(frame(1, "192.0.2.9", "10.2.0.1", 40), 1), setTTL(frame(1, "2001:db8:1::9", "2001:db8:200::1", 40), 1)
	for range 20 {
		x.send(1, f4, f6)
	}
	x.run()
	if n := len(x.received(x.wires[1])); n != 6+6 {
		t.Errorf("%d errors, want 12", n)
	}
	x.wantFates(map[Fate]uint64{FateAnswered: 12, FateLimited: 28})
	x.now += time.Second
	for range 20 {
		x.send(1, f4, f6)
	}
	x.run()
	if n := len(x.received(x.wires[1])); n != 1+6 {
		t.Errorf("%d errors a second later, want 7", n)
	}
	x.wantConserved(80)
}

// What is too big and may be divided leaves in fragments that make the packet again.
func TestDivides(t *testing.T) {
	x := newWorld(t, nil, nil)
	f := frame(1, "192.0.2.9", "10.2.0.1", 1450)
	x.send(1, f)
	x.run()
	all := x.received(x.wires[2])
	var data []byte
	for i, one := range all {
		p := packet.IPv4(one[14:])
		if want := rewrite(2, 0); !bytes.Equal(one[:12], want[:12]) || p.Len() != len(p) || p.Len() > 1400 || p[8] != 63 || packet.Checksum(p[:20]) != 0 {
			t.Errorf("fragment %d: %x", i, one[:34])
		}
		data = append(data, p[20:]...)
	}
	if len(all) != 2 || !bytes.Equal(data, f[34:]) {
		t.Errorf("%d fragments with %d bytes", len(all), len(data))
	}
	x.wantCounted(1, dataplane.MTUValueIsTooSmall, 1)
	x.wantFates(map[Fate]uint64{FateDivided: 1})
	x.wantConserved(1)
}

// A port that hosts leave checksums to: they are filled in, and the packet goes on.
func TestFillsChecksums(t *testing.T) {
	x := newWorld(t, nil, nil)
	c := *x.config
	c.Ports = append([]Port{}, c.Ports...)
	c.Ports[0].Partial = true
	x.must(x.w.Set(&c))
	f := frame(1, "192.0.2.9", "10.2.0.1", 40)
	binary.BigEndian.PutUint16(f[38:], 40)
	pseudo := append(append([]byte{}, f[26:34]...), 0, 17, 0, 40)
	binary.LittleEndian.PutUint16(f[40:], packet.Fold(packet.Sum(pseudo, 0)))
	x.send(1, f, frame(1, "192.0.2.9", "10.2.0.1", 40))
	x.run()
	all := x.received(x.wires[2])
	right := 0
	for _, one := range all {
		if packet.Fold(packet.Sum(one[34:], packet.Sum(pseudo, 0))) == 0xffff {
			right++
		}
	}
	if len(all) != 2 || right != 1 {
		t.Errorf("%d frames, %d with their checksum", len(all), right)
	}
	x.wantCounted(1, dataplane.ChecksumPartial, 1)
	x.wantFates(map[Fate]uint64{FateFilled: 1})
}

// Packets wait for their neighbor, which is asked for once, and leave when it is known.
func TestHolds(t *testing.T) {
	x := newWorld(t, nil, nil)
	a, b := frame(1, "192.0.2.9", "203.0.113.55", 40), frame(2, "198.51.100.9", "203.0.113.55", 50)
	six := frame(1, "2001:db8:1::9", "2001:db8:3::55", 40)
	x.send(1, a, six)
	x.send(2, b)
	x.run()
	x.wantOut(3)
	for range 2 {
		if got := <-x.w.Asks(); got.Port != 3 || got.Addr != netip.MustParseAddr("203.0.113.55") && got.Addr != netip.MustParseAddr("2001:db8:3::55") {
			t.Errorf("asked for %+v", got)
		}
	}
	x.wantCounted(1, dataplane.Glean, 2)
	x.wantConserved(3)
	x.route("203.0.113.55/32", x.to(x.neighbor[3]))
	x.run()
	x.wantOut(3, forwarded(a, 3), forwarded(b, 3))
	x.wantFates(map[Fate]uint64{FateHeld: 3, FateReleased: 2})
	x.now += time.Second
	x.run()
	if len(x.w.Asks()) != 1 {
		t.Errorf("%d questions after a second, want one more", len(x.w.Asks()))
	}
	x.route("2001:db8:3::55/128", x.to(x.neighbor[3]))
	x.run()
	x.wantOut(3, forwarded(six, 3))
	x.wantConserved(3)
}

// A gateway that is not known holds packets for all behind it.
func TestHoldsForGateway(t *testing.T) {
	x := newWorld(t, nil, nil)
	a := fib.Adjacency{Port: 2, MTU: 1400, RewriteLen: 14, Rewrite: rewrite(2, 0), Neighbor: netip.MustParseAddr("198.51.100.77")}
	id := x.adjacency(a)
	x.route("10.8.0.0/16", x.to(id))
	f, g := frame(1, "192.0.2.9", "10.8.0.1", 40), frame(1, "192.0.2.9", "10.8.77.77", 1450)
	x.send(1, f, g)
	x.run()
	x.wantOut(2)
	if got := <-x.w.Asks(); got != (Neighbor{2, a.Neighbor}) || len(x.w.Asks()) != 0 {
		t.Errorf("asked for %+v and %d more", got, len(x.w.Asks()))
	}
	a.Complete = true
	x.must(x.im.SetAdjacency(id, a))
	x.publish()
	x.run()
	all := x.received(x.wires[2])
	if len(all) != 3 || !bytes.Equal(all[0], forwarded(f, 2)) { // one of them in fragments
		t.Errorf("%d frames: %x", len(all), all)
	}
	x.wantCounted(1, dataplane.UnresolvedNeigh, 2)
	x.wantConserved(2)
}

// What is held is bounded, for one neighbor and for all; the oldest go.
func TestHoldIsBounded(t *testing.T) {
	x := newWorld(t, nil, nil)
	for i := range 100 {
		f := frame(1, "192.0.2.9", "203.0.113.55", 40)
		f[60] = byte(i)
		x.send(1, f)
	}
	x.run()
	if n := x.w.holds.packets; n != holdMost {
		t.Errorf("%d packets are held for a neighbor", n)
	}
	for i := range 400 {
		x.send(1, frame(1, "192.0.2.9", netip.AddrFrom4([4]byte{203, 0, 113, byte(60 + i%190)}).String(), 40))
	}
	x.run()
	if n := x.w.holds.packets; n > worldFrames/holdShare {
		t.Errorf("%d packets are held, of %d frames", n, worldFrames)
	}
	x.wantConserved(500)
	x.route("203.0.113.55/32", x.to(x.neighbor[3]))
	x.run()
	all := x.received(x.wires[3])
	if len(all) == 0 || all[len(all)-1][60] != 99 {
		t.Errorf("%d packets left, without the last", len(all))
	}
	x.wantConserved(500)
}

// A neighbor that does not answer: RFC 1812 4.3.3.1, RFC 4443 3.1.
func TestUnreachable(t *testing.T) {
	x := newWorld(t, nil, nil)
	four, six := frame(1, "192.0.2.9", "203.0.113.55", 40), frame(1, "2001:db8:1::9", "2001:db8:3::55", 40)
	x.send(1, four)
	x.run()
	x.now += holdEnd
	x.run()
	packet.IPv4(four[14:]).Forward() // Linux quotes it as it was to be sent
	x.wantError(1, 3, 1, 0, "192.0.2.1", four)
	x.send(1, six)
	x.run()
	x.now += holdEnd
	x.run()
	packet.IPv6(six[14:]).Forward()
	x.wantError(1, 1, 3, 0, "2001:db8:1::1", six)
	x.wantFates(map[Fate]uint64{FateHeld: 2, FateUnreachable: 2, FateAnswered: 2})
	if x.w.holds.n != 0 {
		t.Errorf("%d neighbors are waited for", x.w.holds.n)
	}
	x.wantConserved(2)
}

// An error to a host that is not known yet waits for it, too; a packet whose way leads
// elsewhere meanwhile goes there.
func TestErrorsWait(t *testing.T) {
	x := newWorld(t, nil, nil)
	expired := setTTL(frame(1, "192.0.2.55", "10.2.0.1", 40), 1)
	x.send(1, expired, frame(1, "192.0.2.9", "203.0.113.55", 40))
	x.run()
	x.wantOut(1)
	x.route("192.0.2.55/32", x.to(x.neighbor[1]))
	x.route("203.0.113.55/32", x.group(fib.Group{Kind: fib.Local}))
	x.run()
	x.wantError(1, 11, 0, 0, "192.0.2.1", expired)
	if n := len(x.received(x.kernels[1])); n != 1 {
		t.Errorf("%d packets went to the kernel", n)
	}
	x.wantConserved(2)
}

// Of a tagged packet that waits and is then the kernel's the tags come back.
func TestHeldTags(t *testing.T) {
	x := newWorld(t, nil, nil)
	f := frame(4, "192.0.2.9", "203.0.113.55", 40)
	in := append(append(append([]byte{}, f[:12]...), 0x81, 0, 0, 100), f[12:]...)
	x.send(1, in)
	x.run()
	x.route("203.0.113.55/32", x.group(fib.Group{Kind: fib.Local}))
	x.run()
	x.wantUp(1, in)
	x.wantCounted(4, dataplane.Glean, 1)
	x.wantConserved(1)
}

// Nothing allocates, whatever comes.
func TestRoundDoesNotAllocate(t *testing.T) {
	x := newWorld(t, nil, nil)
	r := random(t)
	frames := make([][]byte, 300)
	for i := range frames {
		frames[i] = randomFrame(r, 1)
	}
	d := make([]device.Descriptor, worldFrames)
	free := func(w *device.Wire) {
		for _, one := range d[:w.Receive(d)] {
			x.pool.Put(one.Address)
		}
	}
	turn := func() {
		for _, f := range frames {
			x.send(1, f)
		}
		x.run()
		x.now += 20 * time.Millisecond
		for n := range uint32(3) {
			free(x.wires[n+1])
			free(x.kernels[n+1])
		}
		x.forgetHeld()
	}
	turn()
	if n := testing.AllocsPerRun(20, turn); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
