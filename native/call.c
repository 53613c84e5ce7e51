/* SPDX-License-Identifier: Apache-2.0 */
#include "call_cell.h"

/*
 * Arguments in registers, as both calling conventions have it: a narrower one is read from the low
 * bits of its register, and so is a narrower return value.
 */
static inline uint64_t invoke(const struct xm_call *call)
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

/* What a code means; *code stays only where it is the vendor's to explain. */
static uint8_t look_up(const struct xm_call_view *view, const struct xm_call_codes *codes,
                       int64_t *code)
{
    const int64_t *success = xm_call_pool_at(view->shared, codes->success);
    const struct xm_call_reason *reasons = xm_call_pool_at(view->shared, codes->reasons);
    uint8_t reason = XM_REASON_VENDOR_ERROR;

    for (uint32_t i = 0; i < codes->n_success; i++) {
        if (success[i] == *code)
            return XM_REASON_VALUE;
    }
    for (uint32_t i = 0; i < codes->n_reasons; i++) {
        if (reasons[i].code == *code) {
            reason = (uint8_t)reasons[i].reason;
            break;
        }
    }
    if (reason != XM_REASON_VENDOR_ERROR)
        *code = 0;
    return reason;
}

static inline uint8_t judge(const struct xm_call_view *view, const struct xm_call_codes *codes,
                            int64_t *code)
{
    if (*code == 0 && codes->has_zero)
        return XM_REASON_VALUE;
    return look_up(view, codes, code);
}

static inline void fill_plain(const struct xm_call_view *view, const struct xm_call_result *result,
                              const struct xm_call_pattern *pattern, const struct xm_load *load)
{
    int64_t cell = xm_load_cell(load, view->scratch + result->at);

    if (xm_call_is_sentinel(view, pattern, cell))
        xm_call_put(view, result, XM_REASON_UNSUPPORTED, 0);
    else
        xm_call_put_whole(view, result, pattern, cell);
}

/* Whether the entry is one that the call says it filled in. */
static int is_below_limit(const struct xm_call_view *view, const struct xm_call_result *result,
                          const struct xm_call_pattern *pattern)
{
    uint64_t index = (uint64_t)pattern->limit_index << 32 | result->limit_index;
    int64_t limit = xm_load_cell(&pattern->limit, view->scratch);

    if (pattern->limit.kind == XM_LOAD_SIGNED && limit < 0)
        return 0;
    return index < (uint64_t)limit;
}

static inline const struct xm_load *choose(const struct xm_call_view *view,
                                           const struct xm_call_result *result,
                                           const struct xm_call_pattern *pattern)
{
    const struct xm_call_choice *choices = xm_call_pool_at(view->shared, pattern->choices);
    int64_t tag;

    if (!(pattern->flags & XM_CALL_HAS_TAG))
        return &pattern->load;
    tag = xm_load_cell(&pattern->tag, view->scratch + result->at);
    for (uint32_t i = 0; i < pattern->n_choices; i++) {
        if (choices[i].tag == tag)
            return &choices[i].load;
    }
    return NULL;
}

static inline void fill(const struct xm_call_view *view, const struct xm_call_result *result,
                        const struct xm_call_pattern *pattern, const struct xm_call_codes *codes)
{
    const struct xm_load *load;

    if ((pattern->flags & XM_CALL_HAS_LIMIT) && !is_below_limit(view, result, pattern)) {
        xm_call_put(view, result, XM_REASON_UNSUPPORTED, 0);
        return;
    }
    if (pattern->flags & XM_CALL_HAS_STATUS) {
        int64_t code = xm_load_cell(&pattern->status, view->scratch + result->at);
        uint8_t reason = judge(view, codes, &code);

        if (reason != XM_REASON_VALUE) {
            xm_call_put(view, result, reason, code);
            return;
        }
    }
    load = choose(view, result, pattern);
    if (load == NULL)
        xm_call_put(view, result, XM_REASON_IMPLAUSIBLE, 0);
    else if ((pattern->flags & XM_CALL_IS_SINGLE) && load->kind != XM_LOAD_FLOAT)
        fill_plain(view, result, pattern, load);
    else
        xm_call_combine(view, result, pattern, load);
}

