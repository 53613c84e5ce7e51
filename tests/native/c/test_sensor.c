/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include "rollup.h"
#include "rows.h"
#include "sensor.h"

#include <errno.h>
#include <unistd.h>

#define REPEATED XM_RING_REPEATED

/* One cell per row, its reason byte as a producer of any kind may write it. */
static void put(struct xm_ring_lane *lane, int64_t time_ns, int64_t value, uint8_t reason)
{
    struct xm_ring_row row = {time_ns, time_ns, 0, 0, xm_ring_columns_bytes(1)};

    xm_ring_values(lane)[0] = value;
    xm_ring_reasons(lane)[0] = reason;
    xm_ring_commit(lane, &row);
}

static struct xm_reader_cell cell_at(const struct xm_reader_lane *lane, uint64_t position)
{
    struct xm_ring_slot *row = xm_reader_scratch(lane);
    struct xm_reader_cell cell;

    CHECK_EQ(xm_reader_row(lane, position, row), 0);
    cell = xm_reader_cell(row, 1, 0);
    free(row);
    return cell;
}

static void test_reason_bytes_are_masked(void)
{
    static const uint8_t bytes[] = {REPEATED, REPEATED | 1, REPEATED | 7, 0xff, 12, 0x40};
    int fd;
    struct xm_ring *ring = rig_make(1, 16, &fd);
    struct xm_reader *reader = rig_open(fd);

    close(fd);
    for (size_t i = 0; i < sizeof(bytes); i++)
        put(&ring->lane[0], 0, 42, bytes[i]);
    CHECK_EQ(cell_at(&reader->lane[0], 0).reason, XM_REASON_VALUE);
    CHECK_EQ(cell_at(&reader->lane[0], 0).value, 42);
    CHECK_EQ(cell_at(&reader->lane[0], 0).is_repeat, 1);
    for (uint64_t i = 1; i < sizeof(bytes); i++) {
        struct xm_reader_cell cell = cell_at(&reader->lane[0], i);

        CHECK_EQ(cell.reason, XM_REASON_IMPLAUSIBLE);
        CHECK_EQ(cell.value, 0);
        CHECK_EQ(cell.is_repeat, 0);
    }
    xm_reader_close(reader);
    xm_ring_drop(ring);
}

static void fill(struct xm_ring_lane *lane)
{
    put(lane, 0, 10, 0);
    put(lane, 1, 10, REPEATED);
    put(lane, 2, 30, 0);
    put(lane, 3, 30, REPEATED);
    put(lane, 10, 30, REPEATED);
    put(lane, 11, 30, REPEATED);
    put(lane, 20, 30, REPEATED);
    put(lane, 21, 0, XM_REASON_TIMEOUT);
    put(lane, 22, 5, 0);
    /* A producer that lies: repeats that differ. */
    put(lane, 30, 7, REPEATED);
    put(lane, 31, 9, REPEATED);
    put(lane, 40, 0, 0);
}

static void check_window(const struct xm_rollup *rollup, size_t w, uint32_t count, int64_t sum,
                         int64_t min, int64_t max)
{
    CHECK_EQ(rollup->counts[w], count);
    CHECK_EQ(rollup->sum[w], sum);
    CHECK_EQ(rollup->min[w], min);
    CHECK_EQ(rollup->max[w], max);
}

