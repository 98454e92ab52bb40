/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * vlan.h: VLAN tags of frames that come in (IEEE 802.1Q). Tags that lead to a port
 * are taken off, so that all that follows sees a plain frame that came in by that
 * port; what is punted gets them back. Only in programs made with VLANS.
 */
#ifndef WEFT_VLAN_H
#define WEFT_VLAN_H

#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include "weft/maps.h"
#include "weft/packet.h"

#define VLAN_HLEN     4
#define VLAN_TAGS_MAX 2

/* Tables of identifiers, one for each port that has VLANs. The first is empty: that of all others. */
struct weft_vlans vlans[1] SEC(".data.vlans");

/* Whether the program is made for VLANs. In others the verifier removes what it guards: the loader writes the number. */
#define VLANS                                                     \
	({                                                        \
		__u64 vlans_;                                     \
		asm("%0 = 0x77656674564c414e ll" : "=r"(vlans_)); \
		vlans_;                                           \
	})

/* Goes to a label unless an identifier's entry may start at off. The loader writes the number. */
#define vlans_check(off, label) asm volatile goto("if %0 > 0x7765564c goto %l[" #label "]" : : "r"(off) : : label)

/* What a frame's tags are and lead to. */
struct vlan {
	const struct weft_port *port;
	int len;		  /* of the tags, bytes; 0: none that is known */
	__u32 tag[VLAN_TAGS_MAX]; /* as they lie in the frame */
	__u32 mac[3];		  /* both MACs, for which the tags make room */
};

/* vlan_port returns the number of the port that an identifier leads to, on a port; 0 is none. */
static __always_inline __u32 vlan_port(const struct weft_port *port, __u32 vid)
{
	__u64 off = (__u64)(port->flags >> WEFT_PORT_TRUNK_SHIFT) * sizeof(struct weft_vlans) + vid * sizeof(__u16);
	void *table = vlans;

	asm volatile("" : "+r"(table)); /* the compiler must not know how many there are */
	vlans_check(off, out);
	return *(volatile __u16 *)(table + off);
out:
	return 0;
}

/*
 * vlan_step looks at one tag, at off, and tells whether it leads on. Identifier 0
 * is no VLAN, only a priority: the port stays.
 */
static __always_inline _Bool vlan_step(const struct packet *p, struct vlan *v, const int off)
{
	const struct weft_port *port;
	__u32 tag, vid;

	if (p->eth + 2 * ETH_ALEN + off + VLAN_HLEN + sizeof(__be16) > p->end)
		return 0;
	tag = *(__u32 *)(p->eth + 2 * ETH_ALEN + off);
	if ((__u16)tag != bpf_htons(ETH_P_8021Q) && (__u16)tag != bpf_htons(ETH_P_8021AD))
		return 0;
	vid = bpf_ntohs(tag >> 16) & 0xfff;
	if (vid) {
		port = &ports.port[vlan_port(v->port, vid) & (WEFT_PORTS - 1)];
		if (!port->number || !(port->flags & WEFT_PORT_8021AD) != ((__u16)tag == bpf_htons(ETH_P_8021Q)))
			return 0;
		v->port = port;
	}
	v->tag[off / VLAN_HLEN] = tag;
	v->len = off + VLAN_HLEN;
	return 1;
}

/* vlan_find tells whether a frame has tags that lead to a port, as far as they do. */
static __always_inline _Bool vlan_find(const struct packet *p, struct vlan *v)
{
	v->port = p->port;
	v->len = 0;
	if (likely(!vlan_step(p, v, 0)))
		return 0;
	vlan_step(p, v, VLAN_HLEN);
	return 1;
}

/* vlan_pop takes the tags off. */
static __always_inline enum weft_reason vlan_pop(struct packet *p, struct vlan *v)
{
	p->port = v->port;
	for (int i = 0; i < 3; i++)
		v->mac[i] = ((__u32 *)p->eth)[i];
	if (bpf_xdp_adjust_head(p->ctx, v->len))
		STOP(WEFT_REWRITE_FAILED);
	packet_load(p);
	p->bytes = p->end - p->eth;
	if (p->eth + ETH_HLEN > p->end)
		STOP(WEFT_FRAME_CORRUPTED);
	for (int i = 0; i < 3; i++)
		((__u32 *)p->eth)[i] = v->mac[i];
	return 0;
}

/* vlan_push gives a frame its tags back, and tells whether it has them. */
static __always_inline _Bool vlan_push(struct packet *p, const struct vlan *v)
{
	if (bpf_xdp_adjust_head(p->ctx, -v->len))
		return 0;
	packet_load(p);
	if (p->eth + ETH_HLEN + VLAN_TAGS_MAX * VLAN_HLEN > p->end)
		return 0;
	for (int i = 0; i < 3; i++)
		((__u32 *)p->eth)[i] = v->mac[i];
	((__u32 *)p->eth)[3] = v->tag[0];
	if (v->len > VLAN_HLEN)
		((__u32 *)p->eth)[4] = v->tag[1];
	return 1;
}

#endif
