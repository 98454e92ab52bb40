package agreement

import (
	"net"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// template is a frame that is as it should be. The Generator gives it addresses.
type template struct {
	frame  []byte
	family int // 4, 6, or 0 for what is neither
	often  int // how often it is drawn, beside others
}

// l3 is where the packet of a frame without tags begins.
const l3 = 14

// Next headers that gopacket has no name for.
const (
	protocolMobility = 135
	protocolReserved = 255
)

var templates, templateByDraw = makeTemplates()

func makeTemplates() (all []template, byDraw []int) {
	for _, p := range ipv4Payloads() {
		all = append(all, template{frame(layers.EthernetTypeIPv4, append([]gopacket.SerializableLayer{p.header()}, p.layers...)...), 4, p.often})
	}
	for _, p := range ipv6Payloads() {
		all = append(all, template{frame(layers.EthernetTypeIPv6, append([]gopacket.SerializableLayer{p.header6()}, p.layers...)...), 6, p.often})
	}
	all = append(all, otherTemplates()...)
	for i, t := range all {
		for range t.often {
			byDraw = append(byDraw, i)
		}
	}
	return all, byDraw
}

// payload is what an IP packet carries, and what its header says of that.
type payload struct {
	often    int
	protocol layers.IPProtocol
	options  []layers.IPv4Option
	flags    layers.IPv4Flag
	offset   uint16
	layers   []gopacket.SerializableLayer
}

func (p *payload) header() *layers.IPv4 {
	return &layers.IPv4{
		Version: 4, TTL: 64, Id: 0xbeef, Protocol: p.protocol, Options: p.options, Flags: p.flags, FragOffset: p.offset,
		SrcIP: net.IP{198, 51, 100, 7}, DstIP: net.IP{203, 0, 113, 9},
	}
}

func (p *payload) header6() *layers.IPv6 {
	return &layers.IPv6{
		Version: 6, HopLimit: 64, NextHeader: p.protocol, SrcIP: net.ParseIP("2001:db8:ffff::7"), DstIP: net.ParseIP("2001:db8:fffe::9"),
	}
}

// frame is what layers become behind an Ethernet header, which as gopacket's would pad it.
func frame(t layers.EthernetType, all ...gopacket.SerializableLayer) []byte {
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
		panic(err) // a template of ours is wrong: no test could run
	}
	return append([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, byte(t >> 8), byte(t)}, b.Bytes()...)
}

// sums is of layers that sum up the pseudo-header, too. The addresses are changed later.
type sums interface {
	gopacket.SerializableLayer
	SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
}

func summed(l sums, over gopacket.NetworkLayer) gopacket.SerializableLayer {
	if err := l.SetNetworkLayerForChecksum(over); err != nil {
		panic(err)
	}
	return l
}

func raw(n int) gopacket.Payload {
	b := make(gopacket.Payload, n)
	for i := range b {
		b[i] = byte(i*7 + 1)
	}
	return b
}

func udp(over gopacket.NetworkLayer) gopacket.SerializableLayer {
	return summed(&layers.UDP{SrcPort: 12345, DstPort: 33434}, over)
}

func tcp(over gopacket.NetworkLayer) gopacket.SerializableLayer {
	return summed(&layers.TCP{
		SrcPort: 40000, DstPort: 443, SYN: true, Seq: 7, Window: 64000,
		Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 0xb4}}},
	}, over)
}

