//go:build ignore
/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The XDP program of a router. A packet's way, step by step; each ends it with a reason or lets it go on. */
#include "weft/adj.h"
#include "weft/eth.h"
#include "weft/fib.h"
#include "weft/ipv4.h"
#include "weft/ipv6.h"
#include "weft/maps.h"
#include "weft/packet.h"
#include "weft/vlan.h"

char _license[] SEC("license") = "Dual BSD/GPL";

/* These carry their types to Go: an object has only those that something is of. */
const volatile enum weft_reason go_reason;
const volatile enum weft_reason_range go_reason_range;
const volatile enum weft_port_flags go_port_flags;
const volatile enum weft_limits go_limits;
const volatile struct fib_header *const volatile go_header;

static __always_inline enum weft_reason ipv4_packet(struct packet *p)
{
	struct fib_adjacency *adj;
	enum weft_reason r;
	struct ipv4 ip;
	__u32 group, number;
	__u64 word;

	r = ipv4_check(p, &ip);
	if (r)
		return r;
	if (unlikely(!(p->port->flags & WEFT_PORT_IPV4)))
		return port_disabled(p->port);

	group = fib_lookup_ipv4(p->port->vrf, ip.dst);
	TRACE(group, group);
	if (unlikely(!group))
		STOP(WEFT_IPV4_LPM_MISS);
	word = fib_group(group);
	r = group_check(p, word);
	if (r)
		return r;
	if (unlikely(ipv4_expires(&ip)))
		STOP(WEFT_TTL_VALUE_IS_TOO_SMALL);

	number = fib_member(word, group_is_single(word) ? 0 : ipv4_hash(p, &ip));
	TRACE(adjacency, number);
	adj = fib_adjacency(number);
	r = adj_check(adj, ip.len);
	if (r)
		return r;
	ipv4_forward(p->eth + ETH_HLEN, &ip);
	return adj_rewrite(p, adj);
}

static __always_inline enum weft_reason ipv6_packet(struct packet *p)
{
	struct fib_adjacency *adj;
	enum weft_reason r;
	struct ipv6 ip;
	__u32 group, number;
	__u64 word;

	r = ipv6_check(p, &ip);
	if (r)
		return r;
	if (unlikely(!(p->port->flags & WEFT_PORT_IPV6)))
		return port_disabled(p->port);

	group = fib_lookup_ipv6(p->port->vrf, ip.dst_hi, ip.dst_lo);
	TRACE(group, group);
	if (unlikely(!group))
		STOP(WEFT_IPV6_LPM_MISS);
	word = fib_group(group);
	r = group_check(p, word);
	if (r)
		return r;
	if (unlikely(ipv6_expires(&ip)))
		STOP(WEFT_TTL_VALUE_IS_TOO_SMALL);

	number = fib_member(word, group_is_single(word) ? 0 : ipv6_hash(p, &ip));
	TRACE(adjacency, number);
	adj = fib_adjacency(number);
	r = adj_check(adj, ip.len);
	if (r)
		return r;
	ipv6_forward(p->eth + ETH_HLEN, &ip);
	return adj_rewrite(p, adj);
}

static __always_inline enum weft_reason frame(struct packet *p)
{
	enum weft_reason r;
	__be16 type;

	r = eth_check(p, &type);
	if (r)
		return r;
	if (likely(type == bpf_htons(ETH_P_IP)))
		return ipv4_packet(p);
	if (likely(type == bpf_htons(ETH_P_IPV6)))
		return ipv6_packet(p);
	return eth_other(type);
}

/* The end of frames with tags, as weft is of all others. Counters have the frame as received: with its tags. */
static __always_inline int tagged(struct packet *p, struct vlan *v)
{
	enum weft_reason r;
	__u64 bytes;

	r = vlan_pop(p, v);
	if (!r)
		r = frame(p);
	if (likely(r == WEFT_FORWARDED)) {
		port_count(p->port, WEFT_FORWARDED, p->bytes + v->len);
		return XDP_REDIRECT;
	}
	bytes = packet_bytes(p) + v->len;
	if ((__u32)r < (__u32)WEFT_DROP && !vlan_push(p, v))
		r = WEFT_REWRITE_FAILED;
	port_count(p->port, r, bytes);
	return (__u32)r < (__u32)WEFT_DROP ? XDP_PASS : XDP_DROP;
}

/* The one place where a packet is counted and its reason becomes what XDP does with it. */
SEC("xdp.frags")
int weft(struct xdp_md *ctx)
{
	struct packet p = {.ctx = ctx, .port = port_of(ctx->ingress_ifindex)};
	enum weft_reason r;
	struct vlan v;

	packet_load(&p);
	p.bytes = p.end - p.eth;
	if (VLANS && vlan_find(&p, &v))
		return tagged(&p, &v);
	r = frame(&p);
	if (likely(r == WEFT_FORWARDED)) {
		port_count(p.port, WEFT_FORWARDED, p.bytes);
		return XDP_REDIRECT;
	}
	port_count(p.port, r, packet_bytes(&p));
	return (__u32)r < (__u32)WEFT_DROP ? XDP_PASS : XDP_DROP;
}
