//go:build ignore
/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The same router as a program of tc, for ports whose driver has no XDP. */
#include "weft/capture.h"
#include "weft/router.h"
#include "weft/tc.h"

char _license[] SEC("license") = "Dual BSD/GPL";

SEC("tcx/ingress")
int weft_tc(struct __sk_buff *skb)
{
	struct packet p = {.ctx = skb, .port = port_of(skb->ifindex)};
	enum weft_reason r;

	tc_pull(&p);
	capture_begin(&p);
	if (unlikely(skb->len > TC_FRAME_MAX)) {
		r = WEFT_MTU_VALUE_IS_TOO_SMALL;
		port_count(p.port, r, skb->len);
	} else {
		r = router(&p);
	}
	capture_end(&p, r);
	if (likely(r == WEFT_FORWARDED))
		return TC_ACT_REDIRECT;
	return (__u32)r < (__u32)WEFT_DROP ? TC_ACT_UNSPEC : TC_ACT_SHOT; /* others may look at what the kernel gets */
}
