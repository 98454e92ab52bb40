// Package afpacket receives and sends packets by AF_PACKET, for ports that AF_XDP is
// missing on: kernels without it, and interfaces that have an XDP program of somebody
// else's. Each packet is copied, in and out.
//
// # Receive
//
// The kernel writes packets into a ring of blocks (TPACKET_V3), and hands a block over
// when it is full, or after RetireTimeout: so a packet waits up to that long when there
// are few. Receive copies into frames of the Pool, and leaves the rest in the ring when
// there are none: only a full ring loses packets (LostNoFrame, of PACKET_STATISTICS).
// A port with several queues has several sockets, which the kernel shares packets out
// to (PACKET_FANOUT): by the queue they came in by, or by their flow.
//
// What a driver took off a frame or left to hardware is put right on the way: VLAN tags
// stand in it again, and checksums are filled in. Frames that are longer than a frame
// of memory has room for (and those which the kernel has merged, GRO) are left out:
// they are not lost, the kernel has them.
//
// # The kernel beside
//
// AF_PACKET is a tap: the kernel has each packet, too, and would forward it a second
// time. A program of tc behind the tap takes from it what the loop gets: package bpf,
// LoadTap. The program ends with its process, so that the kernel forwards when no loop
// does. Both decide by the same FIB, but not at the same moment: of packets that wait in
// the ring while their route is changed to or from a local one, one may be lost or
// doubled. AF_XDP has none of this: there a packet is in one place.
//
// The tap has all packets, also those that the program leaves to the kernel: the loop has to drop
// these. Package soft does.
//
// # Transmit
//
// Flush sends all that was handed over with one system call (sendmmsg), without the
// interface's queueing discipline (PACKET_QDISC_BYPASS). The kernel copies: frames are
// free at once.
package afpacket
