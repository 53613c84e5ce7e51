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

/*
 * A probe is one piece of memory in the order of use: this head, what is declared, the templates,
 * the buffers. Loads count from its beginning. A lane that wakes up finds its cache cold, and each
 * line of it costs more than what is done with it.
 */
struct xm_call {
    uint64_t function;
    uint64_t arguments[XM_CALL_MAX_ARGUMENTS];
    uint32_t n_arguments;
    uint32_t n_buffers;
    uint64_t returned;
    struct xm_load status; /* of the return value; width 0: there is none */
    _Atomic uint32_t is_trampled;
    uint32_t n_results;
    const struct xm_call_buffer *buffers;
    const struct xm_call_result *results;
    const int64_t *success;
    const struct xm_call_reason *reasons;
    uint32_t n_success;
    uint32_t n_reasons;
};

struct xm_call_buffer {
    uint32_t data;     /* from the beginning of the probe, as is */
    uint32_t template; /* what it holds before each call */
    uint32_t bytes;
};

struct xm_call_result {
    struct xm_load load;
    uint32_t column;
    uint32_t n_sentinels;
    const struct xm_call_sentinel *sentinels;
    int64_t low;
    int64_t high;
    const struct xm_call_more *more; /* NULL: an integer, and nothing to be asked before */
};

enum xm_call_flag {
    XM_CALL_HAS_LIMIT = 1,
    XM_CALL_HAS_STATUS = 2,
    XM_CALL_HAS_TAG = 4,
    XM_CALL_HAS_FACTOR = 8,
    XM_CALL_IS_SINGLE = 16 /* one element, no factor, no decimals */
};

struct xm_call_choice {
    int64_t tag;
    struct xm_load load;
};

/* What a plain result has no need of. */
struct xm_call_more {
    uint32_t flags;
    uint32_t n_loads;
    const struct xm_call_choice *loads;
    struct xm_load status;
    struct xm_load tag;
    struct xm_load limit;
    uint64_t limit_index;
    struct xm_load factor;
    int64_t scale; /* of decimals; 0: the bits of the double */
    uint32_t elements;
    uint32_t stride;
};

struct xm_call_set {
    size_t n;
    struct xm_call **call;
    /* Behind each buffer. Random: no function writes it by chance. */
    uint64_t canary[XM_CALL_CANARY_BYTES / 8];
};

/* n probes that call nothing yet; NULL when out of memory. */
struct xm_call_set *xm_call_create(size_t n);
void xm_call_destroy(struct xm_call_set *set);

/* Make one of a spec that xm_call_check has passed; nothing of the spec is kept. 0 or -ENOMEM. */
int xm_call_prepare(struct xm_call_set *set, size_t i, const struct xm_call_spec *spec);

/* Call, and fill the probe's cells. Takes as long as the function does. */
void xm_call_run(const struct xm_call_set *set, size_t i, int64_t *values, uint8_t *reasons);

/* Whether the function wrote over a canary, and is not called any more. Any thread may ask. */
static inline int xm_call_is_trampled(const struct xm_call_set *set, size_t i)
{
    /* Pairs with the relaxed store in xm_call_run: a hint, it orders nothing. */
    return atomic_load_explicit(&set->call[i]->is_trampled, memory_order_relaxed) != 0;
}

#endif
