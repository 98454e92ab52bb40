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

/* tap_note keeps the frame's length, as the socket has seen it: padding may be cut off later. */
static __always_inline void tap_note(struct __sk_buff *skb)
{
	skb->cb[0] = skb->len;
}

static __always_inline enum weft_reason steer_send(const struct packet *p, __u32 port)
{
	struct __sk_buff *skb = p->ctx;

	if (unlikely(skb->cb[0] > frame_max || skb->gso_size))
		STOP(WEFT_LOOP_FRAME_TOO_LONG);
	return WEFT_FORWARDED;
}

#endif
