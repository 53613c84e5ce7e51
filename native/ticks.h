/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_TICKS_H
#define XM_TICKS_H

#include "clock.h"

/*
 * Time stamps for durations within a row: the CPU's counter where the kernel's clock is made of it
 * as well, which costs a third of clock_gettime; else that clock. How long a tick is, is learnt
 * from the clock.
 */
struct xm_ticks {
    int has_counter;
    uint64_t scale; /* ns per tick, times 2^32; 0: stamps are ns of CLOCK_MONOTONIC */
    uint64_t base;  /* counter and clock when the scale was learnt last */
    int64_t base_ns;
};

void xm_ticks_init(struct xm_ticks *ticks);

/* Learn from a row that begins now. Between two calls stamps are of one kind. */
void xm_ticks_learn(struct xm_ticks *ticks, int64_t now_ns);

static inline uint64_t xm_ticks_counter(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t count;

    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
#else
    return 0;
#endif
}

static inline uint64_t xm_ticks_now(const struct xm_ticks *ticks)
{
    return ticks->scale != 0 ? xm_ticks_counter() : (uint64_t)xm_clock_mono();
}

/* From one stamp to a later one. */
static inline int64_t xm_ticks_ns(const struct xm_ticks *ticks, uint64_t from, uint64_t to)
{
    int64_t span = (int64_t)(to - from);

    return ticks->scale != 0 ? (int64_t)(((__int128)span * (int64_t)ticks->scale) >> 32) : span;
}

#endif
