/* SPDX-License-Identifier: Apache-2.0 */
#include "column_dense.h"

#include <errno.h>

/* What a state means: a bin, and where the next state lies. */
struct state {
    uint64_t low;
    uint16_t base;
    uint8_t bits;
    uint8_t open; /* low bits of the value, written out */
};

struct header {
    unsigned order;
    int zigzag;
    uint64_t head[2];
    uint64_t base;
    uint64_t scale;
    unsigned shape;
    unsigned levels; /* 0: none */
    uint64_t level[XM_DENSE_MOST_LEVELS];
};

static const uint8_t *read_levels(const uint8_t *p, const uint8_t *end, struct header *header)
{
    uint64_t value = 0;

    if (p == end || *p >= XM_DENSE_MOST_LEVELS)
        return NULL;
    header->levels = *p++ + 1u;
    for (unsigned i = 0; i < header->levels; i++) {
        uint64_t step;

        p = xm_get_varint(p, end, &step);
        if (p == NULL)
            return NULL;
        value += i == 0 ? xm_unzigzag(step) : step;
        header->level[i] = value;
    }
    return p;
}

static const uint8_t *read_header(const uint8_t *p, const uint8_t *end, struct header *header)
{
    unsigned kind = *p++ - XM_DENSE_FIRST;

    if (kind == XM_DENSE_LEVELS - XM_DENSE_FIRST) {
        p = read_levels(p, end, header);
        if (p == NULL || p == end)
            return NULL;
        header->shape = *p++;
        return p;
    }
    header->order = kind % 6 / 2;
    header->zigzag = kind % 2;
    header->scale = 1;
    for (unsigned i = 0; i < header->order && p != NULL; i++) {
        p = xm_get_varint(p, end, &header->head[i]);
        header->head[i] = xm_unzigzag(header->head[i]);
    }
    if (p != NULL)
        p = xm_get_varint(p, end, &header->base);
    header->base = xm_unzigzag(header->base);
    if (p != NULL && kind >= 6)
        p = xm_get_varint(p, end, &header->scale);
    if (p == NULL || p == end)
        return NULL;
    header->shape = *p++;
    return p;
}

static void read_fixed(struct xm_bit_reader *reader, unsigned width, size_t n, uint8_t *out)
{
    size_t i = 0;

    if (width == 0) {
        memset(out, 0, 8 * n);
        return;
    }
    for (; i < n && (reader->at >> 3) + 9 <= reader->bytes; i++) {
        xm_store64(out + 8 * i, xm_bits_at(reader->data, reader->at, width));
        reader->at += width;
    }
    for (; i < n; i++)
        xm_store64(out + 8 * i, xm_get_bits(reader, width));
}

static int read_bins(struct xm_bit_reader *reader, unsigned shape, struct xm_bins *bins)
{
    unsigned order;
    uint32_t sum = 0;

    bins->mantissa = (shape - XM_DENSE_BINNED) & 3;
    bins->table_log = ((shape - XM_DENSE_BINNED) >> 2) + XM_DENSE_LOG_MIN;
    if (bins->table_log > XM_DENSE_LOG_MAX)
        return -EINVAL;
    bins->first = (unsigned)xm_get_bits(reader, 9);
    bins->n = (unsigned)xm_get_bits(reader, 7) + 1;
    order = (unsigned)xm_get_bits(reader, 2);
    if (bins->first + bins->n > xm_buckets(bins->mantissa))
        return -EINVAL;
    for (unsigned i = 0; i < bins->n; i++) {
        uint64_t word = xm_peek(reader, reader->at);
        unsigned zeros = (unsigned)__builtin_ctzll(word | 1 << 10);
        uint32_t weight;

        if (zeros > XM_DENSE_LOG_MAX)
            return -EINVAL;
        weight = (1u << zeros) - 1 + (uint32_t)xm_low_bits(word >> (zeros + 1), zeros);
        weight = weight << order | (uint32_t)xm_low_bits(word >> (2 * zeros + 1), order);
        reader->at += 2 * zeros + 1 + order;
        sum += weight;
        if (sum > 1u << bins->table_log)
            return -EINVAL;
        bins->weight[i] = (uint16_t)weight;
    }
    return sum == 1u << bins->table_log ? 0 : -EINVAL;
}

static void make_states(const struct xm_bins *bins, struct state *states)
{
    uint8_t bin_of_state[1 << XM_DENSE_LOG_MAX];
    uint16_t next[XM_DENSE_BINS];

    xm_bins_spread(bins, bin_of_state);
    memcpy(next, bins->weight, sizeof(next));
    for (unsigned s = 0; s < 1u << bins->table_log; s++) {
        unsigned bin = bin_of_state[s];
        unsigned x = next[bin]++;
        unsigned bits = bins->table_log - xm_log2(x);
        unsigned bucket = bins->first + bin;

        states[s].bits = (uint8_t)bits;
        states[s].base = (uint16_t)((x << bits) - (1u << bins->table_log));
        states[s].low = xm_bucket_low(bucket, bins->mantissa);
        states[s].open = (uint8_t)xm_bucket_bits(bucket, bins->mantissa);
    }
}

/* Where the reader is, in values and bits. */
struct cursor {
    size_t i;
    uint64_t at;
    unsigned a;
    unsigned b;
};

