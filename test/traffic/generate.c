//go:build ignore
/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* generate.c: makes packets and sends them. */
#include "traffic.h"

/* What frames of one size and family begin with. */
struct kind {
	__u64 headers[8];  /* Ethernet, IP and UDP; 0 where they vary */
	__u64 header_sum;  /* of the words of the IPv4 header that do not vary */
	__u64 payload_sum; /* of those of pseudo-header, UDP header and payload */
	__u32 size, family;
};

const volatile struct kind kinds[TRAFFIC_KINDS];
const volatile __u8 pattern[TRAFFIC_PATTERN]; /* of kinds, again and again */
const volatile __u32 pattern_len;	      /* 1: all are of the first kind */
const volatile __u32 longest, shortest;	      /* of the kinds, bytes */
const volatile _Bool mixed;		      /* both families */
const volatile __u32 filler[5];		      /* what frames have behind an IPv4 packet's mark, where IPv6's would be */
const volatile __u32 dst4_mask, dst6_mask;    /* destinations - 1, a power of two less 1 */
const volatile __u32 port_mask;		      /* source ports - 1 */
const volatile __u64 stamp_mask;	      /* packets of these low bits 0 carry their time */
const volatile _Bool stamps;

__u64 next_sequence;
__u32 slot; /* of the pattern */

/*
 * When packets go out. Who calls the program has it run all the time; a run at which no packet is due makes none. Times
 * are 2^-16 ns since start, so that a period is exact at any rate.
 */
__u64 end;    /* sequence number before which it ends */
__u64 period; /* from packet to packet; 0: as fast as they go */
__u64 slack;  /* what is later than this is given up: it would be a burst that nobody has asked for */
__u64 start;  /* ns, of the first run; 0: it is to come */
__u64 next, now;
__u64 skipped; /* packets that were given up */
__u64 since, since_sequence, until, until_sequence;

#define CLOCK_EVERY 256 /* packets, if nothing else needs the clock */

/* The loader makes them as large as wanted. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 4);
} destinations4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 16);
} destinations6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} wire SEC(".maps");

static __always_inline __u64 sum64(__u64 v)
{
	return (v & 0xffffffff) + (v >> 32);
}

/* checksum folds a sum of 32-bit words as they lie in memory (RFC 1071). */
static __always_inline __u16 checksum(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Source ports are dynamic ones (RFC 6335), at random but the same for the same sequence number. */
static __always_inline __be16 source_port(__u64 sequence)
{
	return bpf_htons(0xc000 | (sequence * 0x9e3779b97f4a7c15ULL >> 50 & port_mask));
}

static __always_inline void note_time(__u64 ns)
{
	if (!since) {
		since = ns;
		since_sequence = next_sequence;
	}
	until = ns;
	until_sequence = next_sequence;
}

static __always_inline _Bool due(void)
{
	__u64 ns, late;

	if (next_sequence >= end)
		return 0;
	if (!period) {
		if (!(next_sequence % CLOCK_EVERY))
			note_time(bpf_ktime_get_ns());
		return 1;
	}
	if (next > now || !start) {
		ns = bpf_ktime_get_ns();
		if (!start)
			start = ns;
		now = (ns - start) << 16;
		if (next > now)
			return 0;
		note_time(ns);
		if (now - next > slack) {
			late = (now - next) / period;
			skipped += late;
			next += late * period;
		}
	}
	next += period;
	return 1;
}

/* write_udp writes what varies behind the IP header; sum is that of the addresses. */
static __always_inline int write_udp(const volatile struct kind *k, void *udp, void *end, const __u32 hlen,
				     __u64 sequence, __u64 sum)
{
	struct mark *m = udp + UDP_HLEN;
	__u16 check;

	*(__be16 *)udp = source_port(sequence);
	sum += k->payload_sum + source_port(sequence);
	if (k->size >= hlen + sizeof(*m)) {
		if ((void *)(m + 1) > end)
			return XDP_ABORTED;
		m->magic = bpf_htonl(TRAFFIC_MAGIC);
		m->sequence_high = bpf_htons(sequence >> 32);
		m->sequence_low = bpf_htonl(sequence);
		m->stamp = stamps && !(sequence & stamp_mask) ? bpf_cpu_to_be64(bpf_ktime_get_ns()) : 0;
		sum += m->sequence_high + (__u64)m->sequence_low + sum64(m->stamp);
	}
	check = checksum(sum);
	*(__u16 *)(udp + 6) = check ? check : 0xffff;
	return bpf_redirect_map(&wire, 0, 0);
}

static __always_inline int write_ipv4(const volatile struct kind *k, void *eth, void *end, __u64 sequence)
{
	const __u32 hlen = ETH_HLEN + IPV4_HLEN + UDP_HLEN;
	__u32 i = sequence & dst4_mask, *dst = bpf_map_lookup_elem(&destinations4, &i);

	if (!dst || eth + hlen > end)
		return XDP_ABORTED;
	for (int w = 0; w < 5; w++)
		((__u64 *)eth)[w] = k->headers[w];
	*(__u16 *)(eth + 40) = k->headers[5];
	*(__u32 *)(eth + ETH_HLEN + 16) = *dst;
	*(__u16 *)(eth + ETH_HLEN + 10) = checksum(k->header_sum + *dst);
	if (mixed) {
		__u32 *rest = eth + hlen + sizeof(struct mark);

		for (int w = 0; w < 5; w++)
			if ((void *)(rest + w + 1) <= end)
				rest[w] = filler[w];
	}
	return write_udp(k, eth + ETH_HLEN + IPV4_HLEN, end, hlen, sequence, *dst);
}

static __always_inline int write_ipv6(const volatile struct kind *k, void *eth, void *end, __u64 sequence)
{
	const __u32 hlen = ETH_HLEN + IPV6_HLEN + UDP_HLEN;
	__u32 i = sequence & dst6_mask, *dst = bpf_map_lookup_elem(&destinations6, &i);
	__u64 sum = 0;

	if (!dst || eth + hlen > end)
		return XDP_ABORTED;
	for (int w = 0; w < 7; w++)
		((__u64 *)eth)[w] = k->headers[w];
	*(__u32 *)(eth + 56) = k->headers[7];
	*(__u16 *)(eth + 60) = k->headers[7] >> 32;
	for (int w = 0; w < 4; w++) {
		((__u32 *)(eth + ETH_HLEN + 24))[w] = dst[w];
		sum += dst[w];
	}
	return write_udp(k, eth + ETH_HLEN + IPV6_HLEN, end, hlen, sequence, sum);
}

/* The frame's page has gone the whole way before: every field is written again. */
SEC("xdp")
int generate(struct xdp_md *ctx)
{
	const volatile struct kind *k = &kinds[0];
	__u64 sequence;
	void *eth, *end;

	if (!due())
		return XDP_DROP;
	sequence = next_sequence++;
	if (pattern_len > 1) {
		__u32 at = slot & (TRAFFIC_PATTERN - 1);

		k = &kinds[pattern[at] & (TRAFFIC_KINDS - 1)];
		slot = at + 1 < pattern_len ? at + 1 : 0;
	}
	if (shortest < longest && bpf_xdp_adjust_tail(ctx, (int)k->size - (int)longest))
		return XDP_ABORTED;
	eth = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	return k->family == 4 ? write_ipv4(k, eth, end, sequence) : write_ipv6(k, eth, end, sequence);
}
