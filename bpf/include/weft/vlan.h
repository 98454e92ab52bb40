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

/* Whether the program is made for VLANs. */
#define VLANS LOADER_SAYS(0x7765764c)

/* Goes to a label unless an identifier's entry may start at off. The loader writes the number. */
#define vlans_check(off, label) asm volatile goto("if %0 > 0x7765564c goto %l[" #label "]" : : "r"(off) : : label)

/* What a frame's tags are and lead to. Of all zeros: no tag. */
struct vlan {
	const struct weft_port *port;
	__u32 len;		  /* of the tags, bytes */
	__u32 tag[VLAN_TAGS_MAX]; /* as they lie in a frame */
	__u32 mac[3];		  /* both MACs, for which the tags make room */
};

/* vlan_find tells whether a frame has tags that lead to a port, as far as they do. */
static __always_inline _Bool vlan_find(const struct packet *p, struct vlan *v);

/* vlan_beside tells whether a frame has a tag that does not stand in it. */
static __always_inline _Bool vlan_beside(const struct packet *p);

/* vlan_pop takes the tags off. */
static __always_inline enum weft_reason vlan_pop(struct packet *p, struct vlan *v);

/* vlan_push gives a frame its tags back, and tells whether it has them. */
static __always_inline _Bool vlan_push(struct packet *p, const struct vlan *v);

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

/* vlan_at reads the tag in a frame, off bytes behind the MACs, and tells whether there is one. */
static __always_inline _Bool vlan_at(const struct packet *p, const int off, __u32 *tag)
{
	if (p->eth + 2 * ETH_ALEN + off + VLAN_HLEN + sizeof(__be16) > p->end)
		return 0;
	*tag = *(__u32 *)(p->eth + 2 * ETH_ALEN + off);
	return (__u16)*tag == bpf_htons(ETH_P_8021Q) || (__u16)*tag == bpf_htons(ETH_P_8021AD);
}

/*
 * vlan_follow takes one tag of a frame that came in by a port, and tells whether
 * it leads on. Identifier 0 is no VLAN, only a priority: the port stays.
 */
static __always_inline _Bool vlan_follow(struct vlan *v, const struct weft_port *port, __u32 tag)
{
	__u32 vid = bpf_ntohs(tag >> 16) & 0xfff;

	if (vid) {
		port = &ports.port[vlan_port(port, vid) & (WEFT_PORTS - 1)];
		if (!port->number || !(port->flags & WEFT_PORT_8021AD) != ((__u16)tag == bpf_htons(ETH_P_8021Q)))
			return 0;
	}
	v->port = port;
	v->tag[v->len != 0] = tag;
	v->len += VLAN_HLEN;
	return 1;
}

#endif
