/* SPDX-License-Identifier: Apache-2.0 */
#include "column_plan.h"

#include "column_bins.h"

#define SAMPLES 48
/* Octaves from most differences to the outermost ones; a bell curve has four or five. */
#define FAR_OUT 6
/* Bits a value below which a list of levels is not worth a try. */
#define LEVELS_FROM 6
/* Values looked at before the list is made. */
#define LOOKS 16
/* With fewer values the bins cost more than they save. */
#define BINS_FROM 16

static uint64_t magnitude(uint64_t value)
{
    return value >> 63 ? 0 - value : value;
}

static uint64_t value_at(const uint8_t *values, size_t i)
{
    return xm_load64(values + 8 * i);
}

/* What a few values of one candidate would cost in bins of half an octave to each side of zero. */
struct trial {
    uint32_t open;  /* bits */
    uint32_t names; /* sum of c * log2 c, in 1/16 bits */
    uint8_t count[256];
};

/* (c + 1) * log2(c + 1) - c * log2(c) in 1/16 bits, for c from 0 on. */
static const uint8_t growth[SAMPLES] = {0,   32,  44,  52,  58,  62,  66,  70,  72,  75,  77,  79,
                                        81,  83,  85,  86,  88,  89,  90,  92,  93,  94,  95,  96,
                                        97,  98,  99,  100, 100, 101, 102, 103, 103, 104, 105, 105,
                                        106, 107, 107, 108, 109, 109, 110, 110, 111, 111, 112, 112};

static inline void try_value(struct trial *trial, uint64_t value)
{
    unsigned bucket = xm_bucket_of(magnitude(value), 1);
    uint8_t *count = &trial->count[2 * bucket + (value >> 63)];

    trial->open += xm_bucket_bits(bucket, 1);
    trial->names += growth[*count];
    *count = (uint8_t)(*count + 1);
}

static int64_t cost_of_trial(const struct trial *trial)
{
    return 16 * (int64_t)trial->open - trial->names;
}

/* Differences to one of them are averaged modulo 2^64: far apart, any middle is as good. */
static uint64_t middle_of(const uint64_t *values, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 1; i < n; i++)
        sum += values[i] - values[0];
    return values[0] + (uint64_t)((int64_t)sum / (int64_t)n);
}

/* The order of differences, judged by samples around zero and around their middle. */
static void choose_order(const uint8_t *values, size_t n, struct xm_plan *plan)
{
    size_t stride = ((n + SAMPLES - 1) / SAMPLES) | 1; /* odd: many sensors repeat each reading */
    uint64_t sample[3][SAMPLES];
    uint64_t middle;
    uint64_t step_middle;
    struct trial trials[4] = {0};
    unsigned best = 0;
    size_t taken = 0;

    for (size_t i = 2; i < n; i += stride, taken++) {
        uint64_t before = value_at(values, i - 1);

        sample[0][taken] = value_at(values, i);
        sample[1][taken] = sample[0][taken] - before;
        sample[2][taken] = sample[1][taken] - before + value_at(values, i - 2);
    }
    if (taken == 0)
        sample[0][taken++] = sample[1][0] = sample[2][0] = value_at(values, 0);
    middle = middle_of(sample[0], taken);
    step_middle = middle_of(sample[1], taken);
    for (size_t i = 0; i < taken; i++) {
        try_value(&trials[0], sample[0][i] - middle);
        try_value(&trials[1], sample[1][i]);
        try_value(&trials[2], sample[2][i]);
        try_value(&trials[3], sample[1][i] - step_middle);
    }
    for (unsigned order = 1; order < 4; order++)
        if (cost_of_trial(&trials[order]) < cost_of_trial(&trials[best]))
            best = order;
    plan->order = best == 3 ? 1 : best;
    plan->centre = best == 0 ? middle : best == 3 ? step_middle : 0;
    plan->spread = trials[best].open / (unsigned)taken;
    plan->peaked = 4u * trials[best].count[0] > taken;
}

