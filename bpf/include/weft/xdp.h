/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* xdp.h: how a program of XDP does what packet.h and vlan.h declare. Twin of tc.h. */
#ifndef WEFT_XDP_H
#define WEFT_XDP_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include "weft/maps.h"
#include "weft/packet.h"
#include "weft/vlan.h"

/* Linux 5.18 takes frames in several pieces; on older ones the loader clears it. */
const volatile _Bool pieces = 1;

/* Where packets are sent to, by port number. An empty slot is a port that cannot be sent to. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, WEFT_PORTS);
	__type(key, __u32);
	__type(value, __u32);
} tx_ports SEC(".maps");

static __always_inline void packet_load(struct packet *p)
{
	struct xdp_md *ctx = p->ctx;

	p->eth = (void *)(long)ctx->data;
	p->end = (void *)(long)ctx->data_end;
}

static __always_inline void *packet_end(const struct packet *p)
{
	struct xdp_md *ctx = p->ctx;

	return (void *)(long)ctx->data_end;
}

static __always_inline __u64 packet_bytes(const struct packet *p)
{
	__u64 bytes = pieces ? bpf_xdp_get_buff_len(p->ctx) : 0;

	return bytes > p->bytes ? bytes : p->bytes; /* it is less after packet_fit */
}

static __always_inline long packet_copy(const struct packet *p, void *to, __u32 len)
{
	struct xdp_md *ctx = p->ctx;

	if (pieces)
		return bpf_xdp_load_bytes(ctx, 0, to, len);
	return bpf_probe_read_kernel(to, len, (void *)(long)ctx->data);
}

static __always_inline __u32 packet_beside(const struct packet *p)
{
	return 0;
}

static __always_inline __u64 packet_now(const struct packet *p)
{
	struct xdp_md *ctx = p->ctx;

	return pieces ? bpf_xdp_get_buff_len(ctx) : (__u64)ctx->data_end - ctx->data;
}

static __always_inline long packet_cut(struct packet *p, __u32 from, __u32 to)
{
	return bpf_xdp_adjust_tail(p->ctx, (int)to - (int)from);
}

static __always_inline __u32 packet_unit(const struct packet *p, __u32 len, const __u32 hlen, __u8 protocol)
{
	return len;
}

static __always_inline void packet_changed(const struct packet *p, __u32 less)
{
}

static __always_inline _Bool packet_send(__u32 port)
{
	return bpf_redirect_map(&tx_ports, port, 0) == XDP_REDIRECT;
}

static __always_inline long packet_tag(struct packet *p, const __u8 *rewrite, _Bool two)
{
	if (bpf_xdp_adjust_head(p->ctx, two ? -8 : -4))
		return -1;
	packet_load(p);
	if (p->eth + ETH_HLEN + 8 > p->end)
		return -1;
	*(__u32 *)(p->eth + 12) = *(__u32 *)(rewrite + 12);
	if (two)
		*(__u32 *)(p->eth + 16) = *(__u32 *)(rewrite + 16);
	return 0;
}

static __always_inline _Bool vlan_find(const struct packet *p, struct vlan *v)
{
	__u32 tag;

	if (likely(!vlan_at(p, 0, &tag)) || !vlan_follow(v, p->port, tag))
		return 0;
	if (vlan_at(p, VLAN_HLEN, &tag))
		vlan_follow(v, v->port, tag);
	return 1;
}

static __always_inline _Bool vlan_beside(const struct packet *p)
{
	return 0;
}

static __always_inline enum weft_reason vlan_pop(struct packet *p, struct vlan *v)
{
	for (int i = 0; i < 3; i++)
		v->mac[i] = ((__u32 *)p->eth)[i];
	if (bpf_xdp_adjust_head(p->ctx, v->len))
		STOP(WEFT_REWRITE_FAILED);
	packet_load(p);
	if (p->eth + ETH_HLEN > p->end)
		STOP(WEFT_FRAME_CORRUPTED);
	for (int i = 0; i < 3; i++)
		((__u32 *)p->eth)[i] = v->mac[i];
	return 0;
}

static __always_inline _Bool vlan_push(struct packet *p, const struct vlan *v)
{
	if (bpf_xdp_adjust_head(p->ctx, -v->len))
		return 0;
	packet_load(p);
	if (p->eth + ETH_HLEN + VLAN_HLEN > p->end)
		return 0;
	for (int i = 0; i < 3; i++)
		((__u32 *)p->eth)[i] = v->mac[i];
	((__u32 *)p->eth)[3] = v->tag[0];
	if (v->len == VLAN_HLEN)
		return 1;
	if (p->eth + ETH_HLEN + VLAN_TAGS_MAX * VLAN_HLEN > p->end)
		return 0;
	((__u32 *)p->eth)[4] = v->tag[1];
	return 1;
}

#endif
