package conformance

import (
	"fmt"

	"golang.org/x/sys/unix"

	"weft/dataplane"
)

const (
	eastern6 = "2001:db8:10::1"
	own6     = "2001:db8:1::1"
)

func cases6() []Case {
	l := &list{v6: true}
	forwarded6(l)
	lengths6(l)
	addresses6(l)
	routes6(l)
	headers6(l)
	ports6(l)
	discovery(l)
	return l.cases
}

func forwarded6(l *list) {
	l.goes("plain", east, packet{dst: eastern6})
	for _, hops := range []int{2, 3, 128, 255} {
		l.goes(fmt.Sprintf("hop limit %d", hops), east, packet{dst: eastern6, ttl: hops})
	}
	l.answered("hop limit 1", dataplane.TTLValueIsTooSmall, timeExceeded6, 0, 0, l.ip(packet{dst: eastern6, ttl: 1}))
	l.answered("hop limit 0", dataplane.TTLValueIsTooSmall, timeExceeded6, 0, 0, l.ip(packet{dst: eastern6, ttl: -1}))
	src := l.source()
	l.ends("hop limit 1, an ICMPv6 error", dataplane.TTLValueIsTooSmall,
		l.ip(packet{dst: eastern6, ttl: 1, protocol: unix.IPPROTO_ICMPV6, payload: icmp6(src, eastern6, unreachable6, 0, make([]byte, 52)...)}))
	for name, tos := range inOrder(map[string]byte{"all of DSCP and ECN": 0xff, "CE": 3, "CS6": 0xc0}) {
		l.goes("traffic class: "+name, east, packet{dst: eastern6, tos: tos})
	}
	for _, label := range []uint32{1, 0x80000, 0xfffff} {
		l.goes(fmt.Sprintf("flow label %#x", label), east, packet{dst: eastern6, label: label})
	}
	for _, next := range []int{unix.IPPROTO_TCP, unix.IPPROTO_IPV6, unix.IPPROTO_GRE, unix.IPPROTO_ESP, unix.IPPROTO_AH, unix.IPPROTO_ICMPV6, unix.IPPROTO_SCTP, 59, 253, 255} {
		l.goes(fmt.Sprintf("next header %d", next), east, packet{dst: eastern6, protocol: next})
	}
	for _, kind := range []byte{unreachable6, tooBig6, timeExceeded6, parameter6, 128, 129, 144, 145, 146, 147} {
		src := l.source()
		l.goes(fmt.Sprintf("ICMPv6 type %d", kind), east,
			packet{dst: eastern6, protocol: unix.IPPROTO_ICMPV6, payload: icmp6(src, eastern6, kind, 0, make([]byte, 52)...)})
	}
	src = l.source()
	ping := l.ip(packet{dst: own6, protocol: unix.IPPROTO_ICMPV6, payload: icmp6(src, own6, 128, 0, 0, 1, 0, 2, 'e', 'c', 'h', 'o')})
	l.ends("echo request to the router", dataplane.LocalRoute, ping, echoes(ping))
	l.answered("to the router, hop limit 1", dataplane.LocalRoute, unreachable6, 4, 0, l.ip(packet{dst: own6, ttl: 1}))
}

