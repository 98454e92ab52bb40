package router

import (
	"bytes"
	"encoding/binary"
	"testing"

	"weft/test/star"
	"weft/test/traffic"

	"golang.org/x/sys/unix"
)

// icmpError finds an ICMP error of the router, which quotes a packet, in a frame
// to h1: its type, its code, and its rest of header (RFC 792, RFC 4443).
func icmpError(frame, about []byte) (kind, code int, rest uint32, ok bool) {
	m := frame[star.EthLen:]
	if about[12] == 0x08 {
		if frame[12] != 0x08 || m[9] != unix.IPPROTO_ICMP || len(m) < 20+8+20 {
			return 0, 0, 0, false
		}
		m = m[20:]
		quoted := m[8:]
		// A packet that was taken as it came, TTL and all.
		ok = (m[0] == 3 || m[0] == 11) && bytes.HasPrefix(about[star.EthLen:], quoted[:28])
		return int(m[0]), int(m[1]), binary.BigEndian.Uint32(m[4:]), ok && traffic.Checksum(m) == 0
	}
	if frame[12] != 0x86 || m[6] != unix.IPPROTO_ICMPV6 || len(m) < 40+8+40 {
		return 0, 0, 0, false
	}
	pseudo := binary.BigEndian.AppendUint32(bytes.Clone(m[8:40]), uint32(len(m)-40))
	pseudo = append(pseudo, 0, 0, 0, unix.IPPROTO_ICMPV6)
	m = m[40:]
	ok = m[0] < 128 && bytes.HasPrefix(about[star.EthLen:], m[8:48])
	return int(m[0]), int(m[1]), binary.BigEndian.Uint32(m[4:]), ok && traffic.Checksum(pseudo, m) == 0
}

// wantError waits for the ICMP error about a packet, and returns the rest of its
// header. With code -1, there is to be none.
func wantError(p *star.Path, d star.Datagram, kind, code int) (rest uint32) {
	p.From.Helper()
	about := d.Bytes()
	var gotKind, gotCode int
	wait := star.Patience
	if code < 0 {
		wait = star.Quiet
	}
	got := p.From.Receive(wait, func(frame []byte) (ok bool) {
		if len(frame) > star.EthLen+40 {
			gotKind, gotCode, rest, ok = icmpError(frame, about)
		}
		return ok
	})
	switch {
	case code < 0 && got != nil:
		p.From.Errorf("packet to %s: ICMP error type %d code %d, want none", d.Dst, gotKind, gotCode)
	case code >= 0 && got == nil:
		p.From.Errorf("packet to %s: no ICMP error, want type %d code %d", d.Dst, kind, code)
	case code >= 0 && (gotKind != kind || gotCode != code):
		p.From.Errorf("packet to %s: ICMP error type %d code %d, want %d and %d", d.Dst, gotKind, gotCode, kind, code)
	}
	return rest
}

// A packet whose time ends here is answered by Linux; one hop more, and it passes.
func TestTimeExceeded(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	p := n.Path(2)
	for _, c := range []struct {
		dst  string
		kind int
	}{{"10.2.0.2", 11}, {"2001:db8:2::2", 3}} {
		d := p.Packet(c.dst)
		d.Ttl = 1
		n.WantCounted("to-h1", "ttl_value_is_too_small", 1, func() { p.IsLost(d) })
		wantError(p, d, c.kind, 0)
		d.Ttl = 2
		p.Crosses(d)
	}
	// To the router itself TTL 1 is enough (RFC 1812 5.3.1).
	d := p.Packet("10.1.0.1")
	d.Ttl = 1
	n.WantCounted("to-h1", "local_route", 1, func() { p.IsLost(d) })
	wantError(p, d, 3, 3) // port unreachable
}

// A packet that is too long for the next link is answered with the MTU of it, or
// fragmented, by Linux. MTUs are those of links, and of routes.
func TestPacketTooBig(t *testing.T) {
	n := star.New(t)
	n.Run()
	n.Resolve()
	p := n.Path(2)
	n.IP("r1", "link set to-h2 mtu 1300")
	n.WantLookup("10.2.0.2", func(l *star.Lookup) bool { return l.MTU == 1300 })
	n.WantLookup("2001:db8:2::2", func(l *star.Lookup) bool { return l.MTU == 1300 })
	for _, c := range []struct {
		dst                string
		header, kind, code int
	}{{"10.2.0.2", 28, 3, 4}, {"2001:db8:2::2", 48, 2, 0}} {
		d := p.Packet(c.dst)
		d.Payload = 1300 - c.header
		p.Crosses(d)
		d.Payload++
		n.WantCounted("to-h1", "mtu_value_is_too_small", 1, func() { p.IsLost(d) })
		if rest := wantError(p, d, c.kind, c.code); rest != 1300 {
			t.Errorf("packet to %s: the ICMP error says MTU %d, want 1300", c.dst, rest)
		}
	}
	d := p.Packet("10.2.0.2")
	d.Payload, d.Fragmented = 1400, true
	n.WantCounted("to-h1", "mtu_value_is_too_small", 1, func() { p.From.Send(d.Bytes()) })
	wantFragments(t, p, 1400)

	n.IP("r1", "link set to-h2 mtu 1500")
	n.WantLookup("10.2.0.2", func(l *star.Lookup) bool { return l.MTU == 1500 })
	p.Crosses(d)
	n.IP("r1", "route add 10.60.0.0/16 via 10.2.0.2 mtu 1200")
	n.WantLookup("10.60.0.1", func(l *star.Lookup) bool { return l.MTU == 1200 && l.Dev == "to-h2" })
	d = p.Packet("10.60.0.1")
	d.Payload = 1200 - 28
	p.Crosses(d)
	d.Payload++
	n.WantCounted("to-h1", "mtu_value_is_too_small", 1, func() { p.IsLost(d) })
	if rest := wantError(p, d, 3, 4); rest != 1200 {
		t.Errorf("the ICMP error says MTU %d, want 1200", rest)
	}
}

// wantFragments waits for the fragments of a datagram with so long a payload.
func wantFragments(t *testing.T, p *star.Path, payload int) {
	t.Helper()
	isFragment := func(f []byte) bool {
		return f[12] == 0x08 && f[star.EthLen+9] == unix.IPPROTO_UDP && len(f) > star.EthLen+20
	}
	var got []byte
	for range 2 {
		f := p.To.Receive(star.Patience, isFragment)
		if f == nil {
			t.Fatal("a fragment is missing")
		}
		ip := f[star.EthLen:]
		if traffic.Checksum(ip[:20]) != 0 || ip[8] != 63 {
			t.Errorf("fragment with TTL %d, checksum %#x", ip[8], traffic.Checksum(ip[:20]))
		}
		if at := int(binary.BigEndian.Uint16(ip[6:])&0x1fff) * 8; at != len(got) {
			t.Errorf("fragment at %d, want %d", at, len(got))
		}
		got = append(got, ip[20:binary.BigEndian.Uint16(ip[2:])]...)
	}
	if len(got) != payload+8 {
		t.Errorf("the fragments have %d bytes, want %d", len(got), payload+8)
	}
}
