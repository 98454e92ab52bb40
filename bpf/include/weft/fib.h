/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fib.h: lookups in the FIB image. Twin of package fib's lookup.go, group.go
 * and hash.go; a test makes both answer the same questions.
 *
 * No function here calls a helper or another BPF function: all is inlined, and
 * the image is reached by loads from one address. Where the kernel limits an
 * array map's value to 4 MiB (before 6.10 or so) the image is elements of 4 MiB,
 * and an object made with FIB_CHUNKED finds them: the verifier inlines that. It is
 * an object of its own as the calls, even where they are never made, cost the
 * other one its registers.
 *
 * The loader puts the real map in the place of the one here, and the real value
 * in the place of the constant (package bpf, Image).
 */
#ifndef WEFT_FIB_H
#define WEFT_FIB_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "weft/types.h"

#ifndef FIB_CHUNKED
__u8 fib_image[8] SEC(".data.fib_image");
#else
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} fib_chunks SEC(".maps");
#endif

/* Goes to a label unless an aligned object of at most 64 bytes may start at off. The loader writes the number. */
#define fib_check(off, label) asm volatile goto("if %0 > 0x77654649 goto %l[" #label "]" : : "r"(off) : : label)

/* ANY_BIT tells whether any of some bits is set, by one instruction that the compiler does not know. */
#define ANY_BIT(v, bits)                                                                               \
	({                                                                                             \
		__label__ set_, told_;                                                                 \
		_Bool any_;                                                                            \
		asm volatile goto("if %0 & %1 goto %l[set_]" : : "r"((__u64)(v)), "i"(bits) : : set_); \
		any_ = 0;                                                                              \
		goto told_;                                                                            \
	set_:                                                                                          \
		any_ = 1;                                                                              \
	told_:                                                                                         \
		any_;                                                                                  \
	})

/* FIB_AT makes at the address of len bytes, at most 64, in the image; it goes to a label when there are none. */
#ifndef FIB_CHUNKED
/* fib_base returns the image's address. The compiler must not know what the loader's map will be. */
static __always_inline void *fib_base(void)
{
	void *at = fib_image;

	asm volatile("" : "+r"(at));
	return at;
}

#define FIB_AT(at, off, len, outside)    \
	do {                             \
		at = fib_base();         \
		fib_check(off, outside); \
		at += (off);             \
	} while (0)

#else
#define FIB_CHUNK_SIZE (1 << FIB_CHUNK_SHIFT)

/* fib_chunk returns the address of an object aligned to its length. */
static __always_inline void *fib_chunk(__u64 off, const __u32 len)
{
	__u32 chunk = off >> FIB_CHUNK_SHIFT;
	__u64 rest = off & (FIB_CHUNK_SIZE - len);
	void *at = bpf_map_lookup_elem(&fib_chunks, &chunk);

	if (!at)
		return NULL;
	asm volatile("" : "+r"(at), "+r"(rest));
	return at + rest;
}

#define FIB_AT(at, off, len, outside)     \
	do {                              \
		at = fib_chunk(off, len); \
		if (!at)                  \
			goto outside;     \
	} while (0)

#endif

/* FIB_LOAD reads what type says at an offset in the image; outside of it, 0. */
#define FIB_LOAD(type, offset)                             \
	({                                                 \
		__label__ outside_, done_;                 \
		__u64 off_ = (offset), value_;             \
		void *at_;                                 \
		FIB_AT(at_, off_, sizeof(type), outside_); \
		value_ = *(volatile type *)at_;            \
		goto done_;                                \
	outside_:                                          \
		asm volatile("%0 = 0" : "=r"(value_));     \
	done_:                                             \
		value_;                                    \
	})

/* FIB_FIXED reads what every image has at an offset that is a constant: nothing is checked. */
#ifndef FIB_CHUNKED
#define FIB_FIXED(type, offset) (*(volatile type *)(fib_base() + (offset)))
#else
#define FIB_FIXED FIB_LOAD
#endif

static __always_inline __u32 fib_load16(__u64 off)
{
	return FIB_LOAD(__u16, off);
}

static __always_inline __u32 fib_load32(__u64 off)
{
	return FIB_LOAD(__u32, off);
}

static __always_inline __u64 fib_load64(__u64 off)
{
	return FIB_LOAD(__u64, off);
}

/* fib_below is 1 if key < k: a borrow instead of a branch, which would be guessed wrong. */
static __always_inline __u64 fib_below(__u64 key, __u64 k)
{
	__u64 d = key - k;

	asm volatile("" : "+r"(d));
	return d >> 63;
}

/*
 * fib_line_leaf counts a line's keys up to and with k. Two of them, which part the
 * ten in three, say which three are left to look at.
 */
static __always_inline __u32 fib_line_leaf(__u64 off, __u64 k)
{
	__u64 first, second, third, i, j;
	__u32 *key;
	void *at;

	FIB_AT(at, off, sizeof(struct fib_line), outside);
	key = at;
	k++;
	i = fib_below(key[3], k) * 16 +
	    fib_below(key[6], k) * 12; /* bytes: from the first key, the fifth or the eighth on */
	key = at + i;
	first = fib_below(key[0], k);
	second = fib_below(key[1], k);
	third = fib_below(key[2], k);
	j = first + second + third;
	asm volatile("" : "+r"(i));
	return *(volatile __u16 *)(at + __builtin_offsetof(struct fib_line, leaf) + i / 2 + 2 * j);
outside:
	return 0;
}

