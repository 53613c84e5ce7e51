/* SPDX-License-Identifier: Apache-2.0 */
#include "column_bins.h"
#include "column_plan.h"

static uint8_t *write_levels(const struct xm_plan *plan, uint8_t *p)
{
    *p++ = XM_DENSE_LEVELS;
    *p++ = (uint8_t)(plan->levels - 1);
    p = xm_put_varint(p, xm_zigzag(plan->level[0]));
    for (unsigned i = 1; i < plan->levels; i++)
        p = xm_put_varint(p, plan->level[i] - plan->level[i - 1]);
    *p++ = (uint8_t)plan->shape;
    return p;
}

static uint8_t *write_header(const struct xm_plan *plan, uint8_t *p)
{
    int scaled = plan->scale > 1;

    *p++ = (uint8_t)(XM_DENSE_FIRST + 2 * plan->order + (unsigned)plan->zigzag + 6 * scaled);
    for (unsigned i = 0; i < plan->order; i++)
        p = xm_put_varint(p, xm_zigzag(plan->head[i]));
    p = xm_put_varint(p, xm_zigzag(plan->base));
    if (scaled)
        p = xm_put_varint(p, plan->scale);
    *p++ = (uint8_t)plan->shape;
    return p;
}

static void write_bins(const struct xm_bins *bins, unsigned order, struct xm_bit_writer *writer)
{
    xm_put_bits(writer, bins->first | (bins->n - 1) << 9 | order << 16, 18);
    for (unsigned i = 0; i < bins->n; i++) {
        uint64_t high = (bins->weight[i] >> order) + 1;
        unsigned zeros = xm_log2(high);

        /* As many zeros as bits follow the first one bit, that bit, those bits; then the rest. */
        xm_put_bits(writer, (xm_low_bits(high, zeros) << 1 | 1) << zeros, 2 * zeros + 1);
        xm_put_bits(writer, xm_low_bits(bins->weight[i], order), order);
    }
}

/* How a reader comes from a bin's state to another one, seen from there. */
struct leaving {
    struct {
        uint32_t bits; /* << 16, less the state from which on it is one more */
        int16_t first; /* in state[], less the weight */
        uint16_t open;
    } bin[XM_DENSE_BINS];
    uint16_t state[1 << XM_DENSE_LOG_MAX];
};

static void make_leaving(const struct xm_bins *bins, struct leaving *leaving)
{
    uint8_t bin_of_state[1 << XM_DENSE_LOG_MAX];
    uint16_t next[XM_DENSE_BINS];
    unsigned size = 1u << bins->table_log;
    unsigned sum = 0;

    for (unsigned i = 0; i < bins->n; i++) {
        unsigned weight = bins->weight[i];
        unsigned most = bins->table_log - (weight > 1 ? xm_log2(weight - 1) : 0);

        leaving->bin[i].bits = (most << 16) - (weight << most);
        leaving->bin[i].first = (int16_t)((int)sum - (int)weight);
        leaving->bin[i].open = (uint16_t)xm_bucket_bits(bins->first + i, bins->mantissa);
        next[i] = (uint16_t)sum;
        sum += weight;
    }
    xm_bins_spread(bins, bin_of_state);
    for (unsigned s = 0; s < size; s++)
        leaving->state[next[bin_of_state[s]]++] = (uint16_t)(size + s);
}

/* What is written for a value: bits of the state (from bit 16), how many open ones, how many. */
static inline uint32_t leave(const struct leaving *leaving, unsigned bin, unsigned *state)
{
    unsigned bits = (*state + leaving->bin[bin].bits) >> 16;
    unsigned kept = *state >> bits;
    uint32_t step = (*state - (kept << bits)) << 16 | (unsigned)leaving->bin[bin].open << 8 | bits;

    *state = leaving->state[leaving->bin[bin].first + (int)kept];
    return step;
}

static uint64_t step_bits(uint32_t step)
{
    return (step & 255) + (step >> 8 & 255);
}

/*
 * From the last value to the first: a reader's state before a value depends on all behind it.
 * Returns the bits in all, and with `ends` the states to start with.
 */
