/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* csum.h: the Internet checksum (RFC 1071), over words as they lie in memory. */
#ifndef WEFT_CSUM_H
#define WEFT_CSUM_H

#include <linux/types.h>

/*
 * csum_right tells whether a sum of 32-bit words, of which at least one is not
 * zero, folds to 0xffff, as it does when a header's checksum is right. The
 * product's top half is the fold: the ones' complement sum of the four 16-bit
 * parts, when that is 0xffff. sum must be below 2^48.
 */
static __always_inline int csum_right(__u64 sum)
{
	return sum * 0x0001000100010001ULL >> 48 == 0xffff;
}

#endif
