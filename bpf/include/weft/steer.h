/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * steer.h: which packets a loop in user space gets: those that router.h forwards, and
 * those that the loop can finish where router.h needs the kernel, as TTL expired, too
 * big, no route, neighbor not resolved. All others end here, in the order and for the
 * reasons of router.h. Twin of it.
 *
 * What the loop has once, the kernel has only by a slow way (dataplane/soft/upward.go). So
 * it does not get what it would have to tell a source of to which only the kernel knows
 * the way. (Too big aside: to know that takes the adjacency of each packet.)
 */
#ifndef WEFT_STEER_H
#define WEFT_STEER_H

#include "weft/adj.h"
#include "weft/fib.h"
#include "weft/frame.h"
#include "weft/ipv4.h"
#include "weft/ipv6.h"
#include "weft/maps.h"
#include "weft/packet.h"
#include "weft/vlan.h"

/* The longest frame that the loop takes, bytes. */
const volatile __u32 frame_max = 0xffffffff;

/* steer_send gives the loop a packet that came in by a port, or names the reason why the kernel has it. xsk.h and tap.h. */
static __always_inline enum weft_reason steer_send(const struct packet *p, __u32 port);

/* steer_group tells whether the loop gets packets to a group; 0: there is none. */
static __always_inline enum weft_reason steer_group(const struct packet *p, __u32 group, const enum weft_reason miss)
{
	__u64 word = fib_group(group);
	__u32 kind = fib_group_kind(word);

	if (unlikely(kind == FIB_GROUP_LOCAL || kind == FIB_GROUP_PUNT))
		return group_other(word);
	if (likely(!link_group(p)))
		return 0;
	/* To a group's MAC: the loop would not answer it (RFC 1812 4.3.2.7), so the kernel has the rest. */
	if (!group)
		STOP(miss);
	if (group_is_single(word) || group_is_buckets(word))
		STOP(WEFT_UC_DIP_OVER_MC_DMAC);
	return group_other(word);
}

/* steer_error names the reason of a packet to a group whose source the loop would tell of an error; 0: it would not. */
static __always_inline enum weft_reason steer_error(__u32 group, _Bool expires, const enum weft_reason miss)
{
	__u64 word = fib_group(group);

	if (!group)
		return miss;
	if (fib_group_kind(word) == FIB_GROUP_REJECT)
		return WEFT_REJECT_ROUTE;
	if (likely(!expires))
		return 0;
	if (fib_group_kind(word) == FIB_GROUP_GLEAN)
		return WEFT_GLEAN;
	return group_is_single(word) || group_is_buckets(word) ? WEFT_TTL_VALUE_IS_TOO_SMALL : 0;
}

/*
 * The two tell whether the loop can send to a source: not if only the kernel can. They are functions of their own, which
 * the verifier looks at once: few packets come there.
 */
__noinline int steer_knows4(__u32 vrf, __u32 src)
{
	return fib_group_kind(fib_group(fib_lookup_ipv4(vrf, src))) != FIB_GROUP_PUNT;
}

__noinline int steer_knows6(__u32 vrf, __u64 hi, __u64 lo)
{
	return fib_group_kind(fib_group(fib_lookup_ipv6(vrf, hi, lo))) != FIB_GROUP_PUNT;
}

static __always_inline enum weft_reason ipv4_packet(struct packet *p)
{
	enum weft_reason r;
	struct ipv4 ip;
	__u32 group;

	group = fib_lookup_ipv4(p->port->vrf, ipv4_dst(p));
	r = ipv4_check(p, &ip);
	if (r)
		return r;
	if (unlikely(!ANY_BIT(*(volatile __u16 *)&p->port->flags, WEFT_PORT_IPV4)))
		return port_disabled(p->port);
	TRACE(group, group);
	r = steer_group(p, group, WEFT_IPV4_LPM_MISS);
	if (r)
		return r;
	r = steer_error(group, ipv4_expires(&ip), WEFT_IPV4_LPM_MISS);
	if (unlikely(r) && !steer_knows4(p->port->vrf, ipv4_src(p)))
		return r;
	if (CHECKSUMS_PARTIAL) {
		if (ANY_BIT(p->port->flags, WEFT_PORT_PARTIAL) && unlikely(ipv4_partial(p, &ip)))
			STOP(WEFT_CHECKSUM_PARTIAL);
	}
	return WEFT_FORWARDED;
}

static __always_inline enum weft_reason ipv6_packet(struct packet *p)
{
	enum weft_reason r;
	struct ipv6 ip;
	__u32 group;

	if (unlikely(p->eth + ETH_HLEN + IPV6_HLEN > p->end))
		STOP(WEFT_IP_LENGTH_WRONG);
	group = FIB_LOOKUP_IPV6(p->port->vrf, ipv6_word(p, 3), ipv6_word(p, 4));
	r = ipv6_check(p, &ip);
	if (r)
		return r;
	if (unlikely(!ANY_BIT(*(volatile __u16 *)&p->port->flags, WEFT_PORT_IPV6)))
		return port_disabled(p->port);
	TRACE(group, group);
	r = steer_group(p, group, WEFT_IPV6_LPM_MISS);
	if (r)
		return r;
	r = steer_error(group, ipv6_expires(&ip), WEFT_IPV6_LPM_MISS);
	if (unlikely(r) && !steer_knows6(p->port->vrf, ipv6_word(p, 1), ipv6_word(p, 2)))
		return r;
	if (CHECKSUMS_PARTIAL) {
		if (ANY_BIT(p->port->flags, WEFT_PORT_PARTIAL) && unlikely(ipv6_partial(p, &ip)))
			STOP(WEFT_CHECKSUM_PARTIAL);
	}
	return WEFT_FORWARDED;
}

/* steer_count counts what the loop gets as lost: it is not any more when the loop has counted what became of it. */
static __always_inline void steer_count(const struct weft_port *port, enum weft_reason r, __u64 bytes)
{
	port_count(port, r == WEFT_FORWARDED ? WEFT_LOOP_OVERRUN : r, bytes);
}

/* steer_tagged is steer for frames with tags: the loop gets them as they came in, by the port at the root. */
static __always_inline enum weft_reason steer_tagged(struct packet *p, struct vlan *v)
{
	__u32 root = p->port->number;
	enum weft_reason r;
	__u64 bytes;

	r = vlan_pop(p, v);
	p->port = v->port;
	if (!r) {
		p->bytes = p->end - p->eth;
		r = frame(p);
	}
	bytes = packet_bytes(p) + v->len;
	if ((__u32)r < (__u32)WEFT_DROP && !vlan_push(p, v))
		r = WEFT_REWRITE_FAILED;
	if (r == WEFT_FORWARDED) {
		p->bytes = bytes;
		r = steer_send(p, root);
	}
	steer_count(p->port, r, bytes);
	return r;
}

/*
 * steer says what becomes of a packet, and is the one place where it is counted.
 * WEFT_FORWARDED is what the loop gets: see steer_count.
 */
static __always_inline enum weft_reason steer(struct packet *p)
{
	enum weft_reason r;

	p->bytes = p->end - p->eth;
	if (VLANS) {
		struct vlan v = {};

		if (vlan_find(p, &v))
			return steer_tagged(p, &v);
	}
	r = frame(p);
	if (likely(r == WEFT_FORWARDED))
		r = steer_send(p, p->port->number);
	steer_count(p->port, r, packet_bytes(p));
	return r;
}

#endif
