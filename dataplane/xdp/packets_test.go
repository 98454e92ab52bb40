package xdp_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/dataplane"
	"weft/dataplane/xdp"
	"weft/fib"
)

// A packet of the table: what comes in, for which reason it ends, what goes out.
type packet struct {
	name    string
	ingress uint32
	in      []byte
	reason  dataplane.Reason
	out     []byte // nil: as it came
	egress  uint32
}

const (
	ethIPv4 = unix.ETH_P_IP
	ethIPv6 = unix.ETH_P_IPV6
)

func toUs(etherType uint16, payload []byte) []byte {
	return frame{ourMAC, hostMAC, etherType, payload}.bytes()
}

func to(dst dataplane.MAC, etherType uint16, payload []byte) []byte {
	return frame{dst, hostMAC, etherType, payload}.bytes()
}

func at(i int, v byte) func([]byte) { return func(b []byte) { b[i] = v } }
func at16(i int, v int) func([]byte) {
	return func(b []byte) { binary.BigEndian.PutUint16(b[i:], uint16(v)) }
}
func pad(b []byte, n int) []byte       { return append(append([]byte{}, b...), make([]byte, n)...) }
func cut(b []byte, n int) []byte       { return append([]byte{}, b[:n]...) }
func flip(b []byte, i int) []byte      { c := append([]byte{}, b...); c[i] ^= 1; return c }
func sized(total int) func([]byte)     { return at16(2, total) }
func tag(etherType, vid uint32) uint32 { return etherType<<16 | vid }

var (
	broadcastMAC = dataplane.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	groupMAC     = dataplane.MAC{0x01, 0x00, 0x5e, 0x00, 0x00, 0x05}
	groupMAC6    = dataplane.MAC{0x33, 0x33, 0, 0, 0, 1}
	otherMAC     = dataplane.MAC{0x02, 0, 0, 0, 0, 0x77}
)

// Addresses: the prefixes' second byte, or group of 16 bits, says the case.
const (
	host4 = "192.0.2.9"
	host6 = "2001:db8:ffff::9"
)

// fillTable makes the routes that the table's packets meet.
func fillTable(t testing.TB, r *router) {
	plain := r.add(t, adjacency(portOut, 1500))
	narrow := r.add(t, adjacency(portOut, 68))
	incomplete := r.add(t, fib.Adjacency{Port: portOut, MTU: 1500})
	tagged := r.add(t, adjacency(portOut, 1500, tag(0x8100, 100)))
	twice := r.add(t, adjacency(portOut, 1500, tag(0x88a8, 5), tag(0x8100, 100)))
	strange := adjacency(portOut, 1500)
	strange.RewriteLen = 6
	odd := r.add(t, strange)
	nowhere := r.add(t, adjacency(99, 1500))

	r.route(t, 0, via(plain), "10.0.0.0/16", "2001:db8::/48", "240.0.0.0/8", "fd00::/8")
	r.route(t, 0, via(narrow), "10.1.0.0/16", "2001:db8:1::/48")
	r.route(t, 0, via(incomplete), "10.2.0.0/16", "2001:db8:2::/48")
	r.route(t, 0, via(tagged), "10.3.0.0/16", "2001:db8:3::/48")
	r.route(t, 0, via(twice), "10.4.0.0/16", "2001:db8:4::/48")
	r.route(t, 0, via(odd), "10.5.0.0/16", "2001:db8:5::/48")
	r.route(t, 0, via(nowhere), "10.6.0.0/16", "2001:db8:6::/48")
	r.route(t, 0, fib.Group{Kind: fib.Local}, "10.7.0.0/16", "2001:db8:7::/48")
	r.route(t, 0, fib.Group{Kind: fib.Glean, Port: portOut}, "10.8.0.0/16", "2001:db8:8::/48")
	r.route(t, 0, fib.Group{Kind: fib.Blackhole}, "10.9.0.0/16", "2001:db8:9::/48")
	r.route(t, 0, fib.Group{Kind: fib.Reject, Code: 13}, "10.10.0.0/16", "2001:db8:a::/48")
	r.route(t, 0, fib.Group{Kind: fib.Punt, Reason: uint16(dataplane.Broadcast)}, "10.11.0.255/32")
	r.route(t, 0, fib.Group{Kind: fib.Punt}, "10.12.0.0/16", "2001:db8:c::/48")
	r.route(t, 0, fib.Group{Kind: fib.Punt, Reason: 64}, "10.13.0.0/16", "2001:db8:d::/48")
	r.route(t, 0, fib.Group{Kind: fib.Punt, Reason: 65535}, "10.14.0.0/16", "2001:db8:e::/48")
	other := r.add(t, adjacency(portOut, 1500))
	r.route(t, 0, via(plain, other), "10.15.0.0/16", "2001:db8:f::/48")
	r.route(t, 7, via(plain), "10.7.0.0/16", "2001:db8:7::/48")
}

