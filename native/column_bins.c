/* SPDX-License-Identifier: Apache-2.0 */
#include "column_bins.h"

#include <string.h>

#define UNIT 256 /* of costs: one bit */

uint32_t xm_log2_fine(uint64_t value)
{
    unsigned log = xm_log2(value);
    uint32_t fraction = (uint32_t)((log < 8 ? value << (8 - log) : value >> (log - 8)) & 255);

    /* The chord of each octave, and most of what the curve rises above it. */
    return log * UNIT + fraction + ((fraction * (256 - fraction) * 88) >> 16);
}

static unsigned coarser(unsigned bucket, unsigned mantissa)
{
    return bucket >> mantissa == 0 ? bucket : (bucket >> 1) + (1u << (mantissa - 1));
}

static void coarsen(const struct xm_histogram *from, struct xm_histogram *to)
{
    to->mantissa = from->mantissa - 1;
    to->first = coarser(from->first, from->mantissa);
    to->last = coarser(from->last, from->mantissa);
    memset(&to->count[to->first], 0, (to->last - to->first + 1) * sizeof(to->count[0]));
    for (unsigned b = from->first; b <= from->last; b++) {
        uint16_t *count = &to->count[coarser(b, from->mantissa)];

        *count = (uint16_t)(*count + from->count[b]);
    }
}

/* Cost in 1/256 bits; rough about the header, and as if the names took their entropy. */
static uint64_t cost_of(const struct xm_histogram *histogram, size_t n)
{
    uint32_t log_n = xm_log2_fine(n);
    uint64_t cost = (uint64_t)(9 + 7 + 2 + 12) * UNIT;

    for (unsigned b = histogram->first; b <= histogram->last; b++) {
        uint32_t count = histogram->count[b];

        cost += UNIT;
        if (count > 0) {
            unsigned bits = xm_bucket_bits(b, histogram->mantissa);

            cost += 4 * UNIT + (uint64_t)count * (log_n - xm_log2_fine(count) + bits * UNIT);
        }
    }
    return cost;
}

/* Small columns get small tables: building them costs time, their precision would be lost. */
static unsigned table_log_for(size_t n, unsigned used)
{
    unsigned log = n <= 128 ? 6 : n <= 512 ? 7 : n <= 1024 ? 8 : 9;

    while (log < XM_DENSE_LOG_MAX && used > 1u << (log - 1))
        log++;
    return log;
}

/* Weights near count / n of the table, 1 at least; what rounding leaves goes to the heaviest. */
static void weigh(const struct xm_histogram *histogram, size_t n, struct xm_bins *bins)
{
    uint32_t left;
    uint64_t share;
    unsigned used = 0;

    bins->mantissa = histogram->mantissa;
    bins->first = histogram->first;
    bins->n = histogram->last - histogram->first + 1;
    for (unsigned i = 0; i < bins->n; i++)
        used += histogram->count[bins->first + i] > 0;
    bins->table_log = table_log_for(n, used);
    left = 1u << bins->table_log;
    share = ((uint64_t)left << 32) / n;
    for (unsigned i = 0; i < bins->n; i++) {
        uint64_t count = histogram->count[bins->first + i];
        uint64_t weight = (count * share + (UINT32_C(1) << 31)) >> 32;

        bins->weight[i] = (uint16_t)(weight > 0 || count == 0 ? weight : 1);
        left -= bins->weight[i];
    }
    while (left != 0) {
        unsigned most = 0;
        uint32_t half;

        for (unsigned i = 1; i < bins->n; i++)
            if (bins->weight[i] > bins->weight[most])
                most = i;
        if (left < 1u << 31) { /* too few were given */
            bins->weight[most] = (uint16_t)(bins->weight[most] + left);
            break;
        }
        half = bins->weight[most] / 2u;
        if (half > 0 - left)
            half = 0 - left;
        bins->weight[most] = (uint16_t)(bins->weight[most] - half);
        left += half;
    }
}

uint64_t xm_bins_fit(const struct xm_histogram *histogram, size_t n, struct xm_bins *bins)
{
    struct xm_histogram coarse[XM_DENSE_MANTISSA];
    const struct xm_histogram *best = NULL;
    uint64_t least = UINT64_MAX;

    for (;;) {
        if (histogram->last - histogram->first < XM_DENSE_BINS) {
            uint64_t cost = cost_of(histogram, n);

            if (cost < least) {
                least = cost;
                best = histogram;
            } else if (cost > least + least / 8)
                break; /* and coarser ones will be worse still */
        }
        if (histogram->mantissa == 0)
            break;
        coarsen(histogram, &coarse[histogram->mantissa - 1]);
        histogram = &coarse[histogram->mantissa - 1];
    }
    if (best != NULL)
        weigh(best, n, bins);
    return least;
}

static unsigned golomb_bits(uint32_t value, unsigned order)
{
    return 2 * xm_log2((value >> order) + 1) + 1 + order;
}

unsigned xm_bins_golomb(const struct xm_bins *bins, unsigned *bits)
{
    unsigned best = 0;

    *bits = UINT32_MAX;
    for (unsigned order = 0; order < 4; order++) {
        unsigned sum = 0;

        for (unsigned i = 0; i < bins->n; i++)
            sum += golomb_bits(bins->weight[i], order);
        if (sum < *bits) {
            *bits = sum;
            best = order;
        }
    }
    return best;
}

void xm_bins_spread(const struct xm_bins *bins, uint8_t *bin_of_state)
{
    unsigned size = 1u << bins->table_log;
    unsigned step = (size >> 1) + (size >> 3) + 3; /* odd: visits each state once */
    unsigned state = 0;

    for (unsigned i = 0; i < bins->n; i++)
        for (unsigned w = 0; w < bins->weight[i]; w++) {
            bin_of_state[state] = (uint8_t)i;
            state = (state + step) & (size - 1);
        }
}