/*
 * Pairs of values while 32 bytes are left; one takes 18 + 2 * 63 bits at most. Two states take
 * turns, so that their look-ups need not wait for each other.
 */
static void read_pairs(const uint8_t *data, size_t bytes, const struct state *states, size_t n,
                       uint8_t *out, struct cursor *cursor)
{
    uint64_t at = cursor->at;
    unsigned a = cursor->a;
    unsigned b = cursor->b;
    size_t i = cursor->i;

    for (; i + 2 <= n && (at >> 3) + 32 <= bytes; i += 2) {
        const struct state *sa = &states[a];
        const struct state *sb = &states[b];
        uint64_t word = xm_load64(data + (at >> 3)) >> (at & 7);
        uint64_t open = at + sa->bits + sb->bits;

        at = open + sa->open + sb->open;
        a = sa->base + (unsigned)xm_low_bits(word, sa->bits);
        b = sb->base + (unsigned)xm_low_bits(word >> sa->bits, sb->bits);
        xm_store64(out + 8 * i, sa->low + xm_bits_at(data, open, sa->open));
        xm_store64(out + 8 * i + 8, sb->low + xm_bits_at(data, open + sa->open, sb->open));
    }
    *cursor = (struct cursor){i, at, a, b};
}

static int read_values(struct xm_bit_reader *reader, const struct state *states, unsigned table_log,
                       size_t n, uint8_t *out)
{
    uint8_t tail[64] = {0};
    struct cursor cursor = {0};
    uint64_t skip;

    cursor.a = (unsigned)xm_get_bits(reader, table_log);
    cursor.b = (unsigned)xm_get_bits(reader, table_log);
    cursor.at = reader->at;
    read_pairs(reader->data, reader->bytes, states, n, out, &cursor);
    skip = cursor.at >> 3;
    if (skip > reader->bytes)
        return -EINVAL;
    if (cursor.i + 2 <= n) {
        /* The last bytes again, with zeros behind them. */
        memcpy(tail, reader->data + skip, reader->bytes - skip);
        cursor.at &= 7;
        read_pairs(tail, sizeof(tail), states, n, out, &cursor);
        cursor.at += 8 * skip;
        if (cursor.i + 2 <= n)
            return -EINVAL;
    }
    reader->at = cursor.at;
    if (cursor.i < n) {
        const struct state *last = &states[cursor.a];

        cursor.a = last->base + (unsigned)xm_get_bits(reader, last->bits);
        xm_store64(out + 8 * cursor.i, last->low + xm_get_bits(reader, last->open));
    }
    return cursor.a == 0 && cursor.b == 0 ? 0 : -EINVAL;
}

static int read_binned(struct xm_bit_reader *reader, unsigned shape, size_t n, uint8_t *out)
{
    struct xm_bins bins;
    struct state states[1 << XM_DENSE_LOG_MAX];
    int rc = read_bins(reader, shape, &bins);

    if (rc != 0)
        return rc;
    make_states(&bins, states);
    return read_values(reader, states, bins.table_log, n, out);
}

static int restore_levels(const struct header *header, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t index = xm_load64(out + 8 * i);

        if (index >= header->levels)
            return -EINVAL;
        xm_store64(out + 8 * i, header->level[index]);
    }
    return 0;
}

static void restore(const struct header *header, size_t n, uint8_t *out)
{
    uint64_t value = header->head[0];
    uint64_t step = header->head[1];

    out += 8 * header->order;
    for (size_t i = header->order; i < n; i++, out += 8) {
        uint64_t mapped = xm_load64(out);
        uint64_t rest;

        mapped = header->zigzag ? xm_unzigzag(mapped) : mapped;
        rest = header->base + header->scale * mapped;
        if (header->order == 0) {
            xm_store64(out, rest);
            continue;
        }
        step = header->order == 2 ? step + rest : rest;
        value += step;
        xm_store64(out, value);
    }
}

int xm_dense_unpack(const uint8_t *data, size_t bytes, size_t n, void *out, size_t *used)
{
    struct header header = {0};
    struct xm_bit_reader reader = {0};
    const uint8_t *p = read_header(data, data + bytes, &header);
    uint8_t *rest = (uint8_t *)out + 8 * header.order;
    int rc = 0;

    if (p == NULL || n <= header.order || n > XM_DENSE_PIECE)
        return -EINVAL;
    reader.data = p;
    reader.bytes = bytes - (size_t)(p - data);
    if (header.shape < XM_DENSE_BINNED)
        read_fixed(&reader, header.shape, n - header.order, rest);
    else
        rc = read_binned(&reader, header.shape, n - header.order, rest);
    if (rc != 0 || reader.at > 8 * (uint64_t)reader.bytes)
        return -EINVAL;
    /* What fills up the last byte is zero. */
    if (reader.at % 8 != 0 && p[reader.at / 8] >> reader.at % 8 != 0)
        return -EINVAL;
    if (header.order > 0)
        xm_store64(out, header.head[0]);
    if (header.order > 1)
        xm_store64((uint8_t *)out + 8, header.head[0] + header.head[1]);
    if (header.order > 1)
        header.head[0] += header.head[1];
    *used = (size_t)(p - data) + (size_t)((reader.at + 7) / 8);
    if (header.levels > 0)
        return restore_levels(&header, n, out);
    restore(&header, n, out);
    return 0;
}
