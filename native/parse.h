/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_PARSE_H
#define XM_PARSE_H

#include <stddef.h>
#include <stdint.h>

#define XM_PARSE_MAX_DECIMALS 18
#define XM_PARSE_PLAIN_BYTES  19

/* Where a number stands in a text and what it may be; see Lane in _core.pyi. */
struct xm_parse_field {
    uint32_t column;
    uint32_t index;
    uint32_t decimals;
    uint32_t key_bytes; /* 0: no key */
    char *key;
    int continues; /* same key as the field before, and a larger index */
    size_t line;   /* where the key stood last time */
    int64_t *sentinels;
    size_t n_sentinels;
    int64_t low;
    int64_t high;
};

struct xm_parse_text {
    const char *data;
    size_t bytes;
    int whole;       /* nothing follows behind `bytes` */
    const char *at;  /* behind the number found last, NULL for none */
    const char *end; /* of the line or text that it was found in */
    uint32_t index;  /* of the number that follows `at` */
};

enum xm_parse_result {
    XM_PARSE_FOUND,
    XM_PARSE_MORE,   /* the answer lies behind the end of what has been read */
    XM_PARSE_ABSENT, /* no such key, or too few numbers */
    XM_PARSE_BAD     /* a number that no 64-bit cell holds */
};

/*
 * A number is [-]digits[.digits] that does not follow a letter, digit, underscore or point.
 * Values to 2^64 - 1 are stored modulo 2^64; further decimals are cut off, missing ones are 0.
 */
enum xm_parse_result xm_parse_number(struct xm_parse_text *text, struct xm_parse_field *field,
                                     int64_t *value);

static inline int xm_parse_is_plain(const struct xm_parse_field *field)
{
    return (field->index | field->decimals | field->key_bytes) == 0;
}

/*
 * The common case, inline as a hand-written loop would have it: one whole number of at most 18
 * digits at the start of the text, and a line's end behind it. 0 where it is anything else.
 */
static inline int xm_parse_plain(const char *text, size_t bytes, int64_t *value)
{
    const char *p = text;
    const char *end = text + (bytes < XM_PARSE_PLAIN_BYTES ? bytes : XM_PARSE_PLAIN_BYTES);
    uint64_t result = 0; /* 19 digits fit */
    unsigned digit;

    for (; p < end && (digit = (unsigned)*p - '0') <= 9; p++)
        result = 10 * result + digit;
    *value = (int64_t)result;
    return p < end && *p == '\n' && p > text;
}

#endif
