//go:build ignore
// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * designs.c: the structures that weft's was chosen from, as tables that are only read. designs.go fills them.
 *
 *	flat24		IPv4: 2^24 leaves, chunks of 256 below
 *	flat16_8_8	IPv4: 2^16 leaves, chunks of 256 below, and below those
 *	leafvec16	IPv4: 2^16 entries, nodes of 256 leaves as a bit vector of changes, chunks of 256 below
 *	vec18		IPv4: 2^18 entries, each with a bit vector over 64 leaves, chunks of 256 below
 *	trie4		IPv6: 2^16 entries, nodes of 16 entries below
 *	vec8		IPv6: 2^16 entries, nodes of 256 entries as bit vectors of changes below
 *	search		IPv6: 2^21 ranges of sorted boundaries, in which a binary search without branches goes on
 *	hashlen		IPv6: binary search over the prefix lengths 16, 20 .. 64, each a look into a hash table (Waldvogel 1997)
 *
 * A leaf is 16 bits, as in weft. Those for IPv6 know the first 64 bits; the few prefixes that are longer have a table of
 * their own, which all of them use.
 */
#include "bench.h"

char _license[] SEC("license") = "Dual BSD/GPL";

#define BIT16 0x8000U
#define BIT32 0x80000000U

static __always_inline __u32 ones(__u64 v)
{
	v -= v >> 1 & 0x5555555555555555ULL;
	v = (v & 0x3333333333333333ULL) + (v >> 2 & 0x3333333333333333ULL);
	v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return v * 0x0101010101010101ULL >> 56;
}

/* Bits 0 to n. */
static __always_inline __u64 bits_to(__u32 n)
{
	return (2ULL << (n & 63)) - 1;
}

/* A chunk has 256 leaves; a leaf with bit 15 set is the number of a chunk. */
#define CHUNK_LEAF(chunks, count, leaf, byte) ((chunks)[((leaf) & ((count) - 1)) << 8 | (byte)])

/* flat24 */

#define FLAT24_CHUNKS (1 << 11)

__u16 flat24_root[1 << 24];
__u16 flat24_chunks[FLAT24_CHUNKS << 8];

static __always_inline __u32 flat24(struct xdp_md *ctx, __u32 dst)
{
	__u32 leaf = flat24_root[dst >> 8];

	if (leaf & BIT16)
		leaf = CHUNK_LEAF(flat24_chunks, FLAT24_CHUNKS, leaf, dst & 255);
	return leaf;
}

BENCH_IPV4(design_flat24, flat24)

/* flat16_8_8 */

#define FLAT16_CHUNKS (1 << 15)

__u16 flat16_root[1 << 16];
__u16 flat16_chunks[FLAT16_CHUNKS << 8];

static __always_inline __u32 flat16_8_8(struct xdp_md *ctx, __u32 dst)
{
	__u32 leaf = flat16_root[dst >> 16];

	if (leaf & BIT16)
		leaf = CHUNK_LEAF(flat16_chunks, FLAT16_CHUNKS, leaf, dst >> 8 & 255);
	if (leaf & BIT16)
		leaf = CHUNK_LEAF(flat16_chunks, FLAT16_CHUNKS, leaf, dst & 255);
	return leaf;
}

BENCH_IPV4(design_flat16_8_8, flat16_8_8)

/* leafvec16 */

/* 256 slots. A set bit is a slot that differs from the one before it; values has only those, and the first at base + 1. */
struct vector {
	__u64 changes[4];
	__u32 base;
	__u8 before[4]; /* bits set in the words before */
};

static __always_inline __u32 vector_index(const struct vector *v, __u32 slot)
{
	__u32 word = slot >> 6 & 3;

	return v->base + v->before[word] + ones(v->changes[word] & bits_to(slot));
}

#define LEAFVEC_NODES  (1 << 16)
#define LEAFVEC_LEAVES (1 << 21)

__u32 leafvec16_root[1 << 16];
struct vector leafvec16_nodes[LEAFVEC_NODES];
__u16 leafvec16_leaves[LEAFVEC_LEAVES];
__u16 leafvec16_chunks[FLAT24_CHUNKS << 8];

