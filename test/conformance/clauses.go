package conformance

// Clauses returns the statements, by number. The list's numbers are kept when a
// statement goes, so that tests and reports of other days mean the same.
func Clauses() []Clause {
	var all []Clause
	for _, part := range [][]Clause{clausesIPv4, clausesErrors4, clausesMTU, clausesIPv6, clausesDiscovery, clausesPrefixes, clausesPaths, clausesTunnels, clausesRest} {
		all = append(all, part...)
	}
	return all
}

// Words that several clauses share.
const (
	noRPF    = "weft has no reverse path filter yet"
	noMPLS   = "weft has no MPLS yet: its frames are Linux's (reason non_ip)"
	noSRv6   = "weft has no segment routing yet: packets with a routing header go on by their destination, those to the router are Linux's"
	noVXLAN  = "weft has no VXLAN yet: an interface of Linux's is no port, packets by it are Linux's"
	noGRE    = "weft has no GRE yet: an interface of Linux's is no port, packets by it are Linux's"
	noIPIP   = "weft has no IP-in-IP yet: an interface of Linux's is no port, packets by it are Linux's"
	noTunnel = "weft has no tunnels yet"
	noCoPP   = "weft does not limit what it punts yet"
)

var clausesIPv4 = []Clause{
	{Number: 1, RFC: "RFC 1812 5.2.2", Title: "A packet whose length, checksum, version or header length is wrong is dropped silently, and counted by cause",
		cases: []string{"ipv4/frame of *", "ipv4/version *", "ipv4/IHL *", "ipv4/total length *", "ipv4/checksum wrong *", "ipv4/checksum 0", "ipv4/checksum 0xffff", "ipv4/checksum of *", "ipv4/options, checksum wrong"}},
	{Number: 2, RFC: "RFC 894, RFC 1812 5.2.2", Title: "Padding of the link is ignored, and not forwarded",
		cases: []string{"ipv4/padding *", "ipv6/padding *", "ipv4/header only", "ipv6/header only"}},
	{Number: 3, RFC: "RFC 1812 5.3.1", Title: "Forwarding takes exactly 1 off the TTL; a packet to the router is taken with any",
		cases: []string{"ipv4/plain", "ipv4/ttl [2-9]*", "ipv4/ttl 128", "ipv4/to the router, ttl 1"}},
	{Number: 4, RFC: "RFC 1812 5.3.1", Title: "A packet whose TTL ends is dropped, and answered by ICMP 11/0 unless it is multicast",
		cases: []string{"ipv4/ttl 1", "ipv4/ttl 0", "ipv4/options, ttl 1", "ipv4/multicast"}},
	{Number: 5, RFC: "RFC 1812 5.3.4", Title: "A unicast packet in a frame for many is not forwarded",
		cases: []string{"ipv4/unicast to *", "ipv6/unicast to *"}},
	{Number: 6, RFC: "RFC 1812 5.3.5.1", Title: "255.255.255.255 is never forwarded",
		cases: []string{"ipv4/destination 255.255.255.255", "ipv4/limited broadcast", "ipv4/DHCP discover"}},
	{Number: 7, RFC: "RFC 1812 5.3.5.2, RFC 2644", Title: "A directed broadcast is not forwarded, unless a switch says so",
		cases: []string{"ipv4/destination 192.0.2.255", "ipv4/destination 198.51.100.255", "ipv4/directed broadcast *"}, check: directedBroadcast, alone: true},
	{Number: 8, RFC: "RFC 1812 5.3.7", Title: "Martian sources are dropped",
		cases: []string{"ipv4/source 0.*", "ipv4/source 127.*", "ipv4/source 224.*", "ipv4/source 239.*", "ipv4/source 255.255.255.255", "ipv4/source 126.*", "ipv4/source 1.0.0.0"}},
	{Number: 9, RFC: "RFC 1812 5.3.8", Title: "Strict and loose reverse path filters can be chosen for each interface", Why: noRPF},
}

