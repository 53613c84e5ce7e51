/* SPDX-License-Identifier: Apache-2.0 */
#include "rollup.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The window that rows are added to; its cells are those of index rollup->n. */
struct open_window {
    int is_open;
    int64_t index;
    uint64_t first;   /* position of its first row */
    uint64_t overrun; /* rows lost before that */
    size_t n_reasons; /* entries before it */
};

static int64_t floor_div(int64_t a, int64_t b)
{
    int64_t quotient = a / b;

    return quotient - (a % b < 0);
}

static double to_double(int64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static int64_t to_bits(double value)
{
    int64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static int allocate(struct xm_rollup *rollup)
{
    size_t cells = rollup->room * rollup->columns;

    rollup->start_ns = malloc(rollup->room * sizeof(*rollup->start_ns));
    rollup->ticks = malloc(rollup->room * sizeof(*rollup->ticks));
    rollup->missed = malloc(rollup->room * sizeof(*rollup->missed));
    rollup->counts = malloc(cells * sizeof(*rollup->counts));
    rollup->last = malloc(cells * sizeof(*rollup->last));
    rollup->min = malloc(cells * sizeof(*rollup->min));
    rollup->max = malloc(cells * sizeof(*rollup->max));
    rollup->sum = malloc(cells * sizeof(*rollup->sum));
    rollup->valued = malloc(rollup->columns);
    rollup->heads = malloc(rollup->columns * sizeof(*rollup->heads));
    if (rollup->start_ns == NULL || rollup->ticks == NULL || rollup->missed == NULL ||
        rollup->counts == NULL || rollup->last == NULL || rollup->min == NULL ||
        rollup->max == NULL || rollup->sum == NULL || rollup->valued == NULL ||
        rollup->heads == NULL)
        return -ENOMEM;
    return 0;
}

static void open_window(struct xm_rollup *rollup, struct open_window *window)
{
    size_t at = rollup->n * rollup->columns;
    size_t bytes = rollup->columns * sizeof(int64_t);

    rollup->ticks[rollup->n] = 0;
    rollup->missed[rollup->n] = 0;
    memset(rollup->counts + at, 0, rollup->columns * sizeof(*rollup->counts));
    memset(rollup->last + at, 0, bytes);
    memset(rollup->min + at, 0, bytes);
    memset(rollup->max + at, 0, bytes);
    memset(rollup->sum + at, 0, bytes);
    memset(rollup->valued, 0, rollup->columns);
    memset(rollup->heads, 0, rollup->columns * sizeof(*rollup->heads));
    window->n_reasons = rollup->n_reasons;
    window->is_open = 1;
}

/* A reading that was counted in an earlier window stands for itself in one without another. */
static void count_repeats(struct xm_rollup *rollup, const uint8_t *kinds)
{
    size_t at = rollup->n * rollup->columns;

    for (uint32_t c = 0; c < rollup->columns; c++, at++) {
        if (!rollup->valued[c] || rollup->counts[at] != 0)
            continue;
        rollup->counts[at] = 1;
        if (kinds[c] != XM_ROLLUP_LAST)
            rollup->sum[at] = rollup->last[at];
    }
}

static void close_window(struct xm_rollup *rollup, struct open_window *window,
                         const struct xm_rollup_options *options)
{
    count_repeats(rollup, options->kinds);
    /* One reading stands for itself: its own time says more than the window's. */
    if (rollup->ticks[rollup->n] != 1)
        rollup->start_ns[rollup->n] =
            (int64_t)((uint64_t)window->index * (uint64_t)options->width_ns);
    rollup->n++;
    window->is_open = 0;
}

static void add_gauge(struct xm_rollup *rollup, size_t at, int64_t value, int first, int repeat)
{
    if (first || value < rollup->min[at])
        rollup->min[at] = value;
    if (first || value > rollup->max[at])
        rollup->max[at] = value;
    if (!repeat)
        rollup->sum[at] = (int64_t)((uint64_t)rollup->sum[at] + (uint64_t)value);
}

static void add_float(struct xm_rollup *rollup, size_t at, int64_t bits, int first, int repeat)
{
    double value = to_double(bits);

    if (first || value < to_double(rollup->min[at]))
        rollup->min[at] = bits;
    if (first || value > to_double(rollup->max[at]))
        rollup->max[at] = bits;
    if (!repeat)
        rollup->sum[at] = to_bits(to_double(rollup->sum[at]) + value);
}

static int new_reason(struct xm_rollup *rollup, uint32_t column, struct xm_reader_cell cell)
{
    if (rollup->n_reasons == rollup->room_reasons) {
        size_t room = rollup->room_reasons ? 2 * rollup->room_reasons : 64;
        void *grown = realloc(rollup->reasons, room * sizeof(*rollup->reasons));

        if (grown == NULL)
            return -ENOMEM;
        rollup->reasons = grown;
        rollup->room_reasons = room;
    }
    rollup->reasons[rollup->n_reasons++] =
        (struct xm_rollup_reason){.column = column,
                                  .window = (uint32_t)rollup->n,
                                  .readings = 1,
                                  .before = rollup->heads[column],
                                  .code = cell.value,
                                  .reason = cell.reason};
    rollup->heads[column] = (uint32_t)rollup->n_reasons;
    return 0;
}

/* The column's entry of this reason and code in the open window, NULL for none. */
static struct xm_rollup_reason *find_reason(struct xm_rollup *rollup, uint32_t column,
                                            struct xm_reader_cell cell, int *entries)
{
    *entries = 0;
    for (uint32_t i = rollup->heads[column]; i != 0; i = rollup->reasons[i - 1].before) {
        struct xm_rollup_reason *entry = &rollup->reasons[i - 1];

        if (entry->reason == cell.reason && entry->code == cell.value)
            return entry;
        ++*entries;
    }
    return NULL;
}

static int add_reason(struct xm_rollup *rollup, uint32_t column, struct xm_reader_cell cell)
{
    int entries;
    struct xm_rollup_reason *entry = find_reason(rollup, column, cell, &entries);

    if (entry == NULL && entries >= XM_ROLLUP_MAX_REASONS &&
        cell.reason == XM_REASON_VENDOR_ERROR) {
        cell.value = 0;
        entry = find_reason(rollup, column, cell, &entries);
    }
    if (entry == NULL)
        return new_reason(rollup, column, cell);
    entry->readings++;
    return 0;
}

static int add_cell(struct xm_rollup *rollup, uint32_t column, uint8_t kind,
                    struct xm_reader_cell cell)
{
    size_t at = rollup->n * rollup->columns + column;

    if (cell.reason == XM_REASON_VALUE && kind == XM_ROLLUP_FLOAT &&
        !isfinite(to_double(cell.value)))
        cell = (struct xm_reader_cell){0, XM_REASON_IMPLAUSIBLE, 0};
    if (cell.reason != XM_REASON_VALUE)
        return add_reason(rollup, column, cell);
    if (kind == XM_ROLLUP_GAUGE)
        add_gauge(rollup, at, cell.value, !rollup->valued[column], cell.is_repeat);
    else if (kind == XM_ROLLUP_FLOAT)
        add_float(rollup, at, cell.value, !rollup->valued[column], cell.is_repeat);
    rollup->last[at] = cell.value;
    rollup->valued[column] = 1;
    rollup->counts[at] += !cell.is_repeat;
    return 0;
}

static int add_row(struct xm_rollup *rollup, const struct xm_ring_slot *row, const uint8_t *kinds)
{
    uint64_t missed = (uint64_t)rollup->missed[rollup->n] + row->missed;

    if (rollup->ticks[rollup->n] == 0)
        rollup->start_ns[rollup->n] = row->begin_ns;
    rollup->ticks[rollup->n]++;
    rollup->missed[rollup->n] = missed > UINT32_MAX ? UINT32_MAX : (uint32_t)missed;
    for (uint32_t c = 0; c < rollup->columns; c++) {
        int rc = add_cell(rollup, c, kinds[c], xm_reader_cell(row, rollup->columns, c));

        if (rc != 0)
            return rc;
    }
    return 0;
}

/* 1 when the row starts a window for which there is no room any more. */
static int turn_window(struct xm_rollup *rollup, struct open_window *window, uint64_t position,
                       int64_t index, const struct xm_rollup_options *options)
{
    if (window->is_open && window->index == index)
        return 0;
    if (window->is_open)
        close_window(rollup, window, options);
    if (rollup->n == rollup->room || rollup->n_reasons >= XM_READER_BATCH_REASONS)
        return 1;
    window->index = index;
    window->first = position;
    window->overrun = rollup->overrun;
    open_window(rollup, window);
    return 0;
}

/* The newest window: closed when its time is over, else its rows are left for the next call. */
static void settle(struct xm_rollup *rollup, struct open_window *window,
                   const struct xm_rollup_options *options)
{
    if (!window->is_open)
        return;
    if (window->index < floor_div(options->close_before_ns, options->width_ns)) {
        close_window(rollup, window, options);
        return;
    }
    rollup->next = window->first;
    rollup->overrun = window->overrun;
    rollup->n_reasons = window->n_reasons;
}

static int scan(const struct xm_reader_lane *lane, const struct xm_rollup_options *options,
                uint64_t end, struct xm_ring_slot *row, struct xm_rollup *rollup)
{
    struct open_window window = {0};

    while (rollup->next < end) {
        int64_t index;
        int rc;

        if (xm_reader_row(lane, rollup->next, row) != 0) {
            uint64_t next = xm_reader_resume(lane, rollup->next, end);

            rollup->overrun += next - rollup->next;
            rollup->next = next;
            continue;
        }
        index = floor_div(row->scheduled_ns, options->width_ns);
        if (turn_window(rollup, &window, rollup->next, index, options))
            return 0;
        rc = add_row(rollup, row, options->kinds);
        if (rc != 0)
            return rc;
        rollup->next++;
    }
    settle(rollup, &window, options);
    return 0;
}

int xm_rollup_read(const struct xm_reader_lane *lane, uint64_t position,
                   const struct xm_rollup_options *options, struct xm_rollup *out)
{
    uint64_t most = XM_READER_BATCH_BYTES / (36 * (uint64_t)lane->geometry.columns + 16);
    struct xm_ring_slot *row = NULL;
    struct xm_reader_span span;
    int rc;

    *out = (struct xm_rollup){.columns = lane->geometry.columns};
    rc = xm_reader_span(lane, position, &span);
    if (rc != 0)
        return rc;
    out->next = span.first;
    out->overrun = span.first - position;
    out->room = most > 0 ? most : 1;
    if (out->room > options->limit)
        out->room = options->limit;
    if (out->room > span.committed - span.first)
        out->room = span.committed - span.first;
    if (out->room == 0)
        return 0;
    rc = -ENOMEM;
    row = xm_reader_scratch(lane);
    if (row != NULL && allocate(out) == 0)
        rc = scan(lane, options, span.committed, row, out);
    free(row);
    return rc;
}

void xm_rollup_free(struct xm_rollup *rollup)
{
    free(rollup->start_ns);
    free(rollup->ticks);
    free(rollup->missed);
    free(rollup->counts);
    free(rollup->last);
    free(rollup->min);
    free(rollup->max);
    free(rollup->sum);
    free(rollup->reasons);
    free(rollup->valued);
    free(rollup->heads);
}
