package conformance

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"weft/dataplane"
)

// Sources of what is neither family's: beyond those of the families.
const ethernetSources = 0x1000

func casesEthernet() []Case {
	return append(casesARP(), casesOther()...)
}

func casesARP() (all []Case) {
	p := portNamed(west)
	add := func(name string, to dataplane.MAC, r dataplane.Reason, a arp, sent ...Sent) {
		if a.sha == (dataplane.MAC{}) {
			a.sha = p.far()
		}
		if a.spa == "" {
			a.spa = p.host4()
		}
		if a.tpa == "" {
			a.tpa = p.addr4()
		}
		all = append(all, Case{Name: "eth/ARP " + name, Frame: ether(to, p.far(), unix.ETH_P_ARP, a.bytes()), Reason: r, Sent: sent})
	}
	reply := func(spa string) Sent {
		return comes(west, ether(p.far(), p.mac(), unix.ETH_P_ARP, arp{operation: arpReply, sha: p.mac(), spa: p.addr4(), tha: p.far(), tpa: spa}.bytes()))
	}
	// The host's own address would be a fence.
	const asker = "0.0.0.0"
	add("probe of the router's address", broadcastMAC, dataplane.ARP, arp{operation: arpRequest, spa: asker}, reply(asker))
	add("probe at the router's MAC", p.mac(), dataplane.ARP, arp{operation: arpRequest, spa: asker}, reply(asker))
	add("request of another subnet's address", broadcastMAC, dataplane.ARP, arp{operation: arpRequest, tpa: portNamed(east).host4()})
	add("request of an address that nobody has", broadcastMAC, dataplane.ARP, arp{operation: arpRequest, tpa: p.v4 + "77"})
	add("request at another MAC", otherMAC, dataplane.NotOurMAC, arp{operation: arpRequest, spa: asker})
	add("request from the router's own address", broadcastMAC, dataplane.ARP, arp{operation: arpRequest, spa: p.addr4()})
	add("request from a multicast address", broadcastMAC, dataplane.ARP, arp{operation: arpRequest, spa: "224.0.0.5"})
	add("gratuitous", broadcastMAC, dataplane.ARP, arp{operation: arpRequest, tpa: p.host4()})
	add("gratuitous of the router's address", broadcastMAC, dataplane.ARP, arp{operation: arpReply, sha: otherMAC, spa: p.addr4()})
	add("reply that nobody asked for", p.mac(), dataplane.ARP, arp{operation: arpReply, sha: otherMAC, spa: p.v4 + "78", tha: p.mac()})
	add("reply with a broadcast address", p.mac(), dataplane.ARP, arp{operation: arpReply, sha: broadcastMAC, spa: p.v4 + "79", tha: p.mac()})
	add("operation 3", broadcastMAC, dataplane.ARP, arp{operation: 3, spa: asker})
	add("operation 0", broadcastMAC, dataplane.ARP, arp{operation: 0, spa: asker})
	add("hardware of another kind", broadcastMAC, dataplane.ARP, arp{operation: arpRequest, spa: asker, hardware: 6000})
	add("hardware address of 8 bytes", broadcastMAC, dataplane.ARP, arp{operation: arpRequest, spa: asker, hlen: 8})
	add("protocol address of 16 bytes", broadcastMAC, dataplane.ARP, arp{operation: arpRequest, spa: asker, plen: 16})
	short := arp{operation: arpRequest, sha: p.far(), spa: asker, tpa: p.addr4()}.bytes()
	for _, n := range []int{0, 8, 27} {
		all = append(all, Case{Name: "eth/ARP cut off at " + string(rune('0'+n/10)) + string(rune('0'+n%10)),
			Frame: ether(broadcastMAC, p.far(), unix.ETH_P_ARP, short[:n]), Reason: dataplane.ARP})
	}
	return all
}

func casesOther() (all []Case) {
	p := portNamed(west)
	add := func(name string, r dataplane.Reason, to dataplane.MAC, etherType uint16, payload []byte, sent ...Sent) {
		all = append(all, Case{Name: "eth/" + name, Frame: ether(to, p.far(), etherType, payload), Reason: r, Sent: sent})
	}
	slow := dataplane.MAC{0x01, 0x80, 0xc2, 0, 0, 0x0e}
	add("LLDP", dataplane.NonIP, slow, 0x88cc, make([]byte, 46))
	add("802.3 length", dataplane.NonIP, dataplane.MAC{0x01, 0x80, 0xc2}, 38, make([]byte, 38))
	add("EtherType 0", dataplane.NonIP, p.mac(), 0, make([]byte, 46))
	add("EtherType 0xffff", dataplane.NonIP, p.mac(), 0xffff, make([]byte, 46))
	add("EAPOL", dataplane.NonIP, p.mac(), 0x888e, make([]byte, 46))
	add("PPPoE", dataplane.NonIP, p.mac(), 0x8863, make([]byte, 46))
	add("MPLS", dataplane.NonIP, p.mac(), 0x8847, make([]byte, 46))
	add("header only", dataplane.NonIP, p.mac(), 0x0801, nil)
	add("header only, to another MAC", dataplane.NotOurMAC, otherMAC, unix.ETH_P_IP, nil)

	ip4 := packet{src: source(ethernetSources, false), dst: eastern4}.bytes()
	ip6 := packet{src: source(ethernetSources, true), dst: eastern6}.bytes()
	tagged := func(vid uint16, etherType uint16, payload []byte) []byte {
		return append(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, vid), etherType), payload...)
	}
	for _, t := range []uint16{unix.ETH_P_8021Q, unix.ETH_P_8021AD} {
		name := map[uint16]string{unix.ETH_P_8021Q: "VLAN", unix.ETH_P_8021AD: "service VLAN"}[t]
		// Identifier 0 is a priority only: Linux takes it as if it had none.
		add(name+" 0, IPv4", dataplane.VLANUnknown, p.mac(), t, tagged(0x6000, unix.ETH_P_IP, ip4), forwarded(east, ip4))
		add(name+" 0, IPv6", dataplane.VLANUnknown, p.mac(), t, tagged(0, unix.ETH_P_IPV6, ip6), forwarded(east, ip6))
		add(name+" 1, IPv4", dataplane.VLANUnknown, p.mac(), t, tagged(1, unix.ETH_P_IP, ip4))
		add(name+" 1, IPv6", dataplane.VLANUnknown, p.mac(), t, tagged(1, unix.ETH_P_IPV6, ip6))
		add(name+" 4095", dataplane.VLANUnknown, p.mac(), t, tagged(4095, unix.ETH_P_IP, ip4))
		add(name+", cut off", dataplane.VLANUnknown, p.mac(), t, []byte{0, 7})
	}
	add("two VLANs", dataplane.VLANUnknown, p.mac(), unix.ETH_P_8021AD, tagged(7, unix.ETH_P_8021Q, tagged(8, unix.ETH_P_IP, ip4)))
	add("VLAN, to another MAC", dataplane.NotOurMAC, otherMAC, unix.ETH_P_8021Q, tagged(7, unix.ETH_P_IP, ip4))
	return all
}
