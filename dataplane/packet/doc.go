// Package packet is what forwarding does with the bytes of one packet: checks,
// changes, and the packets that a router makes itself. It knows no ports, no routes and
// no clock but the one it is given.
//
//	ethernet.go   Ethernet, VLAN tags
//	ipv4.go ipv6.go   headers: checks (RFC 1812 5.2.2, RFC 8200), TTL and hop limit
//	checksum.go   the Internet checksum (RFC 1071), changed as the packet is (RFC 1624)
//	flow.go       the hash of a packet's flow: the one that BPF has
//	offload.go    checksums that hosts have left to hardware
//	fragment.go   fragments (RFC 791)
//	icmp4.go icmp6.go   errors, as Linux makes them
//	limit.go      how many of them, as Linux limits it
//
// A frame is a slice from the Ethernet header on. Its checks answer with the reasons of
// package dataplane, and are those of bpf/include/weft, in the same order: the same
// frame ends for the same reason in every engine.
//
// Nothing here allocates, and nothing reads or writes outside of the slices given to it,
// whatever they hold. Functions of a header want one that is there: 20 bytes of IPv4, 40
// of IPv6.
package packet
