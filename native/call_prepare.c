/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

enum { SCRATCH, BUFFERS, RESULTS, MORE, CHOICES, SENTINELS, SUCCESS, REASONS, OWNED };

_Static_assert(OWNED == sizeof(((struct xm_call *)NULL)->owned) / sizeof(void *), "one slot each");
_Static_assert(sizeof(struct xm_call_result) == 64, "a result is one cache line");

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
    for (size_t i = 0; i < set->n; i++) {
        for (size_t k = 0; k < OWNED; k++)
            free(set->call[i].owned[k]);
    }
    free(set->call);
    free(set);
}

/* Zeroed memory that the probe owns, of cache lines. */
static void *own(struct xm_call *call, int slot, size_t n, size_t bytes)
{
    size_t all = (n * bytes + 64) & ~(size_t)63;

    call->owned[slot] = aligned_alloc(64, all);
    if (call->owned[slot] != NULL)
        memset(call->owned[slot], 0, all);
    return call->owned[slot];
}

static int make_buffers(struct xm_call *call, const struct xm_call_spec *spec)
{
    struct xm_call_buffer *buffers = own(call, BUFFERS, spec->n_buffers, sizeof(*buffers));
    size_t templates = 0;
    size_t scratch = 0;
    uint8_t *at;

    for (size_t i = 0; i < spec->n_buffers; i++) {
        templates += spec->buffers[i].bytes;
        scratch += xm_call_scratch_bytes(spec->buffers[i].bytes);
    }
    at = own(call, SCRATCH, scratch + templates, 1);
    if (buffers == NULL || at == NULL)
        return -ENOMEM;
    call->n_buffers = (uint32_t)spec->n_buffers;
    call->buffers = buffers;
    for (size_t i = 0; i < spec->n_buffers; i++) {
        buffers[i].data = at;
        buffers[i].bytes = spec->buffers[i].bytes;
        memcpy(at + buffers[i].bytes, call->canary, XM_CALL_CANARY_BYTES);
        at += xm_call_scratch_bytes(buffers[i].bytes);
    }
    for (size_t i = 0; i < spec->n_buffers; i++) {
        buffers[i].template = memcpy(at, spec->buffers[i].data, buffers[i].bytes);
        at += buffers[i].bytes;
    }
    return 0;
}

static void make_arguments(struct xm_call *call, const struct xm_call_spec *spec)
{
    call->function = spec->function;
    call->n_arguments = (uint32_t)spec->n_arguments;
    for (size_t i = 0; i < spec->n_arguments; i++) {
        const struct xm_call_argument *argument = &spec->arguments[i];

        call->arguments[i] = argument->value;
        if (argument->is_buffer)
            call->arguments[i] =
                (uint64_t)(uintptr_t)(call->buffers[argument->buffer].data + argument->offset);
    }
}

static int make_returns(struct xm_call *call, const struct xm_call_returns *returns)
{
    int64_t *success = own(call, SUCCESS, returns->n_success, sizeof(*success));
    struct xm_call_reason *reasons = own(call, REASONS, returns->n_reasons, sizeof(*reasons));

    if (success == NULL || reasons == NULL)
        return -ENOMEM;
    if (returns->n_success != 0)
        memcpy(success, returns->success, returns->n_success * sizeof(*success));
    if (returns->n_reasons != 0)
        memcpy(reasons, returns->reasons, returns->n_reasons * sizeof(*reasons));
    call->n_success = returns->n_success;
    call->success = success;
    call->n_reasons = returns->n_reasons;
    call->reasons = reasons;
    if (returns->type != '\0' && returns->n_success != 0)
        call->status = xm_load_make((const uint8_t *)&call->returned, returns->type, 0, 0);
    return 0;
}

static struct xm_load make_load(const struct xm_call *call, const struct xm_call_load *spec)
{
    const uint8_t *base = (const uint8_t *)&call->returned;

    if (spec->buffer != XM_CALL_RETURNED)
        base = call->buffers[spec->buffer].data;
    return xm_load_make(base + spec->offset, spec->type, (unsigned)spec->shift,
                        (unsigned)spec->bits);
}

static int64_t scale_of(int64_t decimals)
{
    int64_t scale = decimals < 0 ? 0 : 1;

    for (int64_t i = 0; i < decimals; i++)
        scale *= 10;
    return scale;
}

static void make_more(const struct xm_call *call, const struct xm_call_result_spec *spec,
                      struct xm_call_more *more, struct xm_call_choice *loads)
{
    *more = (struct xm_call_more){
        .elements = (uint32_t)spec->elements,
        .stride = (uint32_t)spec->stride,
        .scale = scale_of(spec->decimals),
        .has_factor = spec->has_factor != 0,
        .has_status = spec->has_status != 0,
        .has_tag = spec->has_tag != 0,
        .has_limit = spec->has_limit != 0,
        .is_plain = spec->elements == 1 && !spec->has_factor && spec->decimals == 0,
        .n_loads = spec->n_loads,
        .loads = loads,
        .limit_index = (uint64_t)spec->limit_index,
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

static int make_results(struct xm_call *call, const struct xm_call_spec *spec)
{
    struct xm_call_result *results = own(call, RESULTS, spec->n_results, sizeof(*results));
    struct xm_call_more *more = own(call, MORE, spec->n_results, sizeof(*more));
    struct xm_call_choice *loads;
    struct xm_call_sentinel *sentinels;
    size_t n_loads = 0;
    size_t n_sentinels = 0;

    for (size_t i = 0; i < spec->n_results; i++) {
        n_loads += spec->results[i].n_loads;
        n_sentinels += spec->results[i].n_sentinels;
    }
    loads = own(call, CHOICES, n_loads, sizeof(*loads));
    sentinels = own(call, SENTINELS, n_sentinels, sizeof(*sentinels));
    if (results == NULL || more == NULL || loads == NULL || sentinels == NULL)
        return -ENOMEM;
    call->n_results = spec->n_results;
    call->results = results;
    for (size_t i = 0; i < spec->n_results; i++) {
        const struct xm_call_result_spec *from = &spec->results[i];
        struct xm_call_result *to = &results[i];

        make_more(call, from, &more[i], loads);
        to->load = loads->load;
        to->column = (uint32_t)from->column;
        to->low = from->low;
        to->high = from->high;
        to->n_sentinels = (uint32_t)from->n_sentinels;
        to->sentinels = sentinels;
        if (from->n_sentinels != 0)
            memcpy(sentinels, from->sentinels, from->n_sentinels * sizeof(*sentinels));
        if (!more[i].is_plain || from->has_status || from->has_tag || from->has_limit ||
            to->load.kind == XM_LOAD_FLOAT)
            to->more = &more[i];
        loads += from->n_loads;
        sentinels += from->n_sentinels;
    }
    return 0;
}

int xm_call_prepare(struct xm_call_set *set, size_t i, const struct xm_call_spec *spec)
{
    struct xm_call *call = &set->call[i];

    call->canary = set->canary;
    if (make_buffers(call, spec) != 0 || make_returns(call, &spec->returns) != 0 ||
        make_results(call, spec) != 0)
        return -ENOMEM;
    make_arguments(call, spec);
    return 0;
}