static void fill_all(const struct xm_call_view *view, const struct xm_call *call,
                     const struct xm_call_codes *codes)
{
    const struct xm_call_result *results = xm_call_results(call);
    uint32_t n = call->n_results;

    for (uint32_t i = 0; i < n; i++) {
        const struct xm_call_pattern *pattern = xm_call_pool_at(view->shared, results[i].pattern);

        if (pattern->flags & XM_CALL_IS_PLAIN)
            fill_plain(view, &results[i], pattern, &pattern->load);
        else
            fill(view, &results[i], pattern, codes);
    }
}

static void fail_all(const struct xm_call_view *view, const struct xm_call *call, uint8_t reason,
                     int64_t code)
{
    const struct xm_call_result *results = xm_call_results(call);

    for (uint32_t i = 0; i < call->n_results; i++)
        xm_call_put(view, &results[i], reason, code);
}

/* The first bytes of any buffer at once: what is too much of them lies under the canary. */
static inline void prime_one(const struct xm_call_set *set, const struct xm_call_buffer *buffer,
                             uint8_t *data)
{
    if (buffer->template != XM_CALL_ZEROS) {
        memcpy(data, xm_call_pool_at(&set->shared, buffer->template), buffer->bytes);
    } else {
        memset(data, 0, XM_CALL_CANARY_BYTES);
        if (buffer->bytes > XM_CALL_CANARY_BYTES)
            memset(data, 0, buffer->bytes);
    }
    memcpy(data + buffer->bytes, set->canary, XM_CALL_CANARY_BYTES);
}

static inline void prime(const struct xm_call_set *set, const struct xm_call *call)
{
    const struct xm_call_buffer *buffers = xm_call_buffers(call);
    uint8_t *data = set->scratch + XM_CALL_BUFFERS_AT;

    for (uint32_t i = 0; i < call->n_buffers; i++) {
        prime_one(set, &buffers[i], data);
        data += xm_call_scratch_bytes(buffers[i].bytes);
    }
}

static inline int has_canaries(const struct xm_call_set *set, const struct xm_call *call)
{
    const struct xm_call_buffer *buffers = xm_call_buffers(call);
    const uint8_t *data = set->scratch + XM_CALL_BUFFERS_AT;
    uint64_t differs = 0;

    for (uint32_t i = 0; i < call->n_buffers; i++) {
        for (size_t k = 0; k < XM_CALL_CANARY_BYTES / 8; k++) {
            uint64_t found;

            memcpy(&found, data + buffers[i].bytes + 8 * k, sizeof(found));
            differs |= found ^ set->canary[k];
        }
        data += xm_call_scratch_bytes(buffers[i].bytes);
    }
    return differs == 0;
}

void xm_call_run(const struct xm_call_set *set, size_t i, int64_t *values, uint8_t *reasons)
{
    const struct xm_call *call = xm_call_pool_at(&set->probes, set->at[i]);
    const struct xm_call_codes *codes = xm_call_pool_at(&set->shared, call->codes * 8u);
    struct xm_call_view view = {set->scratch, &set->shared, values, reasons};
    uint8_t reason = XM_REASON_VALUE;
    int64_t code = 0;

    if (!xm_call_is_trampled(set, i)) {
        uint64_t returned;

        prime(set, call);
        returned = invoke(call);
        memcpy(set->scratch + XM_CALL_RETURNED_AT, &returned, sizeof(returned));
        /* Pairs with the relaxed load in xm_call_is_trampled. */
        if (!has_canaries(set, call))
            atomic_store_explicit(&set->is_trampled[i], 1, memory_order_relaxed);
    }
    if (xm_call_is_trampled(set, i)) {
        reason = XM_REASON_VENDOR_ERROR;
        code = XM_CALL_CANARY_CODE;
    } else if (codes->status.width != 0) {
        code = xm_load_cell(&codes->status, set->scratch);
        reason = judge(&view, codes, &code);
    }
    if (reason == XM_REASON_VALUE)
        fill_all(&view, call, codes);
    else
        fail_all(&view, call, reason, code);
}