func packets() []packet {
	four := func(dst string, edit ...func([]byte)) []byte { return toUs(ethIPv4, ipv4(host4, dst, 64, edit...)) }
	from4 := func(src string) []byte { return toUs(ethIPv4, ipv4(src, "10.0.0.1", 64)) }
	six := func(dst string, edit ...func([]byte)) []byte { return toUs(ethIPv6, ipv6(host6, dst, 64, edit...)) }
	from6 := func(src string) []byte { return toUs(ethIPv6, ipv6(src, "2001:db8::1", 64)) }
	good4, good6 := four("10.0.0.1"), six("2001:db8::1")
	long4 := len(good4) - 14

	go4 := func(name string, in []byte, tags ...uint32) packet {
		return packet{name, portIn, in, dataplane.Forwarded, forwarded(in, tags...), portOut}
	}
	end := func(name string, r dataplane.Reason, in []byte) packet { return packet{name, portIn, in, r, nil, 0} }

	all := []packet{
		go4("ipv4/plain", good4),
		go4("ipv4/ttl 2", toUs(ethIPv4, ipv4(host4, "10.0.0.1", 2))),
		go4("ipv4/ttl 255", toUs(ethIPv4, ipv4(host4, "10.0.0.1", 255))),
		go4("ipv4/header only", toUs(ethIPv4, ipv4(host4, "10.0.0.1", 64, sized(20))[:20])),
		go4("ipv4/class E", four("240.0.0.1")),
		go4("ipv4/source of class E", from4("240.0.0.1")),
		go4("ipv4/source 1.0.0.0", from4("1.0.0.0")),
		go4("ipv4/source 126.255.255.255", from4("126.255.255.255")),
		go4("ipv4/source 128.0.0.0", from4("128.0.0.0")),
		go4("ipv4/source 223.255.255.255", from4("223.255.255.255")),
		go4("ipv4/source 255.255.255.254", from4("255.255.255.254")),
		go4("ipv4/source is destination", from4("10.0.0.1")),
		go4("ipv4/don't fragment", four("10.0.0.1", at(6, 0x40))),
		go4("ipv4/first fragment", four("10.0.0.1", at(6, 0x20))),
		go4("ipv4/last fragment", four("10.0.0.1", at(7, 185))),
		go4("ipv4/protocol 0", four("10.0.0.1", at(9, 0))),
		go4("ipv4/protocol 255", four("10.0.0.1", at(9, 255))),
		go4("ipv4/at the MTU", pad(toUs(ethIPv4, ipv4(host4, "10.1.0.1", 64, sized(68))), 68-long4)),
		go4("ipv4/vlan", four("10.3.0.1"), tag(0x8100, 100)),
		go4("ipv4/two vlans", four("10.4.0.1"), tag(0x88a8, 5), tag(0x8100, 100)),
		go4("ipv4/of two members", four("10.15.0.1")),
		{"ipv4/padding goes", portIn, pad(good4, 30), dataplane.Forwarded, forwarded(good4), portOut},
		{"ipv4/padding of a short frame stays", portIn, pad(cut(toUs(ethIPv4, ipv4(host4, "10.0.0.1", 64, sized(24))), 38), 22),
			dataplane.Forwarded, forwarded(pad(cut(toUs(ethIPv4, ipv4(host4, "10.0.0.1", 64, sized(24))), 38), 22)), portOut},
		{"ipv4/padding of a short frame goes to 60", portIn, pad(cut(toUs(ethIPv4, ipv4(host4, "10.0.0.1", 64, sized(24))), 38), 40),
			dataplane.Forwarded, forwarded(pad(cut(toUs(ethIPv4, ipv4(host4, "10.0.0.1", 64, sized(24))), 38), 22)), portOut},
		{"ipv4/padding is not for the MTU", portIn, pad(four("10.1.0.1"), 30), dataplane.Forwarded, forwarded(four("10.1.0.1")), portOut},
		{"ipv4/vrf", portVRF, four("10.7.0.1"), dataplane.Forwarded, forwarded(four("10.7.0.1")), portOut},
		{"ipv4/vrf without the route", portVRF, good4, dataplane.IPv4LPMMiss, nil, 0},

		end("ipv4/no route", dataplane.IPv4LPMMiss, four("198.51.100.1")),
		end("ipv4/no route, ttl 1", dataplane.IPv4LPMMiss, toUs(ethIPv4, ipv4(host4, "198.51.100.1", 1))),
		end("ipv4/ttl 1", dataplane.TTLValueIsTooSmall, toUs(ethIPv4, ipv4(host4, "10.0.0.1", 1))),
		end("ipv4/ttl 0", dataplane.TTLValueIsTooSmall, toUs(ethIPv4, ipv4(host4, "10.0.0.1", 0))),
		end("ipv4/ttl 1 to us", dataplane.LocalRoute, toUs(ethIPv4, ipv4(host4, "10.7.0.1", 1))),
		end("ipv4/above the MTU", dataplane.MTUValueIsTooSmall, pad(toUs(ethIPv4, ipv4(host4, "10.1.0.1", 64, sized(69))), 69-long4)),
		end("ipv4/above the MTU, don't fragment", dataplane.MTUValueIsTooSmall, pad(toUs(ethIPv4, ipv4(host4, "10.1.0.1", 64, sized(69), at(6, 0x40))), 69-long4)),
		end("ipv4/unresolved", dataplane.UnresolvedNeigh, four("10.2.0.1")),
		end("ipv4/unknown rewrite", dataplane.EncapUnknown, four("10.5.0.1")),
		end("ipv4/port that is not", dataplane.ErifDisabled, four("10.6.0.1")),
		end("ipv4/local", dataplane.LocalRoute, four("10.7.0.1")),
		end("ipv4/glean", dataplane.Glean, four("10.8.0.1")),
		end("ipv4/blackhole", dataplane.BlackholeRoute, four("10.9.0.1")),
		end("ipv4/reject", dataplane.RejectRoute, four("10.10.0.1")),
		end("ipv4/directed broadcast", dataplane.Broadcast, four("10.11.0.255")),
		end("ipv4/directed broadcast, to the broadcast MAC", dataplane.Broadcast, to(broadcastMAC, ethIPv4, ipv4(host4, "10.11.0.255", 64))),
		end("ipv4/punt", dataplane.PuntRoute, four("10.12.0.1")),
		end("ipv4/punt for a reason of drops", dataplane.PuntRoute, four("10.13.0.1")),
		end("ipv4/punt for no reason", dataplane.PuntRoute, four("10.14.0.1")),
		end("ipv4/to another MAC", dataplane.NotOurMAC, to(otherMAC, ethIPv4, ipv4(host4, "10.0.0.1", 64))),
		end("ipv4/unicast to the broadcast MAC", dataplane.UCDIPOverMCDMAC, to(broadcastMAC, ethIPv4, ipv4(host4, "10.0.0.1", 64))),
		end("ipv4/unicast to a multicast MAC", dataplane.UCDIPOverMCDMAC, to(groupMAC, ethIPv4, ipv4(host4, "10.0.0.1", 64))),
		end("ipv4/to us at the broadcast MAC", dataplane.LocalRoute, to(broadcastMAC, ethIPv4, ipv4(host4, "10.7.0.1", 64))),
		end("ipv4/DHCP discover", dataplane.Broadcast, to(broadcastMAC, ethIPv4, ipv4("0.0.0.0", "255.255.255.255", 64))),
		end("ipv4/limited broadcast at our MAC", dataplane.Broadcast, four("255.255.255.255")),
		end("ipv4/multicast", dataplane.Multicast, to(groupMAC, ethIPv4, ipv4(host4, "224.0.0.5", 1))),
		end("ipv4/multicast at our MAC", dataplane.Multicast, four("239.1.2.3")),
		end("ipv4/source 0.0.0.0", dataplane.SIPIsUnspecified, from4("0.0.0.0")),
		end("ipv4/source 0.1.2.3", dataplane.SIPIsUnspecified, from4("0.1.2.3")),
		end("ipv4/source 127.0.0.1", dataplane.SIPIsLoopbackAddress, from4("127.0.0.1")),
		end("ipv4/source 224.0.0.1", dataplane.SIPIsMC, from4("224.0.0.1")),
		end("ipv4/source 239.255.255.255", dataplane.SIPIsMC, from4("239.255.255.255")),
		end("ipv4/source 255.255.255.255", dataplane.IPv4SIPIsLimitedBC, from4("255.255.255.255")),
		end("ipv4/destination 0.0.0.0", dataplane.DIPIsUnspecified, four("0.0.0.0")),
		end("ipv4/destination 127.0.0.1", dataplane.DIPIsLoopbackAddress, four("127.0.0.1")),
		end("ipv4/version 5", dataplane.IPHeaderCorrupted, four("10.0.0.1", at(0, 0x55))),
		end("ipv4/version 6", dataplane.IPHeaderCorrupted, four("10.0.0.1", at(0, 0x65))),
		end("ipv4/IHL 4", dataplane.IPHeaderCorrupted, four("10.0.0.1", at(0, 0x44))),
		end("ipv4/IHL 0", dataplane.IPHeaderCorrupted, four("10.0.0.1", at(0, 0x40))),
		end("ipv4/options", dataplane.IPv4Options, four("10.0.0.1", at(0, 0x46))),
		end("ipv4/header beyond total length", dataplane.IPLengthWrong, four("10.0.0.1", at(0, 0x46), sized(23))),
		end("ipv4/options, total length beyond frame", dataplane.IPLengthWrong, four("10.0.0.1", at(0, 0x46), sized(long4+1))),
		end("ipv4/total length 19", dataplane.IPLengthWrong, four("10.0.0.1", sized(19))),
		end("ipv4/total length 0", dataplane.IPLengthWrong, four("10.0.0.1", sized(0))),
		end("ipv4/total length beyond frame", dataplane.IPLengthWrong, four("10.0.0.1", sized(long4+1))),
		end("ipv4/total length 65535", dataplane.IPLengthWrong, four("10.0.0.1", sized(65535))),
		end("ipv4/frame of 14", dataplane.IPLengthWrong, cut(good4, 14)),
		end("ipv4/frame of 33", dataplane.IPLengthWrong, cut(good4, 33)),
		end("ipv4/checksum of 0", dataplane.IPv4ChecksumWrong, func() []byte { b := cut(good4, len(good4)); b[24], b[25] = 0, 0; return b }()),

		go4("ipv6/plain", good6),
		go4("ipv6/hop limit 2", toUs(ethIPv6, ipv6(host6, "2001:db8::1", 2))),
		go4("ipv6/hop limit 255", toUs(ethIPv6, ipv6(host6, "2001:db8::1", 255))),
		go4("ipv6/header only", toUs(ethIPv6, ipv6(host6, "2001:db8::1", 64, at16(4, 0), at(6, 59))[:40])),
		go4("ipv6/unique local", toUs(ethIPv6, ipv6("fd00::1", "fd00::2", 64))),
		go4("ipv6/routing header", six("2001:db8::1", at(6, 43))),
		go4("ipv6/fragment", six("2001:db8::1", at(6, 44))),
		go4("ipv6/unknown next header", six("2001:db8::1", at(6, 253))),
		go4("ipv6/source is destination", from6("2001:db8::1")),
		go4("ipv6/vlan", six("2001:db8:3::1"), tag(0x8100, 100)),
		go4("ipv6/two vlans", six("2001:db8:4::1"), tag(0x88a8, 5), tag(0x8100, 100)),
		go4("ipv6/of two members", six("2001:db8:f::1")),
		{"ipv6/padding goes", portIn, pad(good6, 30), dataplane.Forwarded, forwarded(good6), portOut},
		{"ipv6/padding to 60 stays", portIn, pad(toUs(ethIPv6, ipv6(host6, "2001:db8::1", 64, at16(4, 0), at(6, 59))[:40]), 6),
			dataplane.Forwarded, forwarded(pad(toUs(ethIPv6, ipv6(host6, "2001:db8::1", 64, at16(4, 0), at(6, 59))[:40]), 6)), portOut},
		{"ipv6/vrf", portVRF, six("2001:db8:7::1"), dataplane.Forwarded, forwarded(six("2001:db8:7::1")), portOut},
		{"ipv6/vrf without the route", portVRF, good6, dataplane.IPv6LPMMiss, nil, 0},

		end("ipv6/no route", dataplane.IPv6LPMMiss, six("2001:db9::1")),
		end("ipv6/hop limit 1", dataplane.TTLValueIsTooSmall, toUs(ethIPv6, ipv6(host6, "2001:db8::1", 1))),
		end("ipv6/hop limit 0", dataplane.TTLValueIsTooSmall, toUs(ethIPv6, ipv6(host6, "2001:db8::1", 0))),
		end("ipv6/hop limit 1 to us", dataplane.LocalRoute, toUs(ethIPv6, ipv6(host6, "2001:db8:7::1", 1))),
		end("ipv6/above the MTU", dataplane.MTUValueIsTooSmall, six("2001:db8:1::1")),
		end("ipv6/unresolved", dataplane.UnresolvedNeigh, six("2001:db8:2::1")),
		end("ipv6/unknown rewrite", dataplane.EncapUnknown, six("2001:db8:5::1")),
		end("ipv6/port that is not", dataplane.ErifDisabled, six("2001:db8:6::1")),
		end("ipv6/local", dataplane.LocalRoute, six("2001:db8:7::1")),
		end("ipv6/glean", dataplane.Glean, six("2001:db8:8::1")),
		end("ipv6/blackhole", dataplane.BlackholeRoute, six("2001:db8:9::1")),
		end("ipv6/reject", dataplane.RejectRoute, six("2001:db8:a::1")),
		end("ipv6/punt", dataplane.PuntRoute, six("2001:db8:c::1")),
		end("ipv6/punt for a reason of drops", dataplane.PuntRoute, six("2001:db8:d::1")),
		end("ipv6/punt for no reason", dataplane.PuntRoute, six("2001:db8:e::1")),
		end("ipv6/to another MAC", dataplane.NotOurMAC, to(otherMAC, ethIPv6, ipv6(host6, "2001:db8::1", 64))),
		end("ipv6/unicast to a multicast MAC", dataplane.UCDIPOverMCDMAC, to(groupMAC6, ethIPv6, ipv6(host6, "2001:db8::1", 64))),
		end("ipv6/multicast", dataplane.Multicast, to(groupMAC6, ethIPv6, ipv6("fe80::1", "ff02::1", 255))),
		end("ipv6/DAD", dataplane.Multicast, to(groupMAC6, ethIPv6, ipv6("::", "ff02::1:ff00:1", 255))),
		end("ipv6/multicast of scope 0", dataplane.IPv6MCDIPReservedScope, to(groupMAC6, ethIPv6, ipv6(host6, "ff00::1", 64))),
		end("ipv6/multicast of scope 1", dataplane.IPv6MCDIPInterfaceLocalScope, to(groupMAC6, ethIPv6, ipv6(host6, "ff11::1", 64))),
		end("ipv6/source ::", dataplane.SIPIsUnspecified, from6("::")),
		end("ipv6/source ::1", dataplane.SIPIsLoopbackAddress, from6("::1")),
		end("ipv6/source is multicast", dataplane.SIPIsMC, from6("ff0e::1")),
		end("ipv6/source is link-local", dataplane.IPv6UCSIPLinkLocalScope, from6("fe80::1")),
		end("ipv6/source is link-local, febf", dataplane.IPv6UCSIPLinkLocalScope, from6("febf::1")),
		end("ipv6/source is IPv4-mapped", dataplane.IPv6SIPIsIPv4Mapped, from6("::ffff:192.0.2.1")),
		end("ipv6/destination ::", dataplane.DIPIsUnspecified, six("::")),
		end("ipv6/destination ::1", dataplane.DIPIsLoopbackAddress, six("::1")),
		end("ipv6/destination is link-local", dataplane.IPv6UCDIPLinkLocalScope, six("fe80::1")),
		end("ipv6/destination is IPv4-mapped", dataplane.IPv6DIPIsIPv4Mapped, six("::ffff:10.0.0.1")),
		end("ipv6/hop-by-hop", dataplane.IPv6HopByHop, six("2001:db8::1", at(6, 0))),
		end("ipv6/hop-by-hop, payload length 0", dataplane.IPv6HopByHop, six("2001:db8::1", at16(4, 0), at(6, 0))),
		end("ipv6/version 4", dataplane.IPHeaderCorrupted, six("2001:db8::1", at(0, 0x45))),
		end("ipv6/version 7", dataplane.IPHeaderCorrupted, six("2001:db8::1", at(0, 0x70))),
		end("ipv6/payload beyond frame", dataplane.IPLengthWrong, six("2001:db8::1", at16(4, len(payload)+1))),
		end("ipv6/payload of 65535", dataplane.IPLengthWrong, six("2001:db8::1", at16(4, 65535))),
		end("ipv6/frame of 14", dataplane.IPLengthWrong, cut(good6, 14)),
		end("ipv6/frame of 53", dataplane.IPLengthWrong, cut(good6, 53)),

		end("eth/ARP", dataplane.ARP, to(broadcastMAC, unix.ETH_P_ARP, make([]byte, 28))),
		end("eth/ARP at our MAC", dataplane.ARP, toUs(unix.ETH_P_ARP, make([]byte, 28))),
		end("eth/ARP at another MAC", dataplane.NotOurMAC, to(otherMAC, unix.ETH_P_ARP, make([]byte, 28))),
		end("eth/LLDP", dataplane.NonIP, to(dataplane.MAC{1, 0x80, 0xc2, 0, 0, 14}, 0x88cc, make([]byte, 46))),
		end("eth/802.3 length", dataplane.NonIP, to(dataplane.MAC{1, 0x80, 0xc2, 0, 0, 0}, 38, make([]byte, 38))),
		end("eth/MPLS", dataplane.NonIP, toUs(0x8847, make([]byte, 46))),
		end("eth/VLAN", dataplane.VLANUnknown, toUs(0x8100, pad([]byte{0, 7, 8, 0}, 42))),
		end("eth/QinQ", dataplane.VLANUnknown, toUs(0x88a8, pad([]byte{0, 7, 8, 0}, 42))),

		{"port/IPv4 off", portOff, good4, dataplane.IrifDisabled, nil, 0},
		{"port/IPv6 off", portOff, good6, dataplane.IrifDisabled, nil, 0},
		{"port/off, corrupted", portOff, four("10.0.0.1", sized(19)), dataplane.IPLengthWrong, nil, 0},
		{"port/none", 0, good4, dataplane.PortUnknown, nil, 0},
		{"port/none, MAC of zeros", 0, to(dataplane.MAC{}, ethIPv4, ipv4(host4, "10.0.0.1", 64)), dataplane.PortUnknown, nil, 0},
		{"port/none, MAC of zeros, IPv6", 0, to(dataplane.MAC{}, ethIPv6, ipv6(host6, "2001:db8::1", 64)), dataplane.PortUnknown, nil, 0},
	}
	all = append(all, checksums()...)
	// Each single bit of a header that is wrong is found (RFC 1071: 16-bit words).
	for bit := range 20 {
		in := flip(good4, 14+bit)
		reason := dataplane.IPv4ChecksumWrong
		if bit == 0 {
			reason = dataplane.IPHeaderCorrupted // IHL 4
		}
		all = append(all, end("ipv4/flipped bit in byte "+string(rune('a'+bit)), reason, in))
	}
	return all
}

