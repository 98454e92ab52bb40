package xdp_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"weft/dataplane"
	"weft/dataplane/xdp"
)

// Repairs, which bring frames that the fuzzer has made past the first checks.
const (
	repairMAC      = 1 << iota // to us
	repairType                 // EtherType of the version
	repairLength               // of the IP packet: the frame's
	repairChecksum             // of the IPv4 header
	tagC                       // in a VLAN
	tagS                       // in another one
)

func repair(in []byte, what uint8) []byte {
	if len(in) < 14 {
		return in
	}
	b := slices.Clone(in)
	ip := b[14:]
	four := len(ip) >= 20 && ip[0]>>4 == 4
	six := len(ip) >= 40 && ip[0]>>4 == 6
	if what&repairMAC != 0 {
		copy(b, ourMAC[:])
	}
	if what&repairType != 0 && four {
		binary.BigEndian.PutUint16(b[12:], ethIPv4)
	}
	if what&repairType != 0 && six {
		binary.BigEndian.PutUint16(b[12:], ethIPv6)
	}
	if what&repairLength != 0 && four {
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	}
	if what&repairLength != 0 && six {
		binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-40))
	}
	if what&repairChecksum != 0 && four && int(ip[0]&15)*4 <= len(ip) && ip[0]&15 >= 5 {
		setChecksum(ip)
	}
	if what&tagC != 0 {
		b = withTags(b, tag(0x8100, 100))
	}
	if what&tagS != 0 {
		b = withTags(b, tag(0x88a8, 5))
	}
	return b
}

// station is a router in a namespace of its own, which frames can be run on from any thread.
type station struct {
	calls chan func(*router)
	tc    bool
}

func newStation(f *testing.F, tc bool, build func() *router) *station {
	s := &station{make(chan func(*router)), tc}
	ready := make(chan bool)
	go func() { // the thread and the namespace end with it
		defer close(ready)
		r := build()
		ready <- true
		for call := range s.calls {
			call(r)
		}
	}()
	if !<-ready {
		f.FailNow()
	}
	f.Cleanup(func() { close(s.calls) })
	return s
}

func (s *station) run(in []byte, by uint32) (got dataplane.Result, err error) {
	ended := make(chan struct{})
	s.calls <- func(r *router) {
		got, err = r.Run(in, by)
		close(ended)
	}
	<-ended
	return got, err
}

// FuzzFrame runs frames through the programs. Each is counted once, for a reason that has a name (Run sees to that); what is
// handed to Linux is what came in, or that without its padding; and what is forwarded could be, and is what came in, rewritten by the book.
func FuzzFrame(f *testing.F) {
	requireRoot(f)
	stations := []*station{
		newStation(f, false, func() *router { return vlanRouter(f, xdp.Options{Ports: 16}) }),
		newStation(f, false, func() *router { r := newChunkedRouter(f, xdp.Options{Ports: 16}); fillTable(f, r); return r }),
		newStation(f, true, func() *router { r := tcRouter(f, xdp.Options{Ports: 16}); r.addVLANs(f); return r }),
	}
	for i, p := range packets() {
		f.Add(uint8(i), uint8(p.ingress), uint8(0), p.in)
	}
	for i, dst := range []string{"10.20.0.1", "10.21.0.1", "10.7.0.1"} {
		f.Add(uint8(0), uint8(portIn), uint8(tagC), toUs(ethIPv4, ipv4(host4, dst, 64)))
		f.Add(uint8(2*i), uint8(portIn), uint8(tagC|tagS), toUs(ethIPv4, ipv4(host4, dst, 64)))
	}
	f.Add(uint8(0), uint8(portIn), uint8(repairLength|repairChecksum), pad(toUs(ethIPv4, ipv4(host4, "10.0.0.1", 64)), 5000))
	f.Fuzz(func(t *testing.T, where, ingress, repairs uint8, in []byte) {
		s := stations[int(where)%len(stations)]
		in = repair(in, repairs)
		by := uint32(ingress) % 5
		if !canRun(s, in, by) {
			return
		}
		got, err := s.run(in, by)
		if err != nil {
			t.Fatalf("%x: %v", in, err)
		}
		if complaint := judge(in, &got); complaint != "" {
			t.Errorf("%x in by %d: %s, out by %d:\n%x: %s", in, by, got.Reason, got.Egress, got.Packet, complaint)
		}
	})
}

