package model

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"weft/dataplane"
)

var update = flag.Bool("update", false, "write what Linux does to testdata/linux.txt")

// testdata/linux.txt has, for each packet of the table, what Linux 6.18 was seen to
// send, one frame a line: name, port, bytes (as Normalize leaves them).
const seenFile = "testdata/linux.txt"

type named struct {
	name   string
	frame  []byte
	reason dataplane.Reason
	port   string // that weft sends it by
	does   Deed
}

func to4(p []byte) []byte { return ethernet(macOf("in"), hostMAC, typeIPv4, p) }
func to6(p []byte) []byte { return ethernet(macOf("in"), hostMAC, typeIPv6, p) }

func padded(f []byte, n int) []byte { return append(slices.Clone(f), make([]byte, n)...) }

// named4 are packets from 10.1.0.2 unless the name says otherwise.
func named4() []named {
	const src, far, lan = "10.1.0.2", "20.0.1.1", "10.2.0.3"
	plain := func(dst string, e ...edit) []byte { return to4(ip4(src, dst, e...)) }
	from := func(a string) []byte { return to4(ip4(a, far)) }
	big := func(dst string, n int, e ...edit) []byte { return to4(raw4(src, dst, nil, bytesOf(n-header4), e...)) }
	opt := func(dst string, o ...byte) []byte { return to4(raw4(src, dst, o, bytesOf(16))) }
	noFragment := at(6, 0x40)
	return []named{
		{"gateway", plain(far), dataplane.Forwarded, "out", Forwards},
		{"longest prefix", plain("20.0.0.1"), dataplane.Forwarded, "narrow", Forwards},
		{"attached host", plain(lan), dataplane.Forwarded, "out", Forwards},
		{"port without addresses", plain("20.2.0.1"), dataplane.Forwarded, "bare", Forwards},
		{"gateway of IPv6", plain("20.12.0.1"), dataplane.Forwarded, "out", Forwards},
		{"back by the same port", plain("20.11.0.1"), dataplane.Forwarded, "in", Forwards},
		{"two hops", plain("20.3.0.1"), dataplane.Forwarded, "narrow", Forwards},
		{"class E", plain("240.0.0.1"), dataplane.Forwarded, "out", Forwards},
		{"source of class E", from("240.0.0.1"), dataplane.Forwarded, "out", Forwards},
		{"source is destination", to4(ip4(far, far)), dataplane.Forwarded, "out", Forwards},
		{"own source", from("10.1.0.1"), dataplane.Forwarded, "out", Discards},
		{"TTL 2", plain(far, at(8, 2)), dataplane.Forwarded, "out", Forwards},
		{"TTL 1", plain(far, at(8, 1)), dataplane.TTLValueIsTooSmall, "", Answers},
		{"TTL 0", plain(far, at(8, 0)), dataplane.TTLValueIsTooSmall, "", Answers},
		{"TTL 1, TOS ff", plain(far, at(8, 1), at(1, 0xff)), dataplane.TTLValueIsTooSmall, "", Answers},
		{"TTL 1, 1500 bytes", big(far, 1500, at(8, 1)), dataplane.TTLValueIsTooSmall, "", Answers},
		{"TTL 1, fragment", plain(far, at(8, 1), at(7, 5)), dataplane.TTLValueIsTooSmall, "", Discards},
		{"TTL 1, first fragment", plain(far, at(8, 1), at(6, 0x20)), dataplane.TTLValueIsTooSmall, "", Answers},
		{"TTL 1, ICMP error", plain(far, at(8, 1), at(9, 1), at(20, 3)), dataplane.TTLValueIsTooSmall, "", Discards},
		{"TTL 1, echo", plain(far, at(8, 1), at(9, 1), at(20, 8)), dataplane.TTLValueIsTooSmall, "", Answers},
		{"TTL 1 to us", plain("10.1.0.1", at(8, 1)), dataplane.LocalRoute, "", Delivers},
		{"TTL 1, no way back", to4(ip4("99.0.0.1", far, at(8, 1))), dataplane.TTLValueIsTooSmall, "", Discards},
		{"no route", plain("30.0.0.1"), dataplane.IPv4LPMMiss, "", Answers},
		{"blackhole", plain("20.5.0.1"), dataplane.BlackholeRoute, "", Discards},
		{"unreachable", plain("20.6.0.1"), dataplane.RejectRoute, "", Answers},
		{"prohibit", plain("20.7.0.1"), dataplane.RejectRoute, "", Answers},
		{"neighbor failed", plain("20.8.0.1"), dataplane.UnresolvedNeigh, "", Resolves},
		{"neighbor not known", plain("20.9.0.1"), dataplane.UnresolvedNeigh, "", Resolves},
		{"attached, not known", plain("10.2.0.99"), dataplane.Glean, "", Resolves},
		{"route by a port that is down", plain("20.14.0.1"), dataplane.IPv4LPMMiss, "", Answers},
		{"at the MTU", big("20.1.0.1", 1300), dataplane.Forwarded, "narrow", Forwards},
		{"above the MTU", big("20.1.0.1", 1301), dataplane.MTUValueIsTooSmall, "", Forwards},
		{"above the MTU, DF", big("20.1.0.1", 1301, noFragment), dataplane.MTUValueIsTooSmall, "", Answers},
		{"above the route's MTU, DF", big("20.4.0.1", 1401, noFragment), dataplane.MTUValueIsTooSmall, "", Answers},
		{"above an MTU of 68", big("20.13.0.1", 200), dataplane.MTUValueIsTooSmall, "", Forwards},
		{"fragment above the MTU", big("20.13.0.1", 200, at(6, 0x20, 9)), dataplane.MTUValueIsTooSmall, "", Forwards},
		{"last fragment above the MTU", big("20.13.0.1", 200, at(7, 9)), dataplane.MTUValueIsTooSmall, "", Forwards},
		{"reserved flag", plain(far, at(6, 0x80)), dataplane.Forwarded, "out", Forwards},
		{"padding to 60 stays", padded(to4(raw4(src, far, nil, nil)), 26), dataplane.Forwarded, "out", Forwards},
		{"padding goes", padded(plain(far), 40), dataplane.Forwarded, "out", Forwards},
		{"directed broadcast", plain("10.2.0.255"), dataplane.Broadcast, "", Delivers},
		{"network's address", plain("10.2.0.0"), dataplane.Glean, "", Resolves},
		{"/31, lower", plain("10.2.3.0"), dataplane.LocalRoute, "", Delivers},
		{"/31, upper", plain("10.2.3.1"), dataplane.Glean, "", Resolves},
		{"limited broadcast", plain("255.255.255.255"), dataplane.Broadcast, "", Delivers},
		{"multicast", plain("224.0.0.9"), dataplane.Multicast, "", Discards},
		{"source 0.0.0.0", from("0.0.0.0"), dataplane.SIPIsUnspecified, "", Discards},
		{"source 0.1.2.3", from("0.1.2.3"), dataplane.SIPIsUnspecified, "", Forwards},
		{"source 127.0.0.1", from("127.0.0.1"), dataplane.SIPIsLoopbackAddress, "", Discards},
		{"source 224.0.0.1", from("224.0.0.1"), dataplane.SIPIsMC, "", Discards},
		{"source 255.255.255.255", from("255.255.255.255"), dataplane.IPv4SIPIsLimitedBC, "", Discards},
		{"destination 0.1.2.3", plain("0.1.2.3"), dataplane.DIPIsUnspecified, "", Forwards},
		{"destination 127.0.0.1", plain("127.0.0.1"), dataplane.DIPIsLoopbackAddress, "", Discards},
		{"broadcast MAC", ethernet(allMAC, hostMAC, typeIPv4, ip4(src, far)), dataplane.UCDIPOverMCDMAC, "", Discards},
		{"another's MAC", ethernet(otherMAC, hostMAC, typeIPv4, ip4(src, far)), dataplane.NotOurMAC, "", Discards},
		{"priority tag", slices.Concat(plain(far)[:12], []byte{0x81, 0, 0xe0, 0}, plain(far)[12:]), dataplane.VLANUnknown, "", Forwards},
		{"VLAN", slices.Concat(plain(far)[:12], []byte{0x81, 0, 0, 7}, plain(far)[12:]), dataplane.VLANUnknown, "", Discards},
		{"checksum wrong", to4(append(ip4(src, far)[:10], append([]byte{0, 0}, ip4(src, far)[12:]...)...)), dataplane.IPv4ChecksumWrong, "", Discards},
		{"version 5", plain(far, at(0, 0x55)), dataplane.IPHeaderCorrupted, "", Discards},
		{"total length 19", plain(far, at(2, 0, 19)), dataplane.IPLengthWrong, "", Discards},
		{"total length beyond the frame", plain(far, at(2, 0, 99)), dataplane.IPLengthWrong, "", Discards},
		{"record route", opt(far, 7, 7, 4, 0, 0, 0, 0, 0), dataplane.IPv4Options, "", Forwards},
		{"record route, full", opt(far, 7, 7, 8, 1, 2, 3, 4, 0), dataplane.IPv4Options, "", Forwards},
		{"record route, no room for one", opt(far, 7, 6, 4, 0, 0, 0, 0, 0), dataplane.IPv4Options, "", Answers},
		{"record route, TTL 1", to4(raw4(src, far, []byte{7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0}, nil, at(8, 1))), dataplane.IPv4Options, "", Answers},
		{"timestamp", opt(far, 68, 8, 5, 0, 0, 0, 0, 0), dataplane.IPv4Options, "", Forwards},
		{"timestamp and address", opt(far, 68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0), dataplane.IPv4Options, "", Forwards},
		{"timestamp, overflow", opt(far, 68, 8, 9, 0xf0, 0, 0, 0, 0), dataplane.IPv4Options, "", Answers},
		{"loose source route", opt(far, 131, 7, 4, 10, 1, 0, 1, 0), dataplane.IPv4Options, "", Discards},
		{"strict source route", opt(far, 137, 7, 4, 10, 1, 0, 1, 0), dataplane.IPv4Options, "", Discards},
		{"router alert", opt(far, 148, 4, 0, 0), dataplane.IPv4Options, "", Forwards},
		{"unknown option", opt(far, 0x99, 4, 1, 2), dataplane.IPv4Options, "", Forwards},
		{"option of length 0", opt(far, 0x99, 0, 1, 2), dataplane.IPv4Options, "", Answers},
		{"bytes behind the end of options", opt(far, 0, 9, 9, 9), dataplane.IPv4Options, "", Forwards},
		{"options in fragments", to4(raw4(src, "20.13.0.1", []byte{7, 7, 8, 1, 2, 3, 4, 1, 148, 4, 0, 0}, bytesOf(100))), dataplane.IPv4Options, "", Forwards},
	}
}

