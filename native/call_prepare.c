/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define LINE_BYTES 64u

_Static_assert(XM_CALL_MAX_ITEMS < 1 << 13, "counts have 13 bits");
_Static_assert(sizeof(struct xm_call) == 16, "a probe of one value fits a line");
_Static_assert(sizeof(struct xm_call_codes) == 32 && sizeof(struct xm_call_choice) == 16 &&
                   sizeof(struct xm_call_pattern) == 96,
               "what is shared has no padding");

struct xm_call_set *xm_call_create(size_t n)
{
    struct xm_call_set *set = calloc(1, sizeof(*set));

    if (set == NULL)
        return NULL;
    set->at = calloc(n + 1, sizeof(*set->at));
    set->is_trampled = calloc(n + 1, sizeof(*set->is_trampled));
    if (set->at == NULL || set->is_trampled == NULL) {
        xm_call_destroy(set);
        return NULL;
    }
    set->n = n;
    /* Early at boot there may be no randomness yet: any pattern will do then. */
    if (getrandom(set->canary, sizeof(set->canary), GRND_NONBLOCK) != sizeof(set->canary)) {
        for (size_t i = 0; i < XM_CALL_CANARY_BYTES / 8; i++)
            set->canary[i] = ((uint64_t)xm_clock_mono() + i) * UINT64_C(0x9e3779b97f4a7c15);
    }
    return set;
}

void xm_call_destroy(struct xm_call_set *set)
{
    xm_call_pool_free(&set->probes);
    xm_call_pool_free(&set->shared);
    free(set->at);
    free(set->is_trampled);
    free(set->scratch);
    free(set);
}

/* Where a buffer is in the scratch memory; of the one behind the last: where it ends. */
static uint32_t buffer_at(const struct xm_call_spec *spec, size_t buffer)
{
    size_t at = XM_CALL_BUFFERS_AT;

    for (size_t i = 0; i < buffer; i++)
        at += xm_call_scratch_bytes(spec->buffers[i].bytes);
    return (uint32_t)at;
}

/* What pointed into the scratch memory points to where it is now. */
static void move_pointers(struct xm_call_set *set, const uint8_t *scratch)
{
    uint64_t by = (uint64_t)(uintptr_t)scratch - (uint64_t)(uintptr_t)set->scratch;

    for (uint32_t at = 0, k = 0; at < set->probes.bytes; at = set->at[++k]) {
        struct xm_call *call = (struct xm_call *)(set->probes.data + at);

        for (uint32_t i = 0; i < call->n_arguments; i++) {
            if (call->pointers >> i & 1)
                call->arguments[i] += by;
        }
    }
}

static int widen_scratch(struct xm_call_set *set, const struct xm_call_spec *spec)
{
    size_t bytes = (buffer_at(spec, spec->n_buffers) + LINE_BYTES - 1) & ~(size_t)(LINE_BYTES - 1);
    uint8_t *scratch;

    if (bytes <= set->scratch_bytes)
        return 0;
    scratch = aligned_alloc(LINE_BYTES, bytes);
    if (scratch == NULL)
        return -ENOMEM;
    memset(scratch, 0, bytes);
    move_pointers(set, scratch);
    free(set->scratch);
    set->scratch = scratch;
    set->scratch_bytes = bytes;
    return 0;
}

static int share(struct xm_call_set *set, const void *data, size_t bytes, uint32_t *at)
{
    *at = 0;
    return bytes == 0 ? 0 : xm_call_pool_share(&set->shared, data, bytes, at);
}

static int make_buffers(struct xm_call_set *set, struct xm_call *call,
                        const struct xm_call_spec *spec)
{
    struct xm_call_buffer *buffers = xm_call_buffers(call);

    for (size_t i = 0; i < spec->n_buffers; i++) {
        const struct xm_call_template *from = &spec->buffers[i];
        size_t set_bytes = from->bytes;

        buffers[i] = (struct xm_call_buffer){(uint32_t)from->bytes, XM_CALL_ZEROS};
        while (set_bytes > 0 && from->data[set_bytes - 1] == 0)
            set_bytes--;
        if (set_bytes > 0 && share(set, from->data, from->bytes, &buffers[i].template) != 0)
            return -ENOMEM;
    }
    return 0;
}

