/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_REFERENCE_H
#define XM_REFERENCE_H

#include <stddef.h>
#include <stdint.h>

struct xm_reference_result {
    int64_t cpu_ns;
    int64_t missed;
    int64_t late_p50_ns;
    int64_t late_p99_ns;
};

/*
 * What a plain C program would do, and the yardstick of a lane: read n files at absolute
 * deadlines, parse the first integer of each. Runs `ticks` rows in a thread of its own.
 * 0 or -errno. Frozen: figures of different versions are compared through it.
 */
int xm_reference_loop(const char *const *paths, size_t n, int64_t period_ns, int64_t ticks,
                      struct xm_reference_result *out);

#endif
