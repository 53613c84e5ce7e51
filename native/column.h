/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_COLUMN_H
#define XM_COLUMN_H

#include <stddef.h>
#include <stdint.h>

/* Codecs 2 and up: column_dense.h. */
enum { XM_COLUMN_PLAIN = 0, XM_COLUMN_DELTA = 1 };

/* Most bytes that one column of n values packs into. */
#define XM_COLUMN_BOUND(n) ((n) == 0 ? 0 : 1 + 8 * (size_t)(n))

/* Scratch that xm_column_pack may write behind the bound: one varint over the edge. */
#define XM_COLUMN_SLACK 10

/* Values that a byte can stand for, at most: three bytes hold a piece of 2048 equal values. */
#define XM_COLUMN_MOST_PER_BYTE 1024

/*
 * Pack n little-endian int64 values (any alignment) into out, which has room for
 * XM_COLUMN_BOUND(n) + XM_COLUMN_SLACK bytes; returns the bytes used.
 */
size_t xm_column_pack(const void *values, size_t n, uint8_t *out);

/*
 * Unpack one column of n values from data into out (any alignment). Returns 0 and the bytes
 * consumed, or -EINVAL for an unknown codec, damage or missing bytes. `out` may hold nonsense then.
 */
int xm_column_unpack(const uint8_t *data, size_t bytes, size_t n, void *out, size_t *used);

#endif
