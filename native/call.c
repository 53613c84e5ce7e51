/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

#include "ring.h"

/* A number on its way to a cell. */
struct number {
    int is_real;
    int is_unsigned; /* of the whole ones */
    double real;
    __int128 whole;
};

/*
 * Arguments in registers, as both calling conventions have it: a narrower one is read from the low
 * bits of its register, and so is a narrower return value.
 */
static uint64_t invoke(const struct xm_call *call)
{
    const uint64_t *a = call->arguments;
    uintptr_t f = (uintptr_t)call->function;

    switch (call->n_arguments) {
    case 0:
        return ((uint64_t(*)(void))f)();
    case 1:
        return ((uint64_t(*)(uint64_t))f)(a[0]);
    case 2:
        return ((uint64_t(*)(uint64_t, uint64_t))f)(a[0], a[1]);
    case 3:
        return ((uint64_t(*)(uint64_t, uint64_t, uint64_t))f)(a[0], a[1], a[2]);
    case 4:
        return ((uint64_t(*)(uint64_t, uint64_t, uint64_t, uint64_t))f)(a[0], a[1], a[2], a[3]);
    case 5:
        return ((uint64_t(*)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t))f)(a[0], a[1], a[2],
                                                                                  a[3], a[4]);
    default:
        return ((uint64_t(*)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t))f)(
            a[0], a[1], a[2], a[3], a[4], a[5]);
    }
}

static const uint8_t *base_of(const struct xm_call *call)
{
    return (const uint8_t *)call;
}

static void put(const struct xm_call_result *result, uint8_t reason, int64_t cell, int64_t *values,
                uint8_t *reasons)
{
    values[result->column] = cell;
    reasons[result->column] = reason;
}

static void fail_all(const struct xm_call *call, uint8_t reason, int64_t code, int64_t *values,
                     uint8_t *reasons)
{
    for (uint32_t i = 0; i < call->n_results; i++)
        put(&call->results[i], reason, code, values, reasons);
}

/* What a code means; *code stays only where it is the vendor's to explain. */
static uint8_t judge(const struct xm_call *call, int64_t *code)
{
    uint8_t reason = XM_REASON_VENDOR_ERROR;

    for (uint32_t i = 0; i < call->n_success; i++) {
        if (call->success[i] == *code)
            return XM_REASON_VALUE;
    }
    for (uint32_t i = 0; i < call->n_reasons; i++) {
        if (call->reasons[i].code == *code) {
            reason = (uint8_t)call->reasons[i].reason;
            break;
        }
    }
    if (reason != XM_REASON_VENDOR_ERROR)
        *code = 0;
    return reason;
}

static int is_sentinel(const struct xm_call_result *result, int64_t cell)
{
    for (uint32_t i = 0; i < result->n_sentinels; i++) {
        if (result->sentinels[i].cell == cell)
            return 1;
    }
    return 0;
}

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

static void put_whole(const struct xm_call_result *result, int64_t cell, int64_t *values,
                      uint8_t *reasons)
{
    int fits = cell >= result->low && cell <= result->high;

    put(result, fits ? XM_REASON_VALUE : XM_REASON_IMPLAUSIBLE, fits ? cell : 0, values, reasons);
}

static inline void fill_plain(const struct xm_call *call, const struct xm_call_result *result,
                              const struct xm_load *load, int64_t *values, uint8_t *reasons)
{
    int64_t cell = xm_load_cell(load, base_of(call));

    if (is_sentinel(result, cell))
        put(result, XM_REASON_UNSUPPORTED, 0, values, reasons);
    else
        put_whole(result, cell, values, reasons);
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

            if (is_sentinel(result, cell))
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
    put(result, fits ? XM_REASON_VALUE : XM_REASON_IMPLAUSIBLE, bits, values, reasons);
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
        put_whole(result, cell, values, reasons);
        return;
    }
    if (!number->is_real && fits_cell(number)) {
        number->whole *= scale;
        if (fits_cell(number)) {
            put_whole(result, (int64_t)(uint64_t)number->whole, values, reasons);
            return;
        }
    }
    put(result, XM_REASON_IMPLAUSIBLE, 0, values, reasons);
}

