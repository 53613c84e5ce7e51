/* SPDX-License-Identifier: Apache-2.0 */
#include "ticks.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SOURCE_PATH "/sys/devices/system/clocksource/clocksource0/current_clocksource"

#if defined(__x86_64__)
#define SOURCE "tsc\n"
#elif defined(__aarch64__)
#define SOURCE "arch_sys_counter\n"
#else
#define SOURCE ""
#endif

/* Learnt soon, then about once a second: a machine that was moved has another counter. */
#define FIRST_NS (XM_SECOND_NS / 100)
#define NEXT_NS  XM_SECOND_NS
/* A pair of counter and clock taken further apart than this part of the time between is no pair. */
#define PART 256

/* The kernel has found the counter steady, the same on each CPU, and readable from here. */
static int is_clock(void)
{
    char text[32];
    int fd = open(SOURCE_PATH, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    if (fd < 0)
        return 0;
    got = read(fd, text, sizeof(text));
    close(fd);
    return got > 0 && (size_t)got == strlen(SOURCE) && memcmp(text, SOURCE, (size_t)got) == 0;
}

void xm_ticks_init(struct xm_ticks *ticks)
{
    *ticks = (struct xm_ticks){.has_counter = is_clock()};
    ticks->base = xm_ticks_counter();
    ticks->base_ns = xm_clock_mono();
}

void xm_ticks_learn(struct xm_ticks *ticks, int64_t now_ns)
{
    uint64_t before, after, span;
    int64_t then_ns;

    if (!ticks->has_counter || now_ns - ticks->base_ns < (ticks->scale == 0 ? FIRST_NS : NEXT_NS))
        return;
    before = xm_ticks_counter();
    then_ns = xm_clock_mono();
    after = xm_ticks_counter();
    span = before - ticks->base;
    if ((int64_t)span > 0 && (after - before) * PART < span)
        ticks->scale = (uint64_t)((((unsigned __int128)(then_ns - ticks->base_ns)) << 32) / span);
    ticks->base = before;
    ticks->base_ns = then_ns;
}
