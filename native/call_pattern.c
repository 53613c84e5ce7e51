/* SPDX-License-Identifier: Apache-2.0 */
#include "call_make.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t load_at(const struct xm_call_spec *spec, const struct xm_call_load *load)
{
    if (load->buffer == XM_CALL_RETURNED)
        return XM_CALL_RETURNED_AT;
    return xm_call_buffer_at(spec, (size_t)load->buffer) + (uint32_t)load->offset;
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
    rc = xm_call_share(set, choices, from->n_loads * sizeof(*choices), at);
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
    if (xm_call_share(set, from->sentinels, from->n_sentinels * sizeof(*from->sentinels),
                      &pattern.sentinels) != 0)
        return -ENOMEM;
    return xm_call_share(set, &pattern, sizeof(pattern), at);
}

int xm_call_make_results(struct xm_call_set *set, struct xm_call *call,
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
