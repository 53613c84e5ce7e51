/* SPDX-License-Identifier: Apache-2.0 */
#include "call_make.h"

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
    size_t bytes =
        (xm_call_buffer_at(spec, spec->n_buffers) + LINE_BYTES - 1) & ~(size_t)(LINE_BYTES - 1);
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
        if (set_bytes > 0 && xm_call_share(set, from->data, from->bytes, &buffers[i].template) != 0)
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
        at = xm_call_buffer_at(spec, (size_t)argument->buffer) + (size_t)argument->offset;
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
    if (xm_call_share(set, returns->success, returns->n_success * sizeof(*returns->success),
                      &codes.success) != 0 ||
        xm_call_share(set, returns->reasons, returns->n_reasons * sizeof(*returns->reasons),
                      &codes.reasons) != 0 ||
        xm_call_share(set, &codes, sizeof(codes), &at) != 0)
        return -ENOMEM;
    call->codes = at / 8;
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
    return xm_call_make_results(set, call, spec);
}
