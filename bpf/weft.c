//go:build ignore
/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The XDP program of a router. */
#include "weft/capture.h"
#include "weft/router.h"
#include "weft/xdp.h"

char _license[] SEC("license") = "Dual BSD/GPL";

/* These carry their types to Go: an object has only those that something is of. */
const volatile enum weft_reason go_reason;
const volatile enum weft_reason_range go_reason_range;
const volatile enum weft_port_flags go_port_flags;
const volatile enum weft_limits go_limits;
const volatile struct fib_header *const volatile go_header;

/* The one place where a packet's reason becomes what XDP does with it. */
SEC("xdp.frags")
int weft(struct xdp_md *ctx)
{
	struct packet p = {.ctx = ctx, .port = port_of(ctx->ingress_ifindex)};
	enum weft_reason r;

	packet_load(&p);
	capture_begin(&p);
	r = router(&p);
	capture_end(&p, r);
	if (likely(r == WEFT_FORWARDED))
		return XDP_REDIRECT;
	return (__u32)r < (__u32)WEFT_DROP ? XDP_PASS : XDP_DROP;
}