static __always_inline __u32 leafvec16(struct xdp_md *ctx, __u32 dst)
{
	__u32 leaf = leafvec16_root[dst >> 16];

	if (leaf & BIT32) {
		const struct vector *node = &leafvec16_nodes[leaf & (LEAFVEC_NODES - 1)];

		leaf = leafvec16_leaves[vector_index(node, dst >> 8 & 255) & (LEAFVEC_LEAVES - 1)];
		if (leaf & BIT16)
			leaf = CHUNK_LEAF(leafvec16_chunks, FLAT24_CHUNKS, leaf, dst & 255);
	}
	return leaf;
}

BENCH_IPV4(design_leafvec16, leafvec16)

/* vec18 */

struct vec18_entry {
	__u64 changes;
	__u32 base;
	__u32 unused;
};

struct vec18_entry vec18_root[1 << 18];
__u16 vec18_leaves[LEAFVEC_LEAVES];
__u16 vec18_chunks[FLAT24_CHUNKS << 8];

static __always_inline __u32 vec18(struct xdp_md *ctx, __u32 dst)
{
	const struct vec18_entry *e = &vec18_root[dst >> 14];
	__u32 i = e->base + ones(e->changes & bits_to(dst >> 8 & 63));
	__u32 leaf = vec18_leaves[i & (LEAFVEC_LEAVES - 1)];

	if (leaf & BIT16)
		leaf = CHUNK_LEAF(vec18_chunks, FLAT24_CHUNKS, leaf, dst & 255);
	return leaf;
}

BENCH_IPV4(design_vec18, vec18)

/* IPv6: the rare /64 that holds longer prefixes */

#define DEEP	   0x7fffU
#define DEEP_EDGES (1 << 10)

/* An edge is where another answer begins. Sorted; unused ones come last, with all bits set. */
struct deep_edge {
	__u64 hi;
	__u64 lo;
	__u64 hop;
};

struct deep_edge deep_edges[DEEP_EDGES];

__noinline __u32 deep_hop(__u64 hi, __u64 lo)
{
	__u32 i = 0;

	for (__u32 step = DEEP_EDGES / 2; step; step /= 2) {
		const struct deep_edge *e = &deep_edges[(i + step) & (DEEP_EDGES - 1)];

		if (e->hi < hi || (e->hi == hi && e->lo <= lo))
			i += step;
	}
	return deep_edges[i & (DEEP_EDGES - 1)].hop;
}

