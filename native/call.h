/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_CALL_H
#define XM_CALL_H

#include "call_pool.h"
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

/* Scratch memory begins with the return value; then come the buffers. */
#define XM_CALL_RETURNED_AT 0u
#define XM_CALL_BUFFERS_AT  64u

/* In place of a template that is all zero. */
#define XM_CALL_ZEROS UINT32_MAX

/*
 * A lane that wakes up finds its cache cold, and each line of it costs more than what is done with
 * it. So a probe is as small as can be, the probes of a lane stand behind each other in the order
 * of use, they share the scratch memory, and whatever may be alike in many of them is shared too.
 * Behind this come its arguments, its buffers and its results.
 */
struct xm_call {
    uint64_t function;
    uint64_t codes : 29; /* eighths of an offset in the shared pool */
    uint64_t n_results : 13;
    uint64_t n_buffers : 13;
    uint64_t n_arguments : 3;
    uint64_t pointers : 6; /* a bit for each argument that points into the scratch memory */
    uint64_t arguments[];
};

struct xm_call_buffer {
    uint32_t bytes;
    uint32_t template; /* in the shared pool, or XM_CALL_ZEROS */
};

struct xm_call_result {
    uint32_t at; /* from the beginning of the scratch memory */
    uint32_t column;
    uint32_t pattern; /* in the shared pool */
    uint32_t limit_index;
};

static inline struct xm_call_buffer *xm_call_buffers(const struct xm_call *call)
{
    return (struct xm_call_buffer *)(uintptr_t)(call->arguments + call->n_arguments);
}

static inline struct xm_call_result *xm_call_results(const struct xm_call *call)
{
    return (struct xm_call_result *)(xm_call_buffers(call) + call->n_buffers);
}

/* What is shared is found by its bytes: none of these has padding. Lists are in the pool too. */

/* What a return value, or an entry's own status, means. */
struct xm_call_codes {
    struct xm_load status; /* of the return value; width 0: there is none */
    uint32_t success;
    uint32_t n_success;
    uint32_t reasons;
    uint32_t n_reasons;
    uint64_t has_zero; /* 0 means success */
};

enum xm_call_flag {
    XM_CALL_HAS_LIMIT = 1,
    XM_CALL_HAS_STATUS = 2,
    XM_CALL_HAS_TAG = 4,
    XM_CALL_HAS_FACTOR = 8,
    XM_CALL_IS_SINGLE = 16, /* one element, no factor, no decimals */
    XM_CALL_IS_PLAIN = 32   /* an integer, and nothing to be asked before */
};

struct xm_call_choice {
    int64_t tag;
    struct xm_load load;
};

/* All of a result but its place. Loads count from there; that of the limit is the same for all. */
struct xm_call_pattern {
    uint32_t flags;
    uint32_t n_sentinels;
    uint32_t sentinels;
    uint32_t n_choices;
    uint32_t choices;
    uint32_t elements;
    struct xm_load load; /* the first choice */
    int64_t low;
    int64_t high;
    struct xm_load status;
    struct xm_load tag;
    struct xm_load limit;
    struct xm_load factor;
    int64_t scale; /* of decimals; 0: the bits of the double */
    uint32_t stride;
    uint32_t limit_index; /* the upper half of it */
};

struct xm_call_set {
    size_t n;
    uint32_t *at; /* of each probe, and of the end */
    struct xm_call_pool probes;
    struct xm_call_pool shared;
    uint8_t *scratch; /* of whichever probe runs */
    size_t scratch_bytes;
    _Atomic uint8_t *is_trampled;
    /* Behind each buffer. Random: no function writes it by chance. */
    uint64_t canary[XM_CALL_CANARY_BYTES / 8];
};

/* n probes that call nothing yet; NULL when out of memory. */
struct xm_call_set *xm_call_create(size_t n);
void xm_call_destroy(struct xm_call_set *set);

/*
 * Make the i-th, after those before it, of a spec that xm_call_check has passed; nothing of the
 * spec is kept. 0 or -ENOMEM.
 */
int xm_call_prepare(struct xm_call_set *set, size_t i, const struct xm_call_spec *spec);

/* Call, and fill the probe's cells. Takes as long as the function does. */
void xm_call_run(const struct xm_call_set *set, size_t i, int64_t *values, uint8_t *reasons);

/* Whether the function wrote over a canary, and is not called any more. Any thread may ask. */
static inline int xm_call_is_trampled(const struct xm_call_set *set, size_t i)
{
    /* Pairs with the relaxed store in xm_call_run: a hint, it orders nothing. */
    return atomic_load_explicit(&set->is_trampled[i], memory_order_relaxed) != 0;
}

#endif
