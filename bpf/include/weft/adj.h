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

/* group_check tells whether packets to a group go on to one of its members. */
static __always_inline enum weft_reason group_check(const struct packet *p, __u64 word)
{
	if (unlikely(fib_group_kind(word) - FIB_GROUP_SINGLE > FIB_GROUP_BUCKETS - FIB_GROUP_SINGLE))
		return group_other(word);
	if (unlikely(p->link_group))
		STOP(WEFT_UC_DIP_OVER_MC_DMAC); /* RFC 1812 5.3.4 */
	return 0;
}

/* The 32 bits from state on, without the neighbor's family. */
#define ADJ_FORM(state, rewrite_len, encap_kind) ((state) | (rewrite_len) << 8 | (__u32)(encap_kind) << 24)
#define ADJ_FORM_MASK				 0xff00ffff

static __always_inline __u32 adj_form(const struct fib_adjacency *adj)
{
	return *(volatile __u32 *)&adj->state & ADJ_FORM_MASK;
}

/* adj_check tells whether a packet of len bytes can go out through an adjacency. */
static __always_inline enum weft_reason adj_check(const struct fib_adjacency *adj, __u32 len)
{
	if (unlikely(!adj))
		STOP(WEFT_NO_ADJACENCY);
	if (unlikely(adj_form(adj) != ADJ_FORM(FIB_ADJACENCY_COMPLETE, ETH_HLEN, 0))) {
		if (adj->state != FIB_ADJACENCY_COMPLETE)
			STOP(WEFT_UNRESOLVED_NEIGH);
		switch (adj_form(adj)) {
		case ADJ_FORM(FIB_ADJACENCY_COMPLETE, ETH_HLEN + 4, 0):
		case ADJ_FORM(FIB_ADJACENCY_COMPLETE, ETH_HLEN + 8, 0):
			break;
		default:
			STOP(WEFT_ENCAP_UNKNOWN);
		}
	}
	if (unlikely(len > adj->mtu))
		STOP(WEFT_MTU_VALUE_IS_TOO_SMALL);
	TRACE(port, adj->port);
	if (unlikely(!packet_send(adj->port)))
		STOP(WEFT_ERIF_DISABLED);
	return 0;
}

/* adj_tag makes room for the VLAN tags that an adjacency has, and sets them. */
static __always_inline enum weft_reason adj_tag(struct packet *p, const struct fib_adjacency *adj)
{
	if (packet_tag(p, adj->rewrite, adj->rewrite_len > ETH_HLEN + 4))
		STOP(WEFT_REWRITE_FAILED);
	return 0;
}

/*
 * adj_rewrite gives the packet its new Ethernet header. The EtherType stays, as it
 * is the packet's: one adjacency serves both families.
 */
static __always_inline enum weft_reason adj_rewrite(struct packet *p, const struct fib_adjacency *adj)
{
	enum weft_reason r;

	if (unlikely(adj->rewrite_len != ETH_HLEN)) {
		r = adj_tag(p, adj);
		if (r)
			return r;
	}
	for (int i = 0; i < 2 * ETH_ALEN; i += 4)
		*(__u32 *)(p->eth + i) = *(__u32 *)(adj->rewrite + i);
	return WEFT_FORWARDED;
}

#endif
