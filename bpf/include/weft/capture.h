/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * capture.h: writes down what becomes of packets, for people who look at them. Only in
 * programs that are made for it (CAPTURE), which take the place of the others while somebody
 * does: in those there is nothing of this.
 */
#ifndef WEFT_CAPTURE_H
#define WEFT_CAPTURE_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "weft/packet.h"
#include "weft/types.h"
#include "weft/vlan.h"

#ifdef CAPTURE

const volatile enum weft_capture_limits go_capture_limits; /* carries its type to Go */

struct weft_selections selections SEC(".data.selects");

/* Records on their way to who reads them. The loader says how many bytes. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} records SEC(".maps");

/* The record that is being written, one for each CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct weft_record);
} drafts SEC(".maps");

/* capture_filter tells which selections' filters a frame passes, a bit for each. The loader writes its body. */
static __noinline __u64 capture_filter(void *eth, void *end, __u64 bytes)
{
	__u64 passed;

	asm volatile("%0 = 0" : "=r"(passed) : "r"(eth), "r"(end), "r"(bytes)); /* the compiler must not know */
	return passed;
}

/*
 * capture_return gives a selection back a packet that it was to have and has not got: it may go on then. Who
 * has cleared its bit of armed comes here after that, so that the bit is set in the end if there is something left.
 */
static __always_inline void capture_return(struct weft_selection *s, __u64 bit)
{
	if (__sync_fetch_and_add(&s->left, 1) >= 0)
		__sync_fetch_and_or(&selections.armed, bit);
}

/*
 * capture_choose tells which of some selections want a packet, and takes it off what they
 * have left. A function of its own, for the verifier: it looks at it once.
 */
__noinline __u64 capture_choose(__u64 wanted, __u32 reason, __u32 port, __u32 root)
{
	__u64 bit = 1;

	for (int i = 0; i < WEFT_SELECTIONS; i++, bit <<= 1) {
		struct weft_selection *s = &selections.selection[i];

		if (!(wanted & bit))
			continue;
		if (!(s->reasons[reason >> 6 & 1] >> (reason & 63) & 1) ||
		    (s->port && s->port != port && s->port != root)) {
			wanted &= ~bit;
		} else if (__sync_fetch_and_add(&s->left, -1) <= 0) {
			__sync_fetch_and_and(&selections.armed, ~bit);
			capture_return(s, bit);
			wanted &= ~bit;
		}
	}
	return wanted;
}

/* capture_lose gives selections back what they did not get. */
__noinline __u64 capture_lose(__u64 wanted)
{
	__u64 bit = 1;

	for (int i = 0; i < WEFT_SELECTIONS; i++, bit <<= 1) {
		if (!(wanted & bit))
			continue;
		__sync_fetch_and_add(&selections.selection[i].lost, 1);
		capture_return(&selections.selection[i], bit);
	}
	return 0;
}

/* capture_snap returns how many bytes of a frame selections want. */
__noinline __u64 capture_snap(__u64 wanted)
{
	__u64 bit = 1, most = 0;

	for (int i = 0; i < WEFT_SELECTIONS; i++, bit <<= 1) {
		__u32 snap = selections.selection[i].snap;

		if (wanted & bit && snap > most)
			most = snap;
	}
	return most;
}

/* capture_copy copies the frame's first bytes, at most so many, and returns how many. */
static __always_inline __u32 capture_copy(const struct packet *p, void *to, __u64 bytes, const __u32 most)
{
	__u32 len = bytes > most ? most : bytes;

	asm volatile("" : "+r"(len)); /* the verifier follows plain comparisons alone */
	if (!len || len > most || packet_copy(p, to, len))
		return 0;
	return len;
}

/*
 * capture_begin keeps the frame as received, if anybody wants it. That stands in the draft and nowhere
 * else: so the verifier does not have to go two ways, with and without, through all that follows.
 */
static __always_inline void capture_begin(struct packet *p)
{
	__u32 zero = 0;
	struct weft_record *r = bpf_map_lookup_elem(&drafts, &zero);

	if (!r)
		return;
	p->bytes = p->end - p->eth;
	r->selections = 0;
	if (selections.armed)
		r->selections = selections.armed & capture_filter(p->eth, p->end, packet_bytes(p));
	packet_load(p); /* so that the verifier forgets how far each way through the filter has looked */
	if (!r->selections)
		return;
	r->time = bpf_ktime_get_ns();
	r->root = p->port->number;
	r->tag = packet_beside(p);
	r->bytes = packet_bytes(p);
	r->kept = capture_copy(p, r->frame, r->bytes - (r->tag ? VLAN_HLEN : 0), WEFT_SNAP);
}

/* capture_end hands the record over, now that it is known what becomes of the packet. */
static __always_inline void capture_end(struct packet *p, enum weft_reason reason)
{
	__u32 len, zero = 0;
	struct weft_record *r = bpf_map_lookup_elem(&drafts, &zero);
	__u64 wanted;

	if (!r || !r->selections)
		return;
	wanted = capture_choose(r->selections, reason, p->port->number, r->root);
	if (!wanted)
		return;
	r->selections = wanted;
	r->reason = reason;
	r->port = p->port->number;
	r->steps = p->steps;
	r->sent_bytes = packet_now(p);
	r->sent_kept = capture_copy(p, r->sent, r->sent_bytes, WEFT_SENT);
	len = capture_snap(wanted);
	if (len > r->kept)
		len = r->kept;
	r->kept = len;
	asm volatile("" : "+r"(len));
	if (len > WEFT_SNAP)
		return;
	if (bpf_ringbuf_output(&records, r, offsetof(struct weft_record, frame) + len, 0))
		capture_lose(wanted);
}

#else

static __always_inline void capture_begin(struct packet *p)
{
}

static __always_inline void capture_end(struct packet *p, enum weft_reason reason)
{
}

#endif
#endif
