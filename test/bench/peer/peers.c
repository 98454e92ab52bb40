//go:build ignore
// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * peers.c: what weft's forwarding is compared with inside XDP.
 *
 *	ceiling		rewrite and redirect, always to the same next hop: no lookup, and no check but the verifier's
 *	fib_lookup	bpf_fib_lookup(), as xdp-forward: the kernel's own table and neighbors
 *	lpm_trie	BPF_MAP_TYPE_LPM_TRIE
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

#define AF_INET	 2
#define AF_INET6 10

#define NEXT_HOPS 256
#define IFINDEXES 256

struct next_hop {
	__u8 macs[12]; /* destination, source */
	__u32 ifindex;
};

/* By number; Go writes them. */
struct next_hop next_hops[NEXT_HOPS];

/* What was left to Linux: a figure of an engine that does so would be Linux's. */
__u64 passed;

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, IFINDEXES);
	__type(key, __u32);
	__type(value, __u32);
} tx_ports SEC(".maps");

struct lpm_ipv4_key {
	__u32 prefix_len;
	__be32 addr;
};

struct lpm_ipv6_key {
	__u32 prefix_len;
	__be32 addr[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 20);
	__type(key, struct lpm_ipv4_key);
	__type(value, __u32);
} lpm_ipv4_trie SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 20);
	__type(key, struct lpm_ipv6_key);
	__type(value, __u32);
} lpm_ipv6_trie SEC(".maps");

static __always_inline int pass(void)
{
	passed++;
	return XDP_PASS;
}

/* From linux/ip.h of the kernel. */
static __always_inline void ip_decrease_ttl(struct iphdr *ip)
{
	__u32 check = ip->check;

	check += bpf_htons(0x0100);
	ip->check = check + (check >= 0xffff);
	ip->ttl--;
}

static __always_inline int leave_by(struct ethhdr *eth, const struct next_hop *hop)
{
	__builtin_memcpy(eth, hop->macs, sizeof(hop->macs));
	return bpf_redirect_map(&tx_ports, hop->ifindex, 0);
}

/* What the three have in common: find(ctx, eth, ip, ip6) forwards a packet of which one header is not NULL. */
#define FORWARD(name, find)                                                           \
	SEC("xdp") int name(struct xdp_md *ctx)                                       \
	{                                                                             \
		void *end = (void *)(long)ctx->data_end;                              \
		struct ethhdr *eth = (void *)(long)ctx->data;                         \
		struct ipv6hdr *ip6 = (void *)(eth + 1);                              \
		struct iphdr *ip = (void *)(eth + 1);                                 \
                                                                                      \
		if ((void *)(ip + 1) > end)                                           \
			return XDP_PASS;                                              \
		if (eth->h_proto == bpf_htons(ETH_P_IP))                              \
			return ip->ttl <= 1 ? pass() : find(ctx, eth, ip, NULL);      \
		if (eth->h_proto != bpf_htons(ETH_P_IPV6) || (void *)(ip6 + 1) > end) \
			return XDP_PASS;                                              \
		return ip6->hop_limit <= 1 ? pass() : find(ctx, eth, NULL, ip6);      \
	}

#ifndef NULL
#define NULL ((void *)0)
#endif

static __always_inline int find_constant(struct xdp_md *ctx, struct ethhdr *eth, struct iphdr *ip, struct ipv6hdr *ip6)
{
	if (ip)
		ip_decrease_ttl(ip);
	else
		ip6->hop_limit--;
	return leave_by(eth, &next_hops[1]);
}

FORWARD(ceiling, find_constant)

static __always_inline int find_kernel(struct xdp_md *ctx, struct ethhdr *eth, struct iphdr *ip, struct ipv6hdr *ip6)
{
	struct bpf_fib_lookup p = {.ifindex = ctx->ingress_ifindex};

	if (ip) {
		p.family = AF_INET;
		p.tos = ip->tos;
		p.l4_protocol = ip->protocol;
		p.tot_len = bpf_ntohs(ip->tot_len);
		p.ipv4_src = ip->saddr;
		p.ipv4_dst = ip->daddr;
	} else {
		p.family = AF_INET6;
		p.flowinfo = *(__be32 *)ip6 & bpf_htonl(0x0fffffff);
		p.l4_protocol = ip6->nexthdr;
		p.tot_len = bpf_ntohs(ip6->payload_len);
		__builtin_memcpy(p.ipv6_src, &ip6->saddr, 16);
		__builtin_memcpy(p.ipv6_dst, &ip6->daddr, 16);
	}
	if (bpf_fib_lookup(ctx, &p, sizeof(p), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return pass();
	if (ip)
		ip_decrease_ttl(ip);
	else
		ip6->hop_limit--;
	__builtin_memcpy(eth->h_dest, p.dmac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, p.smac, ETH_ALEN);
	return bpf_redirect_map(&tx_ports, p.ifindex, 0);
}

FORWARD(fib_lookup, find_kernel)

static __always_inline int find_trie(struct xdp_md *ctx, struct ethhdr *eth, struct iphdr *ip, struct ipv6hdr *ip6)
{
	__u32 *number;

	if (ip) {
		struct lpm_ipv4_key key = {.prefix_len = 32, .addr = ip->daddr};

		number = bpf_map_lookup_elem(&lpm_ipv4_trie, &key);
	} else {
		struct lpm_ipv6_key key = {.prefix_len = 128};

		__builtin_memcpy(key.addr, &ip6->daddr, 16);
		number = bpf_map_lookup_elem(&lpm_ipv6_trie, &key);
	}
	if (!number)
		return pass();
	if (ip)
		ip_decrease_ttl(ip);
	else
		ip6->hop_limit--;
	return leave_by(eth, &next_hops[*number & (NEXT_HOPS - 1)]);
}

FORWARD(lpm_trie, find_trie)