// checksums are packets whose L4 checksum is right, or left to hardware, or neither.
func checksums() (all []packet) {
	for _, f := range []struct {
		name                  string
		etherType             uint16
		host, dst, two, local string
		make                  func(src, dst string, ttl byte, edit ...func([]byte)) []byte
		protocol, header      int
		size, lengthCovered   int // where the length is, and what of the header it counts
	}{
		{"ipv4", ethIPv4, host4, "10.0.0.1", "10.15.0.1", "10.7.0.1", ipv4, 9, 20, 2, 20},
		{"ipv6", ethIPv6, host6, "2001:db8::1", "2001:db8:f::1", "2001:db8:7::1", ipv6, 6, 40, 4, 0},
	} {
		toDst := func(dst string, edit ...func([]byte)) []byte {
			return toUs(f.etherType, f.make(f.host, dst, 64, edit...))
		}
		goes := func(name string, in []byte) {
			all = append(all, packet{f.name + "/" + name, portIn, in, dataplane.Forwarded, forwarded(in), portOut})
		}
		end := func(name string, r dataplane.Reason, in []byte) {
			all = append(all, packet{f.name + "/" + name, portIn, in, r, nil, 0})
		}
		sctp, crc := at(f.protocol, unix.IPPROTO_SCTP), f.header+8
		zero := func(ip []byte) { clear(ip[crc : crc+4]) }
		goes("SCTP, checksum there", toDst(f.dst, sctp))
		goes("SCTP, checksum all but 0", toDst(f.dst, sctp, zero, at(crc+3, 1)))
		goes("SCTP, checksum cut off", cut(toDst(f.dst, sctp, zero, at16(f.size, 11+f.lengthCovered)), 14+crc+3))
		end("SCTP, checksum left", dataplane.ChecksumPartial, toDst(f.dst, sctp, zero))
		for name, number := range map[string]byte{"TCP": unix.IPPROTO_TCP, "UDP": unix.IPPROTO_UDP} {
			is, sum := at(f.protocol, number), f.header+checksumAt[number]
			goes(name+", checksum right", toDst(f.dst, is, filledIn))
			goes(name+", checksum 0", toDst(f.dst, is, at16(sum, 0)))
			end(name+", checksum left", dataplane.ChecksumPartial, toDst(f.dst, is, leftToHardware))
			end(name+", checksum left, of two members", dataplane.ChecksumPartial, toDst(f.two, is, leftToHardware))
			left := toDst(f.dst, is, leftToHardware)
			all = append(all, packet{f.name + "/" + name + ", checksum left, padding goes", portIn, pad(left, 20), dataplane.ChecksumPartial, left, 0})
			end(name+", checksum left, to us", dataplane.LocalRoute, toDst(f.local, is, leftToHardware))
			end(name+", checksum left, TTL 1", dataplane.TTLValueIsTooSmall, toUs(f.etherType, f.make(f.host, f.dst, 1, is, leftToHardware)))
			for bit := range 16 {
				flipped := func(ip []byte) { ip[sum+bit/8] ^= 1 << (bit % 8) }
				goes(name+", checksum left but for bit "+string(rune('a'+bit)), toDst(f.dst, is, leftToHardware, flipped))
			}
			// One byte of the checksum is there.
			size := sum + 1
			short := toDst(f.dst, is, at16(f.size, size-f.header+f.lengthCovered), leftToHardware)
			goes(name+", checksum cut off", cut(short, 14+size))
			for other, protocol := range map[string]byte{"ICMP": unix.IPPROTO_ICMP, "SCTP": unix.IPPROTO_SCTP, "GRE": unix.IPPROTO_GRE} {
				// With its own pseudo-header's sum where this protocol has the checksum.
				goes(other+", sum at the place of "+name, toDst(f.dst, at(f.protocol, protocol), func(ip []byte) {
					_, pseudo, _ := l4(ip)
					at16(sum, int(pseudo))(ip)
				}))
			}
		}
	}
	return all
}