/* Or'ing bench_zero makes the next hop, to the verifier, the same number whatever the lookup's path. */
#define BENCH_IPV6_HI(name)                                                                  \
	static __always_inline __u32 name##_or_deep(struct xdp_md *ctx, struct ipv6_dst dst) \
	{                                                                                    \
		__u64 hi = bpf_be64_to_cpu(dst.hi);                                          \
		__u32 hop = name(hi) | bench_zero;                                           \
                                                                                             \
		if (__builtin_expect(hop == DEEP, 0))                                        \
			hop = deep_hop(hi, bpf_be64_to_cpu(dst.lo));                         \
		return hop;                                                                  \
	}                                                                                    \
	BENCH_IPV6(design_##name, name##_or_deep)

/* trie4 */

#define TRIE4_ENTRIES (1 << 22)

/* An entry with bit 31 set is where in nodes its 16 entries begin. */
__u32 trie4_root[1 << 16];
__u32 trie4_nodes[TRIE4_ENTRIES];

static __always_inline __u32 trie4(__u64 hi)
{
	__u32 e = trie4_root[hi >> 48];

	hi <<= 16;
#pragma clang loop unroll(disable)
	for (int step = 0; step < 12 && e & BIT32; step++) {
		e = trie4_nodes[(e & (TRIE4_ENTRIES - 16)) + (hi >> 60)];
		hi <<= 4;
	}
	return e;
}

BENCH_IPV6_HI(trie4)

/* vec8 */

#define VEC8_NODES   (1 << 16)
#define VEC8_ENTRIES (1 << 20)

/* An entry with bit 31 set is the number of a node. */
__u32 vec8_root[1 << 16];
struct vector vec8_nodes[VEC8_NODES];
__u32 vec8_entries[VEC8_ENTRIES];

static __always_inline __u32 vec8(__u64 hi)
{
	__u32 e = vec8_root[hi >> 48];

	hi <<= 16;
#pragma clang loop unroll(disable)
	for (int step = 0; step < 6 && e & BIT32; step++) {
		const struct vector *node = &vec8_nodes[e & (VEC8_NODES - 1)];

		e = vec8_entries[vector_index(node, hi >> 56) & (VEC8_ENTRIES - 1)];
		hi <<= 8;
	}
	return e;
}

BENCH_IPV6_HI(vec8)

/* search and hashlen know only 2000::/3, all that is in use: the 61 bits after the 3 that are always the same. */

/* search */

#define SEARCH_KEYS  (1 << 19)
#define SEARCH_STEPS 20

/* root[i] is the last boundary at or before the start of range i. */
__u32 search_root[(1 << 21) + 1];
__u64 search_keys[SEARCH_KEYS];
__u16 search_hops[SEARCH_KEYS];

static __always_inline __u32 search(__u64 hi)
{
	const __u32 *range;
	__u32 at, n;

	if (hi >> 61 != 1)
		return 0;
	hi &= (1ULL << 61) - 1;
	range = &search_root[hi >> 40];
	at = range[0];
	n = range[1] - at + 1;
#pragma clang loop unroll(disable)
	for (int step = 0; step < SEARCH_STEPS && n > 1; step++) {
		__u32 half = n / 2;
		/* All ones if the address is below the key: a borrow instead of a branch, which would be guessed wrong. */
		__s64 below = (__s64)(hi - search_keys[(at + half) & (SEARCH_KEYS - 1)]) >> 63;

		asm volatile("" : "+r"(below));
		at += half & ~(__u32)below;
		n -= half;
	}
	return search_hops[at & (SEARCH_KEYS - 1)];
}

BENCH_IPV6_HI(search)

/* hashlen */

#define HASHLEN_SLOTS	(1 << 19)
#define HASHLEN_FACTORS (1 << 16)
#define HASHLEN_LEVELS	5 /* most that a search looks at */
#define HASHLEN_FIRST	8 /* /48 */
#define HASHLEN_END	15
#define HASHLEN_MORE	BIT32

/* The level to look at next, 4 bits for each level, of which level n is length 16 + 4n. */
#define HASHLEN_HIT  0xfcbfaf7f6f3ffULL
#define HASHLEN_MISS 0xff9f4f5f2f10fULL

struct hashlen_slot {
	__u64 key;   /* the bits, then a 1, then zeros; 0: free */
	__u64 value; /* next hop, and HASHLEN_MORE if there are longer prefixes below */
};

/* A perfect hash: keys that begin alike, once mixed, share a factor that takes each to a slot of its own. */
struct hashlen_slot hashlen_slots[HASHLEN_SLOTS];
__u16 hashlen_factors[HASHLEN_FACTORS];

static __always_inline __u64 hashlen_get(__u64 key)
{
	__u64 h = key * 0x9e3779b97f4a7c15ULL;
	__u64 at = h * (0xd6e8feb86659fd93ULL + 2 * hashlen_factors[h >> 48]) >> 45;

	return hashlen_slots[at].key == key ? hashlen_slots[at].value : 0;
}

static __always_inline __u32 hashlen(__u64 hi)
{
	__u32 level = HASHLEN_FIRST, hop = 0;

	if (hi >> 61 != 1)
		return 0;
	hi <<= 3;
#pragma clang loop unroll(disable)
	for (int step = 0; step < HASHLEN_LEVELS; step++) {
		__u32 rest = 50 - 4 * level; /* bits after the 1 */
		__u64 value = hashlen_get(((hi >> rest) | 1) << rest), next = HASHLEN_MISS;

		if (value) {
			hop = value & 0xffff;
			if (!(value & HASHLEN_MORE))
				break;
			next = HASHLEN_HIT;
		}
		level = next >> (4 * level) & 15;
		if (level == HASHLEN_END)
			break;
	}
	return hop;
}

BENCH_IPV6_HI(hashlen)
