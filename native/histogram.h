/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_HISTOGRAM_H
#define XM_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

/* Each octave in eight: a bucket is at most an eighth wider than where it begins. */
#define XM_HISTOGRAM_SPLIT   8u
#define XM_HISTOGRAM_OCTAVES 36u
#define XM_HISTOGRAM_BUCKETS ((XM_HISTOGRAM_OCTAVES - 2) * XM_HISTOGRAM_SPLIT)

/* Durations in ns. One thread adds, any may read; counts never go back. */
struct xm_histogram {
    _Atomic uint64_t count[XM_HISTOGRAM_BUCKETS];
};

/* The last one holds all from 2^36 ns on, too. */
static inline uint32_t xm_histogram_bucket(uint64_t ns)
{
    uint32_t octave;

    if (ns < XM_HISTOGRAM_SPLIT)
        return (uint32_t)ns;
    if (ns >> XM_HISTOGRAM_OCTAVES)
        return XM_HISTOGRAM_BUCKETS - 1;
    octave = 63 - (uint32_t)__builtin_clzll(ns);
    return (octave - 2) * XM_HISTOGRAM_SPLIT + (uint32_t)((ns >> (octave - 3)) & 7);
}

/* The greatest duration of a bucket. */
static inline uint64_t xm_histogram_bound(uint32_t bucket)
{
    if (bucket < XM_HISTOGRAM_SPLIT)
        return bucket;
    return ((UINT64_C(9) + bucket % XM_HISTOGRAM_SPLIT) << (bucket / XM_HISTOGRAM_SPLIT - 1)) - 1;
}

/* Below 0 counts as 0: a counter of the CPU may have been set back. */
static inline void xm_histogram_add(struct xm_histogram *histogram, int64_t ns)
{
    _Atomic uint64_t *count = &histogram->count[xm_histogram_bucket(ns < 0 ? 0 : (uint64_t)ns)];

    /* Pairs with the relaxed load in xm_histogram_read; the only writer needs no locked add. */
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static inline uint64_t xm_histogram_read(const struct xm_histogram *histogram, uint32_t bucket)
{
    return atomic_load_explicit(&histogram->count[bucket], memory_order_relaxed);
}

#endif
