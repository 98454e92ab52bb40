// Package xdp is the engine that forwards in XDP and tc: it loads BPF programs on a
// FIB image, attaches them to ports, and reads their counters.
//
// One packet: the program finds the port that the packet came in by in
// State.Ports, forwards by the image and sends through State.TxPorts, or hands
// the packet to the kernel; bpf/include/weft/router.h tells the way. One port:
// SetPort makes its entry, then attaches the program, then fills its slot in the
// device map.
//
// What forwards is pinned in a directory of a bpffs, one for each network
// namespace, and goes on when this process ends:
//
//	link_N                             attachment of port N
//	tracepoint_NAME                    attachment of a program that counts lost frames
//	current                            leads to the directory of the maps that are forwarded by
//	format_F                           directory of maps, of format F:
//	    about                              what other formats may know of it
//	    image, ports, counters, trace,
//	    tx_ports, transmits, vlans
//	    image_next                         only while the image is replaced
//	current_next, tracepoint_NAME_next only while what they are named after is replaced
//
// The directory appears by one rename when it is complete. Open adopts it:
// programs of this binary take over from those that run, without a gap.
//
// # Formats
//
// What is pinned has a format, by number: Format is the one of this code. All of
// them, for ever, have links under these names, because the program of a link can be
// replaced whatever maps it works on, and the kernel tells the link's interface.
// They also have current, and in about how counters are to be read. All else is one
// format's own. (Format 1 had the maps in the directory itself, without a number,
// and can be taken over; code of format 1 cannot take over what is newer.)
//
// An engine takes the place of one of another format, older or newer, or whose maps
// cannot be used, in these steps. All the time packets are forwarded by one of them:
//
//  1. Beside makes new maps in a directory of their own. The old program goes on.
//  2. The caller fills the image, and sets the ports under their old numbers.
//  3. TakeOver points current to the new maps, by one rename.
//  4. Each link gets the new program, by one update. Links that were made for
//     another attach type are made anew: Linux forwards in the moment between.
//  5. Nothing counts in the old maps any more: their sums are added to the new ones.
//  6. The old maps are removed.
//
// A process may end at any point. Before step 3 current leads to the old maps: the
// next one of their format adopts them, one of another begins anew, and both remove
// what was begun. After it, Open goes on with step 4, and one of another format takes
// over from both. What a port has counted is the sum over all directories of maps
// that are there and not newer than current, until step 6; step 5 can be done twice.
// So counters never go back, whatever the formats, except for those reasons that an
// older program does not know.
//
// # Ports of a loop
//
// A port may be the soft engine's (dataplane.Port.Engine): then its program is the one that hands
// packets to sockets (Steer), and all else is as with other ports. Open gives all ports
// this engine's program: they are the loop's again when it has set them.
//
// # Packets that somebody looks at
//
// While there are traces (StartTrace, package trace) the programs are others, that write down what becomes of
// packets. They come and go as those for other features do. A process that adopts ports has no
// traces: the usual programs take the place of what it finds.
//
// # What a port does not take
//
// A frame that is redirected is sent when the program has ended and counted it.
// A port that does not take it loses it: a veth whose peer has neither NAPI nor
// an XDP program takes none. Programs at two tracepoints count such frames for
// each port (EgressLost). Check closes the slot of a port that has refused
// frames: then packets that would leave by it punt for erif_disabled, and Linux
// forwards them. A veth is tried with one frame before its slot is opened, and a
// closed port from time to time. Other ports are tried with a frame that is too
// long to leave, which shows whether the kernel would ask their driver at all.
// Frames that did not find room in a port's queue, or are too long for it, count
// as lost and do not close it.
//
// The tracepoints see each bulk of frames (up to 16) that any device map of the
// machine sends; the program ends at once when nothing was lost.
//
// # Unaccounted packets
//
// The counters are the programs': a packet that does not come to a program is in none
// of them. So Check compares them every other second with what Linux says has come in
// by each port: rx_packets of the interface, less rx_dropped, which its driver could
// not show to any program. Neither is read at the same moment as the other, so what is
// told is a lower bound: exact when no packet comes in for two seconds, else less by
// what comes in in four. It is 0 unless packets got away: another program took the
// place of weft's or comes before it, or somebody wrote to the counters. Drivers
// that do not count what XDP takes make it less, never more.
//
// It is of this process's time: what got away while no process had the port is not
// told, and a process that adopts ports begins with 0, as a port does that is attached.
// Frames of VLANs belong to the port at their root. In mode tc GRO merges packets
// before they are counted: a port whose GRO is on is not compared, and says so. Frames
// that left weft and that a port did not take are EgressLost, not this.
//
// # Modes
//
// A port is attached in the first of three modes that works, or in the one that is
// wanted: native, in its driver; tc, by the same router as a program of tc (from
// Linux 6.6, by tcx); generic, by the kernel's emulation of XDP, on older kernels.
// Mode tc works on skbs: checksums and segments that are left to hardware stay so,
// and what it sends goes through the egress port's queueing discipline, which every
// port takes: EgressLost and a closed slot are not for it. What such a port then
// drops is in the kernel's statistics of the interface. A port has one program, so
// each packet is counted once: what a native port punts because a slot is closed is
// Linux's to forward, not tc's.
//
// # Checksums left to hardware
//
// A host on a veth leaves TCP, UDP and SCTP checksums to hardware (ethtool -k IF:
// tx-checksumming), with a note in the skb that XDP does not see: what is redirected
// arrives without a checksum. So the program compares the checksum with the sum of
// the pseudo-header (SCTP: with 0), which stands in its place then, and hands such
// packets to Linux (checksum_partial), which keeps the note. It costs 32
// instructions a packet (IPv6: 54), and is there only for veths whose peer leaves
// checksums: SetPort asks the peer before the program is attached, Check again
// and again, so often that it takes a two-thousandth of the time; a peer that is not found counts as one that does. Until Check sees
// that a host has begun to leave checksums, or while no process calls it, packets
// may be lost. Checksums inside of tunnels that a host makes are not looked at: tx
// off, or mode tc, is right for those, too.
//
// # VLANs
//
// A VLAN is a port without a program: its frames come in by the port at its root
// with one tag, or two. The program takes tags that lead to a port off, handles
// the plain frame as that port's, and gives a frame that is punted its tags back,
// so that Linux sees what came in. While no VLAN is a port, the program that runs
// has nothing of this. A tag with identifier 0 has a priority only: the port
// stays. Two VLANs of one port have different identifiers, also when one is
// 802.1Q and the other 802.1ad.
//
// A driver that takes tags off frames (ethtool -k IF: rx-vlan-offload) takes them
// from XDP too: frames then look as if they came in by the port itself. Of a veth
// it is the other end that leaves them out (tx-vlan-offload). Ports with VLANs
// need that off: ethtool -K IF rxvlan off, and for veth ethtool -K PEER txvlan off.
// Ports in mode tc do not: there the tag stands beside the frame.
//
// An engine works in the network namespace of the thread that calls it: lock
// the goroutine to one when there are several.
//
// The package does not decide what is a port or where packets go.
package xdp
