// Package xsk receives and sends packets by AF_XDP: sockets that share rings and memory
// with the kernel (Documentation/networking/af_xdp.rst). It does what libxdp's xsk.h
// does, by system calls alone.
//
// # One packet
//
// A program of XDP gives a packet to the Socket of the queue that it came in by (package
// bpf, LoadXSK; Register). The kernel takes a frame from the socket's fill ring, puts the
// packet into it and its descriptor into the RX ring, where Receive finds it. Transmit
// puts the descriptor into the TX ring of another socket, Flush tells the kernel, and
// when the packet has gone its frame comes back by the completion ring, to the Pool.
//
//	Pool -> fill ring -> [kernel] -> RX ring -> Receive ... Transmit -> TX ring -> [kernel] -> completion ring -> Pool
//
// # Memory
//
// Any number of sockets, of all ports and queues, are on one UMEM (XDP_SHARED_UMEM), each
// with four rings of its own. So a packet leaves from the frame that it came in: it is not
// copied on our side. In copy mode the kernel copies it twice, in and out; with zero-copy
// it does not. The kernel says which (Socket.ZeroCopy): Open asks for zero-copy, and takes
// copy mode where the driver has none, as veth. A UMEM of which some drivers have
// zero-copy and others not is registered twice, which the kernel requires and frames do
// not notice.
//
// A frame is of 2 or 4 KiB, and holds packets of 256 bytes less. There are no packets in
// several frames (XDP_USE_SG): they would cost each stage of the loop a look for the next
// descriptor, and routers' ports have MTUs of 1500 mostly; grout measured 12.7 % less with
// them. Frames of 4 KiB take MTUs up to 3826; longer packets are left to the kernel by the
// program, never lost. TX metadata (checksums by hardware, timestamps, launch times) is
// not used: a router changes checksums by what it changes in a header.
//
// A queue has one fill and one completion ring, whatever sends by it: several goroutines may,
// each by a socket of its own that has only a TX ring (Options.Beside), bound to the same
// queue by XDP_SHARED_UMEM, as libxdp does with xsk_socket__create_shared. Whoever sends takes
// back what has gone by the common completion ring, one at a time, and nobody waits for
// that: so a frame may come back to another goroutine's Pool than it came from, and these
// Pools are to be of one Depot.
//
// # Rings
//
// Of each ring we are one side and the kernel is the other. A counter is published by one
// atomic store for a batch, after its entries; and read by one atomic load, before them.
// Methods of a Socket are for one goroutine at a time, Stats and Statistics for any; sockets of
// one queue may be of several.
//
// # System calls
//
// The kernel asks for a system call by a flag in a ring (XDP_USE_NEED_WAKEUP). In copy mode
// it always does for sending: the call is what sends. One sends 32 packets, or 256 from
// Linux 6.18 on, where Open asks for it (XDP_MAX_TX_SKB_BUDGET). To receive none is made
// in copy mode; a driver with zero-copy that sleeps is woken by Receive, or by poll.
//
// With BusyPoll a call of Receive that finds nothing runs the driver's receive routine, on
// the worker's CPU, instead of an interrupt on that CPU or another (SO_PREFER_BUSY_POLL).
//
// # What is lost
//
// What the program gave to a socket is what Receive returns and what the kernel has counted
// as lost on the way (Statistics, XDP_STATISTICS): no frame in the fill ring, or no room in
// the RX ring. In copy mode sending loses what the interface does not take, which is
// counted, too. A socket that is closed leaves its queue to the kernel at once; packets in
// its RX ring are lost, and its frames go back to the Pool.
//
// # How fast
//
// On veth, in copy mode, 64 bytes, from one port to another without a look at the packets;
// worker and sink on one CPU, the generator on another, and with it, as veth does, the
// kernel's receiving (BenchmarkForward, run with chrt -f 20; Linux 6.18, AMD EPYC):
//
//	batches of          16    32          64          128         256
//	Mpps                0.84  0.87..0.97  0.99        0.94..1.01  0.97..1.03
//
// Rings of 512 or of 8192 and busy polling make no difference there: what is received comes
// from another CPU. Nor does the loop of package soft, with steering, checks and one route: 1.03
// to 1.05. For this side of the rings costs 5 ns a packet (BenchmarkRings), and the kernel
// 900 or more, nearly all of it in the system call that sends. There 57 % is the other end of
// the veth, which receives each packet in a softirq of its own before the next is sent (20 %
// of all copies it for the sink's XDP program); 14 % is veth's transmit routine, 19 % makes
// the skb and hands it to the device, 10 % copies the packet and serves the rings.
package xsk
