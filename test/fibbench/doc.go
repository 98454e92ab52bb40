// Fibbench measures FIB lookups, weft's and its peers', in BPF and in Go, on one full table and in one run, so that the
// ratios hold even where the figures do not.
//
// Usage, as root:
//
//	go run ./test/fibbench [-format table|json] [-rounds n] [-only regexp] [-cpu n] [-floor-mib n] [-designs]
//
// A row is named side/family/mode/trace/engine. Sides: bpf and go. Modes: in dep each address waits for the result
// before it (latency), in ind it does not (throughput); single is one call per address of a Go function, addresses
// independent; batch is one call per 64 or more. Traces: see package fulltable. Engines, beside weft's:
//
//	nop         the loop without a lookup; it is in every bpf figure and subtracted from none
//	floor       one load from a random place of a buffer as large as weft's image
//	lpm_trie    BPF_MAP_TYPE_LPM_TRIE
//	fib_lookup  bpf_fib_lookup() on the kernel's own table, without the neighbor
//	bart_fast   gaissmai/bart Fast
//	bart_table  gaissmai/bart Table
//	rte_fib     DPDK's, with AVX-512 where the CPU has it, in DPDK's own program; also the peer of bpf's ind
//	design_*    with -designs only: other structures that were tried, see bpf/designs.c
//
// Engines take turns: in each round, every engine looks up the whole trace, once to warm the caches and once for the
// figure. A figure is the median of the rounds, and a ratio the median of the rounds' ratios. All of them share one CPU. Each engine's answers are added up and
// compared with the right sum, except rte_fib's, whose program does not tell.
//
// Figures reach stdout, progress stderr. Nothing stays behind: the kernel's routes are in a network namespace that ends
// with the process.
package main

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types peers bpf/peers.c -- -O2 -g -Wall -Werror -mcpu=v3 -idirafter /usr/include/x86_64-linux-gnu
