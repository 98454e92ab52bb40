//go:build ignore
/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The program of a port whose packets a loop in user space has by AF_PACKET: the kernel must not forward them, too. */
#include "weft/capture.h"
#include "weft/tap.h"

char _license[] SEC("license") = "Dual BSD/GPL";

SEC("tcx/ingress")
int weft_tap(struct __sk_buff *skb)
{
	struct packet p = {.ctx = skb, .port = port_of(skb->ifindex)};
	enum weft_reason r;

	tap_note(skb);
	tc_pull(&p);
	capture_begin(&p);
	r = steer(&p);
	if (r != WEFT_FORWARDED)
		capture_end(&p, r); /* of the others the loop tells what becomes of them */
	/* What the loop has is the kernel's no more. */
	return r != WEFT_FORWARDED && (__u32)r < (__u32)WEFT_DROP ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}
