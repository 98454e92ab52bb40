//go:build ignore
// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* weft.c: weft's own lookup, on an image that the loader gives it. */
#include "bench.h"
#include "weft/fib.h"

char _license[] SEC("license") = "Dual BSD/GPL";

static __always_inline __u32 weft_ipv4(struct xdp_md *ctx, __u32 dst)
{
	return fib_lookup_ipv4(0, dst);
}

static __always_inline __u32 weft_ipv6(struct xdp_md *ctx, struct ipv6_dst dst)
{
	return fib_lookup_ipv6(0, bpf_be64_to_cpu(dst.hi), bpf_be64_to_cpu(dst.lo));
}

BENCH_IPV4(weft, weft_ipv4)
BENCH_IPV6(weft, weft_ipv6)