func lengths6(l *list) {
	good := func() []byte { return l.ip(packet{dst: eastern6}) }
	n := len(good())
	none := func() []byte { return with(good()[:ip6Len], 4, 0, 0, 59) }
	bad := func(name string, r dataplane.Reason, ip []byte) { l.ends(name, r, ip) }
	l.raw("header only", east, none(), ip6Len)
	l.raw("padding goes", east, pad(good(), 30), n)
	l.raw("padding to the shortest frame stays", east, pad(none(), 6), ethLeast-ethLen)
	l.raw("padding beyond the shortest frame goes", east, pad(none(), 60), ethLeast-ethLen)
	l.raw("payload length 0", east, with(good(), 4, 0, 0), ethLeast-ethLen)
	bad("frame of 14", dataplane.IPLengthWrong, nil)
	bad("frame of 15", dataplane.IPLengthWrong, good()[:1])
	bad("frame of 34", dataplane.IPLengthWrong, good()[:20])
	bad("frame of 53", dataplane.IPLengthWrong, good()[:39])
	for _, version := range []byte{0, 4, 5, 7, 15} {
		bad(fmt.Sprintf("version %d", version), dataplane.IPHeaderCorrupted, with(good(), 0, version<<4))
	}
	bad("payload length one beyond the frame", dataplane.IPLengthWrong, with(good(), 4, 0, byte(n-ip6Len+1)))
	bad("payload length 65535", dataplane.IPLengthWrong, with(good(), 4, 0xff, 0xff))
	long := func(size int, dst string) []byte { return l.ip(packet{dst: dst, payload: make([]byte, size-ip6Len)}) }
	l.raw("jumbo", wide, long(9000, "2001:db8:17::1"), 9000)
	l.raw("as long as the MTU", east, long(1500, eastern6), 1500)
	l.answered("longer than the MTU", dataplane.MTUValueIsTooSmall, tooBig6, 0, 1500, long(1501, eastern6))
	l.raw("as long as the least MTU", narrow, long(1280, "2001:db8:11::1"), 1280)
	l.answered("longer than the least MTU", dataplane.MTUValueIsTooSmall, tooBig6, 0, 1280, long(1281, "2001:db8:11::1"))
	l.answered("jumbo to a lesser MTU", dataplane.MTUValueIsTooSmall, tooBig6, 0, 1280, long(9000, "2001:db8:11::1"))
	l.raw("as long as the route's MTU", wide, long(1400, "2001:db8:19::1"), 1400)
	// Linux finds this out on the way out, behind the hop limit.
	ip := long(1401, "2001:db8:19::1")
	l.ends("longer than the route's MTU", dataplane.MTUValueIsTooSmall, ip, icmpError{kind: tooBig6, rest: 1400, about: hop(ip)}.sent())
}

func addresses6(l *list) {
	for _, src := range []string{"2001:db8::1", "fd00::1", "fec0::1", "::2", "64:ff9b::1", "::192.0.2.1", "4000::1"} {
		l.goes("source "+src, east, packet{src: src, dst: eastern6})
	}
	l.goes("source is destination", east, packet{src: eastern6, dst: eastern6})
	l.goes("source is the router", east, packet{src: own6, dst: eastern6})
	for src, r := range inOrder(map[string]dataplane.Reason{
		"::": dataplane.SIPIsUnspecified, "::1": dataplane.SIPIsLoopbackAddress, "ff02::1": dataplane.SIPIsMC,
		"ff0e::1": dataplane.SIPIsMC, "ff00::": dataplane.SIPIsMC, "::ffff:192.0.2.1": dataplane.IPv6SIPIsIPv4Mapped,
	}) {
		l.ends("source "+src, r, l.ip(packet{src: src, dst: eastern6}))
	}
	for dst, r := range inOrder(map[string]dataplane.Reason{
		"::": dataplane.DIPIsUnspecified, "::1": dataplane.DIPIsLoopbackAddress, "::ffff:10.0.0.1": dataplane.IPv6DIPIsIPv4Mapped,
	}) {
		l.ends("destination "+dst, r, l.ip(packet{dst: dst}))
	}
	l.goes("destination fd00::1", east, packet{dst: "fd00::1"})
	// A link-local source does not go to another link (RFC 4291 2.5.6): beyond scope (RFC 4443 3.1).
	for _, src := range []string{"fe80::9"} {
		ip := l.ip(packet{src: src, dst: eastern6})
		l.ends("source "+src, dataplane.IPv6UCSIPLinkLocalScope, ip, icmpError{kind: unreachable6, code: 2, about: ip, from: routerLinkLocal}.sent())
	}
	// On the link that it came in by it may.
	l.linux("destination fe80::9", dataplane.IPv6UCDIPLinkLocalScope, west, l.ip(packet{dst: hostLinkLocal}))
	framed := func(name string, mac dataplane.MAC, r dataplane.Reason, p packet, sent ...Sent) {
		ip := l.ip(p)
		l.add(Case{Name: name, Frame: ether(mac, portNamed(west).far(), unix.ETH_P_IPV6, ip), Reason: r, Sent: sent})
	}
	for dst, r := range inOrder(map[string]dataplane.Reason{
		"ff00::1": dataplane.IPv6MCDIPReservedScope, "ff10::1": dataplane.IPv6MCDIPReservedScope,
		"ff01::1": dataplane.IPv6MCDIPInterfaceLocalScope, "ff11::1": dataplane.IPv6MCDIPInterfaceLocalScope,
		"ff02::1": dataplane.Multicast, "ff05::2": dataplane.Multicast, "ff0e::1234": dataplane.Multicast, "ff02::1:ff00:77": dataplane.Multicast,
	}) {
		framed("destination "+dst, groupMAC6, r, packet{dst: dst})
	}
	framed("unicast to a multicast MAC", groupMAC6, dataplane.UCDIPOverMCDMAC, packet{dst: eastern6})
	framed("unicast to the broadcast MAC", broadcastMAC, dataplane.UCDIPOverMCDMAC, packet{dst: eastern6})
	framed("to another MAC", otherMAC, dataplane.NotOurMAC, packet{dst: eastern6})
	framed("multicast at the router's MAC", portNamed(west).mac(), dataplane.Multicast, packet{dst: "ff0e::1234"})
}

