/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_LOAD_H
#define XM_LOAD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum xm_load_kind { XM_LOAD_UNSIGNED, XM_LOAD_SIGNED, XM_LOAD_BOOL, XM_LOAD_FLOAT };

/* A number in memory, aligned or not. As small as can be: a lane finds its cache cold. */
struct xm_load {
    uint32_t at;   /* from the base that each load is given */
    uint8_t width; /* 1, 2, 4 or 8 bytes */
    uint8_t kind;
    /* A field of bits is shifted up until it ends at bit 63, then down until it begins at bit 0. */
    uint8_t up;
    uint8_t down;
};

/* Kind and width of a letter of Python's struct: 0, or -1 where no load has it. */
static inline int xm_load_type(char type, uint8_t *kind, uint8_t *width)
{
    static const char letters[] = "bBhHiIqQ?fd";
    static const uint8_t widths[] = {1, 1, 2, 2, 4, 4, 8, 8, 1, 4, 8};
    static const uint8_t kinds[] = {
        XM_LOAD_SIGNED, XM_LOAD_UNSIGNED, XM_LOAD_SIGNED, XM_LOAD_UNSIGNED,
        XM_LOAD_SIGNED, XM_LOAD_UNSIGNED, XM_LOAD_SIGNED, XM_LOAD_UNSIGNED,
        XM_LOAD_BOOL,   XM_LOAD_FLOAT,    XM_LOAD_FLOAT,
    };
    const char *found = type == '\0' ? NULL : strchr(letters, type);

    if (found == NULL)
        return -1;
    *kind = kinds[found - letters];
    *width = widths[found - letters];
    return 0;
}

/* bits 0 is the whole number. The letter must be one that xm_load_type knows. */
static inline struct xm_load xm_load_make(uint32_t at, char type, unsigned shift, unsigned bits)
{
    struct xm_load load = {.at = at};

    xm_load_type(type, &load.kind, &load.width);
    if (bits == 0)
        bits = 8u * load.width;
    load.up = (uint8_t)(64 - shift - bits);
    load.down = (uint8_t)(64 - bits);
    return load;
}

/* The integer, as cells hold it: modulo 2^64. Not for floats. */
static inline int64_t xm_load_cell(const struct xm_load *load, const uint8_t *base)
{
    const uint8_t *at = base + load->at;
    uint64_t raw;

    if (load->width == 4) {
        uint32_t word;

        memcpy(&word, at, sizeof(word));
        raw = word;
    } else if (load->width == 8) {
        memcpy(&raw, at, sizeof(raw));
    } else if (load->width == 2) {
        uint16_t half;

        memcpy(&half, at, sizeof(half));
        raw = half;
    } else {
        raw = *at;
    }
    raw <<= load->up;
    if (load->kind == XM_LOAD_SIGNED)
        return (int64_t)raw >> load->down;
    raw >>= load->down;
    return load->kind == XM_LOAD_BOOL ? raw != 0 : (int64_t)raw;
}

/* The float or double. */
static inline double xm_load_real(const struct xm_load *load, const uint8_t *base)
{
    const uint8_t *at = base + load->at;
    float single;
    double number;

    if (load->width == sizeof(single)) {
        memcpy(&single, at, sizeof(single));
        return (double)single;
    }
    memcpy(&number, at, sizeof(number));
    return number;
}

#endif
