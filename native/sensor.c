/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor.h"

#include "ring.h"
#include "sensor_period.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Readings in a row that a drop must last before it is a reset. */
#define RESET_READINGS 3

/* Due: each row is a reading. */
#define ALWAYS INT64_MIN

#define LONGEST_NS (INT64_C(1) << 50)

/* Cells looked at together: their reasons are one word. */
#define BLOCK 8u

/* Rows after which a quick column is looked at closely again. */
#define QUICK_ROWS 1024u

static int64_t apart(int64_t later_ns, int64_t earlier_ns)
{
    return (int64_t)((uint64_t)later_ns - (uint64_t)earlier_ns);
}

struct column {
    uint8_t kind;
    uint8_t bits;
    uint8_t low_readings; /* after a drop; 0 where there is none */
    int64_t declared_ns;
    int64_t counted_ns; /* of the newest reading that is no repeat, on the sensor's own beat */
    uint64_t low;       /* newest native value below a drop */
    int64_t low_ns;     /* when it was counted */
    struct xm_sensor_period period;
    _Atomic int64_t refresh_ns;
    _Atomic uint32_t resets;
};

/*
 * A value that changes from row to row: nothing is learnt from one more change, and the memory that
 * learning takes stays untouched.
 */
struct quick {
    uint32_t until_row;
    uint8_t is_quick;
    uint8_t is_counter;
};

struct xm_sensor {
    uint32_t columns;
    uint32_t row;     /* counts, modulo 2^32 */
    uint32_t dropped; /* columns with a drop that is not settled */
    uint32_t timed;   /* columns whose equal cells may be repeats */
    uint32_t wrapped; /* columns to which wraps have added */
    int64_t before_ns;
    int64_t row_ns; /* how far rows are apart, smoothed */
    /* Apart from the rest because rows look at them; a lane wakes up with its cache cold. */
    int64_t *native;     /* value before, as it was read */
    struct quick *quick; /* looked at where the value has changed */
    int64_t *due_ns;     /* an equal cell before that is a repeat */
    uint64_t *further;   /* what wraps have added */
    struct column *column;
};

static int check_spec(const struct xm_sensor_spec *spec)
{
    if (spec->kind >= XM_TRACKS || spec->bits < XM_SENSOR_MIN_BITS ||
        spec->bits > XM_SENSOR_MAX_BITS || spec->refresh_ns < 0)
        return -EINVAL;
    return 0;
}

static void set_due(struct xm_sensor *sensor, uint32_t c, int64_t due_ns)
{
    sensor->timed += (due_ns != ALWAYS);
    sensor->timed -= (sensor->due_ns[c] != ALWAYS);
    sensor->due_ns[c] = due_ns;
}

static void set_further(struct xm_sensor *sensor, uint32_t c, uint64_t further)
{
    sensor->wrapped += (further != 0);
    sensor->wrapped -= (sensor->further[c] != 0);
    sensor->further[c] = further;
}

static void init_column(struct xm_sensor *sensor, uint32_t c, const struct xm_sensor_spec *spec)
{
    struct column *column = &sensor->column[c];

    column->kind = spec->kind;
    column->bits = spec->bits;
    column->declared_ns = spec->refresh_ns < LONGEST_NS ? spec->refresh_ns : LONGEST_NS;
    sensor->quick[c].is_counter = spec->kind == XM_TRACK_COUNTER;
    sensor->due_ns[c] = ALWAYS;
    if (spec->refresh_ns > 0)
        set_due(sensor, c, 0);
}

int xm_sensor_create(const struct xm_sensor_spec *specs, uint32_t columns, struct xm_sensor **out)
{
    struct xm_sensor *sensor;

    for (uint32_t c = 0; c < columns; c++) {
        if (check_spec(&specs[c]) != 0)
            return -EINVAL;
    }
    sensor = calloc(1, sizeof(*sensor));
    if (sensor == NULL)
        return -ENOMEM;
    sensor->columns = columns;
    sensor->native = calloc(columns, sizeof(*sensor->native));
    sensor->quick = calloc(columns, sizeof(*sensor->quick));
    sensor->due_ns = calloc(columns, sizeof(*sensor->due_ns));
    sensor->further = calloc(columns, sizeof(*sensor->further));
    sensor->column = calloc(columns, sizeof(*sensor->column));
    if (sensor->native == NULL || sensor->quick == NULL || sensor->due_ns == NULL ||
        sensor->further == NULL || sensor->column == NULL) {
        xm_sensor_destroy(sensor);
        return -ENOMEM;
    }
    for (uint32_t c = 0; c < columns; c++)
        init_column(sensor, c, &specs[c]);
    *out = sensor;
    return 0;
}

