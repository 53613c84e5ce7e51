/* SPDX-License-Identifier: Apache-2.0 */
#include "parse.h"

#include <string.h>

static int is_digit(char c)
{
    return (unsigned char)(c - '0') <= 9;
}

static int is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* A digit behind such a character belongs to a name ("avg10", "0x1f", "1.2.3"), not to a number. */
static int is_glue(char c)
{
    return is_digit(c) || (unsigned char)((c | 0x20) - 'a') < 26 || c == '_' || c == '.';
}

/* Start of the next number in [p, end), or end; glued says whether the byte before p is glue. */
static const char *next_number(const char *p, const char *end, int glued)
{
    for (; p < end; p++) {
        if (!glued && (is_digit(*p) || (*p == '-' && p + 1 < end && is_digit(p[1]))))
            return p;
        glued = is_glue(*p);
    }
    return end;
}

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && is_digit(*p))
        p++;
    return p;
}

/* Behind the number that starts at p. */
static const char *skip_number(const char *p, const char *end)
{
    p = skip_digits(p + (*p == '-'), end);
    if (p + 1 < end && *p == '.' && is_digit(p[1]))
        p = skip_digits(p + 1, end);
    return p;
}

static int add_digit(uint64_t *value, unsigned digit)
{
    if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, digit, value))
        return -1;
    return 0;
}

static int add_decimals(uint64_t *value, const char *p, const char *end, uint32_t decimals)
{
    int has_fraction = p + 1 < end && *p == '.' && is_digit(p[1]);

    p++;
    for (uint32_t i = 0; i < decimals; i++) {
        unsigned digit = 0;

        if (has_fraction && p < end && is_digit(*p))
            digit = (unsigned)(*p++ - '0');
        else
            has_fraction = 0;
        if (add_digit(value, digit) != 0)
            return -1;
    }
    return 0;
}

static int is_hex(const char *p, const char *end)
{
    return p + 1 < end && *p == '0' && (p[1] | 0x20) == 'x';
}

static enum xm_parse_result convert(const char *p, const char *end, uint32_t decimals,
                                    int64_t *value)
{
    int negative = *p == '-';
    uint64_t magnitude = 0;

    p += negative;
    /* Its leading 0 would pass for the value. */
    if (is_hex(p, end))
        return XM_PARSE_BAD;
    for (; p < end && is_digit(*p); p++) {
        if (add_digit(&magnitude, (unsigned)(*p - '0')) != 0)
            return XM_PARSE_BAD;
    }
    if (decimals > 0 && add_decimals(&magnitude, p, end, decimals) != 0)
        return XM_PARSE_BAD;
    if (negative && magnitude > (uint64_t)INT64_MAX + 1)
        return XM_PARSE_BAD;
    *value = (int64_t)(negative ? 0 - magnitude : magnitude);
    return XM_PARSE_FOUND;
}

/* 1 when the first word of the line around `at` is the key and starts there. */
static int is_key(const struct xm_parse_text *text, const struct xm_parse_field *field, size_t at)
{
    size_t behind = at + field->key_bytes;

    if (behind >= text->bytes || !is_space(text->data[behind]) ||
        memcmp(text->data + at, field->key, field->key_bytes) != 0)
        return 0;
    while (at > 0 && text->data[at - 1] != '\n') {
        if (!is_space(text->data[--at]))
            return 0;
    }
    return 1;
}

static enum xm_parse_result find_key(const struct xm_parse_text *text, struct xm_parse_field *field)
{
    const char *end = text->data + text->bytes;
    const char *p = text->data;

    if (field->line + field->key_bytes < text->bytes && is_key(text, field, field->line))
        return XM_PARSE_FOUND;
    while (p < end) {
        const char *newline;

        while (p < end && is_space(*p))
            p++;
        if (p < end && is_key(text, field, (size_t)(p - text->data))) {
            field->line = (size_t)(p - text->data);
            return XM_PARSE_FOUND;
        }
        newline = memchr(p, '\n', (size_t)(end - p));
        p = newline != NULL ? newline + 1 : end;
    }
    return text->whole ? XM_PARSE_ABSENT : XM_PARSE_MORE;
}

/* Set text->at to where numbers are counted from, and text->end. */
static enum xm_parse_result seek(struct xm_parse_text *text, struct xm_parse_field *field)
{
    const char *newline;
    enum xm_parse_result found;

    text->index = 0;
    text->at = text->data;
    text->end = text->data + text->bytes;
    if (field->key_bytes == 0)
        return XM_PARSE_FOUND;
    found = find_key(text, field);
    if (found != XM_PARSE_FOUND)
        return found;
    text->at = text->data + field->line + field->key_bytes;
    newline = memchr(text->at, '\n', (size_t)(text->end - text->at));
    if (newline == NULL && !text->whole)
        return XM_PARSE_MORE;
    if (newline != NULL)
        text->end = newline;
    return XM_PARSE_FOUND;
}

static enum xm_parse_result walk(struct xm_parse_text *text, const struct xm_parse_field *field,
                                 int64_t *value)
{
    const char *limit = text->data + text->bytes;
    const char *p = text->at;
    int glued = text->index > 0;

    for (uint32_t i = text->index;; i++) {
        const char *start = next_number(p, text->end, glued);

        if (start == text->end)
            return text->whole || text->end < limit ? XM_PARSE_ABSENT : XM_PARSE_MORE;
        p = skip_number(start, text->end);
        glued = 1;
        if (i < field->index)
            continue;
        if (limit - p < 2 && !text->whole && !(p < limit && *p == '\n'))
            return XM_PARSE_MORE; /* its digits or its decimals may go on */
        text->at = p;
        text->index = i + 1;
        return convert(start, text->end, field->decimals, value);
    }
}

enum xm_parse_result xm_parse_number(struct xm_parse_text *text, struct xm_parse_field *field,
                                     int64_t *value)
{
    enum xm_parse_result result = XM_PARSE_FOUND;

    if (!field->continues || text->at == NULL)
        result = seek(text, field);
    if (result == XM_PARSE_FOUND)
        result = walk(text, field, value);
    if (result != XM_PARSE_FOUND)
        text->at = NULL;
    return result;
}
