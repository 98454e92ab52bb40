/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* adj.h: from a next-hop group to an adjacency, and out through it. */
#ifndef WEFT_ADJ_H
#define WEFT_ADJ_H

#include <linux/if_ether.h>
#include "weft/fib.h"
#include "weft/maps.h"
#include "weft/packet.h"

/* group_other names what becomes of packets to a group without members. */
static __always_inline enum weft_reason group_other(__u64 word)
{
	__u32 reason = fib_group_aux(word);

	switch (fib_group_kind(word)) {
	case FIB_GROUP_LOCAL:
		STOP(WEFT_LOCAL_ROUTE);
	case FIB_GROUP_GLEAN:
		STOP(WEFT_GLEAN);
	case FIB_GROUP_BLACKHOLE:
		STOP(WEFT_BLACKHOLE_ROUTE);
	case FIB_GROUP_REJECT:
		STOP(WEFT_REJECT_ROUTE);
	case FIB_GROUP_PUNT:
		/* The verifier follows plain comparisons of the number alone. */
		asm volatile("" : "+r"(reason));
		if (reason >= WEFT_DROP)
			STOP(WEFT_PUNT_ROUTE);
		asm volatile("" : "+r"(reason));
		return reason ? reason : WEFT_PUNT_ROUTE;
	}
	STOP(WEFT_NO_GROUP);
}

static __always_inline _Bool group_is_single(__u64 word)
{
	return fib_group_kind(word) == FIB_GROUP_SINGLE;
}

static __always_inline _Bool group_is_buckets(__u64 word)
{
	return fib_group_kind(word) == FIB_GROUP_BUCKETS;
}

/* link_group tells whether a packet was sent to a multicast or broadcast MAC. */
static __always_inline _Bool link_group(const struct packet *p)
{
	return ANY_BIT(*(volatile __u8 *)p->eth, 1);
}

/* The word from state on. */
#define ADJ_FORM(state, rewrite_len, encap_kind) ((state) | (rewrite_len) << 8 | (__u32)(encap_kind) << 16)

/* adj_check tells whether packets can go out through an adjacency. */
static __always_inline enum weft_reason adj_check(const struct fib_adjacency *adj)
{
	if (adj->state != FIB_ADJACENCY_COMPLETE)
		STOP(WEFT_UNRESOLVED_NEIGH);
	switch (*(volatile __u32 *)&adj->state) {
	case ADJ_FORM(FIB_ADJACENCY_COMPLETE, ETH_HLEN, 0):
	case ADJ_FORM(FIB_ADJACENCY_COMPLETE, ETH_HLEN + 4, 0):
	case ADJ_FORM(FIB_ADJACENCY_COMPLETE, ETH_HLEN + 8, 0):
		return 0;
	}
	STOP(WEFT_ENCAP_UNKNOWN);
}

/* adj_is_plain tells whether a packet needs new MACs of an adjacency and nothing else: of most, one load tells all. */
static __always_inline _Bool adj_is_plain(const struct packet *p, const struct fib_adjacency *adj)
{
	return p->bytes <= adj->plain_frame;
}

/* adj_port names the port that a packet leaves by; it goes when the program ends. */
static __always_inline enum weft_reason adj_port(const struct packet *p, const struct fib_adjacency *adj)
{
	TRACE(p, port, adj->port);
	if (unlikely(!packet_send(adj->port)))
		STOP(WEFT_ERIF_DISABLED);
	return 0;
}

/* adj_tag makes room for the VLAN tags that an adjacency has, and sets them. */
static __always_inline enum weft_reason adj_tag(struct packet *p, const struct fib_adjacency *adj)
{
	if (adj->rewrite_len == ETH_HLEN)
		return 0;
	if (packet_tag(p, adj->rewrite, adj->rewrite_len > ETH_HLEN + 4))
		STOP(WEFT_REWRITE_FAILED);
	return 0;
}

/*
 * adj_rewrite gives the packet its new MACs. The EtherType stays, as it is the
 * packet's: one adjacency serves both families.
 */
static __always_inline enum weft_reason adj_rewrite(struct packet *p, const struct fib_adjacency *adj)
{
	const void *macs = adj; /* the rewrite is first, and aligned */

	*(__u64 *)p->eth = *(__u64 *)macs;
	*(__u32 *)(p->eth + 8) = *(__u32 *)(macs + 8);
	return WEFT_FORWARDED;
}

#endif