// named6 are packets from 2001:db8:1::2 unless the name says otherwise.
func named6() []named {
	const src, far = "2001:db8:1::2", "2001:db8:20:1::1"
	plain := func(dst string, e ...edit) []byte { return to6(ip6(src, dst, e...)) }
	from := func(a string) []byte { return to6(ip6(a, far)) }
	big := func(dst string, n int) []byte { return to6(raw6(src, dst, 17, bytesOf(n-header6))) }
	next := func(n byte, payload ...byte) []byte { return to6(raw6(src, far, n, payload)) }
	hop := func(o ...byte) []byte { return next(0, append([]byte{59, 0}, o...)...) }
	expired := at(hopLimitAt, 1)
	return []named{
		{"gateway", plain(far), dataplane.Forwarded, "out", Forwards},
		{"longest prefix", plain("2001:db8:20::1"), dataplane.Forwarded, "narrow", Forwards},
		{"attached host", plain("2001:db8:2::3"), dataplane.Forwarded, "out", Forwards},
		{"back by the same port", plain("2001:db8:2b::1"), dataplane.Forwarded, "in", Forwards},
		{"two hops", plain("2001:db8:23::1"), dataplane.Forwarded, "narrow", Forwards},
		{"own source", from("2001:db8:1::1"), dataplane.Forwarded, "out", Forwards},
		{"hop limit 2", plain(far, at(hopLimitAt, 2)), dataplane.Forwarded, "out", Forwards},
		{"hop limit 1", plain(far, expired), dataplane.TTLValueIsTooSmall, "", Answers},
		{"hop limit 0", plain(far, at(hopLimitAt, 0)), dataplane.TTLValueIsTooSmall, "", Answers},
		{"hop limit 1, 1500 bytes", to6(raw6(src, far, 17, bytesOf(1460), expired)), dataplane.TTLValueIsTooSmall, "", Answers},
		{"hop limit 1, ICMP error", to6(raw6(src, far, 58, []byte{1, 0, 0, 0, 0, 0, 0, 0}, expired)), dataplane.TTLValueIsTooSmall, "", Discards},
		{"hop limit 1, echo", to6(raw6(src, far, 58, []byte{128, 0, 0, 0, 0, 0, 0, 0}, expired)), dataplane.TTLValueIsTooSmall, "", Answers},
		{"hop limit 1 to us", plain("2001:db8:1::1", expired), dataplane.LocalRoute, "", Delivers},
		{"no route", plain("3000::1"), dataplane.IPv6LPMMiss, "", Answers},
		{"blackhole", plain("2001:db8:25::1"), dataplane.BlackholeRoute, "", Discards},
		{"unreachable", plain("2001:db8:26::1"), dataplane.RejectRoute, "", Answers},
		{"prohibit", plain("2001:db8:27::1"), dataplane.RejectRoute, "", Answers},
		{"neighbor failed", plain("2001:db8:28::1"), dataplane.UnresolvedNeigh, "", Resolves},
		{"neighbor not known", plain("2001:db8:29::1"), dataplane.UnresolvedNeigh, "", Resolves},
		{"attached, not known", plain("2001:db8:2::99"), dataplane.Glean, "", Resolves},
		{"route by a port that is down", plain("2001:db8:2e::1"), dataplane.IPv6LPMMiss, "", Answers},
		{"at the MTU", big("2001:db8:21::1", 1300), dataplane.Forwarded, "narrow", Forwards},
		{"above the MTU", big("2001:db8:21::1", 1301), dataplane.MTUValueIsTooSmall, "", Answers},
		{"above the route's MTU", big("2001:db8:24::1", 1401), dataplane.MTUValueIsTooSmall, "", Answers},
		{"padding to 60 stays", padded(to6(raw6(src, far, 59, nil)), 20), dataplane.Forwarded, "out", Forwards},
		{"subnet-router anycast", plain("2001:db8:2::"), dataplane.LocalRoute, "", Delivers},
		{"/127, lower", plain("2001:db8:2:1::"), dataplane.LocalRoute, "", Delivers},
		{"/127, upper", plain("2001:db8:2:1::1"), dataplane.Glean, "", Resolves},
		{"multicast", plain("ff0e::1"), dataplane.Multicast, "", Delivers},
		{"multicast of scope 0", plain("ff00::1"), dataplane.IPv6MCDIPReservedScope, "", Discards},
		{"multicast of scope 1", plain("ff01::1"), dataplane.IPv6MCDIPInterfaceLocalScope, "", Discards},
		{"source ::", from("::"), dataplane.SIPIsUnspecified, "", Discards},
		{"source :: by the same port", to6(ip6("::", "2001:db8:2b::1")), dataplane.SIPIsUnspecified, "", Forwards},
		{"source ::1", from("::1"), dataplane.SIPIsLoopbackAddress, "", Discards},
		{"source is multicast", from("ff0e::1"), dataplane.SIPIsMC, "", Discards},
		{"source is IPv4-mapped", from("::ffff:10.1.0.2"), dataplane.IPv6SIPIsIPv4Mapped, "", Forwards},
		{"destination ::", plain("::"), dataplane.DIPIsUnspecified, "", Forwards},
		{"destination ::1", plain("::1"), dataplane.DIPIsLoopbackAddress, "", Discards},
		{"destination is IPv4-mapped", plain("::ffff:10.1.0.2"), dataplane.IPv6DIPIsIPv4Mapped, "", Forwards},
		{"broadcast MAC", ethernet(allMAC, hostMAC, typeIPv6, ip6(src, far)), dataplane.UCDIPOverMCDMAC, "", Discards},
		{"version 4", plain(far, at(0, 0x45)), dataplane.IPHeaderCorrupted, "", Discards},
		{"payload beyond the frame", plain(far, at(4, 0, 99)), dataplane.IPLengthWrong, "", Discards},
		{"routing header 0", next(43, 59, 2, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16), dataplane.Forwarded, "out", Forwards},
		{"segment routing header", next(43, 59, 2, 4, 9, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16), dataplane.Forwarded, "out", Forwards},
		{"atomic fragment", next(44, 59, 0, 0, 0, 1, 2, 3, 4), dataplane.Forwarded, "out", Forwards},
		{"unknown next header", next(253, 1, 2, 3, 4), dataplane.Forwarded, "out", Forwards},
		{"hop-by-hop, padding", hop(1, 4, 0, 0, 0, 0), dataplane.IPv6HopByHop, "", Forwards},
		{"hop-by-hop, padding not zero", hop(1, 4, 0, 1, 0, 0), dataplane.IPv6HopByHop, "", Discards},
		{"hop-by-hop, router alert", hop(5, 2, 0, 0, 1, 0), dataplane.IPv6HopByHop, "", Forwards},
		{"hop-by-hop, router alert too long", hop(5, 3, 0, 0, 0, 0), dataplane.IPv6HopByHop, "", Discards},
		{"hop-by-hop, unknown 00", hop(0x1e, 4, 1, 2, 3, 4), dataplane.IPv6HopByHop, "", Forwards},
		{"hop-by-hop, unknown 01", hop(0x5e, 4, 1, 2, 3, 4), dataplane.IPv6HopByHop, "", Discards},
		{"hop-by-hop, unknown 10", hop(0x9e, 4, 1, 2, 3, 4), dataplane.IPv6HopByHop, "", Answers},
		{"hop-by-hop, unknown 11", hop(0xde, 4, 1, 2, 3, 4), dataplane.IPv6HopByHop, "", Answers},
		{"hop-by-hop, jumbo of 65535", hop(0xc2, 4, 0, 0, 0xff, 0xff), dataplane.IPv6HopByHop, "", Answers},
		{"hop-by-hop, jumbo with a payload length", hop(0xc2, 4, 0, 1, 0, 0), dataplane.IPv6HopByHop, "", Answers},
		{"hop-by-hop, no payload length", to6(raw6(src, far, 0, slices.Concat([]byte{59, 0, 1, 4, 0, 0, 0, 0}, bytesOf(30)), at(4, 0, 0))), dataplane.IPv6HopByHop, "", Forwards},
		{"hop-by-hop, header beyond the packet", next(0, 59, 1, 1, 4, 0, 0, 0, 0), dataplane.IPv6HopByHop, "", Discards},
	}
}

