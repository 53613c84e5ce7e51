/* SPDX-License-Identifier: Apache-2.0 */
#include "column_bins.h"
#include "column_plan.h"

/* The table of bins, at most: 18 + 128 * 19 + 18 bits. */
#define BINS_BYTES 312

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

static void write_bins(const struct xm_bins *bins, struct xm_bit_writer *writer)
{
    unsigned order = xm_bins_golomb(bins);

    xm_put_bits(writer, bins->first | (bins->n - 1) << 9 | order << 16, 18);
    for (unsigned i = 0; i < bins->n; i++) {
        uint64_t high = (bins->weight[i] >> order) + 1;
        unsigned zeros = xm_log2(high);

        /* As many zeros as bits follow the first one bit, that bit, those bits; then the rest. */
        xm_put_bits(writer, (xm_low_bits(high, zeros) << 1 | 1) << zeros, 2 * zeros + 1);
        xm_put_bits(writer, xm_low_bits(bins->weight[i], order), order);
    }
}

/* How states are left: for a bin, to which states, and how many bits of the old one stay. */
struct leaving {
    uint32_t bits[XM_DENSE_BINS]; /* << 16, less a threshold */
    int32_t first[XM_DENSE_BINS];
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

        if (weight == 1)
            most = bins->table_log;
        leaving->bits[i] = (most << 16) - (weight << most);
        leaving->first[i] = (int32_t)sum - (int32_t)weight;
        next[i] = (uint16_t)sum;
        sum += weight;
    }
    xm_bins_spread(bins, bin_of_state);
    for (unsigned s = 0; s < size; s++)
        leaving->state[next[bin_of_state[s]]++] = (uint16_t)(size + s);
}

/* From the last value to the first: a reader's state before a value depends on all behind it. */
static uint64_t walk_states(const uint64_t *mapped, const struct xm_plan *plan, uint16_t *steps,
                            unsigned *ends)
{
    const struct xm_bins *bins = &plan->bins;
    struct leaving leaving;
    uint64_t total = 0;

    make_leaving(bins, &leaving);
    ends[0] = ends[1] = 1u << bins->table_log;
    for (size_t i = plan->n; i-- > 0;) {
        unsigned bucket = xm_bucket_of(mapped[i], bins->mantissa);
        unsigned bin = bucket - bins->first;
        unsigned state = ends[i & 1];
        unsigned bits = (state + leaving.bits[bin]) >> 16;

        steps[i] = (uint16_t)((state & ((1u << bits) - 1)) << 4 | bits);
        ends[i & 1] = leaving.state[leaving.first[bin] + (int32_t)(state >> bits)];
        total += bits + xm_bucket_bits(bucket, bins->mantissa);
    }
    return total;
}

static unsigned open_bits(uint64_t value, unsigned mantissa)
{
    unsigned log = xm_log2(value);

    return log > mantissa ? log - mantissa : 0;
}

static void write_pair(struct xm_bit_writer *writer, const uint64_t *mapped, const uint16_t *steps,
                       unsigned mantissa)
{
    unsigned bits_a = open_bits(mapped[0], mantissa);
    unsigned bits_b = open_bits(mapped[1], mantissa);
    uint64_t open_a = xm_low_bits(mapped[0], bits_a);
    uint64_t open_b = xm_low_bits(mapped[1], bits_b);
    unsigned bits = steps[0] & 15;
    uint64_t word = (uint64_t)(steps[0] >> 4) | (uint64_t)(steps[1] >> 4) << bits;

    bits += steps[1] & 15;
    if (bits + bits_a + bits_b <= 56) {
        word |= open_a << bits | open_b << (bits + bits_a);
        xm_put_bits(writer, word, bits + bits_a + bits_b);
        return;
    }
    xm_put_bits(writer, word, bits);
    xm_put_wide(writer, open_a, bits_a);
    xm_put_wide(writer, open_b, bits_b);
}

static uint8_t *write_binned(uint64_t *mapped, const struct xm_plan *plan, uint8_t *p,
                             const uint8_t *end)
{
    struct xm_bit_writer writer = {p, 0, 0};
    unsigned log = plan->bins.table_log;
    uint16_t steps[XM_DENSE_PIECE + 1];
    unsigned ends[2];
    uint64_t total = walk_states(mapped, plan, steps, ends);

    if (p + BINS_BYTES + (total + 7) / 8 > end)
        return NULL;
    write_bins(&plan->bins, &writer);
    xm_put_bits(&writer, xm_low_bits(ends[0], log) | xm_low_bits(ends[1], log) << log, 2 * log);
    /* One more of nothing makes the last pair whole. */
    steps[plan->n] = 0;
    mapped[plan->n] = 0;
    for (size_t i = 0; i < plan->n; i += 2)
        write_pair(&writer, mapped + i, steps + i, plan->bins.mantissa);
    return writer.p + (writer.bits > 0);
}

static uint8_t *write_fixed(const uint64_t *mapped, const struct xm_plan *plan, uint8_t *p,
                            const uint8_t *end)
{
    struct xm_bit_writer writer = {p, 0, 0};

    if (p + (plan->n * plan->shape + 7) / 8 > end)
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
    bytes = (size_t)(write_header(&plan, header) - header);
    if (bytes > most)
        return 0;
    memcpy(out, header, bytes);
    if (plan.shape < XM_DENSE_BINNED)
        p = write_fixed(mapped, &plan, out + bytes, out + most);
    else
        p = write_binned(mapped, &plan, out + bytes, out + most);
    return p == NULL ? 0 : (size_t)(p - out);
}
