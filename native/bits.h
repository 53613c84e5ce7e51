/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_BITS_H
#define XM_BITS_H

#include <stdint.h>
#include <string.h>

/* Little-endian words at any alignment, varints, and streams of bits, low bits first. */

static inline uint64_t xm_load64(const void *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return word;
}

static inline void xm_store64(void *at, uint64_t word)
{
    memcpy(at, &word, sizeof(word));
}

static inline uint64_t xm_zigzag(uint64_t value)
{
    return (value << 1) ^ (0 - (value >> 63));
}

static inline uint64_t xm_unzigzag(uint64_t coded)
{
    return (coded >> 1) ^ (0 - (coded & 1));
}

static inline unsigned xm_log2(uint64_t value)
{
    return 63 ^ (unsigned)__builtin_clzll(value | 1);
}

static inline uint64_t xm_low_bits(uint64_t value, unsigned bits)
{
    return bits < 64 ? value & ((UINT64_C(1) << bits) - 1) : value;
}

static inline unsigned xm_varint_bytes(uint64_t value)
{
    return xm_log2(value) / 7 + 1;
}

static inline uint8_t *xm_put_varint(uint8_t *p, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *p++ = (uint8_t)(value | 0x80);
    *p++ = (uint8_t)value;
    return p;
}

/* Behind the varint, or NULL where it ends beyond `end` or holds more than 64 bits. */
static inline const uint8_t *xm_get_varint(const uint8_t *p, const uint8_t *end, uint64_t *value)
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

/* Writes whole words: up to 8 bytes behind the last bit are scratch. */
struct xm_bit_writer {
    uint8_t *p;
    uint64_t held;
    unsigned bits; /* held, below 8 between calls */
};

/* At most 56 bits, and none set above them. */
static inline void xm_put_bits(struct xm_bit_writer *writer, uint64_t value, unsigned bits)
{
    writer->held |= value << writer->bits;
    writer->bits += bits;
    xm_store64(writer->p, writer->held);
    writer->p += writer->bits >> 3;
    writer->held >>= writer->bits & 56;
    writer->bits &= 7;
}

static inline void xm_put_wide(struct xm_bit_writer *writer, uint64_t value, unsigned bits)
{
    if (bits > 56) {
        xm_put_bits(writer, value & 0xffffffff, 32);
        value >>= 32;
        bits -= 32;
    }
    xm_put_bits(writer, value, bits);
}

/* Up to 64 bits from bit `at` on, of data that goes on for 9 bytes at least. */
static inline uint64_t xm_bits_at(const uint8_t *data, uint64_t at, unsigned bits)
{
    const uint8_t *p = data + (at >> 3);
    unsigned skip = at & 7;
    uint64_t value = xm_load64(p) >> skip;

    if (skip + bits > 64)
        value |= (uint64_t)p[8] << ((64 - skip) & 63);
    return xm_low_bits(value, bits);
}

/* `at` may run past the end, where zeros are read: whoever reads compares once, when done. */
struct xm_bit_reader {
    const uint8_t *data;
    size_t bytes;
    uint64_t at; /* bits */
};

/* The 64 bits at bit `at`, the highest up to 7 of them missing; zeros behind the end. */
static inline uint64_t xm_peek(const struct xm_bit_reader *reader, uint64_t at)
{
    uint64_t byte = at >> 3;
    uint64_t word = 0;

    if (byte + 8 <= reader->bytes)
        word = xm_load64(reader->data + byte);
    else if (byte < reader->bytes)
        memcpy(&word, reader->data + byte, reader->bytes - byte);
    return word >> (at & 7);
}

static inline uint64_t xm_get_bits(struct xm_bit_reader *reader, unsigned bits)
{
    uint64_t value = xm_peek(reader, reader->at);

    if (bits > 56)
        value = xm_low_bits(value, 32) | xm_peek(reader, reader->at + 32) << 32;
    reader->at += bits;
    return xm_low_bits(value, bits);
}

#endif