func TestPackets(t *testing.T) {
	testPackets(t, newRouter(t, xdp.Options{Ports: 16}))
}

// TestPacketsChunked is on an image as older kernels have it.
func TestPacketsChunked(t *testing.T) {
	testPackets(t, newChunkedRouter(t, xdp.Options{Ports: 16}))
}

func testPackets(t *testing.T, r *router) {
	fillTable(t, r)
	met := map[dataplane.Reason]bool{}
	names := map[string]bool{}
	for _, p := range packets() {
		if names[p.name] {
			t.Fatalf("two packets are named %s", p.name)
		}
		names[p.name] = true
		before := append([]byte{}, p.in...)
		// Not in the subtest: it is another thread, in another namespace. Run checks that one counter counted, and the
		// XDP action.
		got, err := r.Run(p.in, p.ingress)
		t.Run(p.name, func(t *testing.T) {
			if err != nil {
				t.Fatal(err)
			}
			met[p.reason] = true
			want := p.out
			if want == nil {
				want = p.in
			}
			if got.Reason != p.reason || got.Egress != p.egress || got.Ingress != p.ingress {
				t.Errorf("%s, ingress %d, egress %d; want %s, %d, %d", got.Reason, got.Ingress, got.Egress, p.reason, p.ingress, p.egress)
			}
			if !bytes.Equal(got.Packet, want) {
				t.Errorf("packet\n%x, want\n%x", got.Packet, want)
			}
			if !bytes.Equal(p.in, before) {
				t.Error("Run changed the caller's frame")
			}
		})
	}
	for reason := range dataplane.Reasons() {
		switch reason {
		case dataplane.NoGroup, dataplane.NoAdjacency, dataplane.FrameCorrupted, dataplane.RewriteFailed,
			dataplane.LoopOverrun, dataplane.LoopAbsent, dataplane.LoopFrameTooLong, dataplane.LoopPuntOverrun:
			continue // not to be had from outside: an image is never so, a frame is at least 14 bytes, there is no loop
		}
		if !met[reason] {
			t.Errorf("no packet of the table ends for %s", reason)
		}
	}
	if c := r.Counters(portIn); c.Received().Packets != 0 {
		t.Errorf("test runs counted as traffic: %v", c.Received())
	}
	t.Logf("%d packets", len(names))
}

