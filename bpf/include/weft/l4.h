/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* l4.h: what forwarding looks at behind the IP header. */
#ifndef WEFT_L4_H
#define WEFT_L4_H

#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include "weft/packet.h"

/* l4_ports returns source port << 16 | destination port, 0 for protocols without and when they are cut off. */
static __always_inline __u32 l4_ports(const struct packet *p, const int off, __u8 protocol)
{
	void *end = packet_end(p); /* again: few packets need it so late */
	__be32 *ports = p->eth + off;

	switch (protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
	case IPPROTO_UDPLITE:
		return (void *)(ports + 1) > end ? 0 : bpf_ntohl(*ports);
	}
	return 0;
}

#endif
