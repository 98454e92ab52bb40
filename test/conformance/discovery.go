package conformance

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"weft/dataplane"
)

// Types of neighbor discovery (RFC 4861 4).
const (
	routerSolicitation    = 133
	routerAdvertisement   = 134
	neighborSolicitation  = 135
	neighborAdvertisement = 136
	redirect6             = 137
)

// Flags of advertisements, as they lie in a message.
const (
	isRouter  = 0x80
	solicited = 0x40
	override  = 0x20
)

var (
	solicitedMAC  = dataplane.MAC{0x33, 0x33, 0xff, 0, 0, 1}
	solicitedNode = "ff02::1:ff00:1" // of every address that ends in ::1
)

// discoveryMessage is one of neighbor discovery: flags, target, an option.
func discoveryMessage(src, dst string, kind, code, flags byte, target string, option ...byte) []byte {
	body := append([]byte{flags, 0, 0, 0}, netip.MustParseAddr(target).AsSlice()...)
	return icmp6(src, dst, kind, code, append(body, option...)...)
}

// linkAddress is an option: 1 source's, 2 target's.
func linkAddress(kind byte, mac dataplane.MAC) []byte { return append([]byte{kind, 1}, mac[:]...) }

// plain6 is a packet of ICMPv6 as hosts send it: no traffic class, no flow label.
func plain6(src, dst string, hops byte, message []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(message)))
	b = append(b, unix.IPPROTO_ICMPV6, hops)
	b = append(append(b, netip.MustParseAddr(src).AsSlice()...), netip.MustParseAddr(dst).AsSlice()...)
	return append(b, message...)
}

// advertised is the router's answer to who has its address at west.
func advertised(to string, mac dataplane.MAC, flags byte) Sent {
	p := portNamed(west)
	var option []byte
	if flags&override != 0 { // who asks the address itself knows the MAC
		option = linkAddress(2, p.mac())
	}
	message := discoveryMessage(own6, to, neighborAdvertisement, 0, flags, own6, option...)
	return comes(west, ether(mac, p.mac(), unix.ETH_P_IPV6, plain6(own6, to, 255, message)))
}

// discovery is what RFC 4861 7.1 wants of messages before anybody believes them.
func discovery(l *list) {
	p := portNamed(west)
	host := p.host6()
	source := linkAddress(1, p.far())
	ask := func(name string, ip []byte, sent ...Sent) {
		l.add(Case{Name: "solicitation" + name, Frame: ether(solicitedMAC, p.far(), unix.ETH_P_IPV6, ip), Reason: dataplane.Multicast, Sent: sent})
	}
	solicitation := func(src string, code byte, target string, option ...byte) []byte {
		return discoveryMessage(src, solicitedNode, neighborSolicitation, code, 0, target, option...)
	}
	good := solicitation(host, 0, own6, source...)
	answer := advertised(host, p.far(), isRouter|solicited|override)
	ask("", plain6(host, solicitedNode, 255, good), answer)
	ask(" without option", plain6(host, solicitedNode, 255, solicitation(host, 0, own6)), answer)
	ask(": somebody wants the router's address", plain6("::", solicitedNode, 255, solicitation("::", 0, own6)),
		advertised("ff02::1", groupMAC6, isRouter|override))
	ask(" of another address", plain6(host, solicitedNode, 255, solicitation(host, 0, "2001:db8:1::ff:1")))
	ask(" with hop limit 254", plain6(host, solicitedNode, 254, good))
	ask(" with a wrong checksum", plain6(host, solicitedNode, 255, with(good, 2, good[2]^1)))
	ask(" with code 1", plain6(host, solicitedNode, 255, solicitation(host, 1, own6, source...)))
	ask(" with an option of length 0", plain6(host, solicitedNode, 255, solicitation(host, 0, own6, 1, 0, 2, 0, 0, 0, 0, 1)))
	ask(" of a multicast address", plain6(host, solicitedNode, 255, solicitation(host, 0, "ff02::1", source...)))
	ask(" too short", plain6(host, solicitedNode, 255, icmp6(host, solicitedNode, neighborSolicitation, 0, make([]byte, 16)...)))
	ask(" from :: with an option", plain6("::", solicitedNode, 255, solicitation("::", 0, own6, source...)))
	whole := plain6(host, solicitedNode, 255, good)
	fragment := append(append(append([]byte{}, whole[:ip6Len]...), unix.IPPROTO_ICMPV6, 0, 0, 0, 0, 0, 0, 9), whole[ip6Len:]...)
	ask(" in a fragment", with(fragment, 4, 0, byte(len(fragment)-ip6Len), 44)) // RFC 6980
	unicast := discoveryMessage(host, own6, neighborSolicitation, 0, 0, own6, source...)
	l.ends("solicitation to the address itself", dataplane.LocalRoute, plain6(host, own6, 255, unicast), advertised(host, p.far(), isRouter|solicited))

	// What is said to the router without being asked: a permanent neighbor stays, nobody answers.
	tell := func(name string, kind, flags byte, target string, option ...byte) {
		ip := plain6(hostLinkLocal, "ff02::1", 255, discoveryMessage(hostLinkLocal, "ff02::1", kind, 0, flags, target, option...))
		l.add(Case{Name: name, Frame: ether(groupMAC6, p.far(), unix.ETH_P_IPV6, ip), Reason: dataplane.Multicast})
	}
	tell("advertisement, unsolicited, override", neighborAdvertisement, override, host, linkAddress(2, otherMAC)...)
	tell("advertisement of the router's address", neighborAdvertisement, override, own6, linkAddress(2, otherMAC)...)
	tell("router solicitation", routerSolicitation, 0, "::", source...)
	tell("router advertisement", routerAdvertisement, 0, "::", source...)
	redirect := discoveryMessage(hostLinkLocal, own6, redirect6, 0, 0, "2001:db8:1::77", append(netip.MustParseAddr(eastern6).AsSlice(), linkAddress(2, otherMAC)...)...)
	l.ends("redirect", dataplane.IPv6UCSIPLinkLocalScope, plain6(hostLinkLocal, own6, 255, redirect))
}
