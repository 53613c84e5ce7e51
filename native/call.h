/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_CALL_H
#define XM_CALL_H

#include "call_spec.h"
#include "load.h"

#include <stdatomic.h>

/* The code of results whose function wrote over the canary behind a buffer. */
#define XM_CALL_CANARY_CODE (INT64_MIN + 1)

/*
 * Behind each buffer: the canary, and room for what a function believes to be its own, so that a
 * struct that has grown with the driver tramples on nothing else.
 */
#define XM_CALL_CANARY_BYTES 64u
#define XM_CALL_ZONE_BYTES   1024u

/* What a buffer takes of the scratch memory. */
static inline size_t xm_call_scratch_bytes(size_t bytes)
{
    return (bytes + XM_CALL_ZONE_BYTES + 15) & ~(size_t)15;
}

/* What a plain result has no need of. */
struct xm_call_more {
    uint32_t elements;
    uint32_t stride;
    int64_t scale; /* of decimals; 0: the bits of the double */
    uint8_t has_factor;
    uint8_t has_status;
    uint8_t has_tag;
    uint8_t has_limit;
    uint8_t is_plain; /* but for what comes before the load */
    size_t n_loads;
    const struct xm_call_choice *loads;
    struct xm_load factor;
    struct xm_load status;
    struct xm_load tag;
    struct xm_load limit;
    uint64_t limit_index;
};

struct xm_call_choice {
    int64_t tag;
    struct xm_load load;
};

/* One cache line. */
struct xm_call_result {
    _Alignas(64) struct xm_load load;
    uint32_t column;
    uint32_t n_sentinels;
    const struct xm_call_sentinel *sentinels;
    int64_t low;
    int64_t high;
    const struct xm_call_more *more; /* NULL: an integer, and nothing to be asked before */
};

struct xm_call_buffer {
    uint8_t *data;
    const uint8_t *template;
    size_t bytes;
};

struct xm_call {
    uint64_t function;
    uint32_t n_arguments;
    uint32_t n_buffers;
    uint64_t arguments[XM_CALL_MAX_ARGUMENTS];
    uint64_t returned;
    struct xm_load status; /* of the return value; width 0: there is none */
    size_t n_results;
    const struct xm_call_result *results;
    const struct xm_call_buffer *buffers;
    size_t n_success;
    const int64_t *success;
    size_t n_reasons;
    const struct xm_call_reason *reasons;
    const uint64_t *canary;
    _Atomic int is_trampled;
    /* Owned by the probe, used through the pointers above. */
    void *owned[8];
};

struct xm_call_set {
    size_t n;
    struct xm_call *call;
    /* Random: no function writes it by chance. */
    uint64_t canary[XM_CALL_CANARY_BYTES / 8];
};

/* n probes that call nothing yet; NULL when out of memory. */
struct xm_call_set *xm_call_create(size_t n);
void xm_call_destroy(struct xm_call_set *set);

/* Make one of a spec that xm_call_check has passed; nothing of the spec is kept. 0 or -ENOMEM. */
int xm_call_prepare(struct xm_call_set *set, size_t i, const struct xm_call_spec *spec);

/* Call, and fill the probe's cells. Takes as long as the function does. */
void xm_call_run(struct xm_call *call, int64_t *values, uint8_t *reasons);

/* Whether the function wrote over a canary, and is not called any more. Any thread may ask. */
static inline int xm_call_is_trampled(const struct xm_call *call)
{
    /* Pairs with the relaxed store in xm_call_run: a hint, it orders nothing. */
    return atomic_load_explicit(&call->is_trampled, memory_order_relaxed);
}

#endif
