//go:build ignore
/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* sink.c: takes in packets that generate.c made. */
#include "traffic.h"

const volatile _Bool check;	 /* look into the packets, too, and keep the last one */
const volatile _Bool sequences;	 /* look at sequence numbers */
const volatile _Bool latency;	 /* look at times */
const volatile _Bool jumbo;	 /* frames may be longer than a page */
const volatile __u8 want_ttl;	 /* 0: any */
const volatile __u8 want_mac[6]; /* all 0: any */

/* What one CPU has seen. */
struct count {
	__u64 packets, bytes, ipv6;
	__u64 marked, corrupt; /* with and without the magic number, where there is room for it */
	__u64 wrong_ttl, wrong_mac;
	__u64 repeated;		    /* sequence number seen before */
	__u64 late;		    /* behind one of its stretch that was sent later */
	__u64 foreign;		    /* stamped by another machine's clock */
	__u64 first, next;	    /* least sequence number, and behind the greatest */
	__u64 since, since_packets; /* ns at a packet at the start, and how many there were then */
	__u64 until, until_packets; /* and at one near the end */
};

struct count counts[TRAFFIC_CPUS];
__u8 seen[TRAFFIC_SEQUENCES]; /* the round in which a number was seen last, from 1 on */
__u64 highest[TRAFFIC_STRETCHES];
__u8 last[TRAFFIC_FRAME + 8]; /* frame, with room for two VLAN tags */
__u32 last_size;

/* Of times under way: 64 buckets of 1 ns, then 32 for each power of two. */
__u64 latencies[TRAFFIC_BUCKETS];

#define CLOCK_EVERY 256		 /* packets: reading the clock costs as much as all else */
#define LONGEST	    (1ULL << 34) /* ns under way; what is longer is no time */

static __always_inline void note_time(struct count *c)
{
	if (c->packets % CLOCK_EVERY)
		return;
	c->until = bpf_ktime_get_ns();
	c->until_packets = c->packets;
	if (!c->since) {
		c->since = c->until;
		c->since_packets = c->packets;
	}
}

static __always_inline void note_sequence(struct count *c, __u64 sequence)
{
	__u64 *h = &highest[sequence / (TRAFFIC_SEQUENCES / TRAFFIC_STRETCHES) & (TRAFFIC_STRETCHES - 1)];
	__u8 *s = &seen[sequence & (TRAFFIC_SEQUENCES - 1)], round = 1 + sequence / TRAFFIC_SEQUENCES % 255;

	if (*s == round)
		c->repeated++;
	else if (sequence < *h)
		c->late++;
	if (sequence > *h)
		*h = sequence;
	*s = round;
	if (!c->next || sequence < c->first)
		c->first = sequence;
	if (sequence >= c->next)
		c->next = sequence + 1;
}

static __always_inline __u32 power(__u64 v)
{
	__u32 p = 0;

	for (int bits = 32; bits; bits /= 2) {
		if (v >> bits) {
			v >>= bits;
			p += bits;
		}
	}
	return p;
}

static __always_inline void note_latency(struct count *c, __u64 stamp)
{
	__u64 ns = bpf_ktime_get_ns() - stamp;
	__u32 bucket = ns, shift;

	if (ns >= LONGEST) {
		c->foreign++;
		return;
	}
	if (ns >= 64) {
		shift = power(ns) - 5;
		bucket = shift * 32 + (ns >> shift);
	}
	if (bucket < TRAFFIC_BUCKETS)
		__sync_fetch_and_add(&latencies[bucket], 1);
}

static __always_inline void look(struct xdp_md *ctx, struct count *c, void *eth, void *end, __u8 ttl)
{
	__u64 size = jumbo ? bpf_xdp_get_buff_len(ctx) : end - eth;
	_Bool wrong = 0, any = 1;

	if (want_ttl && ttl != want_ttl)
		c->wrong_ttl++;
	for (int i = 0; i < 6; i++) {
		wrong |= ((__u8 *)eth)[i] != want_mac[i];
		any &= !want_mac[i];
	}
	if (wrong && !any)
		c->wrong_mac++;
	asm volatile("" : "+r"(size)); /* or the compiler works on 32 bits of the pointers, too few for the verifier */
	if (size - 1 < sizeof(last) && !bpf_xdp_load_bytes(ctx, 0, last, size))
		last_size = size;
}

static __always_inline void look_at_mark(struct count *c, struct mark *m, void *end)
{
	if ((void *)(m + 1) > end)
		return;
	if (m->magic != bpf_htonl(TRAFFIC_MAGIC)) {
		c->corrupt++;
		return;
	}
	c->marked++;
	if (sequences)
		note_sequence(c, (__u64)bpf_ntohs(m->sequence_high) << 32 | bpf_ntohl(m->sequence_low));
	if (latency && m->stamp)
		note_latency(c, bpf_be64_to_cpu(m->stamp));
}

/* Takes in what generate made; the rest is the kernel's. */
SEC("xdp")
int sink(struct xdp_md *ctx)
{
	void *eth = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	void *ip = eth + ETH_HLEN, *udp;
	struct count *c;
	__be16 type;
	__u8 protocol, ttl;

	if (ip + IPV4_HLEN + UDP_HLEN > end)
		return XDP_PASS;
	type = *(__be16 *)(ip - 2);
	for (int tags = 0; tags < 2; tags++) {
		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
			break;
		ip += 4;
		if (ip + IPV4_HLEN + UDP_HLEN > end)
			return XDP_PASS;
		type = *(__be16 *)(ip - 2);
	}
	if (type == bpf_htons(ETH_P_IP) && *(__u8 *)ip == 0x45) {
		ttl = ((__u8 *)ip)[8];
		protocol = ((__u8 *)ip)[9];
		udp = ip + IPV4_HLEN;
	} else if (type == bpf_htons(ETH_P_IPV6)) {
		protocol = ((__u8 *)ip)[6];
		ttl = ((__u8 *)ip)[7];
		udp = ip + IPV6_HLEN;
	} else {
		return XDP_PASS;
	}
	if (udp + UDP_HLEN > end || protocol != IPPROTO_UDP || *(__be16 *)(udp + 2) != bpf_htons(TRAFFIC_PORT))
		return XDP_PASS;
	c = &counts[bpf_get_smp_processor_id() & (TRAFFIC_CPUS - 1)];
	note_time(c);
	c->packets++;
	c->bytes += jumbo ? bpf_xdp_get_buff_len(ctx) : end - eth;
	c->ipv6 += type == bpf_htons(ETH_P_IPV6);
	if (check)
		look(ctx, c, eth, end, ttl);
	if (sequences || latency)
		look_at_mark(c, udp + UDP_HLEN, end);
	return XDP_DROP;
}
