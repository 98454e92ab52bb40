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

/* What is looked at after the checks, twin of struct ipv4. */
struct ipv6 {
	__u64 first; /* as it lies in memory: version 7..4, payload length 47..32, next header 55..48, hop limit 63..56 */
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

/* ipv6_word returns 8 bytes of the header: 1 and 2 are the source, 3 and 4 the destination. Loaded again each time. */
static __always_inline __u64 ipv6_word(const struct packet *p, const int n)
{
	return bpf_be64_to_cpu(*(volatile __be64 *)(p->eth + ETH_HLEN + 8 * n));
}

/* ipv6_byte returns one byte of the header. */
static __always_inline __u64 ipv6_byte(const struct packet *p, const int n)
{
	return *(volatile __u8 *)(p->eth + ETH_HLEN + n);
}

/* ipv6_len returns the packet's length as its header says, bytes. */
static __always_inline __u32 ipv6_len(const struct packet *p)
{
	return bpf_ntohs(*(__be16 *)(p->eth + ETH_HLEN + 4)) + IPV6_HLEN;
}

/*
 * ipv6_special tells what is wrong with addresses of which one is not in 2000::/3.
 * RFC 4291 2.5.2 to 2.5.6 and 2.7.
 */
static __always_inline enum weft_reason ipv6_special(const struct packet *p)
{
	__u64 src_hi = ipv6_word(p, 1), src_lo = ipv6_word(p, 2), dst_hi = ipv6_word(p, 3), dst_lo = ipv6_word(p, 4);

	if (ipv6_is_multicast(src_hi))
		STOP(WEFT_SIP_IS_MC);
	if (ipv6_is_multicast(dst_hi)) {
		switch (dst_hi >> 48 & 15) {
		case 0:
			STOP(WEFT_IPV6_MC_DIP_RESERVED_SCOPE);
		case 1:
			STOP(WEFT_IPV6_MC_DIP_INTERFACE_LOCAL_SCOPE);
		}
		STOP(WEFT_MULTICAST);
	}
	if (ipv6_is_unspecified(src_hi, src_lo))
		STOP(WEFT_SIP_IS_UNSPECIFIED);
	if (ipv6_is_loopback(src_hi, src_lo))
		STOP(WEFT_SIP_IS_LOOPBACK_ADDRESS);
	if (ipv6_is_ipv4_mapped(src_hi, src_lo))
		STOP(WEFT_IPV6_SIP_IS_IPV4_MAPPED);
	if (ipv6_is_unspecified(dst_hi, dst_lo))
		STOP(WEFT_DIP_IS_UNSPECIFIED);
	if (ipv6_is_loopback(dst_hi, dst_lo))
		STOP(WEFT_DIP_IS_LOOPBACK_ADDRESS);
	if (ipv6_is_ipv4_mapped(dst_hi, dst_lo))
		STOP(WEFT_IPV6_DIP_IS_IPV4_MAPPED);
	if (ipv6_is_link_local(dst_hi))
		STOP(WEFT_IPV6_UC_DIP_LINK_LOCAL_SCOPE);
	if (ipv6_is_link_local(src_hi))
		STOP(WEFT_IPV6_UC_SIP_LINK_LOCAL_SCOPE);
	return 0;
}

static __always_inline __u8 ipv6_next_header(const struct ipv6 *ip)
{
	return ip->first >> 48;
}

/* ipv6_check loads the header, which is there, and does RFC 8200 3, and the addresses of RFC 4291. */
static __always_inline enum weft_reason ipv6_check(struct packet *p, struct ipv6 *ip)
{
	__u64 *word = p->eth + ETH_HLEN;
	enum weft_reason r;
	__u32 len;

	ip->first = word[0];
	if (unlikely((ip->first & 0xf0) != 0x60))
		STOP(WEFT_IP_HEADER_CORRUPTED);
	len = ipv6_len(p);
	if (unlikely(len + ETH_HLEN != p->bytes)) {
		/* Length 0 and hop-by-hop: an option may say the length (RFC 2675). What follows is no padding then. */
		if (unlikely(!(*(volatile __u32 *)(p->eth + ETH_HLEN + 4) << 8)))
			STOP(WEFT_IPV6_HOP_BY_HOP);
		r = packet_fit(p, len + ETH_HLEN);
		if (r)
			return r;
	}
	if (unlikely(ANY_BIT((ipv6_byte(p, 8) ^ 0x20) | (ipv6_byte(p, 24) ^ 0x20), 0xe0))) {
		r = ipv6_special(p);
		if (r)
			return r;
	}
	if (unlikely(ipv6_byte(p, 6) == IPPROTO_HOPOPTS))
		STOP(WEFT_IPV6_HOP_BY_HOP);
	return 0;
}

/* ipv6_partial tells whether a packet's L4 checksum is to be filled in yet. */
static __always_inline _Bool ipv6_partial(const struct packet *p, const struct ipv6 *ip)
{
	__u32 *word = p->eth + ETH_HLEN;
	__u64 pseudo;

	asm volatile("" : "+r"(word)); /* loads again, as ipv4_partial */
	pseudo = (__u64)((__u16 *)word)[2] + (__u32)ipv6_next_header(ip) * 256;
	for (int i = 2; i < 10; i++)
		pseudo += word[i];
	return l4_partial(p, ETH_HLEN + IPV6_HLEN, ipv6_next_header(ip), pseudo);
}

/* ipv6_hash returns the hash of the packet's flow. Extension headers are not looked behind: there are no ports then. */
static __always_inline __u32 ipv6_hash(const struct packet *p, const struct ipv6 *ip)
{
	__u32 label = bpf_ntohl(ip->first) & 0xfffff;
	__u8 next = ipv6_next_header(ip);
	__u32 hash;

	hash = fib_hash_ipv6(ipv6_word(p, 1), ipv6_word(p, 2), ipv6_word(p, 3), ipv6_word(p, 4), label,
			     l4_ports(p, ETH_HLEN + IPV6_HLEN, next), next, fib_hash_seed());
	TRACE(p, hash, hash);
	return hash;
}

static __always_inline _Bool ipv6_expires(const struct ipv6 *ip)
{
	return ip->first >> 56 <= 1;
}

/* ipv6_too_big tells whether a packet is longer than an MTU. Most are told by the length of the frame. */
static __always_inline _Bool ipv6_too_big(const struct packet *p, const struct ipv6 *ip, __u32 mtu)
{
	return unlikely(p->bytes > (__u64)mtu + ETH_HLEN) &&
	       packet_unit(p, ipv6_len(p), IPV6_HLEN, ipv6_next_header(ip)) > mtu;
}

/* ipv6_forward decreases the hop limit, which is at least 2. */
static __always_inline void ipv6_forward(struct packet *p)
{
	__u8 *hops = p->eth + ETH_HLEN + 7;

	*hops = *(volatile __u8 *)hops - 1;
}

#endif