/*
 * A shift looks at the last 6 bits of its count only, at the last 5 where 32 bits
 * are shifted (RFC 9669 4.1). So an entry, which ends in its node's stride, is a
 * count as it is.
 */
#define FIB_SHIFT(op, v, count)	  asm("%0 " op " %1" : "+r"(v) : "r"((__u64)(count)))
#define FIB_SHIFT32(op, v, count) asm("%0 " op " %1" : "+w"(v) : "w"((__u32)(count)))

static __always_inline __u32 fib_kind(__u32 entry)
{
	return entry >> FIB_KIND_SHIFT;
}

/* fib_wide4 follows the entry of a wide node, for an IPv4 address, and takes the bits used off its left. */
static __always_inline __u32 fib_wide4(__u32 entry, __u32 *addr)
{
	__u32 i = *addr;

	FIB_SHIFT32(">>=", i, -entry);
	FIB_SHIFT32("<<=", *addr, entry);
	return fib_load32((entry & FIB_WIDE_OFFSET_MASK) + (__u64)i * 4);
}

/* fib_wide6 is the same for half an IPv6 address. */
static __always_inline __u32 fib_wide6(__u32 entry, __u64 *half)
{
	__u64 i = *half;

	FIB_SHIFT(">>=", i, -(__u64)entry);
	FIB_SHIFT("<<=", *half, entry);
	return fib_load32((entry & FIB_WIDE_OFFSET_MASK) + i * 4);
}

/*
 * The ways down are written out: a loop would be counted at each step, and the
 * verifier of Linux 6.18 gives up on programs with many of them (EFAULT).
 */
#define FIB_STEP(entry, wide, addr)                   \
	do {                                          \
		if (fib_kind(entry) != FIB_KIND_WIDE) \
			return entry;                 \
		entry = wide(entry, addr);            \
	} while (0)

/* fib_walk4 goes through wide nodes: with strides of at least FIB_STRIDE_LEAST there are 8 at most. */
static __always_inline __u32 fib_walk4(__u32 entry, __u32 *addr)
{
	FIB_STEP(entry, fib_wide4, addr);
	FIB_STEP(entry, fib_wide4, addr);
	FIB_STEP(entry, fib_wide4, addr);
	FIB_STEP(entry, fib_wide4, addr);
	FIB_STEP(entry, fib_wide4, addr);
	FIB_STEP(entry, fib_wide4, addr);
	FIB_STEP(entry, fib_wide4, addr);
	FIB_STEP(entry, fib_wide4, addr);
	return entry;
}

/* fib_walk6 is the same for half an IPv6 address: 16 at most. */
static __always_inline __u32 fib_walk6(__u32 entry, __u64 *half)
{
	FIB_STEP(entry, fib_wide6, half);
	FIB_STEP(entry, fib_wide6, half);
	FIB_STEP(entry, fib_wide6, half);
	FIB_STEP(entry, fib_wide6, half);
	FIB_STEP(entry, fib_wide6, half);
	FIB_STEP(entry, fib_wide6, half);
	FIB_STEP(entry, fib_wide6, half);
	FIB_STEP(entry, fib_wide6, half);
	FIB_STEP(entry, fib_wide6, half);
	FIB_STEP(entry, fib_wide6, half);
	FIB_STEP(entry, fib_wide6, half);
	FIB_STEP(entry, fib_wide6, half);
	FIB_STEP(entry, fib_wide6, half);
	FIB_STEP(entry, fib_wide6, half);
	FIB_STEP(entry, fib_wide6, half);
	FIB_STEP(entry, fib_wide6, half);
	return entry;
}

/* fib_leaf returns the group that the entry after the last wide node leads to; next: 32 bits of the address. */
static __always_inline __u32 fib_leaf(__u32 entry, __u32 next)
{
	__u64 node = entry & FIB_OFFSET_MASK;

	if (fib_kind(entry) >= FIB_KIND_NARROW) {
		FIB_SHIFT32(">>=", next, -entry);
		return fib_load16(node + (__u64)next * 2);
	}
	if (fib_kind(entry) >= FIB_KIND_LINE)
		return fib_line_leaf(node, next);
	return entry;
}

/* FIB_ELEMENT returns the offset of an element of a table. The writer answers for the number: only the word's upper half is read. */
#define FIB_ELEMENT(table, n, size) \
	(FIB_FIXED(__u32, __builtin_offsetof(struct fib_header, table) + FIB_TABLE_SHIFT / 8) + (__u64)(n) * (size))

/*
 * fib_root returns the entry that all lookups in a VRF start from. family: 0 IPv4,
 * 1 IPv6. The caller answers for vrf: the header says how many there are.
 *
 * VRF 0 is a branch of its own, which is guessed right: so a lookup need not wait
 * until the packet's port and VRF have been loaded, five loads one after the other.
 */