static void test_windows_count_distinct_readings(void)
{
    const uint8_t gauge = XM_ROLLUP_GAUGE;
    const uint8_t last = XM_ROLLUP_LAST;
    struct xm_rollup_options options = {10, 40, 100, &gauge};
    struct xm_rollup rollup;
    int fd;
    struct xm_ring *ring = rig_make(1, 16, &fd);
    struct xm_reader *reader = rig_open(fd);

    close(fd);
    fill(&ring->lane[0]);
    CHECK_EQ(xm_rollup_read(&reader->lane[0], 0, &options, &rollup), 0);
    CHECK_EQ(rollup.n, 4);
    check_window(&rollup, 0, 2, 40, 10, 30);
    check_window(&rollup, 1, 1, 30, 30, 30);
    check_window(&rollup, 2, 1, 5, 5, 30);
    check_window(&rollup, 3, 1, 9, 7, 9);
    CHECK_EQ(rollup.ticks[2], 3);
    CHECK_EQ(rollup.n_reasons, 1);
    xm_rollup_free(&rollup);
    options.kinds = &last;
    CHECK_EQ(xm_rollup_read(&reader->lane[0], 0, &options, &rollup), 0);
    check_window(&rollup, 0, 2, 0, 0, 0);
    check_window(&rollup, 1, 1, 0, 0, 0);
    CHECK_EQ(rollup.last[1], 30);
    xm_rollup_free(&rollup);
    xm_reader_close(reader);
    xm_ring_drop(ring);
}

static void test_rows_count_distinct_readings(void)
{
    struct xm_rows rows;
    int fd;
    struct xm_ring *ring = rig_make(1, 16, &fd);
    struct xm_reader *reader = rig_open(fd);

    close(fd);
    fill(&ring->lane[0]);
    CHECK_EQ(xm_rows_read(&reader->lane[0], 0, 100, &rows), 0);
    CHECK_EQ(rows.n, 12);
    CHECK_EQ(rows.distinct[0], 4);
    CHECK_EQ(rows.values[1], 10);
    CHECK_EQ(rows.n_reasons, 1);
    xm_rows_free(&rows);
    xm_reader_close(reader);
    xm_ring_drop(ring);
}

static void test_nonsense_is_refused(void)
{
    const struct xm_sensor_spec wrong[] = {
        {XM_TRACKS, 64, 0}, {XM_TRACK_COUNTER, 7, 0}, {XM_TRACK_COUNTER, 65, 0}, {0, 64, -1}};
    const struct xm_sensor_spec right = {XM_TRACK_COUNTER, 8, INT64_MAX};
    struct xm_sensor *sensor;
    int fd;
    struct xm_ring *ring = rig_make(1, 16, &fd);

    close(fd);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        CHECK_EQ(xm_sensor_create(&wrong[i], 1, &sensor), -EINVAL);
    CHECK_EQ(xm_sensor_create(&right, 1, &sensor), 0);
    rig_commit(&ring->lane[0]);
    CHECK_EQ(xm_ring_track(&ring->lane[0], sensor), -EBUSY);
    xm_sensor_destroy(sensor);
    xm_ring_drop(ring);
}

/* Whatever times and values come, nothing overflows: the sanitizers watch. */
static void test_any_times_and_values_do_no_harm(void)
{
    const struct xm_sensor_spec specs[] = {{XM_TRACK_GAUGE, 64, INT64_MAX},
                                           {XM_TRACK_COUNTER, 64, 1},
                                           {XM_TRACK_COUNTER, 8, 0},
                                           {XM_TRACK_NONE, 64, 0}};
    uint64_t seed = 7;
    struct xm_sensor *sensor;

    CHECK_EQ(xm_sensor_create(specs, 4, &sensor), 0);
    for (int i = 0; i < 200000; i++) {
        int64_t now = (int64_t)(next_random(&seed) >> (next_random(&seed) % 64));
        int64_t values[4];
        uint8_t reasons[4];

        for (int c = 0; c < 4; c++) {
            values[c] = (int64_t)(next_random(&seed) >> (next_random(&seed) % 64));
            reasons[c] = next_random(&seed) % 8 == 0 ? XM_REASON_TIMEOUT : 0;
        }
        if (i % 3 == 0)
            now = -now;
        xm_sensor_look(sensor, now, values, reasons);
        for (int c = 0; c < 4; c++)
            CHECK(reasons[c] < XM_REASONS || reasons[c] == REPEATED);
    }
    xm_sensor_destroy(sensor);
}

int main(void)
{
    test_reason_bytes_are_masked();
    test_windows_count_distinct_readings();
    test_rows_count_distinct_readings();
    test_nonsense_is_refused();
    test_any_times_and_values_do_no_harm();
    return 0;
}
