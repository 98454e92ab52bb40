/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * packet.h: a packet on its way through the program. A step takes it, and
 * returns 0 to go on or the reason why not.
 */
#ifndef WEFT_PACKET_H
#define WEFT_PACKET_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>
#include "weft/reason.h"
#include "weft/types.h"

/*
 * What follows unlikely is out of the way of most packets. The compiler leaves it
 * there, to be jumped over; the loader moves what is marked (package bpf, arrange).
 */
#define unlikely(x)                                                  \
	(__builtin_expect(!!(x), 0) && ({                            \
		 asm volatile("if r10 == 0x7765434f goto +0" : : :); \
		 1;                                                  \
	 }))
#define likely(x) (!unlikely(!(x)))

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words of headers are taken apart as a little-endian machine loads them"
#endif

/*
 * Ends a step with a reason, a constant that only this way out loads. Without the
 * asm the compiler loads it before each branch, where all packets pass.
 */
#define STOP(reason)                                                   \
	({                                                             \
		__u64 reason_;                                         \
		asm volatile("%0 = %1" : "=r"(reason_) : "i"(reason)); \
		return reason_;                                        \
	})

struct packet {
	void *ctx;		      /* struct xdp_md or struct __sk_buff */
	const struct weft_port *port; /* it came in by */
	void *eth, *end;	      /* the first piece of the frame, which is all of it unless it is large */
	__u64 bytes;		      /* from eth to end, as received */
#ifdef CAPTURE
	struct weft_trace steps;
#endif
};

/* What follows differs between XDP and tc: xdp.h and tc.h define it. */

/* packet_load finds the frame again after it may have moved. */
static __always_inline void packet_load(struct packet *p);

/* packet_end finds the frame's end again, instead of p->end. */
static __always_inline void *packet_end(const struct packet *p);

/* packet_bytes returns the length of the frame as received, all pieces of it. */
static __always_inline __u64 packet_bytes(const struct packet *p);

/* packet_copy copies the frame's first len bytes, which it has. */
static __always_inline long packet_copy(const struct packet *p, void *to, __u32 len);

/* packet_beside returns the tag that stands beside the frame, as it lies in one; 0: none. */
static __always_inline __u32 packet_beside(const struct packet *p);

/* packet_now returns the length of the frame as it is now, all pieces of it, without a tag beside it. */
static __always_inline __u64 packet_now(const struct packet *p);

/* packet_cut takes bytes off the frame's end. */
static __always_inline long packet_cut(struct packet *p, __u32 from, __u32 to);

/*
 * packet_unit returns the length of the longest IP packet that a packet of len
 * bytes, with an IP header of hlen, is sent as: less when it is several in one.
 */
static __always_inline __u32 packet_unit(const struct packet *p, __u32 len, const __u32 hlen, __u8 protocol);

/* packet_changed says that a 16-bit word of the packet, as it lies in memory, becomes less. */
static __always_inline void packet_changed(const struct packet *p, __u32 less);

/* packet_send names the port that the packet leaves by, and tells whether there is one. It goes when the program ends. */
static __always_inline _Bool packet_send(__u32 port);

/* packet_tag puts the VLAN tags of a new header, one or two, behind the packet's MACs. */
static __always_inline long packet_tag(struct packet *p, const __u8 *rewrite, _Bool two);

/*
 * packet_fit is for a frame whose first piece does not end where its packet does,
 * at len bytes from the Ethernet header on. Padding goes, as RFC 1812 5.2.2 wants
 * it not to be forwarded, but for what the shortest Ethernet frame has.
 */
static __always_inline enum weft_reason packet_fit(struct packet *p, __u32 len)
{
	__u64 bytes = packet_bytes(p);

	if (len > bytes)
		STOP(WEFT_IP_LENGTH_WRONG);
	p->bytes = bytes;
	if (len < ETH_ZLEN)
		len = ETH_ZLEN;
	if (len >= bytes)
		return 0;
	if (packet_cut(p, bytes, len))
		STOP(WEFT_IP_LENGTH_WRONG);
	packet_load(p);
	if (p->eth + ETH_ZLEN > p->end) /* for the verifier: it has that */
		STOP(WEFT_IP_LENGTH_WRONG);
	return 0;
}

#endif
