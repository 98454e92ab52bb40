/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ipv4.h: IPv4 (RFC 791, RFC 1812), twin of ipv6.h. */
#ifndef WEFT_IPV4_H
#define WEFT_IPV4_H

#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include "weft/csum.h"
#include "weft/fib.h"
#include "weft/l4.h"
#include "weft/maps.h"
#include "weft/packet.h"

/*
 * The header as its words lie in memory: each is loaded once, for the checks, the
 * checksum and the rewrite.
 */
struct ipv4 {
	__u32 version_length; /* version and IHL 7..0, TOS 15..8, total length (network order) 31..16 */
	__u32 ttl_checksum;   /* TTL 7..0, protocol 15..8, checksum (network order) 31..16 */
	__u32 src, dst;	      /* host order */
	__u32 len;	      /* of the packet, bytes */
};

#define IPV4_HLEN 20

/* A /6 of addresses that has some in it that no packet may have: 0/6, 124/6, 224/4, 252/6. */
#define IPV4_SPECIAL (1ULL << 0 | 1ULL << 31 | 15ULL << 56 | 1ULL << 63)

static __always_inline _Bool ipv4_is_multicast(__u32 a)
{
	return a >> 28 == 14;
}

/*
 * ipv4_special tells what is wrong with addresses of which one is in an
 * IPV4_SPECIAL block. Sources: RFC 1812 5.3.7. Class E is not special (RFC 6890
 * leaves it to the operator, and Linux routes it).
 */
static __always_inline enum weft_reason ipv4_special(const struct ipv4 *ip)
{
	if (ip->dst == 0xffffffff)
		STOP(WEFT_BROADCAST);
	if (ipv4_is_multicast(ip->dst))
		STOP(WEFT_MULTICAST);
	if (ip->src == 0xffffffff)
		STOP(WEFT_IPV4_SIP_IS_LIMITED_BC);
	if (ipv4_is_multicast(ip->src))
		STOP(WEFT_SIP_IS_MC);
	if (ip->src >> 24 == 0)
		STOP(WEFT_SIP_IS_UNSPECIFIED);
	if (ip->src >> 24 == 127)
		STOP(WEFT_SIP_IS_LOOPBACK_ADDRESS);
	if (ip->dst >> 24 == 0)
		STOP(WEFT_DIP_IS_UNSPECIFIED);
	if (ip->dst >> 24 == 127)
		STOP(WEFT_DIP_IS_LOOPBACK_ADDRESS);
	return 0;
}

/* ipv4_long takes headers that are not 20 bytes of version 4. */
static __always_inline enum weft_reason ipv4_long(const struct packet *p, const struct ipv4 *ip)
{
	__u32 hlen = (ip->version_length & 15) * 4;

	if ((ip->version_length >> 4 & 15) != 4 || hlen < IPV4_HLEN)
		STOP(WEFT_IP_HEADER_CORRUPTED);
	if (ip->len < hlen || ip->len + ETH_HLEN > packet_bytes(p))
		STOP(WEFT_IP_LENGTH_WRONG);
	STOP(WEFT_IPV4_OPTIONS);
}

/* ipv4_check loads the header and does RFC 1812 5.2.2, and the addresses of 5.3.4 to 5.3.7. */
static __always_inline enum weft_reason ipv4_check(struct packet *p, struct ipv4 *ip)
{
	__u32 *word = p->eth + ETH_HLEN;
	enum weft_reason r;
	__u64 sum;

	if (unlikely((void *)(word + 5) > p->end))
		STOP(WEFT_IP_LENGTH_WRONG);
	ip->version_length = word[0];
	ip->ttl_checksum = word[2];
	ip->len = bpf_ntohs(word[0] >> 16);
	sum = (__u64)word[0] + word[1] + word[2] + word[3] + word[4];
	ip->src = bpf_ntohl(word[3]);
	ip->dst = bpf_ntohl(word[4]);
	if (unlikely((ip->version_length & 0xff) != 0x45))
		return ipv4_long(p, ip);
	if (unlikely(!csum_right(sum)))
		STOP(WEFT_IPV4_CHECKSUM_WRONG);
	if (unlikely(ip->len + ETH_HLEN != p->bytes)) {
		if (ip->len < IPV4_HLEN) /* only here: the frame is long enough for more */
			STOP(WEFT_IP_LENGTH_WRONG);
		r = packet_fit(p, ip->len + ETH_HLEN);
		if (r)
			return r;
	}
	if (unlikely((IPV4_SPECIAL >> (ip->src >> 26) | IPV4_SPECIAL >> (ip->dst >> 26)) & 1))
		return ipv4_special(ip);
	return 0;
}

/* ipv4_hash returns the hash of the packet's flow. */
static __always_inline __u32 ipv4_hash(const struct packet *p, const struct ipv4 *ip)
{
	__u8 protocol = ip->ttl_checksum >> 8;
	__u32 ports = 0, hash;
	__be16 *fragment = p->eth + ETH_HLEN + 6;

	if ((void *)(fragment + 7) > p->end)
		return 0;
	if (!(*fragment & bpf_htons(0x3fff))) /* more fragments, and offset */
		ports = l4_ports(p, ETH_HLEN + IPV4_HLEN, protocol);
	hash = fib_hash_ipv4(ip->src, ip->dst, ports, protocol, fib_hash_seed());
	TRACE(hash, hash);
	return hash;
}

static __always_inline _Bool ipv4_expires(const struct ipv4 *ip)
{
	return (ip->ttl_checksum & 0xff) <= 1;
}

/*
 * ipv4_forward decreases the TTL, which is at least 2, and the checksum with it:
 * RFC 1624 (3) for a change of one word by -0x0100, in words as they lie in memory.
 */
static __always_inline void ipv4_forward(void *header, const struct ipv4 *ip)
{
	__u64 word = (__u64)ip->ttl_checksum - 1 + (1 << 16);

	if (unlikely(word >= 0xffff0000)) /* end-around carry */
		word += 1 << 16;
	((__u32 *)header)[2] = word;
}

#endif
