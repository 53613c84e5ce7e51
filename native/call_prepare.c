/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define LINE_BYTES 64u

/* Where the parts of a probe stand, from its beginning. */
struct layout {
    size_t buffers;
    size_t results;
    size_t more;
    size_t choices;
    size_t sentinels;
    size_t success;
    size_t reasons;
    size_t templates;
    size_t scratch;
    size_t bytes;
};

struct xm_call_set *xm_call_create(size_t n)
{
    struct xm_call_set *set = calloc(1, sizeof(*set));

    if (set == NULL)
        return NULL;
    set->call = calloc(n + 1, sizeof(*set->call));
    if (set->call == NULL) {
        free(set);
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
    for (size_t i = 0; i < set->n; i++)
        free(set->call[i]);
    free(set->call);
    free(set);
}

static size_t place(size_t *end, size_t n, size_t bytes, size_t alignment)
{
    size_t at = (*end + alignment - 1) / alignment * alignment;

    *end = at + n * bytes;
    return at;
}

static struct layout lay_out(const struct xm_call_spec *spec)
{
    size_t end = sizeof(struct xm_call);
    size_t n_loads = 0;
    size_t n_sentinels = 0;
    size_t templates = 0;
    size_t scratch = 0;
    struct layout to;

    for (size_t i = 0; i < spec->n_results; i++) {
        n_loads += spec->results[i].n_loads;
        n_sentinels += spec->results[i].n_sentinels;
    }
    for (size_t i = 0; i < spec->n_buffers; i++) {
        templates += spec->buffers[i].bytes;
        scratch += xm_call_scratch_bytes(spec->buffers[i].bytes);
    }
    to.buffers = place(&end, spec->n_buffers, sizeof(struct xm_call_buffer), 8);
    to.templates = place(&end, templates, 1, 8);
    to.success = place(&end, spec->returns.n_success, sizeof(int64_t), 8);
    to.results = place(&end, spec->n_results, sizeof(struct xm_call_result), 8);
    to.sentinels = place(&end, n_sentinels, sizeof(struct xm_call_sentinel), 8);
    to.more = place(&end, spec->n_results, sizeof(struct xm_call_more), 8);
    to.choices = place(&end, n_loads, sizeof(struct xm_call_choice), 8);
    to.reasons = place(&end, spec->returns.n_reasons, sizeof(struct xm_call_reason), 8);
    /* Last: what a function writes beyond its buffer and zone is nothing of the probe's. */
    to.scratch = place(&end, scratch, 1, LINE_BYTES);
    to.bytes = place(&end, 0, 1, LINE_BYTES);
    return to;
}

static void *part(struct xm_call *call, size_t at)
{
    return (uint8_t *)call + at;
}

static void *copy(struct xm_call *call, size_t at, const void *from, size_t bytes)
{
    if (bytes != 0)
        memcpy(part(call, at), from, bytes);
    return part(call, at);
}

static void make_buffers(struct xm_call *call, const struct xm_call_spec *spec,
                         const struct layout *layout, const uint64_t *canary)
{
    struct xm_call_buffer *buffers = part(call, layout->buffers);
    size_t template = layout->templates;
    size_t data = layout->scratch;

    call->n_buffers = (uint32_t)spec->n_buffers;
    call->buffers = buffers;
    for (size_t i = 0; i < spec->n_buffers; i++) {
        size_t bytes = spec->buffers[i].bytes;

        buffers[i] = (struct xm_call_buffer){(uint32_t)data, (uint32_t) template, (uint32_t)bytes};
        copy(call, template, spec->buffers[i].data, bytes);
        copy(call, data + bytes, canary, XM_CALL_CANARY_BYTES);
        template += bytes;
        data += xm_call_scratch_bytes(bytes);
    }
}

static void make_arguments(struct xm_call *call, const struct xm_call_spec *spec)
{
    call->function = spec->function;
    call->n_arguments = (uint32_t)spec->n_arguments;
    for (size_t i = 0; i < spec->n_arguments; i++) {
        const struct xm_call_argument *argument = &spec->arguments[i];
        size_t at;

        call->arguments[i] = argument->value;
        if (!argument->is_buffer)
            continue;
        at = call->buffers[argument->buffer].data + (size_t)argument->offset;
        call->arguments[i] = (uint64_t)(uintptr_t)part(call, at);
    }
}

static void make_returns(struct xm_call *call, const struct xm_call_returns *returns,
                         const struct layout *layout)
{
    call->n_success = (uint32_t)returns->n_success;
    call->success = copy(call, layout->success, returns->success,
                         returns->n_success * sizeof(*returns->success));
    call->n_reasons = (uint32_t)returns->n_reasons;
    call->reasons = copy(call, layout->reasons, returns->reasons,
                         returns->n_reasons * sizeof(*returns->reasons));
    if (returns->type != '\0' && returns->n_success != 0)
        call->status = xm_load_make(offsetof(struct xm_call, returned), returns->type, 0, 0);
}

static struct xm_load make_load(const struct xm_call *call, const struct xm_call_load *spec)
{
    uint32_t at = offsetof(struct xm_call, returned);

