package packet

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"weft/dataplane"
	"weft/fib"
)

// slowSum is RFC 1071 as it is written there.
func slowSum(b []byte) uint16 {
	n := uint32(0)
	for i, v := range b {
		n += uint32(v) << (8 * (1 - i&1))
	}
	for n > 0xffff {
		n = n>>16 + n&0xffff
	}
	return uint16(n)
}

func random(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func TestSum(t *testing.T) {
	r := random(t)
	b := make([]byte, 300)
	for i := range 20_000 {
		some := b[:r.IntN(len(b))]
		for j := range some {
			if some[j] = byte(r.Uint32()); i%3 == 0 { // where carries are
				some[j] |= 0xf0
			}
			if i%7 == 0 {
				some[j] = 0xff
			}
		}
		got, want := Fold(Sum(some, 0)), slowSum(some)
		if swapped := got<<8 | got>>8; swapped != want {
			t.Fatalf("sum of %x: %#x, want %#x", some, swapped, want)
		}
	}
}

// ipv4Header is one whose checksum is right.
func ipv4Header(r *rand.Rand) IPv4 {
	p := make(IPv4, IPv4Len)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	p[0] = 0x45
	p.setChecksum()
	return p
}

// RFC 1624: the checksum comes out as if it were computed in full, also where it was
// 0xffff or 0x0000 or becomes that.
func TestDecrementTTL(t *testing.T) {
	r := random(t)
	check := func(p IPv4) {
		t.Helper()
		want := bytes.Clone(p)
		want[8]--
		IPv4(want).setChecksum()
		was := hex.EncodeToString(p)
		if p.Forward(); !bytes.Equal(p, want) {
			t.Fatalf("%s became %x, want %x", was, p, want)
		}
	}
	for range 200_000 {
		p := ipv4Header(r)
		p[8] = max(p[8], 2)
		p.setChecksum()
		check(p)
	}
	// All checksums that a header can have, by its identification.
	p := ipv4Header(r)
	for ttl := range 254 {
		for _, step := range []int{0, 1, 2, 0xff, 0x100, 0x101, 0xfffe, 0xffff} {
			p[8] = byte(ttl + 2)
			binary.BigEndian.PutUint16(p[4:], 0)
			p.setChecksum()
			// The identification that makes the checksum what is wanted, as the sum is of ones' complement.
			sum := binary.BigEndian.Uint16(p[10:])
			binary.BigEndian.PutUint16(p[4:], sum-uint16(step))
			p.setChecksum()
			check(bytes.Clone(p))
		}
	}
}

func TestIsRight(t *testing.T) {
	r := random(t)
	for range 100_000 {
		p := ipv4Header(r)
		if r.IntN(2) == 0 {
			p[r.IntN(len(p))] ^= byte(1 + r.IntN(255))
		}
		sum := uint64(0)
		for i := range 5 {
			sum += uint64(binary.LittleEndian.Uint32(p[4*i:]))
		}
		if got, want := IsRight(sum), slowSum(p) == 0xffff; got != want {
			t.Fatalf("%x: %t, want %t", p, got, want)
		}
	}
}

// What IsPlain says is plain has nothing wrong with it; and most of what has not is plain.
func TestIsPlain(t *testing.T) {
	r, plain := random(t), 0
	const n = 1_000_000
	for range n {
		src, dst := r.Uint32(), r.Uint32()
		if IsPlain4(src, dst) {
			plain++
			if reason := special4(src, dst); reason != dataplane.Forwarded {
				t.Fatalf("%08x to %08x is plain, and %s", src, dst, reason)
			}
		}
	}
	if plain < n/2 {
		t.Errorf("%d of %d random pairs are plain", plain, n)
	}
	for first := range 256 {
		six := fib.Addr6{Hi: uint64(first) << 56}
		good := fib.Addr6{Hi: 0x2001 << 48}
		if IsPlain6(byte(first), 0x20) && special6(six, good) != dataplane.Forwarded ||
			IsPlain6(0x3f, byte(first)) && special6(good, six) != dataplane.Forwarded {
			t.Errorf("%02x00::/8 is plain", first)
		}
	}
}

// frame is one from hex, spaces ignored.
func frame(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ipv4Frame(t testing.TB, change func(IPv4)) []byte {
	f := frame(t, "020000000001 020000000002 0800  45000020 12340000 4011 0000 c0000201 c6336401 0035 0035 000c 0000 61626364")
	p := IPv4(f[EthernetLen:])
	p.setChecksum()
	if change != nil {
		change(p)
	}
	return f
}

func ipv6Frame(t testing.TB, change func(IPv6)) []byte {
	f := frame(t, "020000000001 020000000002 86dd  60012345 000c 11 40 20010db8000000000000000000000001 "+
		"20010db8000100000000000000000001 0035 0035 000c 0000 61626364")
	if change != nil {
		change(f[EthernetLen:])
	}
	return f
}

func TestCheckIPv4(t *testing.T) {
	address := func(at int, a uint32) func(IPv4) {
		return func(p IPv4) {
			binary.BigEndian.PutUint32(p[at:], a)
			p.setChecksum()
		}
	}
	for _, c := range []struct {
		name   string
		change func(IPv4)
		want   dataplane.Reason
	}{
		{"right", nil, dataplane.Forwarded},
		{"checksum", func(p IPv4) { p[10] ^= 1 }, dataplane.IPv4ChecksumWrong},
		{"version 6", func(p IPv4) { p[0] = 0x65 }, dataplane.IPHeaderCorrupted},
		{"header of 16 bytes", func(p IPv4) { p[0] = 0x44 }, dataplane.IPHeaderCorrupted},
		{"options", func(p IPv4) { p[0] = 0x46 }, dataplane.IPv4Options},
		{"header longer than the packet", func(p IPv4) { p[0] = 0x4f }, dataplane.IPLengthWrong},
		{"longer than the frame", func(p IPv4) { p[3]++; p.setChecksum() }, dataplane.IPLengthWrong},
		{"shorter than its header", func(p IPv4) { p[3] = 19; p.setChecksum() }, dataplane.IPLengthWrong},
		{"to all", address(16, 0xffffffff), dataplane.Broadcast},
		{"to a group", address(16, 0xe0000001), dataplane.Multicast},
		{"from all", address(12, 0xffffffff), dataplane.IPv4SIPIsLimitedBC},
		{"from a group", address(12, 0xefffffff), dataplane.SIPIsMC},
		{"from 0/8", address(12, 0x00000001), dataplane.SIPIsUnspecified},
		{"from 127/8", address(12, 0x7f000001), dataplane.SIPIsLoopbackAddress},
		{"to 0/8", address(16, 0x00ffffff), dataplane.DIPIsUnspecified},
		{"to 127/8", address(16, 0x7fffffff), dataplane.DIPIsLoopbackAddress},
		{"from class E", address(12, 0xf0000001), dataplane.Forwarded},
	} {
		f := ipv4Frame(t, c.change)
		if got, length := CheckIPv4(f); got != c.want || length != len(f) {
			t.Errorf("%s: %s, %d bytes; want %s, %d", c.name, got, length, c.want, len(f))
		}
	}
	f := append(ipv4Frame(t, nil), make([]byte, 100)...)
	if got, length := CheckIPv4(f); got != dataplane.Forwarded || length != EthernetLeast {
		t.Errorf("padded: %s, %d bytes", got, length)
	}
	if got, _ := CheckIPv4(f[:EthernetLen+19]); got != dataplane.IPLengthWrong {
		t.Errorf("19 bytes: %s", got)
	}
}

func TestCheckIPv6(t *testing.T) {
	address := func(at int, text string) func(IPv6) {
		return func(p IPv6) { copy(p[at:], frame(t, text)) }
	}
	for _, c := range []struct {
		name   string
		change func(IPv6)
		want   dataplane.Reason
	}{
		{"right", nil, dataplane.Forwarded},
		{"version 4", func(p IPv6) { p[0] = 0x40 }, dataplane.IPHeaderCorrupted},
		{"longer than the frame", func(p IPv6) { p[5]++ }, dataplane.IPLengthWrong},
		{"hop-by-hop", func(p IPv6) { p[6] = 0 }, dataplane.IPv6HopByHop},
		{"jumbo", func(p IPv6) { p[5], p[6] = 0, 0 }, dataplane.IPv6HopByHop},
		{"from a group", address(8, "ff020000000000000000000000000001"), dataplane.SIPIsMC},
		{"to a reserved scope", address(24, "ff000000000000000000000000000001"), dataplane.IPv6MCDIPReservedScope},
		{"to an interface's scope", address(24, "ff010000000000000000000000000001"), dataplane.IPv6MCDIPInterfaceLocalScope},
		{"to a group", address(24, "ff0e0000000000000000000000000001"), dataplane.Multicast},
		{"from ::", address(8, "00000000000000000000000000000000"), dataplane.SIPIsUnspecified},
		{"from ::1", address(8, "00000000000000000000000000000001"), dataplane.SIPIsLoopbackAddress},
		{"from a mapped one", address(8, "00000000000000000000ffff01020304"), dataplane.IPv6SIPIsIPv4Mapped},
		{"to ::", address(24, "00000000000000000000000000000000"), dataplane.DIPIsUnspecified},
		{"to ::1", address(24, "00000000000000000000000000000001"), dataplane.DIPIsLoopbackAddress},
		{"to a mapped one", address(24, "00000000000000000000ffff01020304"), dataplane.IPv6DIPIsIPv4Mapped},
		{"to the link", address(24, "fe800000000000000000000000000001"), dataplane.IPv6UCDIPLinkLocalScope},
		{"from the link", address(8, "febf0000000000000000000000000001"), dataplane.IPv6UCSIPLinkLocalScope},
		{"from ULA", address(8, "fd000000000000000000000000000001"), dataplane.Forwarded},
	} {
		f := ipv6Frame(t, c.change)
		if got, length := CheckIPv6(f); got != c.want || length != len(f) {
			t.Errorf("%s: %s, %d bytes; want %s, %d", c.name, got, length, c.want, len(f))
		}
	}
	f := append(ipv6Frame(t, nil), 0, 0)
	if got, length := CheckIPv6(f); got != dataplane.Forwarded || length != len(f)-2 {
		t.Errorf("padded: %s, %d bytes", got, length)
	}
}

func TestTags(t *testing.T) {
	plain := ipv4Frame(t, nil)
	b := append(make([]byte, 2*TagLen), plain...)
	tags := []Tag{Type8021A<<16 | 100, Type8021Q<<16 | 7<<13 | 4094}
	PushTags(b, tags)
	if got := hex.EncodeToString(b[:22]); got != "02000000000102000000000288a800648100effe0800" {
		t.Errorf("pushed: %s", got)
	}
	for i, want := range tags {
		got, ok := TagAt(b, i)
		if !ok || got != want || got.ID() != uint16(want)&0xfff || got.TPID() != uint16(want>>16) {
			t.Errorf("tag %d: %x, %t", i, got, ok)
		}
	}
	if _, ok := TagAt(b, 2); ok {
		t.Error("an EtherType is a tag")
	}
	if _, ok := TagAt(b[:17], 0); ok {
		t.Error("a tag without an EtherType behind it is one")
	}
	PopTags(b, 2)
	if !bytes.Equal(b[2*TagLen:], plain) {
		t.Errorf("popped: %x", b[2*TagLen:])
	}
}

// A checksum as a host leaves it is known, and filled in as the host would have.
func TestFillChecksum(t *testing.T) {
	for protocol, at := range map[byte]int{protocolUDP: 6, protocolTCP: 16} {
		f4 := ipv4Frame(t, func(p IPv4) { p[9] = protocol })
		f4 = append(f4, make([]byte, 30)...)
		IPv4(f4[EthernetLen:])[3] += 30
		f6 := append(ipv6Frame(t, func(p IPv6) { p[6] = protocol; p[5] += 30 }), make([]byte, 30)...)
		for _, c := range []struct {
			frame   []byte
			l4      int
			partial func([]byte) bool
			fill    func([]byte) bool
			pseudo  uint64
		}{
			{f4, EthernetLen + IPv4Len, IsPartial4, FillChecksum4, pseudo4(f4[EthernetLen:])},
			{f6, EthernetLen + IPv6Len, IsPartial6, FillChecksum6, pseudo6(f6[EthernetLen:])},
		} {
			if c.partial(c.frame) {
				t.Error("0 is taken for the sum of a pseudo-header")
			}
			binary.LittleEndian.PutUint16(c.frame[c.l4+at:], Fold(c.pseudo))
			if !c.partial(c.frame) || !c.fill(c.frame) || c.partial(c.frame) {
				t.Errorf("protocol %d: not partial, or not filled in: %x", protocol, c.frame)
			}
			if sum := Fold(Sum(c.frame[c.l4:], c.pseudo)); sum != 0xffff {
				t.Errorf("protocol %d: its checksum is wrong by %#x", protocol, ^sum)
			}
		}
	}
	// RFC 9260 appendix A: the CRC of a chunk, by another implementation of it.
	f := ipv4Frame(t, func(p IPv4) { p[9] = protocolSCTP })
	copy(f[EthernetLen+IPv4Len+8:], "\x00\x00\x00\x00")
	if !IsPartial4(f) || !FillChecksum4(f) || IsPartial4(f) {
		t.Errorf("SCTP: %x", f)
	}
	fragment := ipv4Frame(t, func(p IPv4) { p[6] = 0x20 })
	if FillChecksum4(fragment) {
		t.Error("a fragment's checksum is filled in")
	}
}

func TestFlowOfFragments(t *testing.T) {
	whole := ipv4Frame(t, nil)
	first := ipv4Frame(t, func(p IPv4) { p[6] = 0x20 })
	last := ipv4Frame(t, func(p IPv4) { p[7] = 1; p[20] ^= 0xff })
	if Flow4(first, 7) != Flow4(last, 7) || Flow4(first, 7) == Flow4(whole, 7) {
		t.Error("fragments of a datagram go different ways")
	}
	if got, want := Flow4(whole, 7), fib.FlowHash4(0xc0000201, 0xc6336401, 0x350035, 17, 7); got != want {
		t.Errorf("flow %#x, want %#x", got, want)
	}
	six := ipv6Frame(t, nil)
	if got, want := Flow6(six, 7), fib.FlowHash6(
		fib.Addr6{Hi: 0x20010db800000000, Lo: 1}, fib.Addr6{Hi: 0x20010db800010000, Lo: 1}, 0x12345, 0x350035, 17, 7); got != want {
		t.Errorf("flow %#x, want %#x", got, want)
	}
}