static __always_inline __u32 fib_root(__u32 vrf, const __u32 family)
{
	if (__builtin_expect(vrf == 0, 1))
		return FIB_FIXED(__u32, sizeof(struct fib_header) + family * 4);
	return fib_load32(sizeof(struct fib_header) + (__u64)vrf * sizeof(struct fib_vrf) + family * 4);
}

/*
 * fib_lookup_ipv4 returns the group of the longest prefix that covers dst (host
 * byte order), 0 for none.
 */
static __always_inline __u32 fib_lookup_ipv4(__u32 vrf, __u32 dst)
{
	__u32 entry = fib_walk4(fib_root(vrf, 0), &dst);

	return fib_leaf(entry, dst);
}

/* FIB_LOOKUP_IPV6 is the same for an address in two halves (host byte order). Most lookups do not ask for lo. */
#define FIB_LOOKUP_IPV6(vrf, hi, lo)                                                      \
	({                                                                                \
		__u64 half_ = (hi);                                                       \
		__u32 entry_ = fib_walk6(fib_root(vrf, 1), &half_);                       \
		if (__builtin_expect(fib_kind(entry_) == FIB_KIND_LOW, 0)) {              \
			half_ = (lo);                                                     \
			entry_ = fib_walk6(fib_load32(entry_ & FIB_OFFSET_MASK), &half_); \
		}                                                                         \
		fib_leaf(entry_, half_ >> 32);                                            \
	})

static __always_inline __u32 fib_lookup_ipv6(__u32 vrf, __u64 hi, __u64 lo)
{
	return FIB_LOOKUP_IPV6(vrf, hi, lo);
}

#define FIB_HASH_MUL1 0x9e3779b97f4a7c15ULL
#define FIB_HASH_MUL2 0xd6e8feb86659fd93ULL

static __always_inline __u64 fib_mix(__u64 h, __u64 word)
{
	h = (h ^ word) * FIB_HASH_MUL1;
	return h ^ h >> 32;
}

/*
 * The flow hashes take numbers in host byte order; ports is source << 16 |
 * destination, and 0 for every fragment, so that a datagram stays together.
 */
static __always_inline __u32 fib_hash_ipv4(__u32 src, __u32 dst, __u32 ports, __u8 proto, __u32 seed)
{
	__u64 h = fib_mix(seed * FIB_HASH_MUL2, (__u64)src << 32 | dst);

	h = fib_mix(h, (__u64)ports << 8 | proto);
	return h * FIB_HASH_MUL2 >> 32;
}

static __always_inline __u32 fib_hash_ipv6(__u64 src_hi, __u64 src_lo, __u64 dst_hi, __u64 dst_lo, __u32 label,
					   __u32 ports, __u8 proto, __u32 seed)
{
	__u64 h = fib_mix(seed * FIB_HASH_MUL2, src_hi);

	h = fib_mix(h, src_lo);
	h = fib_mix(h, dst_hi);
	h = fib_mix(h, dst_lo);
	h = fib_mix(h, (__u64)label << 40 | (__u64)ports << 8 | proto);
	return h * FIB_HASH_MUL2 >> 32;
}

static __always_inline __u32 fib_hash_seed(void)
{
	return fib_load32(__builtin_offsetof(struct fib_header, hash_seed));
}

/* fib_group returns the word of a group: 0 when there is no such, as no route. */
static __always_inline __u64 fib_group(__u32 group)
{
	return fib_load64(FIB_ELEMENT(groups, group, 8));
}

static __always_inline __u32 fib_group_kind(__u64 word)
{
	return word >> FIB_GROUP_KIND_SHIFT;
}

static __always_inline __u16 fib_group_aux(__u64 word)
{
	return word >> FIB_GROUP_AUX_SHIFT;
}

/*
 * fib_member returns the adjacency that a group with members sends a flow to.
 * Only for FIB_GROUP_BUCKETS does it look at the hash.
 */
static __always_inline __u32 fib_member(__u64 word, __u32 hash)
{
	__u32 log = word >> FIB_GROUP_LOG_SHIFT & 0xff;

	if (fib_group_kind(word) == FIB_GROUP_SINGLE)
		return (__u32)word;
	return fib_load32((__u32)word + (__u64)(hash >> ((32 - log) & 31)) * 4);
}

/* FIB_ADJACENCY makes adj the address of an adjacency; it goes to a label when there is none. */
#define FIB_ADJACENCY(adj, number, none)                                        \
	do {                                                                    \
		__u64 block_ = fib_load32(FIB_ELEMENT(adjacencies, number, 4)); \
		void *adjacency_;                                               \
		if (__builtin_expect(!block_, 0))                               \
			goto none;                                              \
		FIB_AT(adjacency_, block_, sizeof(struct fib_adjacency), none); \
		adj = adjacency_;                                               \
	} while (0)

/* fib_adjacency returns an adjacency, NULL when there is no such. */
static __always_inline struct fib_adjacency *fib_adjacency(__u32 number)
{
	struct fib_adjacency *adj;

	FIB_ADJACENCY(adj, number, none);
	return adj;
none:
	return NULL;
}

#endif