void xm_sensor_destroy(struct xm_sensor *sensor)
{
    if (sensor == NULL)
        return;
    free(sensor->native);
    free(sensor->quick);
    free(sensor->due_ns);
    free(sensor->further);
    free(sensor->column);
    free(sensor);
}

/* What is taken for the column's refresh period, 0 where each row is a reading. */
static int64_t refresh_of(const struct column *column, int64_t row_ns)
{
    int64_t refresh = column->period.found_ns;

    if (refresh == 0 && !column->period.is_quick)
        refresh = column->declared_ns;
    return refresh > row_ns + row_ns / 2 ? refresh : 0;
}

/*
 * A reading that is no repeat, on the sensor's beat at counted_ns. An equal cell counts again only
 * when the next change is half a period overdue: a change that comes late is then not counted
 * twice, and on the beat a constant value still counts once per period.
 */
static void count(struct xm_sensor *sensor, uint32_t c, int64_t counted_ns)
{
    struct column *column = &sensor->column[c];
    int64_t refresh = refresh_of(column, sensor->row_ns);

    column->counted_ns = counted_ns;
    if (refresh == 0 || counted_ns > INT64_MAX - refresh - refresh / 2)
        set_due(sensor, c, ALWAYS);
    else
        set_due(sensor, c, counted_ns + refresh + refresh / 2);
}

/* An equal cell that is due counts; beats that passed without a row are not made up for. */
static void count_equal(struct xm_sensor *sensor, uint32_t c, int64_t now_ns)
{
    int64_t refresh = refresh_of(&sensor->column[c], sensor->row_ns);
    int64_t age = apart(now_ns, sensor->column[c].counted_ns);

    if (refresh == 0 || age < refresh || age >= 2 * refresh + refresh / 2)
        count(sensor, c, now_ns);
    else
        count(sensor, c, now_ns - (age - refresh));
}

static int has_wrapped(const struct column *column, uint64_t before, uint64_t value)
{
    uint64_t quarter = UINT64_C(1) << (column->bits - 2);

    return column->bits < 64 && before >= 3 * quarter && value < quarter;
}

static void forget_drop(struct xm_sensor *sensor, struct column *column)
{
    sensor->dropped -= column->low_readings > 0;
    column->low_readings = 0;
}

/* Whether a low value has now lasted for as many readings as a reset takes. */
static int has_settled(struct xm_sensor *sensor, struct column *column, uint64_t value,
                       int64_t now_ns)
{
    int64_t refresh = refresh_of(column, sensor->row_ns);

    if (column->low_readings == 0 || value < column->low) {
        sensor->dropped += column->low_readings == 0;
        column->low_readings = 0;
    } else if (apart(now_ns, column->low_ns) < refresh - refresh / 8) {
        return 0; /* the same reading of the sensor */
    }
    column->low = value;
    column->low_ns = now_ns;
    return ++column->low_readings >= RESET_READINGS;
}

/* Whether a counter's native value is believed. */
static int follow_counter(struct xm_sensor *sensor, uint32_t c, uint64_t value, int64_t now_ns)
{
    struct column *column = &sensor->column[c];
    uint64_t before = (uint64_t)sensor->native[c];

    if (column->bits < 64 && value >> column->bits)
        column->bits = 64; /* the width was wrong: what drops from here on has not wrapped */
    if (value < before) {
        if (has_wrapped(column, before, value)) {
            set_further(sensor, c, sensor->further[c] + (UINT64_C(1) << column->bits));
        } else if (has_settled(sensor, column, value, now_ns)) {
            set_further(sensor, c, 0);
            /* Pairs with the relaxed load in xm_sensor_resets: a count, it orders nothing. */
            atomic_fetch_add_explicit(&column->resets, 1, memory_order_relaxed);
        } else {
            return 0;
        }
    }
    forget_drop(sensor, column);
    return 1;
}

static void see_change(struct xm_sensor *sensor, uint32_t c, int64_t value, int64_t now_ns)
{
    struct column *column = &sensor->column[c];
    uint64_t step = (uint64_t)value - (uint64_t)sensor->native[c];

    sensor->native[c] = value;
    if (xm_sensor_period_note(&column->period, now_ns, sensor->row_ns, step)) {
        /* Pairs with the relaxed load in xm_sensor_refresh_ns: a figure, it orders nothing. */
        atomic_store_explicit(&column->refresh_ns, column->period.found_ns, memory_order_relaxed);
        /* What wraps have added, or may still add, takes the long way. */
        sensor->quick[c].is_quick = column->period.is_quick && column->bits == XM_SENSOR_MAX_BITS &&
                                    sensor->further[c] == 0;
        sensor->quick[c].until_row = sensor->row + QUICK_ROWS;
    }
    count(sensor, c, now_ns);
}

