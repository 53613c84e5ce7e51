/* SPDX-License-Identifier: Apache-2.0 */
#include "call_cell.h"

/* A number on its way to a cell. */
struct number {
    int is_real;
    int is_unsigned; /* of the whole ones */
    double real;
    __int128 whole;
};

/* A float holds the sentinel as the nearest that a float can hold. */
static int is_real_sentinel(const struct xm_call_result *result, const struct xm_load *load,
                            double number)
{
    for (uint32_t i = 0; i < result->n_sentinels; i++) {
        double sentinel = result->sentinels[i].real;

        if (number == (load->width == sizeof(float) ? (double)(float)sentinel : sentinel))
            return 1;
    }
    return 0;
}

/* Sum over elements; 0 where one of them is a sentinel. */
static int add_up(const struct xm_call_result *result, const struct xm_load *load,
                  const uint8_t *base, uint32_t elements, uint32_t stride, struct number *sum)
{
    *sum = (struct number){.is_real = load->kind == XM_LOAD_FLOAT,
                           .is_unsigned = load->kind != XM_LOAD_SIGNED};
    for (uint32_t i = 0; i < elements; i++, base += stride) {
        if (sum->is_real) {
            double real = xm_load_real(load, base);

            if (is_real_sentinel(result, load, real))
                return 0;
            /* Not 0.0 + -0.0: the bits of a single number are kept. */
            sum->real = i == 0 ? real : sum->real + real;
        } else {
            int64_t cell = xm_load_cell(load, base);

            if (xm_call_is_sentinel(result, cell))
                return 0;
            sum->whole += sum->is_unsigned ? (__int128)(uint64_t)cell : cell;
        }
    }
    return 1;
}

/* Whether a cell can hold it: as signed, or modulo 2^64 where no part of it is signed. */
static int fits_cell(const struct number *number)
{
    __int128 top = number->is_unsigned ? (__int128)UINT64_MAX : INT64_MAX;

    return number->whole >= INT64_MIN && number->whole <= top;
}

static double to_real(const struct number *number)
{
    return number->is_real ? number->real : (double)number->whole;
}

/* 0 where the product leaves the range of a cell. */
static int multiply(struct number *number, const struct number *factor)
{
    if (number->is_real || factor->is_real) {
        number->real = to_real(number) * to_real(factor);
        number->is_real = 1;
        return 1;
    }
    /* Beyond this not even 128 bits would be sure to hold the product. */
    if (!fits_cell(number) || (number->whole > INT64_MAX && factor->whole > INT64_MAX))
        return 0;
    number->whole *= factor->whole;
    number->is_unsigned = number->is_unsigned && factor->is_unsigned;
    return 1;
}

/* Half away from zero; 0 where no cell holds it, as with NaN. */
static int round_real(double number, int64_t *cell)
{
    double rest;

    if (!(number >= -0x1p63 && number < 0x1p63))
        return 0;
    /* Exact: whole from 2^52 on, and below that the rest has bits to spare. */
    *cell = (int64_t)number;
    rest = number - (double)*cell;
    *cell += (rest >= 0.5) - (rest <= -0.5);
    return 1;
}

static void put_bits(const struct xm_call_result *result, double number, int64_t *values,
                     uint8_t *reasons)
{
    int64_t bits = 0;
    /* NaN is not, and infinity is beyond what any range of 64 bits can name. */
    int fits = number >= (double)result->low && number <= (double)result->high;

    if (fits)
        memcpy(&bits, &number, sizeof(bits));
    xm_call_put(result, fits ? XM_REASON_VALUE : XM_REASON_IMPLAUSIBLE, bits, values, reasons);
}

static void settle(const struct xm_call_result *result, struct number *number, int64_t *values,
                   uint8_t *reasons)
{
    int64_t scale = result->more->scale;
    int64_t cell;

    if (scale == 0) {
        put_bits(result, to_real(number), values, reasons);
        return;
    }
    if (number->is_real && round_real(number->real * (double)scale, &cell)) {
        xm_call_put_whole(result, cell, values, reasons);
        return;
    }
    if (!number->is_real && fits_cell(number)) {
        number->whole *= scale;
        if (fits_cell(number)) {
            xm_call_put_whole(result, (int64_t)(uint64_t)number->whole, values, reasons);
            return;
        }
    }
    xm_call_put(result, XM_REASON_IMPLAUSIBLE, 0, values, reasons);
}

void xm_call_combine(const struct xm_call *call, const struct xm_call_result *result,
                     const struct xm_load *load, int64_t *values, uint8_t *reasons)
{
    const struct xm_call_more *more = result->more;
    uint32_t has_factor = more->flags & XM_CALL_HAS_FACTOR;
    struct number number;
    struct number factor;

    if (!add_up(result, load, xm_call_base(call), more->elements, more->stride, &number) ||
        (has_factor && !add_up(result, &more->factor, xm_call_base(call), 1, 0, &factor))) {
        xm_call_put(result, XM_REASON_UNSUPPORTED, 0, values, reasons);
        return;
    }
    if (has_factor && !multiply(&number, &factor)) {
        xm_call_put(result, XM_REASON_IMPLAUSIBLE, 0, values, reasons);
        return;
    }
    settle(result, &number, values, reasons);
}
