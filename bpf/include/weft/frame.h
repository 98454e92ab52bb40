/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* frame.h: from a frame to the steps of its protocol. */
#ifndef WEFT_FRAME_H
#define WEFT_FRAME_H

#include "weft/eth.h"
#include "weft/ipv4.h"
#include "weft/ipv6.h"
#include "weft/packet.h"
#include "weft/vlan.h"

/* What follows differs between programs: router.h and steer.h define it. IPv4's header is there, IPv6's may not be. */
static __always_inline enum weft_reason ipv4_packet(struct packet *p);
static __always_inline enum weft_reason ipv6_packet(struct packet *p);

/* frame_short is for frames too short for IP. */
static __always_inline enum weft_reason frame_short(struct packet *p)
{
	enum weft_reason r;
	__u32 type;

	if (p->eth + ETH_HLEN > p->end)
		STOP(WEFT_FRAME_CORRUPTED);
	r = eth_check(p, &type);
	if (r)
		return r;
	if (vlan_beside(p))
		STOP(WEFT_VLAN_UNKNOWN);
	if (type == bpf_htons(ETH_P_IP) || type == bpf_htons(ETH_P_IPV6))
		STOP(WEFT_IP_LENGTH_WRONG);
	return eth_other(type);
}

static __always_inline enum weft_reason frame(struct packet *p)
{
	enum weft_reason r;
	__u32 type;

	if (unlikely(p->eth + ETH_HLEN + IPV4_HLEN > p->end))
		return frame_short(p);
	r = eth_check(p, &type);
	if (r)
		return r;
	if (unlikely(vlan_beside(p)))
		STOP(WEFT_VLAN_UNKNOWN);
	if (type == bpf_htons(ETH_P_IP))
		return ipv4_packet(p);
	if (type == bpf_htons(ETH_P_IPV6))
		return ipv6_packet(p);
	return eth_other(type);
}

#endif
