// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * peers.c: what weft's lookup is compared with inside BPF.
 *
 *	nop		no lookup: the cost of the loop
 *	floor		one load from a random place: the least that a table too large for the cache can cost
 *	lpm_trie	BPF_MAP_TYPE_LPM_TRIE
 *	fib_lookup	bpf_fib_lookup(), the kernel's own table
 */
#include "bench.h"

char _license[] SEC("license") = "GPL";

#define AF_INET	 2
#define AF_INET6 10

/* nop */

static __always_inline __u32 nop_ipv4(struct xdp_md *ctx, __u32 dst)
{
	return dst;
}

static __always_inline __u32 nop_ipv6(struct xdp_md *ctx, struct ipv6_dst dst)
{
	return dst.hi;
}

BENCH_IPV4(nop, nop_ipv4)
BENCH_IPV6(nop, nop_ipv6)

/* floor */

#define FLOOR_WORDS (1 << 24)

__u32 floor_words[FLOOR_WORDS];

/* 32 less log2 of the words in use. Go sets it to the size of the image that the floor is for; at least 8. */
const volatile __u32 floor_shift = 32 - 23;

/* The high bits of a product with an odd number: a random place, and every address has its own. */
static __always_inline __u32 floor_ipv4(struct xdp_md *ctx, __u32 dst)
{
	return floor_words[(dst * 0x9e3779b1U) >> floor_shift];
}

static __always_inline __u32 floor_ipv6(struct xdp_md *ctx, struct ipv6_dst dst)
{
	return floor_words[(dst.hi * 0x9e3779b97f4a7c15ULL) >> (32 + floor_shift)];
}

BENCH_IPV4(floor, floor_ipv4)
BENCH_IPV6(floor, floor_ipv6)

/* lpm_trie */

struct lpm_ipv4_key {
	__u32 prefix_len;
	__be32 addr;
};

struct lpm_ipv6_key {
	__u32 prefix_len;
	__be32 addr[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 20);
	__type(key, struct lpm_ipv4_key);
	__type(value, __u32);
} lpm_ipv4_trie SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 20);
	__type(key, struct lpm_ipv6_key);
	__type(value, __u32);
} lpm_ipv6_trie SEC(".maps");

static __always_inline __u32 lpm_ipv4(struct xdp_md *ctx, __u32 dst)
{
	struct lpm_ipv4_key key = {.prefix_len = 32, .addr = bpf_htonl(dst)};
	__u32 *next_hop = bpf_map_lookup_elem(&lpm_ipv4_trie, &key);

	return next_hop ? *next_hop : 0;
}

static __always_inline __u32 lpm_ipv6(struct xdp_md *ctx, struct ipv6_dst dst)
{
	struct lpm_ipv6_key key = {.prefix_len = 128};
	__u32 *next_hop;

	__builtin_memcpy(key.addr, &dst, sizeof(dst));
	next_hop = bpf_map_lookup_elem(&lpm_ipv6_trie, &key);
	return next_hop ? *next_hop : 0;
}

BENCH_IPV4(lpm_trie, lpm_ipv4)
BENCH_IPV6(lpm_trie, lpm_ipv6)

/* fib_lookup */

/* The port that packets seem to come in by; Go sets it. It must have forwarding enabled. */
const volatile __u32 fib_ifindex;

/* Without the neighbor, as the other engines: less work for the kernel. Kernels before 6.3 refuse the flag. */
#define FIB_FLAGS BPF_FIB_LOOKUP_SKIP_NEIGH

/* Next hop n is the gateway 169.254.1.n or fd77::n: see netns.go. */
#define GATEWAY_IPV4 0xa9fe0100U

static __always_inline __u32 fib_ipv4(struct xdp_md *ctx, __u32 dst)
{
	struct bpf_fib_lookup p = {.family = AF_INET, .ifindex = fib_ifindex, .ipv4_dst = bpf_htonl(dst)};

	if (bpf_fib_lookup(ctx, &p, sizeof(p), FIB_FLAGS) != BPF_FIB_LKUP_RET_SUCCESS)
		return 0;
	/* An attached destination is its own next hop. No prefix of the table covers it. */
	if (p.ipv4_dst == bpf_htonl(dst))
		return 0;
	return bpf_ntohl(p.ipv4_dst) - GATEWAY_IPV4;
}

static __always_inline __u32 fib_ipv6(struct xdp_md *ctx, struct ipv6_dst dst)
{
	struct bpf_fib_lookup p = {.family = AF_INET6, .ifindex = fib_ifindex};

	__builtin_memcpy(p.ipv6_dst, &dst, sizeof(dst));
	if (bpf_fib_lookup(ctx, &p, sizeof(p), FIB_FLAGS) != BPF_FIB_LKUP_RET_SUCCESS)
		return 0;
	return bpf_ntohl(p.ipv6_dst[3]);
}

BENCH_IPV4(fib_lookup, fib_ipv4)
BENCH_IPV6(fib_lookup, fib_ipv6)
