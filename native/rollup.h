/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_ROLLUP_H
#define XM_ROLLUP_H

#include "reader.h"

enum xm_rollup_kind {
    XM_ROLLUP_GAUGE = 0,
    XM_ROLLUP_FLOAT = 1,
    XM_ROLLUP_LAST = 2,
    XM_ROLLUP_KINDS
};

/*
 * Distinct pairs of reason and code kept per column and window. Readings with further vendor
 * codes are counted under vendor_error with code 0, so that a producer cannot choose how much
 * memory its reader takes.
 */
#define XM_ROLLUP_MAX_REASONS 16

struct xm_rollup_reason {
    uint32_t column;
    uint32_t window;
    uint32_t readings;
    uint32_t before; /* index + 1 of the column's entry before, 0 for none */
    int64_t code;
    uint8_t reason;
};

struct xm_rollup_options {
    int64_t width_ns;
    int64_t close_before_ns;
    uint64_t limit;
    const uint8_t *kinds; /* one of xm_rollup_kind per column */
};

/*
 * Closed windows; cells are row-major: window w, column c at w * columns + c. `counts` and `sum`
 * are over the values that are no repeats; a cell with nothing but repeats has a count of 1.
 */
struct xm_rollup {
    uint64_t next;
    uint64_t overrun;
    uint32_t columns;
    size_t n;
    size_t room;
    int64_t *start_ns;
    uint32_t *ticks;
    uint32_t *missed;
    uint32_t *counts;
    int64_t *last;
    int64_t *min;
    int64_t *max;
    int64_t *sum;
    struct xm_rollup_reason *reasons;
    size_t n_reasons;
    size_t room_reasons;
    uint8_t *valued; /* per column of the open window: whether it has a value */
    uint32_t *heads; /* per column of the open window: index + 1 of its newest entry */
};

/* Column lane only. 0 or -errno; `out` must be freed with xm_rollup_free in both cases. */
int xm_rollup_read(const struct xm_reader_lane *lane, uint64_t position,
                   const struct xm_rollup_options *options, struct xm_rollup *out);
void xm_rollup_free(struct xm_rollup *rollup);

#endif