/* Whether that was all there is to a changed cell of a quick column. */
static int pass_quick(struct xm_sensor *sensor, uint32_t c, int64_t value, uint8_t reason)
{
    struct quick *quick = &sensor->quick[c];

    if (!quick->is_quick)
        return 0;
    if (reason == XM_REASON_VALUE && (int32_t)(sensor->row - quick->until_row) < 0 &&
        !(quick->is_counter && (uint64_t)value < (uint64_t)sensor->native[c])) {
        sensor->native[c] = value;
        return 1;
    }
    quick->is_quick = 0;
    xm_sensor_period_restart(&sensor->column[c].period);
    return 0;
}

/* Whether that was all there is to a cell that is as before. */
static int pass_same(const struct xm_sensor *sensor, uint32_t c, int64_t now_ns, int64_t *value,
                     uint8_t *reason)
{
    int is_same = (*value == sensor->native[c]) & (*reason == XM_REASON_VALUE);
    int is_repeat = now_ns < sensor->due_ns[c];

    if (!(is_same & (is_repeat | (sensor->due_ns[c] == ALWAYS))) || sensor->dropped != 0)
        return 0;
    *reason = (uint8_t)(is_repeat * XM_RING_REPEATED);
    *value = (int64_t)((uint64_t)*value + sensor->further[c]);
    return 1;
}

/* A cell that no quick way has settled. */
static void see_cell(struct xm_sensor *sensor, uint32_t c, int64_t now_ns, int64_t *value,
                     uint8_t *reason)
{
    struct column *column = &sensor->column[c];

    if (column->kind == XM_TRACK_NONE)
        return;
    if (*reason != XM_REASON_VALUE) {
        column->period.changed_ns = 0; /* when the value changes meanwhile is not known */
        return;
    }
    if (column->kind == XM_TRACK_COUNTER && !follow_counter(sensor, c, (uint64_t)*value, now_ns)) {
        column->period.changed_ns = 0;
        *value = 0;
        *reason = XM_REASON_IMPLAUSIBLE;
        return;
    }
    if (*value != sensor->native[c])
        see_change(sensor, c, *value, now_ns);
    else if (now_ns < sensor->due_ns[c])
        *reason = XM_RING_REPEATED;
    else
        count_equal(sensor, c, now_ns);
    *value = (int64_t)((uint64_t)*value + sensor->further[c]);
}

static void keep_pace(struct xm_sensor *sensor, int64_t now_ns)
{
    int64_t step = apart(now_ns, sensor->before_ns);

    if (step > LONGEST_NS)
        step = LONGEST_NS;
    /* A pause is no pace. */
    if (sensor->row_ns != 0 && step > 4 * sensor->row_ns)
        step = 4 * sensor->row_ns;
    if (sensor->before_ns != 0 && step > 0)
        sensor->row_ns += sensor->row_ns == 0 ? step : (step - sensor->row_ns) / 8;
    sensor->before_ns = now_ns;
}

/* Whether a block's cells all have the values of the row before. */
static int is_as_before(const int64_t *values, const int64_t *native, const uint8_t *reasons)
{
    uint64_t differs;

    memcpy(&differs, reasons, sizeof(differs));
    for (uint32_t i = 0; i < BLOCK; i++)
        differs |= (uint64_t)(values[i] ^ native[i]);
    return differs == 0;
}

void xm_sensor_look(struct xm_sensor *sensor, int64_t now_ns, int64_t *values, uint8_t *reasons)
{
    uint32_t columns = sensor->columns;
    uint32_t c = 0;

    keep_pace(sensor, now_ns);
    sensor->row++;
    while (c < columns) {
        uint32_t end = c + BLOCK < columns ? c + BLOCK : columns;

        /* Most cells of a fast lane are as before, so this is what a row costs. */
        if (end - c == BLOCK && (sensor->timed | sensor->dropped | sensor->wrapped) == 0 &&
            is_as_before(&values[c], &sensor->native[c], &reasons[c])) {
            c = end;
            continue;
        }
        for (; c < end; c++) {
            if (!pass_same(sensor, c, now_ns, &values[c], &reasons[c]) &&
                !pass_quick(sensor, c, values[c], reasons[c]))
                see_cell(sensor, c, now_ns, &values[c], &reasons[c]);
        }
    }
}

int64_t xm_sensor_refresh_ns(const struct xm_sensor *sensor, uint32_t column)
{
    return atomic_load_explicit(&sensor->column[column].refresh_ns, memory_order_relaxed);
}

uint32_t xm_sensor_resets(const struct xm_sensor *sensor, uint32_t column)
{
    return atomic_load_explicit(&sensor->column[column].resets, memory_order_relaxed);
}
