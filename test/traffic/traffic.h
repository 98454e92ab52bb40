/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * traffic.h: what generator and sink have in common. A packet is an IPv4 or IPv6
 * datagram to UDP port TRAFFIC_PORT. Where the frame is large enough its payload
 * begins with a mark.
 */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define TRAFFIC_MAGIC 0x77656674U

enum traffic_limits {
	TRAFFIC_PORT = 9,	     /* discard (RFC 863) */
	TRAFFIC_FRAME = 9014,	     /* longest, bytes */
	TRAFFIC_LIVE = 3000,	     /* longest that the kernel makes: it must fit into a page with its frame */
	TRAFFIC_SEQUENCES = 1 << 24, /* a sink knows so many apart */
	TRAFFIC_STRETCHES = 8,	     /* of these, each of flows of its own */
	TRAFFIC_CPUS = 256,
	TRAFFIC_KINDS = 16,	/* of frames in a pattern */
	TRAFFIC_PATTERN = 4096, /* longest pattern of kinds */
	TRAFFIC_BUCKETS = 960,	/* of a histogram */
};

/* This carries its type to Go. */
const volatile enum traffic_limits go_limits;

#define IPV4_HLEN 20
#define IPV6_HLEN 40
#define UDP_HLEN  8

/* It fits into the shortest frames of RFC 2544 (IPv4) and RFC 8219 (IPv6). */
struct mark {
	__be32 magic;
	__be16 sequence_high;
	__be32 sequence_low;
	__be64 stamp; /* ns of the monotonic clock; 0: none */
} __attribute__((packed));

char _license[] SEC("license") = "Dual BSD/GPL";

#endif
