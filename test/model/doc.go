// Package model is a router that is slow and obvious: what weft and Linux must do
// with a packet, written from the RFCs, each rule beside its section. Everything
// else is compared with it.
//
// A State is what a router knows: ports, addresses, routes, neighbors. Forward
// takes a frame that came in by a port and says what becomes of it in weft (its
// reason, and when it is forwarded the port it leaves by and its bytes) and what
// Linux does with the same frame: sends it on, answers with an ICMP error, takes it
// itself, or drops it. What weft punts, Linux finishes. Where weft forwards or drops
// and Linux would do otherwise, that is one of Differences, with its reason.
//
// The model searches all routes for each packet and computes every checksum in
// full. It shares no code with an engine but the names of reasons and the flow
// hash, whose twins package fib compares.
//
// # One packet
//
//	ethernet.go: Forward -> weft -> ipv4.go or ipv6.go: checks -> ethernet.go: route -> route.go: lookup
//	    -> flow.go: choose -> ethernet.go: leave
//	linux.go: linux -> linux4.go, options.go or linux6.go -> fragments, or an ICMP error
//
// # The Linux that is meant
//
// Linux 6.18, with the State's addresses and no others (addr_gen_mode 1), no filters,
// no policy rules, and these settings:
//
//	net.ipv4.ip_forward 1, net.ipv6.conf.all.forwarding 1
//	net.ipv4.conf.{all,default}: rp_filter 0, send_redirects 0, accept_source_route 0, log_martians 0
//	net.ipv4.conf.PORT.forwarding 0 and net.ipv6.conf.PORT.forwarding 0 where the Port has no IPv4, IPv6
//	net.ipv4.icmp_ratelimit 0, icmp_msgs_per_sec and icmp_msgs_burst 1000000 (more overflows), net.ipv6.icmp.ratelimit 0
//	net.ipv4.route.error_cost 0: it is one for all namespaces, and else limits errors about routes to
//	    five in a row for each sender
//	net.ipv4.icmp_errors_use_inbound_ifaddr 0, ip_forward_use_pmtu 0
//	net.ipv6.route.mtu_expires 0: else Linux believes errors that it sends to its own address, which is
//	    what a packet from there makes it do, and forwards by that MTU from then on
//	net.{ipv4,ipv6}.neigh.PORT.retrans_time_ms long: no host unreachable while one waits
//	net.{ipv4,ipv6}.neigh.PORT.unres_qlen_bytes 0: errors that wait for a neighbor use up what
//	    memory there is for errors
//
// IPv4 addresses have no broadcast address of their own (`ip address add` without
// brd), IPv6 addresses are added with nodad, routes with onlink. A Port that is Down, or has too small an MTU for
// IPv6, had not when its routes were added.
//
// # What it does not say
//
//   - what is delivered: whether it is answered is no matter of forwarding;
//   - what it calls Undefined: packets to and from link-local addresses where Linux
//     answers by scope, options that nobody has any more (CIPSO, CALIPSO, an error in
//     options behind a source route), errors to a broadcast address;
//   - IPv6 redirects (RFC 4861 8.2): Linux sends them from a link-local address, and
//     the State's routers have none;
//   - ports of VLANs, and routes whose MTU is above their ports'.
package model
