/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_CALL_SPEC_H
#define XM_CALL_SPEC_H

#include <stddef.h>
#include <stdint.h>

/* What a call probe is declared as; meaning of each part: xinmai_native/calls.py. */

#define XM_CALL_RETURNED          (-1)
#define XM_CALL_MAX_ARGUMENTS     6
#define XM_CALL_MAX_ITEMS         4096 /* of any sequence, and of the elements of a sum */
#define XM_CALL_MAX_BUFFER_BYTES  (1u << 20)
#define XM_CALL_MAX_SCRATCH_BYTES (16u << 20) /* of all probes of a lane */
#define XM_CALL_MAX_DECIMALS      18
#define XM_CALL_PROBLEM_BYTES     200

struct xm_call_argument {
    int is_buffer;
    uint64_t value;
    int64_t buffer;
    int64_t offset;
};

struct xm_call_template {
    uint8_t *data;
    size_t bytes;
};

struct xm_call_load {
    int64_t buffer;
    int64_t offset;
    char type; /* '\0': none of one letter */
    int64_t shift;
    int64_t bits;
};

struct xm_call_reason {
    int64_t code;
    int64_t reason;
};

struct xm_call_returns {
    char type; /* '\0': void */
    size_t n_success;
    int64_t *success;
    size_t n_reasons;
    struct xm_call_reason *reasons;
};

struct xm_call_tagged {
    int64_t tag;
    struct xm_call_load load;
};

/* As a cell holds it, modulo 2^64, and as a double. */
struct xm_call_sentinel {
    int64_t cell;
    double real;
};

struct xm_call_result_spec {
    int64_t column;
    size_t n_loads;
    struct xm_call_tagged *loads;
    int64_t elements;
    int64_t stride;
    int has_factor;
    int has_status;
    int has_tag;
    int has_limit;
    struct xm_call_load factor;
    struct xm_call_load status;
    struct xm_call_load tag;
    struct xm_call_load limit;
    int64_t limit_index;
    int64_t decimals;
    size_t n_sentinels;
    struct xm_call_sentinel *sentinels;
    int64_t low;
    int64_t high;
};

struct xm_call_spec {
    uint64_t function;
    size_t n_arguments;
    struct xm_call_argument *arguments;
    size_t n_buffers;
    struct xm_call_template *buffers;
    struct xm_call_returns returns;
    size_t n_results;
    struct xm_call_result_spec *results;
};

/*
 * Whether the probe can be called: 0, or -EINVAL with the reason in `problem`, of
 * XM_CALL_PROBLEM_BYTES. `taken` has a byte for each of the columns that a probe fills, and is
 * filled in; *scratch_bytes is what the lane's probes so far need, and grows.
 */
int xm_call_check(const struct xm_call_spec *spec, uint8_t *taken, uint32_t columns,
                  size_t *scratch_bytes, char *problem);

#endif