// TestChecksums forwards a packet with every TTL and, by its ID field, every
// checksum, the corners of RFC 1624 among them: the result is always that of a
// full computation, and never 0xffff.
func TestChecksums(t *testing.T) {
	r := newRouter(t, xdp.Options{Ports: 16})
	fillTable(t, r)
	sums := map[uint16]bool{}
	check := func(in []byte) {
		t.Helper()
		got, err := r.Run(in, portIn)
		if err != nil {
			t.Fatal(err)
		}
		if want := forwarded(in); got.Reason != dataplane.Forwarded || !bytes.Equal(got.Packet, want) {
			t.Fatalf("%s\n%x, want\n%x", got.Reason, got.Packet, want)
		}
		sum := binary.BigEndian.Uint16(got.Packet[24:])
		if sum == 0xffff {
			t.Fatalf("checksum 0xffff in %x", got.Packet)
		}
		sums[sum] = true
	}
	for ttl := 2; ttl < 256; ttl++ {
		check(toUs(ethIPv4, ipv4(host4, "10.0.0.1", byte(ttl))))
	}
	step := 37
	if testing.Short() {
		step = 1009
	}
	for id := 0; id < 1<<16; id += step {
		check(toUs(ethIPv4, ipv4(host4, "10.0.0.1", 64, at16(4, id))))
	}
	// The ID that makes the checksum come in as want.
	for _, want := range []uint16{0x0000, 0x0001, 0x00ff, 0x0100, 0xfdff, 0xfe00, 0xfeff, 0xff00, 0xfffe} {
		ip := ipv4(host4, "10.0.0.1", 64, at16(4, 0))
		have := binary.BigEndian.Uint16(ip[10:])
		id := uint32(have) + uint32(^want)
		id = id&0xffff + id>>16
		ip = ipv4(host4, "10.0.0.1", 64, at16(4, int(id)))
		if got := binary.BigEndian.Uint16(ip[10:]); got != want {
			t.Fatalf("made checksum %#x, want %#x", got, want)
		}
		check(toUs(ethIPv4, ip))
	}
	for _, corner := range []uint16{0x0000, 0x0100, 0x0101} {
		if !sums[corner] {
			t.Errorf("no packet left with checksum %#x", corner)
		}
	}
}