static void combine(const struct xm_call *call, const struct xm_call_result *result,
                    const struct xm_load *load, int64_t *values, uint8_t *reasons)
{
    const struct xm_call_more *more = result->more;
    uint32_t has_factor = more->flags & XM_CALL_HAS_FACTOR;
    struct number number;
    struct number factor;

    if (!add_up(result, load, base_of(call), more->elements, more->stride, &number) ||
        (has_factor && !add_up(result, &more->factor, base_of(call), 1, 0, &factor))) {
        put(result, XM_REASON_UNSUPPORTED, 0, values, reasons);
        return;
    }
    if (has_factor && !multiply(&number, &factor)) {
        put(result, XM_REASON_IMPLAUSIBLE, 0, values, reasons);
        return;
    }
    settle(result, &number, values, reasons);
}

/* Whether the entry is one that the call says it filled in. */
static int is_below_limit(const struct xm_call *call, const struct xm_call_more *more)
{
    int64_t limit = xm_load_cell(&more->limit, base_of(call));

    if (more->limit.kind == XM_LOAD_SIGNED && limit < 0)
        return 0;
    return more->limit_index < (uint64_t)limit;
}

static const struct xm_load *choose(const struct xm_call *call, const struct xm_call_more *more)
{
    int64_t tag;

    if (!(more->flags & XM_CALL_HAS_TAG))
        return &more->loads[0].load;
    tag = xm_load_cell(&more->tag, base_of(call));
    for (uint32_t i = 0; i < more->n_loads; i++) {
        if (more->loads[i].tag == tag)
            return &more->loads[i].load;
    }
    return NULL;
}

static void fill(const struct xm_call *call, const struct xm_call_result *result, int64_t *values,
                 uint8_t *reasons)
{
    const struct xm_call_more *more = result->more;
    const struct xm_load *load;

    if ((more->flags & XM_CALL_HAS_LIMIT) && !is_below_limit(call, more)) {
        put(result, XM_REASON_UNSUPPORTED, 0, values, reasons);
        return;
    }
    if (more->flags & XM_CALL_HAS_STATUS) {
        int64_t code = xm_load_cell(&more->status, base_of(call));
        uint8_t reason = judge(call, &code);

        if (reason != XM_REASON_VALUE) {
            put(result, reason, code, values, reasons);
            return;
        }
    }
    load = choose(call, more);
    if (load == NULL)
        put(result, XM_REASON_IMPLAUSIBLE, 0, values, reasons);
    else if ((more->flags & XM_CALL_IS_SINGLE) && load->kind != XM_LOAD_FLOAT)
        fill_plain(call, result, load, values, reasons);
    else
        combine(call, result, load, values, reasons);
}

static void prime(struct xm_call *call)
{
    uint8_t *base = (uint8_t *)call;

    for (uint32_t i = 0; i < call->n_buffers; i++) {
        const struct xm_call_buffer *buffer = &call->buffers[i];

        memcpy(base + buffer->data, base + buffer->template, buffer->bytes);
    }
}

static int has_canaries(const struct xm_call *call, const uint64_t *canary)
{
    uint64_t differs = 0;

    for (uint32_t i = 0; i < call->n_buffers; i++) {
        uint64_t found[XM_CALL_CANARY_BYTES / 8];

        memcpy(found, base_of(call) + call->buffers[i].data + call->buffers[i].bytes,
               sizeof(found));
        for (size_t k = 0; k < XM_CALL_CANARY_BYTES / 8; k++)
            differs |= found[k] ^ canary[k];
    }
    return differs == 0;
}

static void fill_all(const struct xm_call *call, int64_t *values, uint8_t *reasons)
{
    for (uint32_t i = 0; i < call->n_results; i++) {
        const struct xm_call_result *result = &call->results[i];

        if (result->more == NULL)
            fill_plain(call, result, &result->load, values, reasons);
        else
            fill(call, result, values, reasons);
    }
}

void xm_call_run(const struct xm_call_set *set, size_t i, int64_t *values, uint8_t *reasons)
{
    struct xm_call *call = set->call[i];
    uint8_t reason = XM_REASON_VALUE;
    int64_t code = 0;

    if (!xm_call_is_trampled(set, i)) {
        prime(call);
        call->returned = invoke(call);
        /* Pairs with the relaxed load in xm_call_is_trampled. */
        if (!has_canaries(call, set->canary))
            atomic_store_explicit(&call->is_trampled, 1, memory_order_relaxed);
    }
    if (xm_call_is_trampled(set, i)) {
        reason = XM_REASON_VENDOR_ERROR;
        code = XM_CALL_CANARY_CODE;
    } else if (call->status.width != 0) {
        code = xm_load_cell(&call->status, base_of(call));
        reason = judge(call, &code);
    }
    if (reason == XM_REASON_VALUE)
        fill_all(call, values, reasons);
    else
        fail_all(call, reason, code, values, reasons);
}