    if (spec->buffer != XM_CALL_RETURNED)
        at = call->buffers[spec->buffer].data;
    return xm_load_make(at + (uint32_t)spec->offset, spec->type, (unsigned)spec->shift,
                        (unsigned)spec->bits);
}

static int64_t scale_of(int64_t decimals)
{
    int64_t scale = decimals < 0 ? 0 : 1;

    for (int64_t i = 0; i < decimals; i++)
        scale *= 10;
    return scale;
}

static uint32_t flags_of(const struct xm_call_result_spec *spec)
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
    return flags;
}

static void make_more(const struct xm_call *call, const struct xm_call_result_spec *spec,
                      struct xm_call_more *more, struct xm_call_choice *loads)
{
    *more = (struct xm_call_more){
        .flags = flags_of(spec),
        .n_loads = (uint32_t)spec->n_loads,
        .loads = loads,
        .limit_index = (uint64_t)spec->limit_index,
        .scale = scale_of(spec->decimals),
        .elements = (uint32_t)spec->elements,
        .stride = (uint32_t)spec->stride,
    };
    for (size_t i = 0; i < spec->n_loads; i++) {
        loads[i].tag = spec->loads[i].tag;
        loads[i].load = make_load(call, &spec->loads[i].load);
    }
    if (spec->has_factor)
        more->factor = make_load(call, &spec->factor);
    if (spec->has_status)
        more->status = make_load(call, &spec->status);
    if (spec->has_tag)
        more->tag = make_load(call, &spec->tag);
    if (spec->has_limit)
        more->limit = make_load(call, &spec->limit);
}

static void make_results(struct xm_call *call, const struct xm_call_spec *spec,
                         const struct layout *layout)
{
    struct xm_call_result *to = part(call, layout->results);
    struct xm_call_more *more = part(call, layout->more);
    struct xm_call_choice *loads = part(call, layout->choices);
    size_t sentinels = layout->sentinels;

    call->n_results = (uint32_t)spec->n_results;
    call->results = to;
    for (size_t i = 0; i < spec->n_results; i++) {
        const struct xm_call_result_spec *from = &spec->results[i];
        size_t bytes = from->n_sentinels * sizeof(*from->sentinels);

        make_more(call, from, &more[i], loads);
        to[i] = (struct xm_call_result){
            .load = loads->load,
            .column = (uint32_t)from->column,
            .n_sentinels = (uint32_t)from->n_sentinels,
            .sentinels = copy(call, sentinels, from->sentinels, bytes),
            .low = from->low,
            .high = from->high,
        };
        if (more[i].flags != XM_CALL_IS_SINGLE || loads->load.kind == XM_LOAD_FLOAT)
            to[i].more = &more[i];
        loads += from->n_loads;
        sentinels += bytes;
    }
}

int xm_call_prepare(struct xm_call_set *set, size_t i, const struct xm_call_spec *spec)
{
    struct layout layout = lay_out(spec);
    struct xm_call *call = aligned_alloc(LINE_BYTES, layout.bytes);

    if (call == NULL)
        return -ENOMEM;
    memset(call, 0, layout.bytes);
    make_buffers(call, spec, &layout, set->canary);
    make_arguments(call, spec);
    make_returns(call, &spec->returns, &layout);
    make_results(call, spec, &layout);
    set->call[i] = call;
    return 0;
}
