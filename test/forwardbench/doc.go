// Forwardbench measures how many packets a second one core forwards, weft's and its peers', over the same wires and the
// same tables, in one run; and what the daemon costs besides.
//
// Usage, as root:
//
//	go run ./test/forwardbench [-format table|json] [-rounds n] [-only regexp] [-cpu n]
//
// The way of a packet, from one network namespace to the next, each in the softirq of the one before it:
//
//	generator --veth--> router --veth--> sink
//
// Generator, router and sink share one core, so a figure is the whole way's: packets made, taken through two veths,
// forwarded, and counted. The rate is the sink's, from the first packet to the last.
//
// A forwarding row is forward/family/table/size/engine. Tables: one has one route of each family; full has the Internet's
// 901,899 IPv4 and 160,147 IPv6 prefixes over 16 next hops, and packets go to 2^20 destinations, any prefix equally
// likely; full_zipf is the same with 65,536 destinations, some much more often (package fulltable: pfx, zipf). Sizes are
// of frames without their checksum. Engines:
//
//	linux       the kernel, no XDP program in the router
//	fib_lookup  XDP with bpf_fib_lookup(), as xdp-forward
//	lpm_trie    XDP with BPF_MAP_TYPE_LPM_TRIE
//	ceiling     XDP that rewrites and redirects without a lookup: no engine can be faster
//	weft_xdp    weft's, its FIB following the kernel's table as it does in 'weft run'
//
// Engines take turns in each round. A figure is the median of the rounds, and a ratio the median of the rounds' ratios.
// Each engine must have forwarded what it was given: what an XDP program leaves to Linux ends the bench.
//
// In rows soft/family/table/size/engine, router and sink have the CPU of -cpu to themselves, as a loop in user space has,
// and packets are made on another. There the kernel takes them in, too, for engines that can leave that to another CPU:
//
//	linux              forwards on the CPU that RPS gives packets to
//	weft_xdp           cannot: veth's receiving has a thread (threaded NAPI), on the router's CPU, which forwards
//	weft_soft          weft's userspace engine, one loop, by AF_XDP in copy mode
//	testpmd_af_xdp     DPDK's testpmd, which looks nothing up: MACs are changed and that is all
//	testpmd_af_packet  the same by AF_PACKET
//
// More packets are made than forwarded, and the rate is the sink's. Rows latency/family/table/size/engine are of the same
// network: the time in which 99.9 % of packets come from generator to sink, at half of the rate that weft_soft forwards.
//
// Rows mem/family/table/size/engine are the time of a
// packet's way from ring to ring in memory, of package soft's BenchmarkMem: weft_soft is the loop, no_lookup the same
// without lookup and rewrite. mem/floor is one load that waits for the one before, in 16 MiB.
//
// The other rows are of a 'weft run' in the router's namespace, with the full table: sync/full/weft from its start until
// it forwards (sync/full/kernel_dump: a dump of the kernel's routes alone), memory/full/daemon its resident memory at
// most, idle/cpu what it takes of one CPU in 10 s in which nothing changes, idle/cpu_soft the same with --engine soft.
//
// Network and engines are those of package peer. Figures reach stdout, progress stderr. Namespaces are named weft-bench-PID-*, and removed.
package main