func routes6(l *list) {
	l.answered("no route", dataplane.IPv6LPMMiss, unreachable6, 0, 0, l.ip(packet{dst: "2001:db9::1"}))
	l.answered("no route, hop limit 1", dataplane.IPv6LPMMiss, unreachable6, 0, 0, l.ip(packet{dst: "2001:db9::1", ttl: 1}))
	l.ends("blackhole", dataplane.BlackholeRoute, l.ip(packet{dst: "2001:db8:13::1"}))
	l.answered("unreachable", dataplane.RejectRoute, unreachable6, 0, 0, l.ip(packet{dst: "2001:db8:14::1"}))
	l.answered("prohibit", dataplane.RejectRoute, unreachable6, 1, 0, l.ip(packet{dst: "2001:db8:15::1"}))
	for i := range sitePorts {
		p := &sitePorts[i]
		ip := l.ip(packet{dst: p.addr6()})
		l.ends("to the router's address at "+p.name, dataplane.LocalRoute, ip,
			icmpError{kind: unreachable6, code: 4, about: ip, from: p.addr6()}.sent())
	}
	l.goes("to a neighbor", east, packet{dst: "2001:db8:2::9"})
	for dst, port := range inOrder(map[string]string{
		"2001:db8:10::": east, "2001:db8:10:7fff:ffff:ffff:ffff:ffff": east, "2001:db8:10:8000::": wide,
		"2001:db8:10:8000::7f": wide, "2001:db8:10:8000::80": narrow, "2001:db8:10:8000::fe": narrow,
		"2001:db8:10:8000::100": wide, "2001:db8:10:ffff:ffff:ffff:ffff:ffff": wide, "2001:db8:11::": narrow,
	}) {
		l.goes("prefix edge "+dst, port, packet{dst: dst})
	}
	l.ends("prefix edge 2001:db8:10:8000::ff", dataplane.BlackholeRoute, l.ip(packet{dst: "2001:db8:10:8000::ff"}))
	unresolved := func(name, dst, asked string, r dataplane.Reason) {
		ip := l.ip(packet{dst: dst})
		l.add(Case{Name: name, Frame: l.frame(ip), Reason: r, resolves: asked,
			Sent: []Sent{asks6(asked), icmpError{kind: unreachable6, code: 3, about: hop(ip)}.sent()}})
	}
	unresolved("neighbor that does not answer", "2001:db8:2::77", "2001:db8:2::77", dataplane.Glean)
	unresolved("gateway that does not answer", "2001:db8:12::1", absent6, dataplane.UnresolvedNeigh)
}

