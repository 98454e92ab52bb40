package filter

import "golang.org/x/sys/unix"

var etherTypes = map[string]uint32{"ip": unix.ETH_P_IP, "ip6": unix.ETH_P_IPV6, "arp": unix.ETH_P_ARP, "rarp": typeRev}

// protocol is one of IP, of IPv4, or of IPv6 only.
type protocol struct {
	number uint32
	family int // 4, 6; 0: both
}

var protocols = map[string]protocol{
	"tcp": {6, 0}, "udp": {17, 0}, "sctp": {132, 0}, "icmp": {1, 4}, "icmp6": {58, 6}, "igmp": {2, 4}, "igrp": {9, 4}, "pim": {103, 0},
	"vrrp": {112, 4}, "carp": {112, 4}, "ah": {51, 0}, "esp": {50, 0},
}

var withPorts = []uint32{6, 17, 132}

// constants are names in arithmetic.
var constants = map[string]uint32{
	"icmptype": 0, "icmpcode": 1, "icmp6type": 0, "icmp6code": 1, "tcpflags": 13,

	"tcp-fin": 1, "tcp-syn": 2, "tcp-rst": 4, "tcp-push": 8, "tcp-ack": 16, "tcp-urg": 32, "tcp-ece": 64, "tcp-cwr": 128,

	"icmp-echoreply": 0, "icmp-unreach": 3, "icmp-sourcequench": 4, "icmp-redirect": 5, "icmp-echo": 8, "icmp-routeradvert": 9,
	"icmp-routersolicit": 10, "icmp-timxceed": 11, "icmp-paramprob": 12, "icmp-tstamp": 13, "icmp-tstampreply": 14, "icmp-ireq": 15,
	"icmp-ireqreply": 16, "icmp-maskreq": 17, "icmp-maskreply": 18,

	"icmp6-destinationunreach": 1, "icmp6-packettoobig": 2, "icmp6-timeexceeded": 3, "icmp6-parameterproblem": 4, "icmp6-echo": 128,
	"icmp6-echoreply": 129, "icmp6-multicastlistenerquery": 130, "icmp6-multicastlistenerreportv1": 131,
	"icmp6-multicastlistenerdone": 132, "icmp6-routersolicit": 133, "icmp6-routeradvert": 134, "icmp6-neighborsolicit": 135,
	"icmp6-neighboradvert": 136, "icmp6-redirect": 137,
}

// notHere are words of pcap-filter that are not known here, and what to do instead.
var notHere = map[string]string{
	"protochain": "want 'proto', which looks at one header", "gateway": "want 'ether host MAC and not host ADDRESS'",
	"inbound": "frames are those that have come in", "outbound": "frames are those that have come in", "ifname": "name the port with --dev",
	"on": "name the port with --dev", "mpls": "want 'ether proto 0x8847'", "pppoes": "want 'ether proto 0x8864'", "pppoed": "want 'ether proto 0x8863'",
	"geneve": "want 'udp port 6081'", "vxlan": "want 'udp port 4789'", "lat": "want 'ether proto 0x6004'", "aarp": "want 'ether proto 0x80f3'",
	"atalk": "want 'ether proto 0x809b'", "reason": "name the reason with --reason", "rnr": "", "llc": "", "iso": "", "stp": "", "ipx": "", "netbeui": "",
}
