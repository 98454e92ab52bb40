// Package xdp is the engine that forwards in XDP: it loads the BPF program on a
// FIB image, attaches it to ports, and reads its counters.
//
// One packet: the program finds the port that the packet came in by in
// State.Ports, forwards by the image and sends through State.TxPorts, or hands
// the packet to the kernel; bpf/weft.c tells the way. One port: SetPort makes
// its slot in the device map, then its entry, then attaches the program, natively
// where the driver can and generically where not.
//
// What forwards is pinned in a directory of a bpffs, one for each network
// namespace, and goes on when this process ends:
//
//	image, ports, counters, trace, tx_ports   maps
//	link_N                                    attachment of port N
//	image_next                                only while an image is replaced
//
// The directory appears by one rename when it is complete. Open adopts it:
// programs of this binary take over from those that run, without a gap.
//
// An engine works in the network namespace of the thread that calls it: lock
// the goroutine to one when there are several.
//
// The package does not decide what is a port or where packets go.
package xdp
