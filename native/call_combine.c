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
static int is_real_sentinel(const struct xm_call_view *view, const struct xm_call_pattern *pattern,
                            const struct xm_load *load, double number)
{
    const struct xm_call_sentinel *sentinels = xm_call_pool_at(view->shared, pattern->sentinels);

    for (uint32_t i = 0; i < pattern->n_sentinels; i++) {
        double sentinel = sentinels[i].real;

        if (number == (load->width == sizeof(float) ? (double)(float)sentinel : sentinel))
            return 1;
    }
    return 0;
}

/* Sum over elements from `base` on; 0 where one of them is a sentinel. */
static int add_up(const struct xm_call_view *view, const struct xm_call_pattern *pattern,
                  const struct xm_load *load, const uint8_t *base, uint32_t elements,
                  struct number *sum)
{
    *sum = (struct number){.is_real = load->kind == XM_LOAD_FLOAT,
                           .is_unsigned = load->kind != XM_LOAD_SIGNED};
    for (uint32_t i = 0; i < elements; i++, base += pattern->stride) {
        if (sum->is_real) {
            double real = xm_load_real(load, base);

            if (is_real_sentinel(view, pattern, load, real))
                return 0;
            /* Not 0.0 + -0.0: the bits of a single number are kept. */
            sum->real = i == 0 ? real : sum->real + real;
        } else {
            int64_t cell = xm_load_cell(load, base);

            if (xm_call_is_sentinel(view, pattern, cell))
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

static void put_bits(const struct xm_call_view *view, const struct xm_call_result *result,
                     const struct xm_call_pattern *pattern, double number)
{
    int64_t bits = 0;
    /* NaN is not, and infinity is beyond what any range of 64 bits can name. */
    int fits = number >= (double)pattern->low && number <= (double)pattern->high;

    if (fits)
        memcpy(&bits, &number, sizeof(bits));
    xm_call_put(view, result, fits ? XM_REASON_VALUE : XM_REASON_IMPLAUSIBLE, bits);
}

static void settle(const struct xm_call_view *view, const struct xm_call_result *result,
                   const struct xm_call_pattern *pattern, struct number *number)
{
    int64_t cell;

    if (pattern->scale == 0) {
        put_bits(view, result, pattern, to_real(number));
        return;
    }
    if (number->is_real && round_real(number->real * (double)pattern->scale, &cell)) {
        xm_call_put_whole(view, result, pattern, cell);
        return;
    }
    if (!number->is_real && fits_cell(number)) {
        number->whole *= pattern->scale;
        if (fits_cell(number)) {
            xm_call_put_whole(view, result, pattern, (int64_t)(uint64_t)number->whole);
            return;
        }
    }
    xm_call_put(view, result, XM_REASON_IMPLAUSIBLE, 0);
}

void xm_call_combine(const struct xm_call_view *view, const struct xm_call_result *result,
                     const struct xm_call_pattern *pattern, const struct xm_load *load)
{
    const uint8_t *base = view->scratch + result->at;
    uint32_t has_factor = pattern->flags & XM_CALL_HAS_FACTOR;
    struct number number;
    struct number factor;

    if (!add_up(view, pattern, load, base, pattern->elements, &number) ||
        (has_factor && !add_up(view, pattern, &pattern->factor, base, 1, &factor))) {
        xm_call_put(view, result, XM_REASON_UNSUPPORTED, 0);
        return;
    }
    if (has_factor && !multiply(&number, &factor)) {
        xm_call_put(view, result, XM_REASON_IMPLAUSIBLE, 0);
        return;
    }
    settle(view, result, pattern, &number);
}
