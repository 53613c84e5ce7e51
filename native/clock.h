/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_CLOCK_H
#define XM_CLOCK_H

#include <stdint.h>
#include <time.h>

#define XM_SECOND_NS INT64_C(1000000000)

struct xm_clock_reading {
    int64_t monotonic_ns;
    int64_t boottime_ns;
    int64_t realtime_ns;
    int64_t error_ns; /* the three reads lie within this span */
};

static inline int64_t xm_clock_now(clockid_t clock)
{
    struct timespec t;

    if (clock_gettime(clock, &t) != 0)
        return 0;
    return (int64_t)t.tv_sec * XM_SECOND_NS + t.tv_nsec;
}

static inline int64_t xm_clock_mono(void)
{
    return xm_clock_now(CLOCK_MONOTONIC);
}

void xm_clock_read(struct xm_clock_reading *out);

#endif