static uint64_t walk_states(const uint64_t *mapped, const struct xm_plan *plan, uint32_t *steps,
                            unsigned *ends)
{
    unsigned mantissa = plan->bins.mantissa;
    unsigned first = plan->bins.first;
    unsigned a = 1u << plan->bins.table_log;
    unsigned b = a;
    struct leaving leaving;
    uint64_t total = 0;
    size_t i = plan->n;

    make_leaving(&plan->bins, &leaving);
    if (i % 2 != 0) {
        i--;
        steps[i] = leave(&leaving, xm_bucket_of(mapped[i], mantissa) - first, &a);
        steps[i + 1] = 0;
        total += step_bits(steps[i]);
    }
    while (i > 0) {
        i -= 2;
        steps[i + 1] = leave(&leaving, xm_bucket_of(mapped[i + 1], mantissa) - first, &b);
        steps[i] = leave(&leaving, xm_bucket_of(mapped[i], mantissa) - first, &a);
        total += step_bits(steps[i]) + step_bits(steps[i + 1]);
    }
    ends[0] = a;
    ends[1] = b;
    return total;
}

static void write_pair(struct xm_bit_writer *writer, const uint64_t *mapped, const uint32_t *steps)
{
    unsigned bits = steps[0] & 255;
    unsigned open_a = steps[0] >> 8 & 255;
    unsigned open_b = steps[1] >> 8 & 255;
    uint64_t a = xm_low_bits(mapped[0], open_a);
    uint64_t b = xm_low_bits(mapped[1], open_b);
    uint64_t word = (uint64_t)(steps[0] >> 16) | (uint64_t)(steps[1] >> 16) << bits;

    bits += steps[1] & 255;
    if (bits + open_a + open_b <= 56) {
        word |= (a | b << open_a) << bits;
        xm_put_bits(writer, word, bits + open_a + open_b);
        return;
    }
    xm_put_bits(writer, word, bits);
    xm_put_wide(writer, a, open_a);
    xm_put_wide(writer, b, open_b);
}

static uint8_t *write_binned(uint64_t *mapped, const struct xm_plan *plan, uint8_t *p,
                             const uint8_t *end)
{
    struct xm_bit_writer writer = {p, 0, 0};
    unsigned log = plan->bins.table_log;
    uint32_t steps[XM_DENSE_PIECE + 1];
    unsigned ends[2];
    unsigned weight_bits;
    unsigned order = xm_bins_golomb(&plan->bins, &weight_bits);
    uint64_t bits = 18 + weight_bits + 2 * log + walk_states(mapped, plan, steps, ends);

    if ((bits + 7) / 8 > (uint64_t)(end - p))
        return NULL;
    write_bins(&plan->bins, order, &writer);
    xm_put_bits(&writer, xm_low_bits(ends[0], log) | xm_low_bits(ends[1], log) << log, 2 * log);
    /* One more of nothing makes the last pair whole. */
    mapped[plan->n] = 0;
    for (size_t i = 0; i < plan->n; i += 2)
        write_pair(&writer, mapped + i, steps + i);
    return writer.p + (writer.bits > 0);
}

static uint8_t *write_fixed(const uint64_t *mapped, const struct xm_plan *plan, uint8_t *p,
                            const uint8_t *end)
{
    struct xm_bit_writer writer = {p, 0, 0};

    if ((plan->n * plan->shape + 7) / 8 > (size_t)(end - p))
        return NULL;
    if (plan->shape == 0)
        return p;
    for (size_t i = 0; i < plan->n; i++)
        xm_put_wide(&writer, mapped[i], plan->shape);
    return writer.p + (writer.bits > 0);
}

size_t xm_dense_pack(const void *values, size_t n, uint8_t *out, size_t most)
{
    struct xm_plan plan;
    uint64_t mapped[XM_DENSE_PIECE + 1];
    uint8_t header[XM_DENSE_HEADER];
    size_t bytes;
    uint8_t *p;

    xm_plan_make(values, n, &plan, mapped);
    p = plan.levels > 0 ? write_levels(&plan, header) : write_header(&plan, header);
    bytes = (size_t)(p - header);
    if (bytes > most)
        return 0;
    memcpy(out, header, bytes);
    if (plan.shape < XM_DENSE_BINNED)
        p = write_fixed(mapped, &plan, out + bytes, out + most);
    else
        p = write_binned(mapped, &plan, out + bytes, out + most);
    return p == NULL ? 0 : (size_t)(p - out);
}
