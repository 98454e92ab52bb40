// Package agreement gives the same packets to every forwarder there is, in the same
// state, and finds out whether they do the same with them, byte for byte.
//
// # One round
//
//	seed -> State -> every forwarder takes it over
//	     -> Generator: packets, a batch at a time -> every forwarder -> compare
//
// Forwarders are one table (Forwarder):
//
//	model    package model: what a packet is to become, by the RFCs
//	linux    the kernel's own forwarding, between veths
//	xdp      the engine in its variants: native XDP and tc, an image of one piece
//	         and in chunks, with ports whose hosts leave checksums to hardware
//	soft     package soft's loop, on the FIB and with the ports of each such engine
//
// Those of the kernel are given a State by iproute2 (ip -batch), and an engine has it
// from there as in the daemon: by control.Follower and ports.Set. A router keeps its
// interfaces from state to state, so what the last one left must not show in the next.
//
// # What is compared
//
//   - model and engine: the reason, with it the verdict, the port and the bytes. What
//     is punted leaves as it came in.
//   - model and Linux: what it does, and the bytes of all that it sends.
//   - engine and Linux: what weft forwards Linux forwards, with the same bytes, except
//     where model.Differences says why not.
//   - loop and model's Linux: what the loop sends of packets that weft punts otherwise,
//     ICMP errors and fragments, byte for byte.
//
// Where flows are spread over next hops Linux may choose another one than weft: that
// is not a difference, bytes for a member that the group does not have are. The
// identification of ICMP errors, which Linux draws at random, is not compared.
//
// # What differs
//
// A Divergence is shrunk, packet and state, while those who differ still do, and saved:
// a capture of the packet, and a Go test that fails until they agree.
package agreement
