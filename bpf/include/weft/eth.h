/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* eth.h: Ethernet. */
#ifndef WEFT_ETH_H
#define WEFT_ETH_H

#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include "weft/packet.h"

/* eth_check takes frames to our MAC and to groups, and says what their payload is. They have a whole header. */
static __always_inline enum weft_reason eth_check(struct packet *p, __u32 *type)
{
	struct ethhdr *eth = p->eth;
	__u64 differs;

	*type = *(volatile __be16 *)(p->eth + offsetof(struct ethhdr, h_proto));
	/* 8 bytes of each, of which the last 2 are not of the MAC: 2 of the source's, and the VRF */
	differs = (*(__u64 *)p->eth ^ *(__u64 *)p->port) << 16;
	asm("" : "+r"(differs)); /* else the compiler makes the shift a mask, which is another load */
	if (likely(!differs))
		return 0;
	if (!p->port->number)
		STOP(WEFT_PORT_UNKNOWN);
	if (!(eth->h_dest[0] & 1))
		STOP(WEFT_NOT_OUR_MAC);
	return 0;
}

/* eth_other names the reason to punt what is not IP. */
static __always_inline enum weft_reason eth_other(__u32 type)
{
	if (type == bpf_htons(ETH_P_ARP))
		STOP(WEFT_ARP);
	if (type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD))
		STOP(WEFT_VLAN_UNKNOWN);
	STOP(WEFT_NON_IP);
}

#endif
