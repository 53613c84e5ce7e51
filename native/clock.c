/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

enum { TRIES = 8, GOOD_NS = 1000 };

static void read_once(struct xm_clock_reading *out)
{
    int64_t before = xm_clock_mono();
    int64_t after;

    out->boottime_ns = xm_clock_now(CLOCK_BOOTTIME);
    out->realtime_ns = xm_clock_now(CLOCK_REALTIME);
    after = xm_clock_mono();
    out->error_ns = after - before;
    out->monotonic_ns = before + out->error_ns / 2;
}

void xm_clock_read(struct xm_clock_reading *out)
{
    struct xm_clock_reading next;

    read_once(out);
    /* A preemption between the reads shows as a long span; another try is cheaper than a bad
     * anchor. */
    for (int i = 1; i < TRIES && out->error_ns > GOOD_NS; i++) {
        read_once(&next);
        if (next.error_ns < out->error_ns)
            *out = next;
    }
}
