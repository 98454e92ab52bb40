// Package soft is the engine that forwards in Go: a loop that takes packets in vectors
// of up to 256 through a few stages, each of which works on the whole vector.
//
// What it works on, and how packets come in and go out, is package device. What is done
// with one packet's bytes is package packet. Reasons and answers are those of the XDP
// engine: package test/agreement compares both, and what Linux does, byte for byte.
//
// # One vector
//
//	receive    from the queues in turn, until there are 256 or all are empty
//	input      Ethernet, tags, header checks. Nearly all packets are known to be right
//	           by a few comparisons (input.go); others take the steps of
//	           bpf/include/weft/router.h one by one (inputSlow, resolve.go)
//	features   input features of ports, in vectors with packets of ports that have any
//	lookup     destinations to next-hop groups: fib's batches
//	rewrite    groups to adjacencies, new header, TTL: into the array of the egress port
//	finish     packets that do not just leave (below)
//	transmit   each port's array to its queue
//	count      each packet once, for its port and reason: the one place that does
//
// Packets of one flow keep their order. IPv4 is before IPv6 in a vector, and what leaves
// is before what is punted.
//
// A Worker is one goroutine and shares nothing that it writes: its vector, its queues and
// their frames, its counters are its own. It takes no lock, does not allocate and does not
// log. What others change it has by one pointer (Set), read once a vector, and by the FIB
// image, of which it is a fib.Reader: it says once a vector that it holds nothing of it.
//
// # The engine
//
// Engine is the XDP engine (package xdp), which has programs, links and counters of all ports,
// with a loop beside it for those ports that are the loop's. A port in steps:
//
//	SetPort   the first port that is the loop's starts it: memory, a Worker on a thread
//	          sockets of AF_XDP for each queue of the port, and of all others, to send by
//	          the Worker's Config has the port, the map of sockets too
//	          the XDP engine attaches the program that steers to them, or updates its link
//	          to it: from then on packets come
//
// To the XDP engine a port goes in the reverse order: the program first, and what has come to
// the sockets by then the loop finishes. Close does that with all ports. A process that is
// killed leaves the program without sockets: Linux forwards, counted for loop_absent, until the
// next one takes over.
//
// # Several loops
//
// There is a loop for each queue that packets come in by, up to LoopOptions.Workers; then each has
// several. A queue is the loop's that has the fewest, for good: so packets of a flow, which come
// by one queue, do not overtake each other. Each loop is a thread, pinned to a CPU, and sends by all
// ports with sockets of its own: no packet goes from one loop to another. What they share is the
// Memory, by a device.Depot: frames that have been sent come back to whichever loop
// looks first.
//
// Limits are a loop's, not the router's: ICMP errors a second, packets that wait for one neighbor
// (32), and for all (a quarter of the loop's share of the Memory). Counters and stages are shown summed.
//
// # Fairness
//
// A loop asks its ports in turns, and begins with the one after that which it asked last: a packet
// waits for one vector of each other port at most. A flooded port fills its own rings, and takes no
// frames from those of others, which have theirs beforehand.
//
// # Without AF_XDP
//
// Where AF_XDP cannot be had (kernel, driver, rights, locked memory), and in mode tc, a port's packets come
// by AF_PACKET (package afpacket): one socket, one loop. The kernel has them, too, but for those
// that the program of tc behind the tap takes away. What that leaves to the kernel the loop drops, uncounted
// (tap.go); packets that only the kernel can finish after all are lost, and counted. The program ends with
// its process, so that Linux forwards without one; counters of such a port begin at 0 with the next. When
// a port changes its engine the socket is not there for packets of some ms: they are loop_overrun.
//
// # Sleep
//
// The loop's thread makes rounds while there are packets, and sleeps in poll(2) when 64 in
// a row have found none. Then it is no reader of the FIB, and writers do not wait for it. All that
// others want of it (sockets, Configs, another image) it does itself, between two rounds.
//
// The program counts what it gives to the loop as loop_overrun. Counters, and Check, bring what
// the loop has counted into the counters that are pinned, and take it off there (account). So
// no packet is counted twice or not at all, whoever dies; of a loop that is killed, what it had not
// brought there yet (of 200 ms) stays loop_overrun.
//
// Addresses and MTUs for ICMP errors it asks the kernel for, at each change of them; limits are read
// then, too. Packets that only the kernel can finish after all go up by test runs of a program
// (xdp.Injector): some 80 a second, others are dropped, for loop_punt_overrun. They are few: upward.go says which.
//
// # Another engine
//
// A port goes from one engine to the other while packets come in (SetPort). To the loop: first it
// has the sockets and knows the port, then the map leads to them, then the link has the program
// that steers, by one update. To the XDP engine: first the program, then the map; what the loop has
// by then it sends, behind what XDP forwards already: a few packets come late, none is lost.
//
// # Packets that somebody looks at
//
// While there are traces (package trace) each loop has a Tap: the filters run on each packet of a
// vector, and what the stages decide is noted in drafts, which a goroutine beside takes (traced.go). Without,
// that is one comparison a vector. What the programs leave to Linux, or drop, they tell themselves.
//
// # What is finished here
//
// What XDP leaves to the kernel is counted for the same reason, as punted, and then
// finished here (Fate):
//
//   - ICMP errors: TTL, no route, reject, too big. Source, quote and limits are Linux's
//     (answer.go, source.go; package packet). Each Worker has limits of its own.
//   - Fragments of IPv4 packets that may be divided.
//   - Packets to neighbors that are not known wait, 32 for one neighbor and a quarter of
//     the Pool for all, while the kernel resolves it (Asks, Resolver). When the FIB has
//     it they go through all stages again, uncounted. After three seconds their sources
//     are told.
//   - Checksums that hosts have left to hardware are filled in.
//
// All else goes to the kernel, with the tags that it came with: to the queue that Attach
// was given for that. So does a packet that has no answer here because only the kernel
// knows the way back.
//
// The RIB does not say yet what source address a route prescribes (src): errors have that
// of the port. Redirects (RFC 792, RFC 4861) are not sent. Packets longer than a frame
// has room for do not come here.
//
// # Speed
//
// BenchmarkMem is a packet's way from the receive ring of one port to the transmit ring
// of another, in memory, 64 bytes, vectors of 256, checksums verified and counters on,
// beside the same without lookup and rewrite, and beside a load that waits for the one
// before:
//
//	go test ./dataplane/soft -run '^$' -bench Mem -cpu 1
//
// On the development machine (2 shared cores of an AMD Zen 4, kernel 6.18), ns a packet,
// the fastest 4,096 packets of a run and the median of all; no allocations. pfx: a random prefix
// of the Internet table for each packet, and a random address in it. *: the mean, of an earlier run.
//
//	                        IPv4           IPv6
//	no lookup, no rewrite    8.7 /  8.8     7.3 /  7.7
//	one route               13.8 / 14.1    12.0 / 12.3
//	  vectors of 32 *       18.3 / 19.1    17.9 / 19.1
//	  vectors of 8 *        29.5 / 30.9    33.4 / 34.6
//	  alone *                135 /  139     175 /  180
//	full table, zipf *      22.5 / 24.8    28.6 / 33.0
//	full table, pfx         24.7 / 27.2    24.4 / 29.8
//	full table, uniform *   43.2 / 46.0
//	floor: one random load in 16 MiB    130 to 164
//
// Other guests of the machine make figures two to six times as large at times.
//
// Two things make it fast. A vector is a set of arrays, so that a stage touches few lines
// and the processor has the loads of several packets under way at once: that is why the
// loop needs no prefetch instructions, which Go has not. And what is usual is told from
// what is not by comparisons that are always guessed right, before any function is called.
//
// # On veth
//
// There the loop's own work is little beside the kernel's. Where its thread is, in per cent, with one route, 64 bytes, in copy
// mode, while packets come faster than it forwards (the rest is interrupts):
//
//	perf record -a -g -F 1500 -- go run ./test/forwardbench -only '^soft/ipv4/one/64/weft_soft' -rounds 4
//	perf report --children -C 1 --comm forwardbench   # loop.run is 100
//
//	91  sendto(2), one call a vector
//	    52  the other end of the veth receives each packet, in a softirq, before the next is sent
//	        17 of these: a copy for the XDP program of the sink (skb_pp_cow_data)
//	    19  an skb for each packet, the copy into it, the rings (__xsk_generic_xmit)
//	    14  veth_xmit
//	     5  the rest of __dev_direct_xmit
//	 5  the stages, in Go
//
// So nothing makes this much faster but another way to send than the kernel's copy mode. Linux, which
// forwards in a softirq, has the other end receive several packets at once.
package soft
