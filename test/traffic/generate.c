//go:build ignore
/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* generate.c: makes packets and sends them. */
#include "traffic.h"

const volatile __u32 frame_size;
const volatile __u32 family;	  /* 4 or 6 */
const volatile __u32 dst_mask;	  /* destinations - 1, a power of two less 1 */
const volatile __u64 headers[8];  /* Ethernet, IP and UDP; 0 where they vary */
const volatile __u64 header_sum;  /* of the words of the IPv4 header that do not vary */
const volatile __u64 payload_sum; /* of those of pseudo-header, UDP header and payload */

__u64 next_sequence;

/* The loader makes it as large as wanted, and its values 4 bytes for IPv4. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 16);
} destinations SEC(".maps");

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
	return bpf_htons(0xc000 | sequence * 0x9e3779b97f4a7c15ULL >> 50);
}

/* write_udp writes what varies behind the IP header; sum is that of the addresses. */
static __always_inline int write_udp(void *udp, void *end, const __u32 hlen, __u64 sequence, __u64 sum)
{
	struct mark *m = udp + UDP_HLEN;
	__u16 check;

	*(__be16 *)udp = source_port(sequence);
	sum += payload_sum + source_port(sequence);
	if (frame_size >= hlen + sizeof(*m)) {
		if ((void *)(m + 1) > end)
			return XDP_ABORTED;
		m->magic = bpf_cpu_to_be64(TRAFFIC_MAGIC);
		m->sequence = bpf_cpu_to_be64(sequence);
		sum += sum64(m->sequence);
	}
	check = checksum(sum);
	*(__u16 *)(udp + 6) = check ? check : 0xffff;
	return bpf_redirect_map(&wire, 0, 0);
}

/* The frame's page has gone the whole way before: every field is written again. */
SEC("xdp")
int generate(struct xdp_md *ctx)
{
	void *eth = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u64 sequence = next_sequence++, sum;
	__u32 i = sequence & dst_mask, *dst = bpf_map_lookup_elem(&destinations, &i);

	if (!dst || eth + ETH_HLEN + IPV4_HLEN + UDP_HLEN > end)
		return XDP_ABORTED;
	for (int w = 0; w < 5; w++)
		((__u64 *)eth)[w] = headers[w];
	if (family == 4) {
		*(__u16 *)(eth + 40) = headers[5];
		*(__u32 *)(eth + ETH_HLEN + 16) = *dst;
		*(__u16 *)(eth + ETH_HLEN + 10) = checksum(header_sum + *dst);
		return write_udp(eth + ETH_HLEN + IPV4_HLEN, end, ETH_HLEN + IPV4_HLEN + UDP_HLEN, sequence, *dst);
	}
	if (eth + ETH_HLEN + IPV6_HLEN + UDP_HLEN > end)
		return XDP_ABORTED;
	for (int w = 5; w < 7; w++)
		((__u64 *)eth)[w] = headers[w];
	*(__u32 *)(eth + 56) = headers[7];
	*(__u16 *)(eth + 60) = headers[7] >> 32;
	sum = 0;
	for (int w = 0; w < 4; w++) {
		((__u32 *)(eth + ETH_HLEN + 24))[w] = dst[w];
		sum += dst[w];
	}
	return write_udp(eth + ETH_HLEN + IPV6_HLEN, end, ETH_HLEN + IPV6_HLEN + UDP_HLEN, sequence, sum);
}
