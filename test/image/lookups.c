//go:build ignore
/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Asks fib.h the questions that Go has put into memory. */
#include "weft/fib.h"

char _license[] SEC("license") = "Dual BSD/GPL";

#define QUESTIONS 4096

struct question {
	__u64 src_hi, src_lo, dst_hi, dst_lo; /* IPv4 in the low 32 bits of hi */
	__u32 vrf, family, label, ports, proto, pad;
};

struct answer {
	__u32 group, hash, kind, aux, adjacency, port, mtu, state;
};

struct question questions[QUESTIONS];
struct answer answers[QUESTIONS];
__u32 count;
volatile __u32 zero; /* keeps the verifier from telling one step from the next */

static __always_inline void ask(struct question *q, struct answer *a)
{
	__u32 seed = fib_hash_seed();
	struct fib_adjacency *adj;
	__u64 word;

	if (q->family == 4) {
		a->group = fib_lookup_ipv4(q->vrf, q->dst_hi);
		a->hash = fib_hash_ipv4(q->src_hi, q->dst_hi, q->ports, q->proto, seed);
	} else {
		a->group = fib_lookup_ipv6(q->vrf, q->dst_hi, q->dst_lo);
		a->hash = fib_hash_ipv6(q->src_hi, q->src_lo, q->dst_hi, q->dst_lo, q->label, q->ports, q->proto, seed);
	}
	word = fib_group(a->group);
	a->kind = fib_group_kind(word);
	a->aux = fib_group_aux(word);
	a->adjacency = a->port = a->mtu = a->state = 0;
	if (a->kind == FIB_GROUP_GLEAN)
		a->port = word;
	if (a->kind != FIB_GROUP_SINGLE && a->kind != FIB_GROUP_BUCKETS)
		return;
	a->adjacency = fib_member(word, a->hash);
	adj = fib_adjacency(a->adjacency);
	if (!adj)
		return;
	a->port = adj->port;
	a->mtu = adj->mtu;
	a->state = adj->state;
}

SEC("xdp")
int lookups(struct xdp_md *ctx)
{
	for (__u32 i = zero; i < count; i++) {
		/* may_goto: lets the verifier take a loop that has no bound */
		asm volatile goto("may_goto %l[out]" : : : : out);
		ask(&questions[i & (QUESTIONS - 1)], &answers[i & (QUESTIONS - 1)]);
	}
out:
	return XDP_DROP;
}
