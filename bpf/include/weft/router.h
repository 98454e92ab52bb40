/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* router.h: a packet's way, step by step; each ends it with a reason or lets it go on. */
#ifndef WEFT_ROUTER_H
#define WEFT_ROUTER_H

#include "weft/adj.h"
#include "weft/fib.h"
#include "weft/frame.h"
#include "weft/ipv4.h"
#include "weft/ipv6.h"
#include "weft/maps.h"
#include "weft/packet.h"
#include "weft/vlan.h"

/* ipv4_goes tells whether a packet goes on to a member of its group. */
static __always_inline enum weft_reason ipv4_goes(const struct packet *p, const struct ipv4 *ip)
{
	if (unlikely(link_group(p)))
		STOP(WEFT_UC_DIP_OVER_MC_DMAC); /* RFC 1812 5.3.4 */
	if (unlikely(ipv4_expires(ip)))
		STOP(WEFT_TTL_VALUE_IS_TOO_SMALL);
	if (CHECKSUMS_PARTIAL) {
		if (ANY_BIT(p->port->flags, WEFT_PORT_PARTIAL) && unlikely(ipv4_partial(p, ip)))
			STOP(WEFT_CHECKSUM_PARTIAL);
	}
	return 0;
}

/* ipv4_leave sends a packet out through an adjacency. */
static __always_inline enum weft_reason ipv4_leave(struct packet *p, const struct fib_adjacency *adj)
{
	enum weft_reason r;

	r = adj_port(p, adj);
	if (r)
		return r;
	ipv4_forward(p);
	return adj_rewrite(p, adj);
}

/* ipv4_leave_checked is for what adj_is_plain has not told: MTU, tags. */
static __always_inline enum weft_reason ipv4_leave_checked(struct packet *p, const struct ipv4 *ip,
							   const struct fib_adjacency *adj)
{
	enum weft_reason r;

	r = adj_check(adj);
	if (r)
		return r;
	if (unlikely(ipv4_too_big(p, ip, adj->mtu)))
		STOP(WEFT_MTU_VALUE_IS_TOO_SMALL);
	r = adj_port(p, adj);
	if (r)
		return r;
	ipv4_forward(p);
	r = adj_tag(p, adj);
	return r ? r : adj_rewrite(p, adj);
}

static __always_inline enum weft_reason ipv4_packet(struct packet *p)
{
	struct fib_adjacency *adj;
	enum weft_reason r;
	struct ipv4 ip;
	__u32 group, number;
	__u64 word;

	/* Before the checks, which then run while nodes that are not in the cache are on their way. */
	group = fib_lookup_ipv4(p->port->vrf, ipv4_dst(p));
	r = ipv4_check(p, &ip);
	if (r)
		return r;
	if (unlikely(!ANY_BIT(*(volatile __u16 *)&p->port->flags, WEFT_PORT_IPV4)))
		return port_disabled(p->port);
	TRACE(p, group, group);
	if (unlikely(!group))
		STOP(WEFT_IPV4_LPM_MISS);
	word = fib_group(group);
	if (likely(group_is_single(word))) {
		r = ipv4_goes(p, &ip);
		if (r)
			return r;
		number = word;
	} else {
		if (!group_is_buckets(word))
			return group_other(word);
		r = ipv4_goes(p, &ip);
		if (r)
			return r;
		number = fib_member(word, ipv4_hash(p, &ip));
	}
	TRACE(p, adjacency, number);
	FIB_ADJACENCY(adj, number, none);
	if (likely(adj_is_plain(p, adj)))
		return ipv4_leave(p, adj);
	return ipv4_leave_checked(p, &ip, adj);
none:
	STOP(WEFT_NO_ADJACENCY);
}

/* ipv6_goes tells whether a packet goes on to a member of its group. */
static __always_inline enum weft_reason ipv6_goes(const struct packet *p, const struct ipv6 *ip)
{
	if (unlikely(link_group(p)))
		STOP(WEFT_UC_DIP_OVER_MC_DMAC); /* RFC 1812 5.3.4 */
	if (unlikely(ipv6_expires(ip)))
		STOP(WEFT_TTL_VALUE_IS_TOO_SMALL);
	if (CHECKSUMS_PARTIAL) {
		if (ANY_BIT(p->port->flags, WEFT_PORT_PARTIAL) && unlikely(ipv6_partial(p, ip)))
			STOP(WEFT_CHECKSUM_PARTIAL);
	}
	return 0;
}

