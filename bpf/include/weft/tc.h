/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tc.h: how a program of tc does what packet.h and vlan.h declare. Twin of xdp.h.
 * A packet is an skb here: its outermost VLAN tag stands beside the frame, the
 * frame's end may not be at hand, several packets may be one (GSO), and checksums
 * may be left for the hardware to fill in.
 */
#ifndef WEFT_TC_H
#define WEFT_TC_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "weft/maps.h"
#include "weft/packet.h"
#include "weft/vlan.h"

/* What must be at hand of a frame: tag, IPv6 header, TCP header, and some. */
#define TC_HEADERS 96

/* The longest frame whose IP packet has its length in its header. */
#define TC_FRAME_MAX (ETH_HLEN + 65535)

#define TC_TCP_HLEN_OFF 12
#define TC_UDP_HLEN	8

static __always_inline void packet_load(struct packet *p)
{
	struct __sk_buff *skb = p->ctx;

	p->eth = (void *)(long)skb->data;
	p->end = (void *)(long)skb->data_end;
}

/* tc_pull brings a packet's headers to hand. */
static __always_inline void tc_pull(struct packet *p)
{
	struct __sk_buff *skb = p->ctx;
	__u32 len = skb->len < TC_HEADERS ? skb->len : TC_HEADERS;

	packet_load(p);
	if (likely(p->eth + len <= p->end))
		return;
	bpf_skb_pull_data(skb, len);
	packet_load(p);
}

static __always_inline void *packet_end(const struct packet *p)
{
	struct __sk_buff *skb = p->ctx;

	return (void *)(long)skb->data_end;
}

static __always_inline __u64 packet_bytes(const struct packet *p)
{
	struct __sk_buff *skb = p->ctx;
	__u64 bytes = skb->len + (skb->vlan_present ? VLAN_HLEN : 0);

	return bytes > p->bytes ? bytes : p->bytes; /* it is less after packet_fit */
}

static __always_inline long packet_copy(const struct packet *p, void *to, __u32 len)
{
	return bpf_skb_load_bytes(p->ctx, 0, to, len);
}

static __always_inline __u32 packet_beside(const struct packet *p)
{
	struct __sk_buff *skb = p->ctx;

	return skb->vlan_present ? skb->vlan_proto | (__u32)bpf_htons(skb->vlan_tci) << 16 : 0;
}

static __always_inline __u64 packet_now(const struct packet *p)
{
	struct __sk_buff *skb = p->ctx;

	return skb->len;
}

static __always_inline long packet_cut(struct packet *p, __u32 from, __u32 to)
{
	return bpf_skb_change_tail(p->ctx, to, 0);
}

static __always_inline __u32 packet_unit(const struct packet *p, __u32 len, const __u32 hlen, __u8 protocol)
{
	struct __sk_buff *skb = p->ctx;
	__u8 *tcp = p->eth + ETH_HLEN + hlen;
	__u32 l4 = TC_UDP_HLEN;

	if (likely(!skb->gso_size))
		return len;
	if (protocol == IPPROTO_TCP) {
		if (tcp + TC_TCP_HLEN_OFF + 1 > (__u8 *)p->end)
			return len;
		l4 = tcp[TC_TCP_HLEN_OFF] >> 4 << 2;
	}
	return hlen + l4 + skb->gso_size;
}

/* A driver may have summed up the packet: only then does the helper do something. */
static __always_inline void packet_changed(const struct packet *p, __u32 less)
{
	bpf_csum_update(p->ctx, ~less);
}

static __always_inline _Bool packet_send(__u32 port)
{
	__u32 ifindex = port < WEFT_PORTS ? ports.egress[port] : 0;

	return ifindex && bpf_redirect(ifindex, 0) == TC_ACT_REDIRECT;
}

static __always_inline _Bool tc_push(struct packet *p, __u32 tag)
{
	if (bpf_skb_vlan_push(p->ctx, (__u16)tag, bpf_ntohs(tag >> 16)))
		return 0;
	TRACE(p, tag, tag);
	packet_load(p);
	return p->eth + ETH_HLEN <= p->end;
}

static __always_inline long packet_tag(struct packet *p, const __u8 *rewrite, _Bool two)
{
	if (two && !tc_push(p, *(__u32 *)(rewrite + 16)))
		return -1;
	return tc_push(p, *(__u32 *)(rewrite + 12)) ? 0 : -1;
}

static __always_inline _Bool vlan_find(const struct packet *p, struct vlan *v)
{
	struct __sk_buff *skb = p->ctx;
	__u32 tag;

	if (vlan_beside(p)) {
		tag = skb->vlan_proto | (__u32)bpf_htons(skb->vlan_tci) << 16;
		if (!vlan_follow(v, p->port, tag))
			return 0;
		if (vlan_at(p, 0, &tag))
			vlan_follow(v, v->port, tag);
		return 1;
	}
	if (likely(!vlan_at(p, 0, &tag)) || !vlan_follow(v, p->port, tag)) /* of a test run */
		return 0;
	if (vlan_at(p, VLAN_HLEN, &tag))
		vlan_follow(v, v->port, tag);
	return 1;
}

static __always_inline _Bool vlan_beside(const struct packet *p)
{
	struct __sk_buff *skb = p->ctx;

	return skb->vlan_present;
}

static __always_inline enum weft_reason vlan_pop(struct packet *p, struct vlan *v)
{
	if (bpf_skb_vlan_pop(p->ctx))
		STOP(WEFT_REWRITE_FAILED);
	if (v->len > VLAN_HLEN && bpf_skb_vlan_pop(p->ctx))
		STOP(WEFT_REWRITE_FAILED);
	packet_load(p);
	return 0;
}

static __always_inline _Bool vlan_push(struct packet *p, const struct vlan *v)
{
	if (v->len > VLAN_HLEN && !tc_push(p, v->tag[1]))
		return 0;
	return tc_push(p, v->tag[0]);
}

#endif
