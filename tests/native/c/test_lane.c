/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include "clock.h"
#include "lane.h"
#include "rows.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

/* Linked with --wrap=pread: a read blocks for as long as the test wants. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int waiting;

ssize_t __real_pread(int fd, void *buffer, size_t bytes, off_t at);
ssize_t __wrap_pread(int fd, void *buffer, size_t bytes, off_t at);

ssize_t __wrap_pread(int fd, void *buffer, size_t bytes, off_t at)
{
    atomic_store(&waiting, 1);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    atomic_store(&waiting, 0);
    return __real_pread(fd, buffer, bytes, at);
}

static char path[] = "/tmp/xm-lane-XXXXXX";

static struct xm_work *make_work(size_t n)
{
    struct xm_work *work = xm_work_create(n, (const uint8_t[4]){0});

    for (size_t i = 0; i < n; i++) {
        struct xm_probe *probe = &work->files->probe[i];

        probe->path = strdup(path);
        probe->n_fields = 1;
        probe->fields = calloc(1, sizeof(*probe->fields));
        probe->fields->column = (uint32_t)i;
        probe->fields->low = INT64_MIN;
        probe->fields->high = INT64_MAX;
    }
    return work;
}

struct rig {
    struct xm_ring *ring;
    struct xm_reader *reader;
    struct xm_lane *lane;
};

static struct rig make(size_t probes, int64_t period_ns)
{
    struct rig rig;
    int fd;

    rig.ring = rig_make((uint32_t)probes, 4096, &fd);
    rig.reader = rig_open(fd);
    close(fd);
    CHECK_EQ(xm_lane_create(rig.ring, 0, period_ns, make_work(probes), 0, &rig.lane), 0);
    return rig;
}

static void take_apart(struct rig *rig)
{
    xm_lane_destroy(rig->lane);
    xm_reader_close(rig->reader);
    xm_ring_drop(rig->ring);
}

static void wait_rows(const struct rig *rig, uint64_t rows)
{
    struct xm_reader_state state;

    do
        xm_reader_state(&rig->reader->lane[0], &state);
    while (state.committed < rows);
}

static void stop(struct rig *rig)
{
    xm_lane_request_stop(rig->lane);
    CHECK_EQ(xm_lane_wait(rig->lane, 10 * XM_SECOND_NS), 0);
    xm_lane_join(rig->lane);
}

/* Rows plus missed ticks are the ticks between the first and the last row, to one. */
static void check_grid(const struct rig *rig, int64_t period_ns, int64_t origin_ns)
{
    struct xm_rows rows;
    uint64_t missed = 0;

    CHECK_EQ(xm_rows_read(&rig->reader->lane[0], 0, 4096, &rows), 0);
    CHECK(rows.n > 1);
    for (size_t i = 0; i < rows.n; i++) {
        CHECK_EQ((rows.scheduled_ns[i] - origin_ns) % period_ns, 0);
        CHECK(rows.begin_ns[i] >= rows.scheduled_ns[i]);
        CHECK(rows.begin_ns[i] < rows.scheduled_ns[i] + period_ns);
        missed += i > 0 ? rows.missed[i] : 0;
    }
    CHECK_EQ((rows.scheduled_ns[rows.n - 1] - rows.scheduled_ns[0]) / period_ns + 1,
             rows.n + missed);
    xm_rows_free(&rows);
}

static void test_rows_stay_on_the_grid(void)
{
    struct rig rig = make(3, 500000);

    CHECK_EQ(xm_lane_start(rig.lane, 0), 0);
    CHECK_EQ(xm_lane_start(rig.lane, 0), -EALREADY);
    wait_rows(&rig, 100);
    stop(&rig);
    CHECK(xm_lane_cpu_ns(rig.lane) > 0);
    check_grid(&rig, 500000, 0);
    take_apart(&rig);
}

static void test_late_start_counts_as_missed(void)
{
    struct rig rig = make(1, 1000000);
    int64_t first = xm_clock_mono() - 50 * 1000000 - 7;
    struct xm_rows rows;

    CHECK_EQ(xm_lane_start(rig.lane, first), 0);
    wait_rows(&rig, 5);
    stop(&rig);
    check_grid(&rig, 1000000, first);
    CHECK_EQ(xm_rows_read(&rig.reader->lane[0], 0, 1, &rows), 0);
    CHECK(rows.missed[0] >= 50);
    CHECK_EQ(rows.scheduled_ns[0], first + 1000000 * (int64_t)rows.missed[0]);
    xm_rows_free(&rows);
    take_apart(&rig);
}

