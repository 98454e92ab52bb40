//go:build ignore
/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Asks a traced XDP program about many destinations in one test run, which is
 * repeated: each time the packet is made anew, to the next one, and handed to the
 * program. What that noted of the one before stands in its trace until then.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "weft/types.h"

char _license[] SEC("license") = "Dual BSD/GPL";

/* This carries its type to Go. */
const volatile enum weft_asked_limits go_asked_limits;

struct weft_trace trace SEC(".data.trace");
struct weft_asked asked SEC(".data.asked");

/* What is asked. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} router SEC(".maps");

/* The answer to the question before this one. */
static __always_inline void answered(__u32 turn)
{
	if (turn - 1 < WEFT_ASKED)
		asked.group[turn - 1] = trace.group;
	trace.group = ~0U; /* no group's number */
}

/* Puts a destination into an IPv4 header, whose checksum is that without it. */
static __always_inline void to_ipv4(void *header, const __u32 *dst)
{
	__u16 *checksum = header + 10;
	__u32 sum = (__u16) ~*checksum;

	*(__u32 *)(header + 16) = *dst;
	sum += (*dst >> 16) + (*dst & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	*checksum = ~sum;
}

static __always_inline void to_ipv6(void *header, const __u32 *dst)
{
	for (int i = 0; i < 4; i++)
		((__u32 *)(header + 24))[i] = dst[i];
}

SEC("xdp.frags")
int weft_resolve(struct xdp_md *ctx)
{
	__u32 turn = asked.turn, tags = asked.tags & WEFT_ASKED_TAGS;
	int more = (int)(ctx->data_end - ctx->data) - WEFT_ASKED_FRAME;
	void *frame, *end, *header;

	answered(turn);
	if (turn >= WEFT_ASKED)
		return XDP_ABORTED;
	if (more && bpf_xdp_adjust_head(ctx, more)) /* it has got tags, or lost some */
		return XDP_ABORTED;
	frame = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	header = frame + 14 + tags;
	if (frame + WEFT_ASKED_FRAME > end || header + 40 > end)
		return XDP_ABORTED;
	for (int i = 0; i < WEFT_ASKED_FRAME / 4; i++)
		((__u32 *)frame)[i] = asked.frame[i];
	if (asked.ipv6)
		to_ipv6(header, asked.dst[turn]);
	else
		to_ipv4(header, asked.dst[turn]);
	asked.turn = turn + 1;
	bpf_tail_call(ctx, &router, 0);
	return XDP_ABORTED;
}