// TestFlowHash compares the flow's hash and member with package fib's.
func TestFlowHash(t *testing.T) {
	r := newRouter(t, xdp.Options{Ports: 16})
	fillTable(t, r)
	const ports = 0x30390050
	src4, dst4 := uint32(0xc0000209), uint32(0x0a0f0001)
	src6 := fib.Addr6{Hi: 0x20010db8ffff0000, Lo: 9}
	dst6 := fib.Addr6{Hi: 0x20010db8000f0000, Lo: 1}
	const label = 0x12345
	for _, c := range []struct {
		name string
		in   []byte
		want func(seed uint32) uint32
	}{
		{"udp", toUs(ethIPv4, ipv4(host4, "10.15.0.1", 64)), func(s uint32) uint32 { return fib.FlowHash4(src4, dst4, ports, 17, s) }},
		{"tcp", toUs(ethIPv4, ipv4(host4, "10.15.0.1", 64, at(9, 6))), func(s uint32) uint32 { return fib.FlowHash4(src4, dst4, ports, 6, s) }},
		{"icmp", toUs(ethIPv4, ipv4(host4, "10.15.0.1", 64, at(9, 1))), func(s uint32) uint32 { return fib.FlowHash4(src4, dst4, 0, 1, s) }},
		{"first fragment", toUs(ethIPv4, ipv4(host4, "10.15.0.1", 64, at(6, 0x20))), func(s uint32) uint32 { return fib.FlowHash4(src4, dst4, 0, 17, s) }},
		{"last fragment", toUs(ethIPv4, ipv4(host4, "10.15.0.1", 64, at(7, 185))), func(s uint32) uint32 { return fib.FlowHash4(src4, dst4, 0, 17, s) }},
		{"ports cut off", toUs(ethIPv4, ipv4(host4, "10.15.0.1", 64, sized(23))[:23]), func(s uint32) uint32 { return fib.FlowHash4(src4, dst4, 0, 17, s) }},
		{"udp6", toUs(ethIPv6, ipv6(host6, "2001:db8:f::1", 64)), func(s uint32) uint32 { return fib.FlowHash6(src6, dst6, label, ports, 17, s) }},
		{"fragment6", toUs(ethIPv6, ipv6(host6, "2001:db8:f::1", 64, at(6, 44))), func(s uint32) uint32 { return fib.FlowHash6(src6, dst6, label, 0, 44, s) }},
	} {
		got, err := r.Run(c.in, portIn)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		want := c.want(r.fib.HashSeed())
		next := r.fib.Next(fib.GroupID(got.Group), want)
		if got.Hash != want || got.Adjacency != uint32(next.Adjacency) {
			t.Errorf("%s: hash %#x, adjacency %d; want %#x, %d", c.name, got.Hash, got.Adjacency, want, next.Adjacency)
		}
	}
}

func TestRunRefusesNoPort(t *testing.T) {
	r := newRouter(t, xdp.Options{Ports: 16})
	if _, err := r.Run(make([]byte, 64), 99); err == nil || !strings.Contains(err.Error(), "no such port") {
		t.Errorf("Run by port 99: %v", err)
	}
}
