/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bench.h: times a lookup inside BPF.
 *
 * A program `<engine>_<family>_<mode>` looks up bench_count destinations of the trace from bench_first on and leaves the
 * time and the sum of the results in globals. The clock is read twice per run, so neither the system call nor the entry
 * and exit of the program is measured. What is measured besides the lookup is the loop: reading the address from the
 * trace, adding up the result, one sixteenth of a loop step. The engine `nop` tells how much that is.
 *
 *	BENCH_IPV4(engine, lookup)	defines engine_ipv4_dep and engine_ipv4_ind
 *	BENCH_IPV6(engine, lookup)	defines engine_ipv6_dep and engine_ipv6_ind
 *
 * lookup is a static __always_inline function: __u32 lookup(struct xdp_md *ctx, __u32 dst), with dst in host order, or
 * __u32 lookup(struct xdp_md *ctx, struct ipv6_dst dst). It returns the next hop (1..255), or 0 when no route covers dst.
 *
 * dep: the address depends on the result before it, so that lookups cannot overlap: their latency.
 * ind: nothing depends on a result but the sum, so that the CPU overlaps as many lookups as it can: their throughput.
 */
#ifndef FIBBENCH_BENCH_H
#define FIBBENCH_BENCH_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define TRACE_LEN    (1 << 20) /* fulltable.TraceLen */
#define BENCH_UNROLL 16	       /* lookups in one loop step */

/* An IPv6 address as two loads find it in a packet: network order, whatever the CPU's. */
struct ipv6_dst {
	__u64 hi;
	__u64 lo;
};

/* Go writes the trace through the mapping of .bss, in the family that it is about to run. */
union {
	__u32 ipv4[TRACE_LEN];
	struct ipv6_dst ipv6[TRACE_LEN];
} bench_trace;

__u32 bench_first; /* a multiple of BENCH_UNROLL */
__u32 bench_count; /* likewise */
__u32 bench_done;  /* less than bench_count if the kernel ended the loop: may_goto allows it 250 ms */
__u64 bench_ns;
__u64 bench_sum;

/*
 * Always 0, which neither compiler, verifier nor CPU can know. `result & bench_zero` is 0 only once result is there; and
 * a loop that counts from it is one state to the verifier, where one that counts from 0 is a new state in each step.
 */
volatile __u32 bench_zero;

/* True until the kernel's patience with this program ends. It is what lets the verifier accept a long loop. */
#define can_loop                                                         \
	({                                                               \
		__label__ l_break, l_continue;                           \
		int more = 1;                                            \
		asm volatile goto("may_goto %l[l_break]" ::: : l_break); \
		goto l_continue;                                         \
	l_break:                                                         \
		more = 0;                                                \
	l_continue:;                                                     \
		more;                                                    \
	})

/* Keeps the compiler from weaving neighboring lookups into each other: a program that forwards has one address at a time. */
#define barrier_lookup(sum) asm volatile("" : "+r"(sum))

static __always_inline int bench_ipv4(struct xdp_md *ctx, __u32 (*lookup)(struct xdp_md *, __u32), int dep)
{
	__u32 end = bench_count, result = 0, i;
	__u64 sum = 0, start = bpf_ktime_get_ns();

	for (i = bench_zero; i < end && can_loop; i += BENCH_UNROLL) {
		const __u32 *dst = &bench_trace.ipv4[(bench_first + i) & (TRACE_LEN - BENCH_UNROLL)];

#pragma unroll
		for (int j = 0; j < BENCH_UNROLL; j++) {
			__u32 addr = dst[j];

			if (dep)
				addr += result & bench_zero;
			result = lookup(ctx, addr);
			sum += result | bench_zero; /* to the verifier, the same number whatever the lookup's path */
			barrier_lookup(sum);
		}
	}
	bench_ns = bpf_ktime_get_ns() - start;
	bench_sum = sum;
	bench_done = i;
	return XDP_DROP;
}

static __always_inline int bench_ipv6(struct xdp_md *ctx, __u32 (*lookup)(struct xdp_md *, struct ipv6_dst), int dep)
{
	__u32 end = bench_count, result = 0, i;
	__u64 sum = 0, start = bpf_ktime_get_ns();

	for (i = bench_zero; i < end && can_loop; i += BENCH_UNROLL) {
		const struct ipv6_dst *dst = &bench_trace.ipv6[(bench_first + i) & (TRACE_LEN - BENCH_UNROLL)];

#pragma unroll
		for (int j = 0; j < BENCH_UNROLL; j++) {
			struct ipv6_dst addr = dst[j];

			if (dep)
				addr.hi += result & bench_zero;
			result = lookup(ctx, addr);
			sum += result | bench_zero; /* to the verifier, the same number whatever the lookup's path */
			barrier_lookup(sum);
		}
	}
	bench_ns = bpf_ktime_get_ns() - start;
	bench_sum = sum;
	bench_done = i;
	return XDP_DROP;
}

#define BENCH_PROG(engine, family, lookup)                         \
	SEC("xdp") int engine##_##family##_dep(struct xdp_md *ctx) \
	{                                                          \
		return bench_##family(ctx, lookup, 1);             \
	}                                                          \
	SEC("xdp") int engine##_##family##_ind(struct xdp_md *ctx) \
	{                                                          \
		return bench_##family(ctx, lookup, 0);             \
	}

#define BENCH_IPV4(engine, lookup) BENCH_PROG(engine, ipv4, lookup)
#define BENCH_IPV6(engine, lookup) BENCH_PROG(engine, ipv6, lookup)

#endif
