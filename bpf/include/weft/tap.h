/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tap.h: how a program of tc gives packets to a loop: a socket of AF_PACKET in front
 * of it has a copy of each already, but for those that the socket leaves out. Twin of
 * xsk.h.
 */
#ifndef WEFT_TAP_H
#define WEFT_TAP_H

#include "weft/steer.h"
#include "weft/tc.h"

/* The kernel's own is dropped. wire_len is what the socket has seen, whatever has been cut off since. */
static __always_inline enum weft_reason steer_send(const struct packet *p, __u32 port)
{
	struct __sk_buff *skb = p->ctx;

	if (unlikely(skb->wire_len > frame_max || skb->gso_size))
		STOP(WEFT_MTU_VALUE_IS_TOO_SMALL);
	return WEFT_FORWARDED;
}

#endif
