/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor_period.h"

#include <string.h>

/* Looks without a finding after which an earlier one is given up. */
#define PATIENCE 2

/* Intervals at the low end that may be shorter than the period: one late row makes one. */
#define OUTLIERS 1

/* Below so many rows a period cannot be told from chance by its multiples. */
#define SHORT_ROWS 8

/* Longer intervals say no more, and sums of these overflow nowhere. */
#define LONGEST_NS (INT64_C(1) << 40)

static void sort(int64_t *interval, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        int64_t moved = interval[i];
        uint32_t at = i;

        for (; at > 0 && interval[at - 1] > moved; at--)
            interval[at] = interval[at - 1];
        interval[at] = moved;
    }
}

/* How many from `first` on lie near interval[first]; *mean is theirs. */
static uint32_t cluster(const int64_t *interval, uint32_t n, uint32_t first, int64_t row_ns,
                        int64_t *mean)
{
    /* Each end of an interval is seen up to a row late. */
    int64_t end = interval[first] + interval[first] / 8 + row_ns + row_ns / 2;
    int64_t over = 0;
    uint32_t i = first;

    for (; i < n && interval[i] <= end; i++)
        over += interval[i] - interval[first];
    *mean = interval[first] + over / (int64_t)(i - first);
    return i - first;
}

/* How many intervals are no multiple of the period: a sensor's clock keeps time. */
static uint32_t strays(const int64_t *interval, uint32_t n, int64_t period_ns, int64_t row_ns)
{
    int64_t tolerance = period_ns / 6 + row_ns + row_ns / 2;
    uint32_t found = 0;

    for (uint32_t i = 0; i < n; i++) {
        int64_t off = interval[i] % period_ns;

        if (off > period_ns / 2)
            off = period_ns - off;
        found += off > tolerance;
    }
    return found;
}

/*
 * The period, or 0. Claimed only where the low end of the intervals is well supported, the others
 * are multiples of it, and the value moves by steps of several sizes: a quantised value that
 * drifts moves by one step, as regularly as the drift, whatever the sensor does.
 */
static int64_t find(const struct xm_sensor_period *period, uint32_t n, int64_t row_ns)
{
    int64_t interval[XM_SENSOR_KEPT];

    if ((uint32_t)__builtin_popcount(period->varied) < n / 4)
        return 0;
    memcpy(interval, period->interval_ns, n * sizeof(*interval));
    sort(interval, n);
    for (uint32_t first = 0; first <= OUTLIERS; first++) {
        int64_t mean;
        uint32_t support = cluster(interval, n, first, row_ns, &mean);
        uint32_t needed = mean < SHORT_ROWS * row_ns ? n / 2 : n / 4;

        if (n < XM_SENSOR_KEPT)
            needed = n * 3 / 4;
        /* Under two rows a period is not told from a value that does not change on each row. */
        if (mean + row_ns / 8 < 2 * row_ns)
            continue;
        if (support >= needed && strays(interval, n, mean, row_ns) <= n / 8)
            return mean;
    }
    return 0;
}

/* Whether the value changes from one row to the next often enough for each row to be a reading. */
static int has_quick_changes(const struct xm_sensor_period *period, uint32_t n, int64_t row_ns)
{
    int64_t most = row_ns + row_ns / 2;
    uint32_t quick = 0;

    for (uint32_t i = 0; i < n; i++)
        quick += period->interval_ns[i] <= most;
    return quick >= n / 4;
}

static void look(struct xm_sensor_period *period, int64_t row_ns)
{
    uint32_t n = period->changes < XM_SENSOR_KEPT ? period->changes : XM_SENSOR_KEPT;
    int64_t found;

    period->is_quick = (uint8_t)has_quick_changes(period, n, row_ns);
    found = period->is_quick ? 0 : find(period, n, row_ns);
    if (found != 0) {
        period->found_ns = found;
        period->failures = 0;
    } else if (period->is_quick || ++period->failures >= PATIENCE) {
        period->found_ns = 0;
        period->failures = 0;
    }
}

int xm_sensor_period_note(struct xm_sensor_period *period, int64_t now_ns, int64_t row_ns,
                          uint64_t step)
{
    int64_t interval = (int64_t)((uint64_t)now_ns - (uint64_t)period->changed_ns);
    uint64_t size = step >> 63 ? -step : step;
    int seen = period->changed_ns != 0 && interval > 0;
    uint32_t at = period->changes % XM_SENSOR_KEPT;

    period->changed_ns = now_ns;
    if (seen) {
        period->interval_ns[at] = interval < LONGEST_NS ? interval : LONGEST_NS;
        period->varied &= (uint16_t) ~(1u << at);
        period->varied |= (uint16_t)((size != period->step) << at);
        period->changes++;
    }
    period->step = size;
    if (!seen || period->changes % XM_SENSOR_EVERY != 0)
        return 0;
    look(period, row_ns);
    return 1;
}

void xm_sensor_period_restart(struct xm_sensor_period *period)
{
    period->changed_ns = 0;
    period->changes = 0;
    period->varied = 0;
}
