/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* l4.h: what forwarding looks at behind the IP header. */
#ifndef WEFT_L4_H
#define WEFT_L4_H

#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include "weft/csum.h"
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

/* Whether a port has WEFT_PORT_PARTIAL. */
#define CHECKSUMS_PARTIAL LOADER_SAYS(0x7765706d)

/*
 * l4_partial tells whether the checksum of a packet is to be filled in by
 * hardware yet, as hosts on veths leave it: it holds the sum of the pseudo-header
 * then (CHECKSUM_PARTIAL of Linux's skbuff.h). The kernel knows which they are, a
 * frame does not say. One in 65,536 others, or of fragments, looks the same: the
 * kernel forwards that one, too. pseudo is the sum of the pseudo-header in words
 * as they lie in memory.
 */
static __always_inline _Bool l4_partial(const struct packet *p, const int off, __u8 protocol, __u64 pseudo)
{
	void *end = packet_end(p);
	__u32 *crc;
	__u16 *sum;

	if (likely(protocol == IPPROTO_UDP)) {
		sum = p->eth + off + 6;
	} else if (protocol == IPPROTO_TCP) {
		sum = p->eth + off + 16;
	} else {
		/* RFC 9260 6.8: a CRC, of which nothing is there yet. */
		crc = p->eth + off + 8;
		return protocol == IPPROTO_SCTP && (void *)(crc + 1) <= end && !*crc;
	}
	return (void *)(sum + 1) <= end && csum_right(pseudo + 0xffff - *sum);
}

#endif
