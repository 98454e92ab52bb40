//go:build ignore
/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* sink.c: takes in packets that generate.c made. */
#include "traffic.h"

const volatile _Bool check;	 /* look into the packets, too */
const volatile __u8 want_ttl;	 /* 0: any */
const volatile __u8 want_mac[6]; /* all 0: any */

/* What one CPU has seen. */
struct count {
	__u64 packets, bytes;
	__u64 corrupt; /* magic missing */
	__u64 wrong_ttl, wrong_mac;
	__u64 repeated;		    /* sequence number seen before */
	__u64 unknown;		    /* sequence number beyond TRAFFIC_SEQUENCES */
	__u64 since, since_packets; /* ns at a packet at the start, and how many there were then */
	__u64 until, until_packets; /* and at one near the end */
	__u64 late;		    /* behind one of its stretch that was sent later */
	__u64 unused[4];
};

struct count counts[TRAFFIC_CPUS];
__u64 seen[TRAFFIC_SEQUENCES / 64];
__u64 highest[TRAFFIC_STRETCHES];
__u8 last[TRAFFIC_FRAME + 8]; /* frame, with room for two VLAN tags */
__u32 last_size;

#define CLOCK_EVERY 256 /* packets: reading the clock costs as much as all else */

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
	__u64 bit = 1ULL << (sequence & 63);

	__u64 stretch = sequence / (TRAFFIC_SEQUENCES / TRAFFIC_STRETCHES);

	if (sequence >= TRAFFIC_SEQUENCES) {
		c->unknown++;
		return;
	}
	if (sequence < highest[stretch & (TRAFFIC_STRETCHES - 1)])
		c->late++;
	else
		highest[stretch & (TRAFFIC_STRETCHES - 1)] = sequence;
	if (__sync_fetch_and_or(&seen[sequence / 64], bit) & bit)
		c->repeated++;
}

static __always_inline void look(struct xdp_md *ctx, struct count *c, void *eth, void *payload, void *end, __u8 ttl)
{
	struct mark *m = payload;
	__u64 size = end - eth;
	_Bool wrong = 0, any = 1;

	if (want_ttl && ttl != want_ttl)
		c->wrong_ttl++;
	for (int i = 0; i < 6; i++) {
		wrong |= ((__u8 *)eth)[i] != want_mac[i];
		any &= !want_mac[i];
	}
	if (wrong && !any)
		c->wrong_mac++;
	if ((void *)(m + 1) <= end) {
		if (m->magic != bpf_cpu_to_be64(TRAFFIC_MAGIC))
			c->corrupt++;
		else
			note_sequence(c, bpf_be64_to_cpu(m->sequence));
	}
	asm volatile("" : "+r"(size)); /* or the compiler works on 32 bits of the pointers, too few for the verifier */
	if (size - 1 < sizeof(last) && !bpf_xdp_load_bytes(ctx, 0, last, size))
		last_size = size;
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
	c->bytes += end - eth;
	if (check)
		look(ctx, c, eth, udp + UDP_HLEN, end, ttl);
	return XDP_DROP;
}
