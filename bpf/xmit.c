//go:build ignore
/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counts what XDP has redirected and the egress port did not take: the program
 * that redirected has ended by then, and counted the packet as forwarded. The
 * kernel tells of it by two tracepoints: one for frames that a driver refused,
 * one for frames that did not come to a driver.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "weft/types.h"

char _license[] SEC("license") = "Dual BSD/GPL";

#define EMSGSIZE 90

/* As much of the kernel's types as is read; the loader finds out where it is. */
struct ns_common {
	unsigned int inum;
} __attribute__((preserve_access_index));

struct net {
	struct ns_common ns;
} __attribute__((preserve_access_index));

typedef struct {
	struct net *net;
} __attribute__((preserve_access_index)) possible_net_t;

struct net_device {
	int ifindex;
	possible_net_t nd_net;
} __attribute__((preserve_access_index));

struct bpf_dtab_netdev {
	struct net_device *dev;
} __attribute__((preserve_access_index));

struct weft_ports ports SEC(".data.ports");
struct weft_transmits transmits SEC(".data.transmits");

#define LOOPBACK 1

static __always_inline int lost(const struct net_device *from, const struct net_device *to, __u32 frames, int error)
{
	struct weft_transmit *t;
	__u32 ifindex = BPF_CORE_READ(to, ifindex);
	__u32 number;

	if (BPF_CORE_READ(to, nd_net.net, ns.inum) != transmits.netns || ifindex >= WEFT_IFINDEXES)
		return 0;
	number = ports.by_ifindex[ifindex];
	if (!number)
		return 0;
	t = &transmits.port[number & (WEFT_PORTS - 1)];
	if (error)
		t->error = -error;
	if (BPF_CORE_READ(from, ifindex) ==
	    LOOPBACK) { /* a test run: no packet comes in by it that could be redirected */
		__sync_fetch_and_add(&t->probes, frames);
		return 0;
	}
	__sync_fetch_and_add(&t->dropped, frames);
	if (error && error != -EMSGSIZE) /* that one is the frame's fault */
		__sync_fetch_and_add(&t->refused, frames);
	return 0;
}

/* from, to, sent, drops, err */
SEC("raw_tp/xdp_devmap_xmit")
int weft_xmit(struct bpf_raw_tracepoint_args *ctx)
{
	int drops = ctx->args[3];

	if (drops <= 0)
		return 0;
	return lost((void *)ctx->args[0], (void *)ctx->args[1], drops, ctx->args[4]);
}

/* from, program, target, err, map type, map, index */
SEC("raw_tp/xdp_redirect_err")
int weft_redirect(struct bpf_raw_tracepoint_args *ctx)
{
	struct bpf_dtab_netdev *to = (void *)ctx->args[2];
	__u32 map = ctx->args[5];

	if (!map || (map != transmits.tx_ports && map != transmits.tx_probe) || !to)
		return 0;
	return lost((void *)ctx->args[0], BPF_CORE_READ(to, dev), 1, ctx->args[3]);
}
