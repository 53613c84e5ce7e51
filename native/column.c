/* SPDX-License-Identifier: Apache-2.0 */
#include "column.h"

#include <errno.h>
#include <string.h>

static uint64_t load(const void *values, size_t i)
{
    uint64_t value;

    memcpy(&value, (const uint8_t *)values + 8 * i, sizeof(value));
    return value;
}

static uint64_t zigzag(uint64_t difference)
{
    return (difference << 1) ^ (0 - (difference >> 63));
}

static uint64_t unzigzag(uint64_t coded)
{
    return (coded >> 1) ^ (0 - (coded & 1));
}

static uint8_t *put_varint(uint8_t *p, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *p++ = (uint8_t)(value | 0x80);
    *p++ = (uint8_t)value;
    return p;
}

size_t xm_column_pack(const void *values, size_t n, uint8_t *out)
{
    uint8_t *p = out + 1;
    const uint8_t *limit = p + 8 * n;
    uint64_t before = 0;

    if (n == 0)
        return 0;
    out[0] = XM_COLUMN_DELTA;
    for (size_t i = 0; i < n && p <= limit; i++) {
        uint64_t value = load(values, i);

        p = put_varint(p, zigzag(value - before));
        before = value;
    }
    if (p <= limit)
        return (size_t)(p - out);
    out[0] = XM_COLUMN_PLAIN;
    memcpy(out + 1, values, 8 * n);
    return XM_COLUMN_BOUND(n);
}

static const uint8_t *get_varint(const uint8_t *p, const uint8_t *end, uint64_t *value)
{
    uint64_t result = 0;

    for (unsigned shift = 0; p < end && shift < 64; shift += 7) {
        uint8_t byte = *p++;

        /* The tenth byte holds bit 63 and nothing more. */
        if (shift == 63 && byte > 1)
            return NULL;
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = result;
            return p;
        }
    }
    return NULL;
}

static int unpack_delta(const uint8_t *data, size_t bytes, size_t n, void *out, size_t *used)
{
    const uint8_t *p = data;
    uint64_t value = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t coded;

        p = get_varint(p, data + bytes, &coded);
        if (p == NULL)
            return -EINVAL;
        value += unzigzag(coded);
        memcpy((uint8_t *)out + 8 * i, &value, sizeof(value));
    }
    *used = (size_t)(p - data);
    return 0;
}

int xm_column_unpack(const uint8_t *data, size_t bytes, size_t n, void *out, size_t *used)
{
    int rc;

    *used = 0;
    if (n == 0)
        return 0;
    if (bytes < 1)
        return -EINVAL;
    switch (data[0]) {
    case XM_COLUMN_PLAIN:
        if ((bytes - 1) / 8 < n)
            return -EINVAL;
        memcpy(out, data + 1, 8 * n);
        *used = 8 * n;
        break;
    case XM_COLUMN_DELTA:
        rc = unpack_delta(data + 1, bytes - 1, n, out, used);
        if (rc != 0)
            return rc;
        break;
    default:
        return -EINVAL;
    }
    *used += 1;
    return 0;
}