/* G2: 250 ms inside a read at 1 kHz are 250 ticks, all of them reported, none made up for. */
static void test_stall_reports_each_missed_tick(void)
{
    struct rig rig = make(1, 1000000);
    struct xm_reader_state state;
    int64_t begin;

    CHECK_EQ(xm_lane_start(rig.lane, 0), 0);
    wait_rows(&rig, 20);
    pthread_mutex_lock(&gate);
    begin = xm_clock_mono();
    while (xm_clock_mono() < begin + 250 * 1000000)
        ;
    pthread_mutex_unlock(&gate);
    xm_reader_state(&rig.reader->lane[0], &state);
    wait_rows(&rig, state.committed + 20);
    stop(&rig);
    xm_reader_state(&rig.reader->lane[0], &state);
    CHECK(state.missed >= 248);
    check_grid(&rig, 1000000, 0);
    take_apart(&rig);
}

static void test_stuck_read_is_named_and_stop_gives_up(void)
{
    struct rig rig = make(4, 1000000);
    struct xm_reader_state state;
    int64_t begin;

    pthread_mutex_lock(&gate);
    begin = xm_clock_mono();
    CHECK_EQ(xm_lane_start(rig.lane, 0), 0);
    while (!atomic_load(&waiting))
        ;
    xm_reader_state(&rig.reader->lane[0], &state);
    CHECK_EQ(state.call, 1);
    CHECK_EQ(state.committed, 0);
    CHECK(state.since_ns >= begin);
    xm_lane_request_stop(rig.lane);
    CHECK_EQ(xm_lane_wait(rig.lane, 20 * 1000000), -ETIMEDOUT);
    CHECK(xm_lane_is_running(rig.lane));
    pthread_mutex_unlock(&gate);
    CHECK_EQ(xm_lane_wait(rig.lane, 10 * XM_SECOND_NS), 0);
    xm_lane_join(rig.lane);
    xm_reader_state(&rig.reader->lane[0], &state);
    CHECK_EQ(state.call, 0);
    CHECK_EQ(state.since_ns, 0);
    take_apart(&rig);
}

static void test_stop_and_new_period_end_a_long_sleep(void)
{
    struct rig rig = make(1, XM_LANE_MAX_PERIOD_NS);
    struct xm_reader_state state;
    int64_t begin = xm_clock_mono();

    CHECK_EQ(xm_lane_start(rig.lane, 0), 0);
    xm_lane_set_period(rig.lane, 1000000);
    wait_rows(&rig, 3);
    xm_reader_state(&rig.reader->lane[0], &state);
    CHECK_EQ(state.period_ns, 1000000);
    CHECK_EQ(state.missed > 1000, 0);
    xm_lane_set_period(rig.lane, XM_LANE_MAX_PERIOD_NS);
    stop(&rig);
    CHECK(xm_clock_mono() - begin < 60 * XM_SECOND_NS);
    take_apart(&rig);
}

static void test_restart_goes_on_at_the_next_position(void)
{
    struct rig rig = make(1, 1000000);
    struct xm_reader_state before, after;
    int64_t cpu;

    CHECK_EQ(xm_lane_start(rig.lane, 0), 0);
    wait_rows(&rig, 3);
    stop(&rig);
    cpu = xm_lane_cpu_ns(rig.lane);
    xm_reader_state(&rig.reader->lane[0], &before);
    CHECK_EQ(xm_lane_start(rig.lane, 0), 0);
    wait_rows(&rig, before.committed + 3);
    CHECK(xm_lane_cpu_ns(rig.lane) >= cpu);
    stop(&rig);
    xm_reader_state(&rig.reader->lane[0], &after);
    CHECK(after.committed >= before.committed + 3);
    take_apart(&rig);
}

static void test_one_lane_per_ring_lane(void)
{
    struct rig rig = make(1, 1000000);
    struct xm_work *work = make_work(0);
    struct xm_lane *second;

    CHECK_EQ(xm_lane_create(rig.ring, 0, 1000000, work, 0, &second), -EBUSY);
    CHECK_EQ(xm_lane_create(rig.ring, 1, 1000000, work, 0, &second), -EINVAL);
    xm_lane_destroy(rig.lane);
    CHECK_EQ(xm_lane_create(rig.ring, 0, 1000000, work, 0, &second), 0);
    rig.lane = second;
    take_apart(&rig);
}

int main(void)
{
    int fd = mkstemp(path);

    CHECK_EQ(write(fd, "42\n", 3), 3);
    close(fd);
    test_rows_stay_on_the_grid();
    test_late_start_counts_as_missed();
    test_stall_reports_each_missed_tick();
    test_stuck_read_is_named_and_stop_gives_up();
    test_stop_and_new_period_end_a_long_sleep();
    test_restart_goes_on_at_the_next_position();
    test_one_lane_per_ring_lane();
    unlink(path);
    return 0;
}