static void make_arguments(const struct xm_call_set *set, struct xm_call *call,
                           const struct xm_call_spec *spec)
{
    for (size_t i = 0; i < spec->n_arguments; i++) {
        const struct xm_call_argument *argument = &spec->arguments[i];
        size_t at;

        call->arguments[i] = argument->value;
        if (!argument->is_buffer)
            continue;
        at = buffer_at(spec, (size_t)argument->buffer) + (size_t)argument->offset;
        call->arguments[i] = (uint64_t)(uintptr_t)(set->scratch + at);
        call->pointers |= 1u << i;
    }
}

static int make_codes(struct xm_call_set *set, struct xm_call *call,
                      const struct xm_call_returns *returns)
{
    struct xm_call_codes codes = {.n_success = (uint32_t)returns->n_success,
                                  .n_reasons = (uint32_t)returns->n_reasons};
    uint32_t at;

    for (size_t i = 0; i < returns->n_success; i++)
        codes.has_zero |= returns->success[i] == 0;
    if (returns->type != '\0' && returns->n_success != 0)
        codes.status = xm_load_make(XM_CALL_RETURNED_AT, returns->type, 0, 0);
    if (share(set, returns->success, returns->n_success * sizeof(*returns->success),
              &codes.success) != 0 ||
        share(set, returns->reasons, returns->n_reasons * sizeof(*returns->reasons),
              &codes.reasons) != 0 ||
        share(set, &codes, sizeof(codes), &at) != 0)
        return -ENOMEM;
    call->codes = at / 8;
    return 0;
}

static uint32_t load_at(const struct xm_call_spec *spec, const struct xm_call_load *load)
{
    if (load->buffer == XM_CALL_RETURNED)
        return XM_CALL_RETURNED_AT;
    return buffer_at(spec, (size_t)load->buffer) + (uint32_t)load->offset;
}

/* Counted from `base`. */
static struct xm_load make_load(const struct xm_call_spec *spec, const struct xm_call_load *load,
                                uint32_t base)
{
    return xm_load_make(load_at(spec, load) - base, load->type, (unsigned)load->shift,
                        (unsigned)load->bits);
}

static void lower(const struct xm_call_spec *spec, const struct xm_call_load *load, uint32_t *base)
{
    uint32_t at = load_at(spec, load);

    if (at < *base)
        *base = at;
}

/* The lowest that a result loads, so that the entries of an array differ in nothing else. */
static uint32_t base_of(const struct xm_call_spec *spec, const struct xm_call_result_spec *result)
{
    uint32_t base = UINT32_MAX;

    for (size_t i = 0; i < result->n_loads; i++)
        lower(spec, &result->loads[i].load, &base);
    if (result->has_factor)
        lower(spec, &result->factor, &base);
    if (result->has_status)
        lower(spec, &result->status, &base);
    if (result->has_tag)
        lower(spec, &result->tag, &base);
    return base;
}

static int64_t scale_of(int64_t decimals)
{
    int64_t scale = decimals < 0 ? 0 : 1;

    for (int64_t i = 0; i < decimals; i++)
        scale *= 10;
    return scale;
}

static uint32_t flags_of(const struct xm_call_result_spec *spec, const struct xm_load *first)
{
    uint32_t flags = 0;

    if (spec->has_limit)
        flags |= XM_CALL_HAS_LIMIT;
    if (spec->has_status)
        flags |= XM_CALL_HAS_STATUS;
    if (spec->has_tag)
        flags |= XM_CALL_HAS_TAG;
    if (spec->has_factor)
        flags |= XM_CALL_HAS_FACTOR;
    if (spec->elements == 1 && !spec->has_factor && spec->decimals == 0)
        flags |= XM_CALL_IS_SINGLE;
    if (flags == XM_CALL_IS_SINGLE && first->kind != XM_LOAD_FLOAT)
        flags |= XM_CALL_IS_PLAIN;
    return flags;
}