/* Differences of the plan's order into `rest`. */
static void difference(const uint8_t *values, size_t n, struct xm_plan *plan, uint64_t *rest)
{
    plan->n = n - plan->order;
    if (plan->order == 0) {
        memcpy(rest, values, 8 * n);
        return;
    }
    plan->head[0] = value_at(values, 0);
    if (plan->order == 1) {
        for (size_t i = 1; i < n; i++)
            rest[i - 1] = value_at(values, i) - value_at(values, i - 1);
        return;
    }
    plan->head[1] = value_at(values, 1) - plan->head[0];
    for (size_t i = 2; i < n; i++)
        rest[i - 2] = value_at(values, i) - 2 * value_at(values, i - 1) + value_at(values, i - 2);
}

static uint64_t common_divisor(const uint64_t *rest, size_t n, uint64_t least)
{
    uint64_t divisor = 0;

    for (size_t i = 0; i < n && divisor != 1; i++) {
        uint64_t other = rest[i] - least;

        while (other != 0) {
            uint64_t left = divisor == 0 ? 0 : other % divisor;

            if (divisor == 0)
                divisor = other;
            else if (left != 0) {
                other = divisor;
                divisor = left;
                continue;
            }
            other = 0;
        }
    }
    return divisor;
}

/* n * inverse == 1 modulo 2^64, for odd n: each round doubles the bits that are right. */
static uint64_t inverse(uint64_t n)
{
    uint64_t x = 3 * n ^ 2;

    for (int round = 0; round < 4; round++)
        x *= 2 - n * x;
    return x;
}

/* Each difference's number k: it is base + scale * k, k signed where zigzag. */
static void map(const uint64_t *rest, const struct xm_plan *plan, uint64_t *out)
{
    unsigned shift = (unsigned)__builtin_ctzll(plan->scale);
    uint64_t factor = inverse(plan->scale >> shift);

    if (plan->zigzag)
        for (size_t i = 0; i < plan->n; i++)
            out[i] = xm_zigzag((uint64_t)((int64_t)(rest[i] - plan->base) >> shift) * factor);
    else if (plan->scale > 1)
        for (size_t i = 0; i < plan->n; i++)
            out[i] = ((rest[i] - plan->base) >> shift) * factor;
    else
        for (size_t i = 0; i < plan->n; i++)
            out[i] = rest[i] - plan->base;
}

static void count(const uint64_t *mapped, size_t n, uint64_t most, struct xm_histogram *histogram)
{
    unsigned mantissa = histogram->mantissa;

    histogram->first = 0;
    histogram->last = xm_bucket_of(most, mantissa);
    memset(histogram->count, 0, (histogram->last + 1) * sizeof(histogram->count[0]));
    for (size_t i = 0; i < n; i++)
        histogram->count[xm_bucket_of(mapped[i], mantissa)]++;
    while (histogram->count[histogram->first] == 0)
        histogram->first++;
    while (histogram->count[histogram->last] == 0)
        histogram->last--;
}

/* Fixed width or bins, whichever is shorter. */
static void choose_shape(const uint64_t *mapped, struct xm_plan *plan)
{
    struct xm_histogram histogram;
    uint64_t cost;
    uint64_t all = 0;

    for (size_t i = 0; i < plan->n; i++)
        all |= mapped[i];
    plan->shape = all == 0 ? 0 : xm_log2(all) + 1;
    plan->cost = 256 * plan->n * plan->shape;
    if (plan->n < BINS_FROM || plan->shape == 0)
        return;
    histogram.mantissa = plan->n < 512 ? 2 : XM_DENSE_MANTISSA;
    count(mapped, plan->n, all, &histogram);
    cost = xm_bins_fit(&histogram, plan->n, &plan->bins);
    if (cost >= plan->cost)
        return;
    plan->cost = cost;
    plan->shape =
        XM_DENSE_BINNED + plan->bins.mantissa + 4 * (plan->bins.table_log - XM_DENSE_LOG_MIN);
}

