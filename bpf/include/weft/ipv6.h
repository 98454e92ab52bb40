/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ipv6.h: IPv6 (RFC 8200, RFC 4291), twin of ipv4.h. */
#ifndef WEFT_IPV6_H
#define WEFT_IPV6_H

#include <linux/if_ether.h>
#include <linux/in6.h>
#include <bpf/bpf_endian.h>
#include "weft/fib.h"
#include "weft/l4.h"
#include "weft/maps.h"
#include "weft/packet.h"

struct ipv6 {
	__u64 first; /* as it lies in memory: version 7..4, payload length 47..32, next header 55..48, hop limit 63..56 */
	__u64 src_hi, src_lo, dst_hi, dst_lo; /* host order */
	__u32 len;			      /* of the packet, bytes */
};

#define IPV6_HLEN 40

static __always_inline _Bool ipv6_is_multicast(__u64 hi)
{
	return hi >> 56 == 0xff;
}

static __always_inline _Bool ipv6_is_link_local(__u64 hi)
{
	return hi >> 54 == 0xfe80 >> 6;
}

static __always_inline _Bool ipv6_is_unspecified(__u64 hi, __u64 lo)
{
	return !(hi | lo);
}

static __always_inline _Bool ipv6_is_loopback(__u64 hi, __u64 lo)
{
	return !hi && lo == 1;
}

static __always_inline _Bool ipv6_is_ipv4_mapped(__u64 hi, __u64 lo)
{
	return !hi && lo >> 32 == 0xffff;
}

/*
 * ipv6_special tells what is wrong with addresses of which one is not in 2000::/3.
 * RFC 4291 2.5.2 to 2.5.6 and 2.7.
 */
static __always_inline enum weft_reason ipv6_special(const struct ipv6 *ip)
{
	if (ipv6_is_multicast(ip->src_hi))
		STOP(WEFT_SIP_IS_MC);
	if (ipv6_is_multicast(ip->dst_hi)) {
		switch (ip->dst_hi >> 48 & 15) {
		case 0:
			STOP(WEFT_IPV6_MC_DIP_RESERVED_SCOPE);
		case 1:
			STOP(WEFT_IPV6_MC_DIP_INTERFACE_LOCAL_SCOPE);
		}
		STOP(WEFT_MULTICAST);
	}
	if (ipv6_is_unspecified(ip->src_hi, ip->src_lo))
		STOP(WEFT_SIP_IS_UNSPECIFIED);
	if (ipv6_is_loopback(ip->src_hi, ip->src_lo))
		STOP(WEFT_SIP_IS_LOOPBACK_ADDRESS);
	if (ipv6_is_ipv4_mapped(ip->src_hi, ip->src_lo))
		STOP(WEFT_IPV6_SIP_IS_IPV4_MAPPED);
	if (ipv6_is_unspecified(ip->dst_hi, ip->dst_lo))
		STOP(WEFT_DIP_IS_UNSPECIFIED);
	if (ipv6_is_loopback(ip->dst_hi, ip->dst_lo))
		STOP(WEFT_DIP_IS_LOOPBACK_ADDRESS);
	if (ipv6_is_ipv4_mapped(ip->dst_hi, ip->dst_lo))
		STOP(WEFT_IPV6_DIP_IS_IPV4_MAPPED);
	if (ipv6_is_link_local(ip->dst_hi))
		STOP(WEFT_IPV6_UC_DIP_LINK_LOCAL_SCOPE);
	if (ipv6_is_link_local(ip->src_hi))
		STOP(WEFT_IPV6_UC_SIP_LINK_LOCAL_SCOPE);
	return 0;
}

static __always_inline __u8 ipv6_next_header(const struct ipv6 *ip)
{
	return ip->first >> 48;
}

/* ipv6_check loads the header and does RFC 8200 3, and the addresses of RFC 4291. */
static __always_inline enum weft_reason ipv6_check(struct packet *p, struct ipv6 *ip)
{
	__u64 *word = p->eth + ETH_HLEN;
	enum weft_reason r;

	if (unlikely((void *)(word + 5) > p->end))
		STOP(WEFT_IP_LENGTH_WRONG);
	ip->first = word[0];
	ip->len = bpf_ntohs(word[0] >> 32) + IPV6_HLEN;
	ip->src_hi = bpf_be64_to_cpu(word[1]);
	ip->src_lo = bpf_be64_to_cpu(word[2]);
	ip->dst_hi = bpf_be64_to_cpu(word[3]);
	ip->dst_lo = bpf_be64_to_cpu(word[4]);
	if (unlikely((ip->first & 0xf0) != 0x60))
		STOP(WEFT_IP_HEADER_CORRUPTED);
	if (unlikely(ip->len + ETH_HLEN != p->bytes)) {
		r = packet_fit(p, ip->len + ETH_HLEN);
		if (r)
			return r;
	}
	if (unlikely(ip->src_hi >> 61 != 1 || ip->dst_hi >> 61 != 1)) {
		r = ipv6_special(ip);
		if (r)
			return r;
	}
	if (unlikely(ipv6_next_header(ip) == IPPROTO_HOPOPTS))
		STOP(WEFT_IPV6_HOP_BY_HOP);
	return 0;
}

/* ipv6_hash returns the hash of the packet's flow. Extension headers are not looked behind: there are no ports then. */
static __always_inline __u32 ipv6_hash(const struct packet *p, const struct ipv6 *ip)
{
	__u32 label = bpf_ntohl(ip->first) & 0xfffff;
	__u8 next = ipv6_next_header(ip);
	__u32 hash;

	hash = fib_hash_ipv6(ip->src_hi, ip->src_lo, ip->dst_hi, ip->dst_lo, label,
			     l4_ports(p, ETH_HLEN + IPV6_HLEN, next), next, fib_hash_seed());
	TRACE(hash, hash);
	return hash;
}

static __always_inline _Bool ipv6_expires(const struct ipv6 *ip)
{
	return ip->first >> 56 <= 1;
}

/* ipv6_forward decreases the hop limit, which is at least 2. */
static __always_inline void ipv6_forward(void *header, const struct ipv6 *ip)
{
	((__u8 *)header)[7] = (ip->first >> 56) - 1;
}

#endif