/* ipv6_leave sends a packet out through an adjacency. */
static __always_inline enum weft_reason ipv6_leave(struct packet *p, const struct fib_adjacency *adj)
{
	enum weft_reason r;

	r = adj_port(p, adj);
	if (r)
		return r;
	packet_changed(p, 0x0100);
	ipv6_forward(p);
	return adj_rewrite(p, adj);
}

/* ipv6_leave_checked is for what adj_is_plain has not told: MTU, tags. */
static __always_inline enum weft_reason ipv6_leave_checked(struct packet *p, const struct ipv6 *ip,
							   const struct fib_adjacency *adj)
{
	enum weft_reason r;

	r = adj_check(adj);
	if (r)
		return r;
	if (unlikely(ipv6_too_big(p, ip, adj->mtu)))
		STOP(WEFT_MTU_VALUE_IS_TOO_SMALL);
	r = adj_port(p, adj);
	if (r)
		return r;
	packet_changed(p, 0x0100);
	ipv6_forward(p);
	r = adj_tag(p, adj);
	return r ? r : adj_rewrite(p, adj);
}

static __always_inline enum weft_reason ipv6_packet(struct packet *p)
{
	struct fib_adjacency *adj;
	enum weft_reason r;
	struct ipv6 ip;
	__u32 group, number;
	__u64 word;

	if (unlikely(p->eth + ETH_HLEN + IPV6_HLEN > p->end))
		STOP(WEFT_IP_LENGTH_WRONG);
	/* Before the checks, as in ipv4_packet. */
	group = FIB_LOOKUP_IPV6(p->port->vrf, ipv6_word(p, 3), ipv6_word(p, 4));
	r = ipv6_check(p, &ip);
	if (r)
		return r;
	if (unlikely(!ANY_BIT(*(volatile __u16 *)&p->port->flags, WEFT_PORT_IPV6)))
		return port_disabled(p->port);
	TRACE(p, group, group);
	if (unlikely(!group))
		STOP(WEFT_IPV6_LPM_MISS);
	word = fib_group(group);
	if (likely(group_is_single(word))) {
		r = ipv6_goes(p, &ip);
		if (r)
			return r;
		number = word;
	} else {
		if (!group_is_buckets(word))
			return group_other(word);
		r = ipv6_goes(p, &ip);
		if (r)
			return r;
		number = fib_member(word, ipv6_hash(p, &ip));
	}
	TRACE(p, adjacency, number);
	FIB_ADJACENCY(adj, number, none);
	if (likely(adj_is_plain(p, adj)))
		return ipv6_leave(p, adj);
	return ipv6_leave_checked(p, &ip, adj);
none:
	STOP(WEFT_NO_ADJACENCY);
}

/* router_tagged is router for frames with tags. Counters have the frame as received: with its tags. */
static __always_inline enum weft_reason router_tagged(struct packet *p, struct vlan *v)
{
	enum weft_reason r;
	__u64 bytes;

	r = vlan_pop(p, v);
	p->port = v->port;
	if (!r) {
		p->bytes = p->end - p->eth;
		r = frame(p);
	}
	if (likely(r == WEFT_FORWARDED)) {
		port_count(p->port, WEFT_FORWARDED, p->bytes + v->len);
		return WEFT_FORWARDED;
	}
	bytes = packet_bytes(p) + v->len;
	if ((__u32)r < (__u32)WEFT_DROP && !vlan_push(p, v))
		r = WEFT_REWRITE_FAILED;
	port_count(p->port, r, bytes);
	return r;
}

/* router says what becomes of a packet, and is the one place where it is counted. */
static __always_inline enum weft_reason router(struct packet *p)
{
	enum weft_reason r;

	p->bytes = p->end - p->eth;
	if (VLANS) {
		struct vlan v = {};

		if (vlan_find(p, &v))
			return router_tagged(p, &v);
	}
	r = frame(p);
	if (likely(r == WEFT_FORWARDED)) {
		port_count(p->port, WEFT_FORWARDED, p->bytes);
		return WEFT_FORWARDED;
	}
	port_count(p->port, r, packet_bytes(p));
	return r;
}

#endif
