/* SPDX-License-Identifier: Apache-2.0 */
#include "column.h"
#include "column_dense.h"

#include <errno.h>
#include <string.h>

/* Few enough that one varint each may be the shortest. */
#define VARINT_UNTIL 64

/* Bytes used, 0 where it would take more than `most`. */
static size_t pack_delta(const uint8_t *values, size_t n, uint8_t *out, size_t most)
{
    uint8_t *p = out + 1;
    const uint8_t *limit = out + most;
    uint64_t before = 0;

    out[0] = XM_COLUMN_DELTA;
    for (size_t i = 0; i < n && p <= limit; i++) {
        uint64_t value = xm_load64(values + 8 * i);

        p = xm_put_varint(p, xm_zigzag(value - before));
        before = value;
    }
    return p <= limit ? (size_t)(p - out) : 0;
}

static size_t pack_dense(const uint8_t *values, size_t n, uint8_t *out, size_t most)
{
    size_t used = 0;

    for (size_t i = 0; i < n; i += XM_DENSE_PIECE) {
        size_t piece = n - i < XM_DENSE_PIECE ? n - i : XM_DENSE_PIECE;
        size_t bytes = xm_dense_pack(values + 8 * i, piece, out + used, most - used);

        if (bytes == 0)
            return 0;
        used += bytes;
    }
    return used;
}

size_t xm_column_pack(const void *values, size_t n, uint8_t *out)
{
    uint8_t small[XM_COLUMN_BOUND(VARINT_UNTIL) + XM_COLUMN_SLACK];
    size_t bound = XM_COLUMN_BOUND(n);
    size_t delta = 0;
    size_t dense = 0;

    if (n == 0)
        return 0;
    if (n >= VARINT_UNTIL) {
        dense = pack_dense(values, n, out, bound - 1);
    } else {
        delta = pack_delta(values, n, out, bound);
        if (n > 1)
            dense = pack_dense(values, n, small, (delta > 0 ? delta : bound) - 1);
        if (dense > 0)
            memcpy(out, small, dense);
    }
    if (dense > 0)
        return dense;
    if (delta > 0)
        return delta;
    out[0] = XM_COLUMN_PLAIN;
    memcpy(out + 1, values, 8 * n);
    return bound;
}

static int unpack_delta(const uint8_t *data, size_t bytes, size_t n, void *out, size_t *used)
{
    const uint8_t *p = data;
    uint64_t value = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t coded;

        p = xm_get_varint(p, data + bytes, &coded);
        if (p == NULL)
            return -EINVAL;
        value += xm_unzigzag(coded);
        memcpy((uint8_t *)out + 8 * i, &value, sizeof(value));
    }
    *used = (size_t)(p - data);
    return 0;
}

/* All values behind a codec byte, or one piece of them. Returns how many, 0 for damage. */
static size_t unpack_some(const uint8_t *data, size_t bytes, size_t n, uint8_t *out, size_t *used)
{
    size_t piece = n < XM_DENSE_PIECE ? n : XM_DENSE_PIECE;

    if (bytes == 0 || data[0] > XM_DENSE_LAST)
        return 0;
    if (data[0] >= XM_DENSE_FIRST)
        return xm_dense_unpack(data, bytes, piece, out, used) == 0 ? piece : 0;
    if (data[0] == XM_COLUMN_DELTA) {
        if (unpack_delta(data + 1, bytes - 1, n, out, used) != 0)
            return 0;
    } else {
        if ((bytes - 1) / 8 < n)
            return 0;
        memcpy(out, data + 1, 8 * n);
        *used = 8 * n;
    }
    *used += 1;
    return n;
}

int xm_column_unpack(const uint8_t *data, size_t bytes, size_t n, void *out, size_t *used)
{
    uint8_t *p = out;

    *used = 0;
    while (n > 0) {
        size_t taken;
        size_t done = unpack_some(data + *used, bytes - *used, n, p, &taken);

        if (done == 0)
            return -EINVAL;
        *used += taken;
        p += 8 * done;
        n -= done;
    }
    return 0;
}
