/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* xsk.h: how a program of XDP gives packets to a loop: by sockets of AF_XDP. Twin of tap.h. */
#ifndef WEFT_XSK_H
#define WEFT_XSK_H

#include "weft/steer.h"
#include "weft/xdp.h"

/* Sockets, by port number * WEFT_XSK_QUEUES + queue. An empty slot is a queue that no loop takes packets from. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, WEFT_XSK_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

/* The packet goes when the program ends. Without a socket the kernel forwards it. */
static __always_inline enum weft_reason steer_send(const struct packet *p, __u32 port)
{
	struct xdp_md *ctx = p->ctx;
	__u32 queue = ctx->rx_queue_index;

	if (unlikely(packet_bytes(p) > frame_max))
		STOP(WEFT_LOOP_FRAME_TOO_LONG);
	if (unlikely(queue >= WEFT_XSK_QUEUES))
		STOP(WEFT_LOOP_ABSENT);
	if (unlikely(bpf_redirect_map(&xsks, port * WEFT_XSK_QUEUES + queue, XDP_PASS) != XDP_REDIRECT))
		STOP(WEFT_LOOP_ABSENT);
	return WEFT_FORWARDED;
}

#endif