// eachNamed calls f for all of them.
func eachNamed(f func(n named)) {
	for _, n := range named4() {
		n.name = "ipv4/" + n.name
		f(n)
	}
	for _, n := range named6() {
		n.name = "ipv6/" + n.name
		f(n)
	}
}

// TestNamed compares the model's answers with the table, and with what Linux was seen
// to do.
func TestNamed(t *testing.T) {
	s, seen := table(), readSeen(t)
	eachNamed(func(n named) {
		t.Run(n.name, func(t *testing.T) {
			o := s.Forward(n.frame, "in")
			if o.Reason != n.reason || o.Port != n.port || o.Linux.Does != n.does {
				t.Errorf("%s by %q, Linux %s (%s); want %s by %q, Linux %s", o.Reason, o.Port, o.Linux.Does, o.Linux.Why, n.reason, n.port, n.does)
			}
			if n.does != Delivers && !o.Linux.Is(seen[n.name]) {
				t.Errorf("Linux sends:%s\nor %v\nwas seen to send:%s", show(o.Linux.Sent), o.Linux.Or, show(seen[n.name]))
			}
			if o.Reason == dataplane.Forwarded && o.Linux.Does == Forwards && o.Differs() {
				if d, ok := Explain(n.frame, o); !ok || d.Name != "padding" {
					t.Errorf("weft sends other bytes than Linux: %x", o.Frame)
				}
			}
		})
	})
}

// TestNamedLinux sends the table's packets through Linux.
func TestNamedLinux(t *testing.T) {
	s := table()
	r := newReference(t, s)
	var lines []string
	eachNamed(func(n named) {
		if n.does == Delivers {
			return
		}
		o := s.Forward(n.frame, "in")
		seen := r.deed(n.frame, "in", &o.Linux)
		for _, f := range seen {
			lines = append(lines, fmt.Sprintf("%s\t%s\t%x\n", n.name, f.Ports[0], Normalize(f.Frame)))
		}
		if !o.Linux.Is(seen) {
			t.Errorf("%s: Linux sends:%s\nwant:%s", n.name, show(seen), show(o.Linux.Sent))
		}
	})
	if *update {
		if err := os.WriteFile(seenFile, []byte(strings.Join(lines, "")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func readSeen(t *testing.T) map[string][]Sent {
	t.Helper()
	text, err := os.ReadFile(seenFile)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string][]Sent{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), "\t")
		port, digits, _ := strings.Cut(rest, "\t")
		frame, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		seen[name] = append(seen[name], Sent{[]string{port}, frame})
	}
	return seen
}