var clausesErrors4 = []Clause{
	{Number: 10, RFC: "RFC 1812 4.3.2.3", Title: "An ICMP error quotes as much as fits into 576 bytes",
		cases: []string{"ipv4/longer than the MTU, don't fragment", "ipv4/jumbo to a lesser MTU", "ipv4/ttl 1"}},
	{Number: 11, RFC: "RFC 1812 4.3.2.4", Title: "An ICMP error comes from an address of the interface that it leaves by",
		cases: []string{"ipv4/ttl 1", "ipv4/no route"}, check: errorLeavesElsewhere4},
	{Number: 12, RFC: "RFC 1812 4.3.2.5", Title: "ICMP errors have precedence 6",
		cases: []string{"ipv4/ttl 1", "ipv4/no route", "ipv4/prohibit", "ipv4/longer than the MTU, don't fragment", "ipv4/option: length 0"}},
	{Number: 13, RFC: "RFC 1812 4.3.2.7", Title: "No ICMP error about an ICMP error, a fragment that is not the first, a broadcast, a multicast, or a martian source",
		cases: []string{"ipv4/ttl 1, *", "ipv4/to the router at the broadcast MAC", "ipv4/multicast", "ipv4/destination 255.255.255.255", "ipv4/source 0.0.0.0", "ipv4/source 127.0.0.1"}},
	{Number: 14, RFC: "RFC 1812 4.3.2.8", Title: "The rate of ICMP errors is limited, as configured, or not",
		check: errorsLimited4, alone: true},
	{Number: 15, RFC: "RFC 1812 5.2.7.1, 4.3.3.1", Title: "No route is answered by ICMP 3/0, a neighbor that does not answer by 3/1, a prohibited one by 3/13, an unreachable one by 3/1, a blackhole by nothing",
		cases: []string{"ipv4/no route*", "ipv4/neighbor that does not answer", "ipv4/gateway that does not answer", "ipv4/prohibit", "ipv4/unreachable", "ipv4/blackhole", "ipv4/throw"}},
	{Number: 16, RFC: "RFC 1812 5.2.4.3", Title: "The longest prefix wins, whatever the metric, from /32 to the default route",
		cases: []string{"ipv4/prefix edge *"}, check: longestWins, alone: true},
	{Number: 17, RFC: "RFC 1812 5.3.13, RFC 7126", Title: "Unknown options are forwarded unchanged; source routes are dropped",
		cases: []string{"ipv4/option: not known*", "ipv4/option: no operation", "ipv4/option: end of list", "ipv4/option: loose *", "ipv4/option: strict *"}},
	{Number: 18, RFC: "RFC 791 3.1, RFC 2113", Title: "A header is as long as it says; a router alert goes to the slow path",
		cases: []string{"ipv4/options: 40 bytes", "ipv4/option: router alert", "ipv4/option: record route*"}, Why: noCoPP},
	{Number: 19, RFC: "RFC 791 3.2", Title: "A packet longer than the MTU is sent in fragments: units of 8 bytes, its ID, flags and offsets, options as their copied flag says, checksums",
		cases: []string{"ipv4/longer than the MTU", "ipv4/longer than the MTU, with options"}},
	{Number: 20, RFC: "RFC 791 3.2, RFC 6864 4", Title: "Fragments are sent in fragments again, unless they say not to",
		cases: []string{"ipv4/fragment longer than the MTU*", "ipv4/don't fragment, more fragments"}},
	{Number: 21, RFC: "RFC 2474 3, RFC 3168 5", Title: "DSCP and ECN are not changed",
		cases: []string{"ipv4/tos: *", "ipv6/traffic class: *"}},
	{Number: 22, RFC: "RFC 1812 3.3.2", Title: "An ARP reply with a broadcast or multicast MAC is not believed",
		Why: "ARP is Linux's, which believes such replies (some load balancers need it); weft follows its neighbors"},
	{Number: 23, RFC: "RFC 826, RFC 5227 2.4", Title: "A conflict about an own address is logged",
		Why: "ARP is Linux's, which does not log conflicts; an address is defended by answering probes for it (case eth/ARP probe of the router's address)"},
	{Number: 24, RFC: "RFC 1812 10.2.2", Title: "weft forwards nothing before it knows all of the configuration",
		check: nothingBefore},
}

var clausesMTU = []Clause{
	{Number: 25, RFC: "RFC 1191 4", Title: "Too long and not to be fragmented: ICMP 3/4 with the next hop's MTU",
		cases: []string{"ipv4/longer than the MTU, don't fragment", "ipv4/longer than the route's MTU", "ipv4/jumbo to a lesser MTU", "ipv4/as long as *"}},
	{Number: 26, RFC: "RFC 8200 5, RFC 4443 3.2", Title: "Too long: ICMPv6 2/0 with the next hop's MTU, no fragments",
		cases: []string{"ipv6/longer than *", "ipv6/jumbo to a lesser MTU", "ipv6/as long as *"}},
	{Number: 27, RFC: "RFC 1191 3, RFC 8200 5", Title: "The MTU that errors tell is at least 68 in IPv4, 1280 in IPv6",
		cases: []string{"ipv6/longer than the least MTU"}, check: leastMTU, alone: true,
		Why: "a route's own MTU below 1280, where somebody has configured one, Linux tells as it is"},
	{Number: 28, RFC: "RFC 2003 5.1, RFC 2473 7.1", Title: "A tunnel's MTU is what its header leaves", Why: noTunnel},
	{Number: 29, RFC: "RFC 1624 3", Title: "A checksum changed is the checksum computed anew, at its corners too",
		cases: []string{"ipv4/checksum 0x0000", "ipv4/checksum 0x0001", "ipv4/checksum 0xfe*", "ipv4/checksum 0xff00", "ipv4/checksum 0xfffe"}, check: incremental},
	{Number: 30, RFC: "RFC 1624 2, RFC 1812 5.2.2", Title: "A wrong checksum is not mended",
		cases: []string{"ipv4/checksum wrong *", "ipv4/checksum 0", "ipv4/checksum 0xffff", "ipv4/checksum of *"}},
}

