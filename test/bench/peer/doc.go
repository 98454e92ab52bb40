// Package peer is what package bench measures: systems that forward, side by side, in one network.
//
// # The network
//
// The way of a packet, from one network namespace to the next, over veth pairs:
//
//	generator --> router --> sink
//
// The router has a Table of routes over 16 next hops, all of which are the sink. Names of namespaces begin with
// weft-bench-PID; Close removes them, and all that is in them.
//
// With one CPU (Options.RouterCPU is not set) each step of the way is taken in the softirq of the one before: a rate is that
// of the whole way, nothing is ever lost, and who compares two systems compares what a packet costs. With another CPU for
// the router, the kernel polls the router's port in a thread there (of Linux, it forwards there by RPS; systems with threads of their own have
// them there): packets that the router does not take in time are
// lost in the port's ring of 256, as with hardware. Only so are loss and latency under load its own.
//
// # Systems
//
// A System is one way to forward. It is attached to the router's ports for a measurement, and detached after it: they
// take turns in one network; testpmd has one of its own kind, in which the kernel forwards nothing (Network.Of). What it leaves to another (an XDP program to Linux) ends the measurement: the figure would not
// be its own. A new one is an entry of Systems and a type with four methods (engine).
//
//	linux       the kernel, no XDP program in the router
//	fib_lookup  XDP with bpf_fib_lookup(), as xdp-forward
//	lpm_trie    XDP with BPF_MAP_TYPE_LPM_TRIE
//	ceiling     XDP that rewrites and redirects without a lookup: no XDP program can be faster
//	weft_xdp    weft's, its FIB following the kernel's table as it does in 'weft run'
//	weft_soft   weft's userspace engine, one loop, by AF_XDP in copy mode
//	testpmd_*   DPDK's testpmd, where it is installed, by AF_XDP and AF_PACKET: it looks nothing up
package peer

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types peers peers.c -- -O2 -g -Wall -Werror -mcpu=v3 -idirafter /usr/include/x86_64-linux-gnu