func ipv4Payloads() []payload {
	over := (&payload{}).header()
	option := func(kind layers.TCPOptionKind, b ...byte) []layers.IPv4Option {
		return []layers.IPv4Option{{OptionType: uint8(kind), OptionLength: uint8(len(b) + 2), OptionData: b}}
	}
	echo := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 1, Seq: 1}
	unreachable := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeDestinationUnreachable, 1)}
	inner := (&payload{protocol: layers.IPProtocolUDP}).header()
	u, t := udp(over), tcp(over)
	some := func(l gopacket.SerializableLayer, n int) []gopacket.SerializableLayer {
		return []gopacket.SerializableLayer{l, raw(n)}
	}
	return []payload{
		{often: 30, protocol: layers.IPProtocolUDP, layers: some(u, 18)},
		{often: 10, protocol: layers.IPProtocolUDP, layers: some(u, 0)},
		{often: 10, protocol: layers.IPProtocolUDP, layers: some(u, 3)},
		{often: 10, protocol: layers.IPProtocolUDP, flags: layers.IPv4DontFragment, layers: some(u, 40)},
		{often: 20, protocol: layers.IPProtocolTCP, flags: layers.IPv4DontFragment, layers: some(t, 6)},
		{often: 5, protocol: layers.IPProtocolICMPv4, layers: some(echo, 24)},
		{often: 3, protocol: layers.IPProtocolICMPv4, layers: []gopacket.SerializableLayer{unreachable, inner, u, raw(4)}},
		{often: 3, protocol: layers.IPProtocolSCTP, layers: []gopacket.SerializableLayer{raw(40)}},
		{often: 2, protocol: layers.IPProtocolUDPLite, layers: []gopacket.SerializableLayer{raw(30)}},
		{often: 2, protocol: 33, layers: []gopacket.SerializableLayer{raw(30)}}, // DCCP
		{often: 2, protocol: layers.IPProtocolGRE, layers: []gopacket.SerializableLayer{&layers.GRE{Protocol: layers.EthernetTypeIPv4}, inner, u}},
		{often: 2, protocol: layers.IPProtocolIPv4, layers: []gopacket.SerializableLayer{inner, u, raw(8)}},
		{often: 2, protocol: layers.IPProtocolESP, layers: []gopacket.SerializableLayer{raw(28)}},
		{often: 1, protocol: 0, layers: []gopacket.SerializableLayer{raw(26)}},
		{often: 1, protocol: protocolReserved, layers: []gopacket.SerializableLayer{raw(26)}},
		{often: 1, protocol: layers.IPProtocolUDP},
		{often: 4, protocol: layers.IPProtocolUDP, flags: layers.IPv4MoreFragments, layers: some(u, 16)},
		{often: 4, protocol: layers.IPProtocolUDP, flags: layers.IPv4MoreFragments, offset: 3, layers: []gopacket.SerializableLayer{raw(24)}},
		{often: 4, protocol: layers.IPProtocolUDP, offset: 185, layers: []gopacket.SerializableLayer{raw(11)}},
		{often: 1, protocol: layers.IPProtocolUDP, offset: 8191, layers: []gopacket.SerializableLayer{raw(60)}}, // beyond 65,535
		{often: 1, protocol: layers.IPProtocolTCP, flags: layers.IPv4MoreFragments, layers: []gopacket.SerializableLayer{raw(8)}},
		{often: 1, protocol: layers.IPProtocolUDP, flags: layers.IPv4DontFragment | layers.IPv4MoreFragments, layers: some(u, 16)},
		{often: 2, protocol: layers.IPProtocolUDP, options: option(7, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0), layers: some(u, 18)},              // record route
		{often: 2, protocol: layers.IPProtocolUDP, options: option(68, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0), layers: some(u, 18)},             // timestamp
		{often: 2, protocol: layers.IPProtocolUDP, options: option(131, 4, 203, 0, 113, 1), layers: some(u, 18)},                       // loose source route
		{often: 2, protocol: layers.IPProtocolUDP, options: option(137, 4, 203, 0, 113, 1), layers: some(u, 18)},                       // strict
		{often: 2, protocol: layers.IPProtocolUDP, options: option(148, 0, 0), layers: some(u, 18)},                                    // router alert
		{often: 2, protocol: layers.IPProtocolTCP, options: []layers.IPv4Option{{OptionType: 1}, {OptionType: 0}}, layers: some(t, 6)}, // nothing
		{often: 1, protocol: layers.IPProtocolUDP, options: option(222, 1, 2, 3, 4, 5, 6), layers: some(u, 18)},                        // unknown
		{often: 1, protocol: layers.IPProtocolUDP, options: option(7, 5, 0, 0, 0), layers: some(u, 18)},                                // a pointer that is wrong
	}
}

// extension is an extension header of RFC 8200: the next header, its own length, the rest.
func extension(next layers.IPProtocol, rest ...byte) gopacket.Payload {
	b := append(gopacket.Payload{byte(next), 0}, rest...)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	b[1] = byte(len(b)/8 - 1)
	return b
}

