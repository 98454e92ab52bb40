// Package filter compiles filters in the language of pcap-filter(7) to classic BPF, for
// Ethernet frames: no libpcap, no cgo. What a filter says of a frame is what tcpdump says
// (the tests compare).
//
// A filter in steps: words (lex.go), primitives and how they are joined (parse.go,
// primitive.go, arithmetic.go), the conditions that they stand for (condition.go, header.go), instructions
// (code.go). Filter.Match runs them in Go; package bpf makes the same instructions
// a part of a program (bpf.Capture), so that both engines agree on what matches.
//
// As with libpcap:
//
//   - and, or have the same precedence, and join from left to right; not binds closer.
//   - After vlan, all that follows looks behind the tag.
//   - A load beyond the frame's end makes the whole filter say no, in the order in which it is written: as of
//     'tcpdump -O', for libpcap's optimizer leaves out loads.
//   - Of IPv6, ports are looked for right behind the fixed header, and protocols there or
//     behind one fragment header.
//
// Not known here, and said so: names of hosts and networks (addresses only), protochain,
// gateway, ip broadcast (it needs a netmask), mpls, pppoes, geneve, wlan, LLC, names of DECnet
// and others that Ethernet has not carried for long. What pcap-filter says by inbound, outbound and
// ifname is for the caller's options.
package filter
