/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_COLUMN_DENSE_H
#define XM_COLUMN_DENSE_H

#include <stddef.h>
#include <stdint.h>

#include "bits.h"

/*
 * The dense codecs (spec 001, COL-6 to COL-13): differences of some order, mapped to small
 * unsigned numbers, these in a fixed width or in bins whose names are entropy coded (tANS).
 */

enum {
    XM_DENSE_FIRST = 2,   /* + 2 * order + zigzag + 6 * scaled */
    XM_DENSE_LEVELS = 14, /* numbers are indexes of a list */
    XM_DENSE_LAST = 14,
    XM_DENSE_MOST_LEVELS = 64,
    XM_DENSE_PIECE = 2048, /* values at most */
    XM_DENSE_BINNED = 65,  /* first shape of bins: + mantissa + 4 * (table_log - 5) */
    XM_DENSE_MANTISSA = 3, /* bits at most */
    XM_DENSE_LOG_MIN = 5,
    XM_DENSE_LOG_MAX = 9,
    XM_DENSE_BINS = 128,
    XM_DENSE_BUCKETS = 496, /* of the finest grid */
};

/* Header of a piece without bins, at most: codec, count, levels, shape. */
#define XM_DENSE_HEADER (3 + 10 * XM_DENSE_MOST_LEVELS)

/* The bins in use: neighbours on the grid of `mantissa` bits; a weight of 0 is no bin. */
struct xm_bins {
    unsigned mantissa;
    unsigned table_log; /* weights add up to 1 << table_log */
    unsigned first;     /* bucket of weight[0] */
    unsigned n;
    uint16_t weight[XM_DENSE_BINS];
};

/* Buckets of a grid: exact below 1 << mantissa, then 1 << mantissa of them per octave. */
static inline unsigned xm_bucket_of(uint64_t value, unsigned mantissa)
{
    unsigned log = xm_log2(value);

    if (log < mantissa)
        return (unsigned)value;
    return ((log - mantissa) << mantissa) + (unsigned)(value >> (log - mantissa));
}

static inline unsigned xm_buckets(unsigned mantissa)
{
    return (65 - mantissa) << mantissa;
}

/* Low bits that a bucket leaves open. */
static inline unsigned xm_bucket_bits(unsigned bucket, unsigned mantissa)
{
    unsigned octave = bucket >> mantissa;

    return octave > 1 ? octave - 1 : 0;
}

static inline uint64_t xm_bucket_low(unsigned bucket, unsigned mantissa)
{
    unsigned bits = xm_bucket_bits(bucket, mantissa);

    return (uint64_t)(bucket - (bits << mantissa)) << bits;
}

/* Which bin each of the 1 << table_log states names, in the one order that both sides know. */
void xm_bins_spread(const struct xm_bins *bins, uint8_t *bin_of_state);

/* Bytes used, 0 where it would take more than `most`; `out` has 8 bytes of scratch behind them. */
size_t xm_dense_pack(const void *values, size_t n, uint8_t *out, size_t most);

/* One piece of n values; returns 0 and the bytes consumed, or -EINVAL. */
int xm_dense_unpack(const uint8_t *data, size_t bytes, size_t n, void *out, size_t *used);

#endif
