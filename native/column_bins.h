/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_COLUMN_BINS_H
#define XM_COLUMN_BINS_H

#include "column_dense.h"

/* How often each bucket of a grid occurs; buckets in use: first to last. */
struct xm_histogram {
    unsigned mantissa;
    unsigned first;
    unsigned last;
    uint16_t count[XM_DENSE_BUCKETS];
};

/* log2 in 1/256 bits, within 1/100 bit; 0 for 0. */
uint32_t xm_log2_fine(uint64_t value);

/*
 * Choose the grid, as fine as the histogram's or coarser, and the weights for its n values.
 * Returns the cost in 1/256 bits, header and all.
 */
uint64_t xm_bins_fit(const struct xm_histogram *histogram, size_t n, struct xm_bins *bins);

/* Order of the Exp-Golomb code that writes the weights shortest, and how many bits those are. */
unsigned xm_bins_golomb(const struct xm_bins *bins, unsigned *bits);

#endif