// Extension headers (RFC 8200 4, RFC 5095, RFC 8754). Each names the one behind it.
func headers6(l *list) {
	const udp = unix.IPPROTO_UDP
	hops := func(options ...byte) packet {
		return packet{dst: eastern6, protocol: -1, before: append([]byte{udp, byte(len(options) / 8)}, options...)}
	}
	for _, h := range []struct {
		name   string
		next   int
		before []byte
	}{
		{"fragment, first", 44, []byte{udp, 0, 0, 1, 0, 0, 0, 9}},
		{"fragment, middle", 44, []byte{udp, 0, 0, 0x41, 0, 0, 0, 9}},
		{"fragment, last", 44, []byte{udp, 0, 0, 0x40, 0, 0, 0, 9}},
		{"fragment, atomic", 44, []byte{udp, 0, 0, 0, 0, 0, 0, 9}},
		{"fragment beyond 65535", 44, []byte{udp, 0, 0xff, 0xf8, 0, 0, 0, 9}},
		{"destination options", 60, []byte{udp, 0, 1, 4, 0, 0, 0, 0}},
		{"routing header type 0", 43, append([]byte{udp, 2, 0, 1, 0, 0, 0, 0}, make([]byte, 16)...)},
		{"routing header type 4", 43, append([]byte{udp, 2, 4, 0, 0, 0, 0, 0}, make([]byte, 16)...)},
		{"routing header type 4, segments left beyond the last", 43, append([]byte{udp, 2, 4, 9, 0, 0, 0, 0}, make([]byte, 16)...)},
		{"extension header cut off", 60, []byte{udp, 31}},
	} {
		l.goes(h.name, east, packet{dst: eastern6, protocol: h.next, before: h.before})
	}
	var chain []byte
	for range 20 {
		chain = append(chain, 60, 0, 1, 4, 0, 0, 0, 0)
	}
	l.goes("chain of 20 headers", east, packet{dst: eastern6, protocol: 60, before: append(chain, udp, 0, 1, 4, 0, 0, 0, 0)})
	for name, options := range inOrder(map[string][]byte{
		"padding": {1, 4, 0, 0, 0, 0}, "router alert": {5, 2, 0, 0, 1, 0}, "an option to skip": {0x1e, 4, 1, 2, 3, 4},
	}) {
		l.linux("hop-by-hop: "+name, dataplane.IPv6HopByHop, east, l.ip(hops(options...)))
	}
	l.ends("hop-by-hop: an option to discard", dataplane.IPv6HopByHop, l.ip(hops(0x5e, 4, 1, 2, 3, 4)))
	l.answered("hop-by-hop: an option to answer", dataplane.IPv6HopByHop, parameter6, 2, ip6Len+2, l.ip(hops(0x9e, 4, 1, 2, 3, 4)))
	l.answered("hop-by-hop: an option to answer unless multicast", dataplane.IPv6HopByHop, parameter6, 2, ip6Len+2, l.ip(hops(0xde, 4, 1, 2, 3, 4)))
	l.ends("hop-by-hop: option beyond the header", dataplane.IPv6HopByHop, l.ip(hops(0x1e, 9, 1, 2, 3, 4)))
	jumbo := l.ip(hops(0xc2, 4, 0, 0, 0, 48)) // RFC 2675 3
	l.answered("hop-by-hop: jumbo payload that is none", dataplane.IPv6HopByHop, parameter6, 0, ip6Len+4, with(jumbo, 4, 0, 0))
	alert := hops(5, 2, 0, 0, 1, 0)
	alert.ttl = 1
	l.answered("hop-by-hop, hop limit 1", dataplane.IPv6HopByHop, timeExceeded6, 0, 0, l.ip(alert))
	// To the router: type 0 is answered (RFC 5095 3), segment routing not taken part in.
	own := packet{dst: own6, protocol: 43, before: append([]byte{udp, 2, 0, 1, 0, 0, 0, 0}, make([]byte, 16)...)}
	l.answered("routing header type 0 to the router", dataplane.LocalRoute, parameter6, 0, ip6Len+2, l.ip(own))
	own.before = append([]byte{udp, 2, 4, 1, 0, 0, 0, 0}, make([]byte, 16)...)
	l.ends("routing header type 4 to the router", dataplane.LocalRoute, l.ip(own))
	l.answered("unknown next header to the router", dataplane.LocalRoute, parameter6, 1, 6, l.ip(packet{dst: own6, protocol: 253}))
}

func ports6(l *list) {
	ip := l.ip(packet{dst: eastern6})
	// Linux forwards IPv6 by all ports or none: conf/PORT/forwarding says only whether hosts live there.
	l.add(Case{Name: "by a port that does not forward", Port: quiet6, Frame: portNamed(quiet6).in(ip), Reason: dataplane.IrifDisabled,
		Sent: []Sent{forwarded(east, ip)}})
	l.add(Case{Name: "by a port that forwards only IPv6", Port: quiet4, Frame: portNamed(quiet4).in(ip), Reason: dataplane.Forwarded,
		Sent: []Sent{forwarded(east, ip)}})
	checksumsLeft(l, eastern6)
}
