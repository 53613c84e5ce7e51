/* SPDX-License-Identifier: Apache-2.0 */
#include "call_cell.h"

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

static void fail_all(const struct xm_call *call, uint8_t reason, int64_t code, int64_t *values,
                     uint8_t *reasons)
{
    for (uint32_t i = 0; i < call->n_results; i++)
        xm_call_put(&call->results[i], reason, code, values, reasons);
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

static inline void fill_plain(const struct xm_call *call, const struct xm_call_result *result,
                              const struct xm_load *load, int64_t *values, uint8_t *reasons)
{
    int64_t cell = xm_load_cell(load, xm_call_base(call));

    if (xm_call_is_sentinel(result, cell))
        xm_call_put(result, XM_REASON_UNSUPPORTED, 0, values, reasons);
    else
        xm_call_put_whole(result, cell, values, reasons);
}

/* Whether the entry is one that the call says it filled in. */
static int is_below_limit(const struct xm_call *call, const struct xm_call_more *more)
{
    int64_t limit = xm_load_cell(&more->limit, xm_call_base(call));

    if (more->limit.kind == XM_LOAD_SIGNED && limit < 0)
        return 0;
    return more->limit_index < (uint64_t)limit;
}

static const struct xm_load *choose(const struct xm_call *call, const struct xm_call_more *more)
{
    int64_t tag;

    if (!(more->flags & XM_CALL_HAS_TAG))
        return &more->loads[0].load;
    tag = xm_load_cell(&more->tag, xm_call_base(call));
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
        xm_call_put(result, XM_REASON_UNSUPPORTED, 0, values, reasons);
        return;
    }
    if (more->flags & XM_CALL_HAS_STATUS) {
        int64_t code = xm_load_cell(&more->status, xm_call_base(call));
        uint8_t reason = judge(call, &code);

        if (reason != XM_REASON_VALUE) {
            xm_call_put(result, reason, code, values, reasons);
            return;
        }
    }
    load = choose(call, more);
    if (load == NULL)
        xm_call_put(result, XM_REASON_IMPLAUSIBLE, 0, values, reasons);
    else if ((more->flags & XM_CALL_IS_SINGLE) && load->kind != XM_LOAD_FLOAT)
        fill_plain(call, result, load, values, reasons);
    else
        xm_call_combine(call, result, load, values, reasons);
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

        memcpy(found, xm_call_base(call) + call->buffers[i].data + call->buffers[i].bytes,
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
        code = xm_load_cell(&call->status, xm_call_base(call));
        reason = judge(call, &code);
    }
    if (reason == XM_REASON_VALUE)
        fill_all(call, values, reasons);
    else
        fail_all(call, reason, code, values, reasons);
}