/* Numbers above the least, or to both sides of the centre where some lie far out. */
static void choose_map(const uint64_t *rest, struct xm_plan *plan, uint64_t *mapped)
{
    uint64_t least = rest[0];
    uint64_t most = rest[0];
    uint64_t centre = plan->centre;

    for (size_t i = 1; i < plan->n; i++) {
        least = (int64_t)rest[i] < (int64_t)least ? rest[i] : least;
        most = (int64_t)rest[i] > (int64_t)most ? rest[i] : most;
    }
    plan->base = least;
    plan->scale = common_divisor(rest, plan->n, least);
    if (plan->scale == 0)
        plan->scale = 1;
    plan->zigzag = (int64_t)centre > (int64_t)least && (int64_t)centre < (int64_t)most &&
                   most - least <= INT64_MAX &&
                   (plan->peaked || xm_log2(most - least) > plan->spread + FAR_OUT);
    if (plan->zigzag)
        plan->base += (centre - least + plan->scale / 2) / plan->scale * plan->scale;
    map(rest, plan, mapped);
    choose_shape(mapped, plan);
}

/* Where a value stands, or would stand, among levels in ascending order. */
static unsigned level_of(const struct xm_plan *plan, uint64_t value)
{
    unsigned low = 0;
    unsigned high = plan->levels;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if ((int64_t)plan->level[middle] < (int64_t)value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Whether some of a few values are the same; no branches, as those of noise cannot be foreseen. */
static int repeats_any(const uint8_t *values, size_t n)
{
    uint64_t sample[LOOKS];
    unsigned repeated = 0;

    for (size_t i = 0; i < LOOKS; i++) {
        unsigned same = 0;

        sample[i] = value_at(values, i * (n - 1) / (LOOKS - 1));
        for (size_t j = 0; j < i; j++)
            same |= sample[i] == sample[j];
        repeated += same;
    }
    return repeated > 1;
}

/* All values that occur; 0 as soon as they are more than `most` or come too often to be few. */
static int collect_levels(const uint8_t *values, size_t n, unsigned most, struct xm_plan *plan)
{
    plan->levels = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t value = value_at(values, i);
        unsigned at = level_of(plan, value);

        if (at < plan->levels && plan->level[at] == value)
            continue;
        if (plan->levels == most || plan->levels > 12 + i / 4)
            return 0;
        memmove(&plan->level[at + 1], &plan->level[at], (plan->levels - at) * sizeof(value));
        plan->level[at] = value;
        plan->levels++;
    }
    return 1;
}

/* Few values far apart are cheaper by their number in a list. */
static void choose_levels(const uint8_t *values, struct xm_plan *plan, uint64_t *mapped,
                          uint64_t *index)
{
    struct xm_plan listed;
    uint64_t bits = plan->cost / (256 * plan->n);
    unsigned most = XM_DENSE_MOST_LEVELS;

    if (bits < LEVELS_FROM || !repeats_any(values, plan->n + plan->order))
        return;
    if (bits < 8)
        most = 1u << (bits - 2);
    listed.n = plan->n + plan->order;
    listed.order = 0;
    if (!collect_levels(values, listed.n, most, &listed))
        return;
    for (size_t i = 0; i < listed.n; i++)
        index[i] = level_of(&listed, value_at(values, i));
    choose_shape(index, &listed);
    for (unsigned i = 1; i < listed.levels; i++)
        listed.cost += 256 * 8 * xm_varint_bytes(listed.level[i] - listed.level[i - 1]);
    if (listed.cost >= plan->cost)
        return;
    *plan = listed;
    memcpy(mapped, index, 8 * listed.n);
}

void xm_plan_make(const uint8_t *values, size_t n, struct xm_plan *plan, uint64_t *mapped)
{
    uint64_t rest[XM_DENSE_PIECE];

    if (memcmp(values, values + 8, 8 * (n - 1)) == 0) {
        *plan = (struct xm_plan){.base = value_at(values, 0), .scale = 1, .n = n};
        return;
    }
    plan->levels = 0;
    choose_order(values, n, plan);
    difference(values, n, plan, rest);
    choose_map(rest, plan, mapped);
    choose_levels(values, plan, mapped, rest);
}
