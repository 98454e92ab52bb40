package packet

import (
	"bytes"
	"testing"

	"weft/dataplane"
	"weft/fib"
)

// FuzzFrame gives any bytes to all that takes a frame: nothing reads outside of it, and
// what passes the checks can be forwarded, divided and quoted.
func FuzzFrame(f *testing.F) {
	f.Add(ipv4Frame(f, nil), uint16(100))
	f.Add(ipv6Frame(f, nil), uint16(1280))
	f.Add(ipv4Frame(f, func(p IPv4) { p[6] = 0x20 }), uint16(68))
	f.Add(ipv6Frame(f, func(p IPv6) { p[6] = nextFragment }), uint16(0))
	f.Fuzz(func(t *testing.T, frame []byte, n uint16) {
		if len(frame) < EthernetLen || len(frame) > 65535 {
			return
		}
		mtu := 68 + int(n)%9000
		frame = frame[:len(frame):len(frame)]
		for i := range MaxTags + 1 {
			TagAt(frame, i)
		}
		if r, length := CheckIPv4(frame); r == dataplane.Forwarded {
			fuzzIPv4(t, bytes.Clone(frame[:length]), mtu)
		}
		if r, length := CheckIPv6(frame); r == dataplane.Forwarded {
			fuzzIPv6(t, bytes.Clone(frame[:length]))
		}
	})
}

func fuzzIPv4(t *testing.T, frame []byte, mtu int) {
	p := IPv4(frame[EthernetLen:])
	p = p[:p.Len()]
	Flow4(frame, 1)
	if IsPartial4(frame) {
		FillChecksum4(frame)
	}
	b := make([]byte, max(MaxError4, mtu))
	e := Error{Type: TimeExceeded4}.Write4(b, p, 1, mtu, 1)
	if MayAnswer4(p); e > min(mtu, MaxError4) || Checksum(b[IPv4Len:e]) != 0 || Checksum(b[:IPv4Len]) != 0 || MayAnswer4(b[:e]) {
		t.Fatalf("error %x about %x", b[:e], p)
	}
	if p[8] > 1 {
		if p.Forward(); Checksum(p[:IPv4Len]) != 0 {
			t.Fatalf("forwarded with a wrong checksum: %x", p)
		}
	}
	if p.IsFragment() {
		return
	}
	if data, _ := reassemble(t, divide(p, mtu)); !bytes.Equal(data, p[IPv4Len:]) {
		t.Fatalf("MTU %d: fragments of %x come together as %x", mtu, p, data)
	}
}

func fuzzIPv6(t *testing.T, frame []byte) {
	p := IPv6(frame[EthernetLen:])
	p = p[:p.Len()]
	Flow6(frame, 1)
	if IsPartial6(frame) {
		FillChecksum6(frame)
	}
	HasFragmentPoint(p)
	MayAnswer6(p)
	b := make([]byte, MaxError6)
	e := Error{Type: TimeExceeded6}.Write6(b, p, fib.Addr6{Hi: 1})
	if MayAnswer6(b[:e]) || Fold(Sum(b[IPv6Len:e], pseudo6(b))) != 0xffff {
		t.Fatalf("error %x about %x", b[:e], p)
	}
}