var clausesIPv6 = []Clause{
	{Number: 31, RFC: "RFC 8200 3, RFC 4443 3.3", Title: "A hop limit of 1 or 0 ends: ICMPv6 3/0",
		cases: []string{"ipv6/hop limit 0", "ipv6/hop limit 1", "ipv6/hop limit 2", "ipv6/hop limit 255"}},
	{Number: 32, RFC: "RFC 8200 4", Title: "Nothing behind the fixed header is looked at to forward a packet, but for hop-by-hop options",
		cases: []string{"ipv6/next header *", "ipv6/destination options", "ipv6/fragment*", "ipv6/routing header type [04]", "ipv6/chain *", "ipv6/extension header cut off"}},
	{Number: 33, RFC: "RFC 9673 5", Title: "A hop-by-hop header does not take a packet off the fast path",
		Why: "weft leaves packets with hop-by-hop options to Linux (reason ipv6_hop_by_hop): they are forwarded and their options obeyed (cases ipv6/hop-by-hop *), but not at the rate of XDP"},
	{Number: 34, RFC: "RFC 4291 2.5.2, 2.5.3, 2.7", Title: "Sources ::, ::1 and multicast, and destinations :: and ::1, are never forwarded",
		cases: []string{"ipv6/source ::", "ipv6/source ::1", "ipv6/source ff*", "ipv6/destination ::", "ipv6/destination ::1"}},
	{Number: 35, RFC: "RFC 4291 2.5.6, RFC 4443 3.1", Title: "Link-local addresses do not leave their link; such a source is answered by ICMPv6 1/2",
		cases: []string{"ipv6/source fe80::9", "ipv6/destination fe80::9"}},
	{Number: 36, RFC: "RFC 4443 3.1", Title: "No route is answered by ICMPv6 1/0, a neighbor that does not answer by 1/3, a prohibited one by 1/1",
		cases: []string{"ipv6/no route*", "ipv6/neighbor that does not answer", "ipv6/gateway that does not answer", "ipv6/prohibit", "ipv6/unreachable", "ipv6/blackhole"},
		Why:   "an unreachable route is answered by Linux with 1/0, not with 1/6, which RFC 4443 has as a more exact form of 1/1"},
	{Number: 37, RFC: "RFC 4443 2.4 (c)", Title: "An ICMPv6 error quotes as much as fits into 1280 bytes",
		cases: []string{"ipv6/longer than the MTU", "ipv6/jumbo to a lesser MTU", "ipv6/no route"}},
	{Number: 38, RFC: "RFC 4443 2.4 (e)", Title: "No ICMPv6 error about an ICMPv6 error, a multicast, a frame for many, or a source that is not one host's",
		cases: []string{"ipv6/hop limit 1, an ICMPv6 error", "ipv6/destination ff*", "ipv6/unicast to *", "ipv6/source ::", "ipv6/source ff*"},
		Why:   "about a redirect in transit Linux sends one all the same; a redirect is never valid there"},
	{Number: 39, RFC: "RFC 4443 2.4 (f)", Title: "The rate of ICMPv6 errors is limited, as configured, or not",
		check: errorsLimited6, alone: true},
	{Number: 40, RFC: "RFC 4443 2.2", Title: "An ICMPv6 error comes from the address that the packet went to, or else from one of the router's",
		cases: []string{"ipv6/to the router's address at *", "ipv6/hop limit 1"}, check: errorLeavesElsewhere6},
	{Number: 41, RFC: "RFC 5095 3", Title: "A routing header of type 0 to the router is not obeyed: ICMPv6 4/0",
		cases: []string{"ipv6/routing header type 0*"}},
	{Number: 42, RFC: "RFC 6437 3", Title: "The flow label is not changed",
		cases: []string{"ipv6/flow label *"}},
}

var clausesDiscovery = []Clause{
	{Number: 43, RFC: "RFC 4861 7.1, RFC 6980 5", Title: "Neighbor discovery is believed only with hop limit 255, code 0, a right checksum, options of a length, and in one piece",
		cases: []string{"ipv6/solicitation*", "ipv6/redirect", "ipv6/router *", "ipv6/advertisement*"}},
	{Number: 44, RFC: "RFC 4861 7.2.2, RFC 1122 2.3.2.2", Title: "A packet waits for its neighbor, who is asked 3 times; then it is answered, or sent",
		check: neighborsAreAsked, alone: true},
	{Number: 45, RFC: "RFC 4861 7.3", Title: "A neighbor that packets go to is asked from time to time whether it is there",
		check: neighborsStayFresh, alone: true},
	{Number: 46, RFC: "RFC 4861 7.2.5", Title: "A neighbor that has another MAC, and may say so, is sent to at that",
		check: neighborMoves, alone: true},
	{Number: 47, RFC: "RFC 4861 8.2, RFC 1812 5.2.7.2", Title: "A redirect is sent where a better first hop is on the link",
		Why: "what leaves by the port that it came in by goes by XDP, and Linux, which would send redirects, does not see it"},
	{Number: 48, RFC: "RFC 4861 6.2", Title: "Router advertisements are sent as configured", Why: "that is FRR's, BIRD's or radvd's: weft sends them only to find unnumbered BGP neighbors, with lifetime 0"},
}
