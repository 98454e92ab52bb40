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

/* What is looked at after the checks. The rest is loaded again by those that ask, which few packets need. */
struct ipv4 {
	__u64 ttl_checksum; /* TTL 7..0, protocol 15..8, checksum (network order) 31..16, as they lie in memory */
};

#define IPV4_HLEN 20

/* A /6 of addresses that has some in it that no packet may have: 0/6, 124/6, 224/4, 252/6. */
#define IPV4_SPECIAL (1ULL << 0 | 1ULL << 31 | 15ULL << 56 | 1ULL << 63)

/* ipv4_may_be_special has bit 0 set if an address, as it lies in memory, is in such a /6: its first 6 bits are bits 7..2. */
static __always_inline __u64 ipv4_may_be_special(__u64 a)
{
	__u64 special = IPV4_SPECIAL;

	FIB_SHIFT(">>=", special, a >> 2);
	return special;
}

/* ipv4_len returns the packet's length as its header says, bytes. */
static __always_inline __u32 ipv4_len(const struct packet *p)
{
	return bpf_ntohs(*(__be16 *)(p->eth + ETH_HLEN + 2));
}

/* ipv4_dst returns the destination. */
static __always_inline __u32 ipv4_dst(const struct packet *p)
{
	return bpf_ntohl(*(volatile __be32 *)(p->eth + ETH_HLEN + 16));
}

/* ipv4_src returns the source. */
static __always_inline __u32 ipv4_src(const struct packet *p)
{
	return bpf_ntohl(*(volatile __be32 *)(p->eth + ETH_HLEN + 12));
}

static __always_inline _Bool ipv4_is_multicast(__u32 a)
{
	return a >> 28 == 14;
}

/*
 * ipv4_special tells what is wrong with addresses of which one is in an
 * IPV4_SPECIAL block. Sources: RFC 1812 5.3.7. Class E is not special (RFC 6890
 * leaves it to the operator, and Linux routes it).
 */
static __always_inline enum weft_reason ipv4_special(__u32 src, __u32 dst)
{
	if (dst == 0xffffffff)
		STOP(WEFT_BROADCAST);
	if (ipv4_is_multicast(dst))
		STOP(WEFT_MULTICAST);
	if (src == 0xffffffff)
		STOP(WEFT_IPV4_SIP_IS_LIMITED_BC);
	if (ipv4_is_multicast(src))
		STOP(WEFT_SIP_IS_MC);
	if (src >> 24 == 0)
		STOP(WEFT_SIP_IS_UNSPECIFIED);
	if (src >> 24 == 127)
		STOP(WEFT_SIP_IS_LOOPBACK_ADDRESS);
	if (dst >> 24 == 0)
		STOP(WEFT_DIP_IS_UNSPECIFIED);
	if (dst >> 24 == 127)
		STOP(WEFT_DIP_IS_LOOPBACK_ADDRESS);
	return 0;
}

/* ipv4_long takes headers that are not 20 bytes of version 4. */
static __always_inline enum weft_reason ipv4_long(const struct packet *p)
{
	__u8 first = *(__u8 *)(p->eth + ETH_HLEN);
	__u32 hlen = (first & 15) * 4, len = ipv4_len(p);

	if (first >> 4 != 4 || hlen < IPV4_HLEN)
		STOP(WEFT_IP_HEADER_CORRUPTED);
	if (len < hlen || len + ETH_HLEN > packet_bytes(p))
		STOP(WEFT_IP_LENGTH_WRONG);
	STOP(WEFT_IPV4_OPTIONS);
}

/* ipv4_check loads the header, which is there, and does RFC 1812 5.2.2, and the addresses of 5.3.4 to 5.3.7. */
static __always_inline enum weft_reason ipv4_check(struct packet *p, struct ipv4 *ip)
{
	__u32 *word = p->eth + ETH_HLEN;
	enum weft_reason r;
	__u64 src, dst, sum;
	__u32 len;

	if (unlikely(*(volatile __u8 *)word != 0x45))
		return ipv4_long(p);
	ip->ttl_checksum = word[2];
	src = word[3];
	dst = word[4];
	sum = (__u64)word[0] + word[1] + ip->ttl_checksum + src + dst;
	if (unlikely(!csum_right(sum)))
		STOP(WEFT_IPV4_CHECKSUM_WRONG);
	len = ipv4_len(p);
	if (unlikely(len + ETH_HLEN != p->bytes)) {
		if (len < IPV4_HLEN) /* only here: the frame is long enough for more */
			STOP(WEFT_IP_LENGTH_WRONG);
		r = packet_fit(p, len + ETH_HLEN);
		if (r)
			return r;
	}
	if (unlikely(ANY_BIT(ipv4_may_be_special(src) | ipv4_may_be_special(dst), 1)))
		return ipv4_special(bpf_ntohl(src), ipv4_dst(p));
	return 0;
}

/* ipv4_hash returns the hash of the packet's flow. */
static __always_inline __u32 ipv4_hash(const struct packet *p, const struct ipv4 *ip)
{
	__u8 protocol = ip->ttl_checksum >> 8;
	void *header = p->eth + ETH_HLEN;
	__u32 ports = 0, hash;

	asm volatile("" : "+r"(header)); /* loads again what the checks had, instead of keeping it for this */
	if (!(*(__be16 *)(header + 6) & bpf_htons(0x3fff))) /* more fragments, and offset */
		ports = l4_ports(p, ETH_HLEN + IPV4_HLEN, protocol);
	hash = fib_hash_ipv4(bpf_ntohl(*(__be32 *)(header + 12)), ipv4_dst(p), ports, protocol, fib_hash_seed());
	TRACE(hash, hash);
	return hash;
}

/*
 * ipv4_partial tells whether a packet's L4 checksum is to be filled in yet. What is
 * added to the addresses is the length without the header, and the protocol.
 */
static __always_inline _Bool ipv4_partial(const struct packet *p, const struct ipv4 *ip)
{
	__u32 *word = p->eth + ETH_HLEN;
	__u64 pseudo;

	asm volatile("" : "+r"(word)); /* loads again, as ipv4_hash */
	pseudo = (__u64)word[3] + word[4] + ((__u16 *)word)[1] + (0xffff - bpf_htons(IPV4_HLEN)) +
		 (ip->ttl_checksum & 0xff00);
	return l4_partial(p, ETH_HLEN + IPV4_HLEN, ip->ttl_checksum >> 8, pseudo);
}

static __always_inline _Bool ipv4_expires(const struct ipv4 *ip)
{
	return !ANY_BIT(ip->ttl_checksum, 0xfe);
}

/* ipv4_too_big tells whether a packet is longer than an MTU. Most are told by the length of the frame. */
static __always_inline _Bool ipv4_too_big(const struct packet *p, const struct ipv4 *ip, __u32 mtu)
{
	return unlikely(p->bytes > (__u64)mtu + ETH_HLEN) &&
	       packet_unit(p, ipv4_len(p), IPV4_HLEN, ip->ttl_checksum >> 8) > mtu;
}

/*
 * ipv4_forward decreases the TTL, which is at least 2, and the checksum with it:
 * RFC 1624 (3) for a change of one word by -0x0100, in words as they lie in memory.
 */
static __always_inline void ipv4_forward(struct packet *p)
{
	__u32 *at = p->eth + ETH_HLEN + 8, word = *(volatile __u32 *)at;

	if (unlikely(word > 0xfffe0000)) /* the sum below has an end-around carry */
		word += 1 << 16;
	*at = word + (1 << 16) - 1;
}

#endif
