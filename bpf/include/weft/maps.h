/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps.h: all maps but the FIB image. ports and counters are global memory,
 * reached without a helper call and mapped by Go. The loader puts its own maps
 * in their place, so that they can be larger, pinned and shared.
 */
#ifndef WEFT_MAPS_H
#define WEFT_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "weft/packet.h"
#include "weft/reason.h"
#include "weft/types.h"

struct weft_ports ports SEC(".data.ports");

/* One row for each port and CPU: a CPU writes its own row only. The loader makes as many as there are. */
struct weft_counter counters[WEFT_REASONS] SEC(".data.counters");

/* Goes to a label unless a row may start at off. The loader writes the number (package bpf, Weft). */
#define counters_check(off, label) asm volatile goto("if %0 > 0x77654643 goto %l[" #label "]" : : "r"(off) : : label)

struct weft_trace trace SEC(".data.trace");

/* Tells what the loader answers to a question: it makes this a jump, or nothing (package bpf, decide). */
#define LOADER_SAYS(question)                                                            \
	({                                                                               \
		__label__ yes_, told_;                                                   \
		_Bool answer_;                                                           \
		asm volatile goto("if r10 == " #question " goto %l[yes_]" : : : : yes_); \
		answer_ = 0;                                                             \
		goto told_;                                                              \
	yes_:                                                                            \
		answer_ = 1;                                                             \
	told_:                                                                           \
		answer_;                                                                 \
	})

/* Notes a step of a packet, in a traced program or in one that captures. */
#ifdef CAPTURE
#define TRACE(p, step, value) (((struct packet *)(p))->steps.step = (value))
#else
#define TRACE(p, step, value)                          \
	do {                                           \
		if (unlikely(LOADER_SAYS(0x77655452))) \
			trace.step = (value);          \
	} while (0)
#endif

/* port_of returns the port that an interface is: number 0 when it is none. */
static __always_inline struct weft_port *port_of(__u32 ifindex)
{
	__u32 number = 0;

	if (likely(ifindex < WEFT_IFINDEXES))
		number = ports.by_ifindex[ifindex];
	return &ports.port[number & (WEFT_PORTS - 1)];
}

/* port_disabled says why packets of a family that its flags do not have end at a port. */
static __always_inline enum weft_reason port_disabled(const struct weft_port *port)
{
	return port->number ? WEFT_IRIF_DISABLED : WEFT_PORT_UNKNOWN;
}

/* port_count counts one packet, of a port and on this CPU. */
static __always_inline void port_count(const struct weft_port *port, __u32 reason, __u64 bytes)
{
	__u64 off = port->counters + (__u64)bpf_get_smp_processor_id() * sizeof(counters);
	struct weft_counter *row = counters;

	asm volatile("" : "+r"(row)); /* the compiler must not know how many there are */
	counters_check(off, out);
	row = (void *)row + off;
	row[reason].packets++;
	row[reason].bytes += bytes;
out:
	return;
}

#endif