static int share_choices(struct xm_call_set *set, const struct xm_call_spec *spec,
                         const struct xm_call_result_spec *from, uint32_t base, uint32_t *at)
{
    struct xm_call_choice *choices = calloc(from->n_loads, sizeof(*choices));
    int rc;

    if (choices == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < from->n_loads; i++) {
        choices[i].tag = from->loads[i].tag;
        choices[i].load = make_load(spec, &from->loads[i].load, base);
    }
    rc = share(set, choices, from->n_loads * sizeof(*choices), at);
    free(choices);
    return rc;
}

static int make_pattern(struct xm_call_set *set, const struct xm_call_spec *spec,
                        const struct xm_call_result_spec *from, uint32_t base, uint32_t *at)
{
    struct xm_call_pattern pattern = {
        .n_sentinels = (uint32_t)from->n_sentinels,
        .elements = (uint32_t)from->elements,
        .load = make_load(spec, &from->loads[0].load, base),
        .low = from->low,
        .high = from->high,
        .scale = scale_of(from->decimals),
        .stride = (uint32_t)from->stride,
    };

    pattern.flags = flags_of(from, &pattern.load);
    if (from->has_factor)
        pattern.factor = make_load(spec, &from->factor, base);
    if (from->has_status)
        pattern.status = make_load(spec, &from->status, base);
    if (from->has_limit) {
        pattern.limit = make_load(spec, &from->limit, 0);
        pattern.limit_index = (uint32_t)((uint64_t)from->limit_index >> 32);
    }
    if (from->has_tag) {
        pattern.tag = make_load(spec, &from->tag, base);
        pattern.n_choices = (uint32_t)from->n_loads;
        if (share_choices(set, spec, from, base, &pattern.choices) != 0)
            return -ENOMEM;
    }
    if (share(set, from->sentinels, from->n_sentinels * sizeof(*from->sentinels),
              &pattern.sentinels) != 0)
        return -ENOMEM;
    return share(set, &pattern, sizeof(pattern), at);
}

static int make_results(struct xm_call_set *set, struct xm_call *call,
                        const struct xm_call_spec *spec)
{
    struct xm_call_result *to = xm_call_results(call);

    for (size_t i = 0; i < spec->n_results; i++) {
        const struct xm_call_result_spec *from = &spec->results[i];

        to[i].at = base_of(spec, from);
        to[i].column = (uint32_t)from->column;
        to[i].limit_index = (uint32_t)from->limit_index;
        if (make_pattern(set, spec, from, to[i].at, &to[i].pattern) != 0)
            return -ENOMEM;
    }
    return 0;
}

int xm_call_prepare(struct xm_call_set *set, size_t i, const struct xm_call_spec *spec)
{
    struct xm_call *call = NULL;

    if (widen_scratch(set, spec) == 0)
        call = xm_call_pool_add(&set->probes,
                                sizeof(*call) + 8 * spec->n_arguments +
                                    spec->n_buffers * sizeof(struct xm_call_buffer) +
                                    spec->n_results * sizeof(struct xm_call_result),
                                &set->at[i]);
    if (call == NULL)
        return -ENOMEM;
    set->at[i + 1] = (uint32_t)set->probes.bytes;
    call->function = spec->function;
    call->n_arguments = spec->n_arguments & 7;
    call->n_buffers = spec->n_buffers & 0x1fff;
    call->n_results = spec->n_results & 0x1fff;
    make_arguments(set, call, spec);
    if (make_buffers(set, call, spec) != 0 || make_codes(set, call, &spec->returns) != 0)
        return -ENOMEM;
    return make_results(set, call, spec);
}
