// Package traffic makes packets in the kernel and takes them in again, for benches, demos and tests. It needs nothing
// but Linux 5.18 and CAP_BPF, CAP_NET_ADMIN.
//
// A Generator runs an XDP program on live frames (BPF_PROG_TEST_RUN): it writes every header of each frame and sends
// the frame out of an interface, millions a second on one core. A Sink is an XDP program at an interface: it counts what
// a Generator made, drops it, and leaves the rest (ARP, neighbor discovery, control traffic) to the kernel.
//
// A packet is an IPv4 or IPv6 datagram to UDP port 9 with right checksums. Where the frame has room for it, the payload
// begins with a magic number, the packet's sequence number, by which a Sink tells lost packets and repeated ones, and the
// time at which it was made, if Spec.Stamp says so: a Sink on the same machine makes a Histogram of it. That room is in
// IPv4 frames of 60 bytes and in IPv6 frames of 80: 64 of RFC 2544 and 84 of RFC 8219, without the checksum.
//
// Frames of different sizes and of both families come in a pattern (Spec.Pattern). Packets go as fast as they go, or at a
// rate (Load): the program itself looks at the clock, because a call costs 25 ms besides. Frames of more than 3,000 bytes,
// and rates up to 5,000 a second, go through a packet socket.
//
// What goes into a veth arrives only if its other end has NAPI: an XDP program (a Sink is one) or GRO. See EnableGRO.
package traffic

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -type traffic_limits -type kind generate generate.c -- -O2 -g -Wall -Werror -mcpu=v3 -idirafter /usr/include/x86_64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -type count sink sink.c -- -O2 -g -Wall -Werror -mcpu=v3 -idirafter /usr/include/x86_64-linux-gnu
