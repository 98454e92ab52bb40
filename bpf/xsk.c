//go:build ignore
/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The program of a port whose packets are forwarded in user space: it gives them to sockets of AF_XDP. */
#include "weft/capture.h"
#include "weft/xsk.h"

char _license[] SEC("license") = "Dual BSD/GPL";

SEC("xdp.frags")
int weft_xsk(struct xdp_md *ctx)
{
	struct packet p = {.ctx = ctx, .port = port_of(ctx->ingress_ifindex)};
	enum weft_reason r;

	packet_load(&p);
	capture_begin(&p);
	r = steer(&p);
	if (likely(r == WEFT_FORWARDED))
		return XDP_REDIRECT; /* the loop tells what becomes of it */
	capture_end(&p, r);
	return (__u32)r < (__u32)WEFT_DROP ? XDP_PASS : XDP_DROP;
}
