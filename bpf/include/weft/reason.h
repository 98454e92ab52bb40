/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * reason.h: why a packet ended where it did. The one closed list, for every
 * engine: Go's names are made from this enum (package dataplane). Where the
 * kernel's devlink-trap has a name for it, that is the name here.
 *
 * A number says what becomes of the packet: 0 forwarded, from WEFT_PUNT on
 * handed to the kernel, from WEFT_DROP on discarded. Numbers are those of
 * counters that outlive the program: add to the end of a range, never renumber.
 */
#ifndef WEFT_REASON_H
#define WEFT_REASON_H

/* What a step answers: 0 lets the packet go on to the next step. */
enum weft_reason {
	WEFT_FORWARDED = 0,

	/* Punted: the kernel finishes it. */
	WEFT_LOCAL_ROUTE = 1, /* to an address of this machine */
	WEFT_GLEAN = 2,	      /* to an attached subnet: the kernel resolves the destination */
	WEFT_UNRESOLVED_NEIGH = 3,
	WEFT_TTL_VALUE_IS_TOO_SMALL = 4,
	WEFT_MTU_VALUE_IS_TOO_SMALL = 5,
	WEFT_IPV4_LPM_MISS = 6,
	WEFT_IPV6_LPM_MISS = 7,
	WEFT_REJECT_ROUTE = 8, /* the kernel answers, by the code of its own route */
	WEFT_PUNT_ROUTE = 9,   /* a route that the writer of the FIB wants the kernel to handle */
	WEFT_ARP = 10,
	WEFT_NON_IP = 11,
	WEFT_NOT_OUR_MAC = 12,
	WEFT_MULTICAST = 13,
	WEFT_BROADCAST = 14,
	WEFT_VLAN_UNKNOWN = 15,
	WEFT_IPV4_OPTIONS = 16,
	WEFT_IPV6_HOP_BY_HOP = 17,
	WEFT_IPV6_UC_SIP_LINK_LOCAL_SCOPE = 18,
	WEFT_IPV6_UC_DIP_LINK_LOCAL_SCOPE = 19,
	WEFT_PORT_UNKNOWN = 20,	    /* came in by an interface that is no port of ours */
	WEFT_IRIF_DISABLED = 21,    /* the port does not forward this family */
	WEFT_ERIF_DISABLED = 22,    /* the adjacency's port is not one that packets can be sent to */
	WEFT_NO_GROUP = 23,	    /* the route names a group that is not there */
	WEFT_NO_ADJACENCY = 24,	    /* the group names an adjacency that is not there */
	WEFT_ENCAP_UNKNOWN = 25,    /* the adjacency's rewrite is not one this program can make */
	WEFT_CHECKSUM_PARTIAL = 26, /* its L4 checksum was left to hardware, and XDP cannot say so where it goes */
	WEFT_LOOP_ABSENT = 27,	    /* the port is the loop's in user space, and no loop takes packets from its queue */
	WEFT_LOOP_FRAME_TOO_LONG = 28, /* longer than the loop's memory has room for */

	/* Dropped. */
	WEFT_BLACKHOLE_ROUTE = 64,
	WEFT_IP_HEADER_CORRUPTED = 65, /* version, or header length below the least */
	WEFT_IPV4_CHECKSUM_WRONG = 66,
	WEFT_IP_LENGTH_WRONG = 67, /* the frame ends before the packet, or the packet before its header */
	WEFT_UC_DIP_OVER_MC_DMAC = 68,
	WEFT_SIP_IS_UNSPECIFIED = 69,
	WEFT_SIP_IS_LOOPBACK_ADDRESS = 70,
	WEFT_SIP_IS_MC = 71,
	WEFT_IPV4_SIP_IS_LIMITED_BC = 72,
	WEFT_IPV6_SIP_IS_IPV4_MAPPED = 73,
	WEFT_DIP_IS_UNSPECIFIED = 74,
	WEFT_DIP_IS_LOOPBACK_ADDRESS = 75,
	WEFT_IPV6_DIP_IS_IPV4_MAPPED = 76,
	WEFT_IPV6_MC_DIP_RESERVED_SCOPE = 77,
	WEFT_IPV6_MC_DIP_INTERFACE_LOCAL_SCOPE = 78,
	WEFT_FRAME_CORRUPTED = 79, /* shorter than an Ethernet header */
	WEFT_REWRITE_FAILED = 80,  /* no room in front of the packet for its new header */
	WEFT_LOOP_OVERRUN =
		81, /* given to the loop in user space, which did not take it in time, or ended before it could */
	WEFT_LOOP_PUNT_OVERRUN = 82, /* only the kernel could finish it after all, and it could not be given back */
};

enum weft_reason_range {
	WEFT_PUNT = 1,
	WEFT_DROP = 64,
	WEFT_REASONS = 96, /* room for counters */
};

#endif