func ipv6Payloads() []payload {
	over := (&payload{}).header6()
	u, t := udp(over), tcp(over)
	some := func(all ...gopacket.SerializableLayer) []gopacket.SerializableLayer { return append(all, raw(20)) }
	echo := summed(&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)}, over)
	unreachable := summed(&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeDestinationUnreachable, 0)}, over)
	router := summed(&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeRouterSolicitation, 0)}, over)
	const (
		hop, routing, fragment   = layers.IPProtocolIPv6HopByHop, layers.IPProtocolIPv6Routing, layers.IPProtocolIPv6Fragment
		destination, none, udpIs = layers.IPProtocolIPv6Destination, layers.IPProtocolNoNextHeader, layers.IPProtocolUDP
	)
	segment := over.DstIP
	return []payload{
		{often: 40, protocol: udpIs, layers: some(u)},
		{often: 10, protocol: udpIs, layers: []gopacket.SerializableLayer{u}},
		{often: 20, protocol: layers.IPProtocolTCP, layers: some(t)},
		{often: 6, protocol: layers.IPProtocolICMPv6, layers: some(echo)},
		{often: 3, protocol: layers.IPProtocolICMPv6, layers: some(unreachable, over)},
		{often: 1, protocol: layers.IPProtocolICMPv6, layers: some(router)},
		{often: 2, protocol: layers.IPProtocolSCTP, layers: some(raw(20))},
		{often: 2, protocol: layers.IPProtocolUDPLite, layers: some(raw(20))},
		{often: 1, protocol: 33, layers: some(raw(20))},
		{often: 2, protocol: layers.IPProtocolGRE, layers: some(&layers.GRE{Protocol: layers.EthernetTypeIPv6}, over, u)},
		{often: 2, protocol: layers.IPProtocolIPv6, layers: some(over)},
		{often: 2, protocol: none},
		{often: 1, protocol: none, layers: some()},
		{often: 1, protocol: protocolReserved, layers: some()},
		{often: 1, protocol: udpIs},
		{often: 3, protocol: hop, layers: some(extension(udpIs, 1, 4, 0, 0, 0, 0), u)},             // padding alone
		{often: 2, protocol: hop, layers: some(extension(udpIs, 5, 2, 0, 0, 1, 0), u)},             // router alert
		{often: 2, protocol: hop, layers: some(extension(udpIs, 0xc2, 4, 0, 1, 0, 0), u)},          // jumbo payload
		{often: 1, protocol: hop, layers: some(extension(udpIs, 0x8b, 4, 0, 0, 0, 0), u)},          // unknown: discard, answer
		{often: 1, protocol: hop, layers: some(extension(udpIs, 0x3e, 4, 0, 0, 0, 0), u)},          // unknown: skip
		{often: 3, protocol: destination, layers: some(extension(udpIs, 1, 4, 0, 0, 0, 0), u)},     //
		{often: 2, protocol: destination, layers: some(extension(hop, 1, 4), extension(udpIs), u)}, // hop-by-hop is not first
		{often: 2, protocol: routing, layers: some(extension(udpIs, append([]byte{0, 1, 0, 0, 0, 0}, segment...)...), u)},
		{often: 2, protocol: routing, layers: some(extension(udpIs, append([]byte{4, 1, 0, 0, 0, 0}, segment...)...), u)}, // segments
		{often: 1, protocol: routing, layers: some(extension(udpIs, append([]byte{4, 9, 0, 0, 0, 0}, segment...)...), u)}, // more than there are
		{often: 3, protocol: fragment, layers: some(gopacket.Payload{byte(udpIs), 0, 0, 1, 0, 0, 0, 7}, u)},               // first
		{often: 3, protocol: fragment, layers: some(gopacket.Payload{byte(udpIs), 0, 0, 0x19, 0, 0, 0, 7})},               // middle
		{often: 3, protocol: fragment, layers: some(gopacket.Payload{byte(udpIs), 0, 0, 0x28, 0, 0, 0, 7})},               // last
		{often: 2, protocol: fragment, layers: some(gopacket.Payload{byte(udpIs), 0, 0, 0, 0, 0, 0, 7}, u)},               // atomic
		{often: 1, protocol: layers.IPProtocolAH, layers: some(gopacket.Payload{byte(udpIs), 4, 15: 0, 23: 0}, u)},
		{often: 1, protocol: protocolMobility, layers: some(extension(none, 0, 0, 0, 0))},
		{often: 1, protocol: destination, layers: some(extension(routing), extension(destination, 0, 0, 0, 0), extension(fragment), gopacket.Payload{byte(destination), 7: 0}, extension(none))},
	}
}

func otherTemplates() []template {
	arp := func(operation uint16) []byte {
		return frame(layers.EthernetTypeARP, &layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: operation,
			// From outside of all subnets: the kernel does not learn from it.
			SourceHwAddress: []byte{2, 0, 0, 0, 0, 1}, SourceProtAddress: []byte{198, 51, 100, 7},
			DstHwAddress: make([]byte, 6), DstProtAddress: []byte{198, 51, 100, 8},
		})
	}
	return []template{
		{arp(layers.ARPRequest), 0, 3},
		{arp(layers.ARPReply), 0, 2},
		{frame(layers.EthernetTypeLinkLayerDiscovery, raw(40)), 0, 2},
		{frame(layers.EthernetTypeMPLSUnicast, &layers.MPLS{Label: 100, StackBottom: true, TTL: 64}, (&payload{protocol: 17}).header(), raw(26)), 0, 2},
		{frame(layers.EthernetTypePPPoESession, raw(46)), 0, 1},
		{frame(46, raw(46)), 0, 1}, // a length: IEEE 802.3
		{frame(0x88b5, raw(46)), 0, 1},
	}
}