// canRun leaves out what the kernel cannot run a program on: less than an Ethernet header, and for tc less than headers of IP,
// more than a page, or no port.
func canRun(s *station, in []byte, by uint32) bool {
	if s.tc {
		return len(in) >= 54 && len(in) <= 3400 && by != 0
	}
	return len(in) >= 14 && len(in) <= 9000
}

// judge says what is wrong with what has become of a frame.
func judge(in []byte, got *dataplane.Result) string {
	if !slices.Contains(slices.Collect(dataplane.Reasons()), got.Reason) {
		return "a reason without a name"
	}
	switch got.Reason.Verdict() {
	case dataplane.Drop:
		return ""
	case dataplane.Punt:
		if !bytes.Equal(got.Packet, in) && !isPadding(in, len(got.Packet)) || !bytes.HasPrefix(in, got.Packet) {
			return "not what came in"
		}
		return ""
	}
	plain, _ := untag(in)
	out, _ := untag(got.Packet)
	if why := unfit(plain); why != "" {
		return "forwarded in spite of " + why
	}
	size := max(14+length(plain[14:]), min(len(plain), 60)) // the padding of short frames stays
	if want := forwarded(plain[:size]); !bytes.Equal(out, want) {
		return fmt.Sprintf("without tags not\n%x", want)
	}
	if sum16(out[14:34]) != 0xffff && out[14]>>4 == 4 {
		return "wrong checksum"
	}
	return ""
}

// isPadding reports whether a frame has only padding of its IP packet from n bytes on (RFC 1812 5.2.2), and not that of a
// short frame.
func isPadding(in []byte, n int) bool {
	plain, tags := untag(in)
	n -= 4 * tags
	return n >= 60 && n <= len(plain) && n >= 14+length(plain[14:])
}

// untag returns a frame without its VLAN tags, two at most.
func untag(frame []byte) (plain []byte, tags int) {
	at := 12
	for tags < 2 && len(frame) >= at+4 {
		if t := binary.BigEndian.Uint16(frame[at:]); t != unix.ETH_P_8021Q && t != unix.ETH_P_8021AD {
			break
		}
		at += 4
		tags++
	}
	return append(slices.Clone(frame[:min(12, len(frame))]), frame[min(at, len(frame)):]...), tags
}

// unfit says why a frame must not be forwarded (RFC 1812 5.2.2, 5.3; RFC 8200; RFC 4291 2.5).
func unfit(frame []byte) string {
	if len(frame) < 34 {
		return "its length"
	}
	if mac := dataplane.MAC(frame[:6]); mac != ourMAC && mac != serviceMAC && mac != outMAC {
		return "its destination MAC"
	}
	ip := frame[14:]
	var src, dst netip.Addr
	var hops byte
	switch etherType := binary.BigEndian.Uint16(frame[12:]); {
	case etherType == ethIPv4 && ip[0] == 0x45 && sum16(ip[:20]) == 0xffff:
		src, dst, hops = netip.AddrFrom4([4]byte(ip[12:])), netip.AddrFrom4([4]byte(ip[16:])), ip[8]
	case etherType == ethIPv6 && len(ip) >= 40 && ip[0]>>4 == 6 && ip[6] != 0:
		src, dst, hops = netip.AddrFrom16([16]byte(ip[8:])), netip.AddrFrom16([16]byte(ip[24:])), ip[7]
	default:
		return "its header"
	}
	mtu := 1500
	for _, narrow := range []string{"10.1.0.0/16", "2001:db8:1::/48"} {
		if netip.MustParsePrefix(narrow).Contains(dst) {
			mtu = 68
		}
	}
	switch n := length(ip); {
	case n > len(ip) || n < 20:
		return "its length"
	case n > mtu:
		return "the MTU"
	case hops < 2:
		return "its TTL"
	}
	for _, a := range []netip.Addr{src, dst} {
		if a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.Is4() && (a.As4()[0] == 0 || a.As4() == [4]byte{255, 255, 255, 255}) ||
			a.Is6() && (a.IsLinkLocalUnicast() || a.Is4In6()) {
			return "address " + a.String()
		}
	}
	return ""
}
