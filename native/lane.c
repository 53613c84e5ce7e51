/* SPDX-License-Identifier: Apache-2.0 */
#include "lane.h"

#include "clock.h"
#include "futex.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

/* Room for the static TLS of vendor libraries, which glibc takes from the stack, and for calls. */
#define STACK_BYTES      (512u << 10)
#define CALL_STACK_BYTES (1024u << 10)

struct xm_lane {
    struct xm_ring *ring;
    struct xm_ring_lane *out;
    uint32_t index;
    int fifo_priority;
    struct xm_work *work;
    int64_t origin_ns;
    pthread_t thread;
    int running;            /* started and not joined */
    int64_t cpu_before_ns;  /* of threads joined */
    _Atomic int64_t cpu_ns; /* of the thread, once it has ended */
    _Atomic int64_t period_ns;
    _Atomic uint32_t stop;
    _Atomic uint32_t wake;  /* futex: counts reasons to look at stop and period_ns again */
    _Atomic uint32_t ended; /* futex */
};

int xm_lane_create(struct xm_ring *ring, uint32_t index, int64_t period_ns, struct xm_work *work,
                   int fifo_priority, struct xm_lane **out)
{
    struct xm_lane *lane;

    if (index >= ring->lanes || ring->lane[index].geometry.kind != XM_RING_COLUMNS)
        return -EINVAL;
    if (ring->lane[index].claimed)
        return -EBUSY;
    lane = calloc(1, sizeof(*lane));
    if (lane == NULL)
        return -ENOMEM;
    xm_ring_hold(ring);
    lane->ring = ring;
    lane->out = &ring->lane[index];
    lane->out->claimed = 1;
    lane->index = index;
    lane->fifo_priority = fifo_priority;
    lane->work = work;
    atomic_init(&lane->period_ns, period_ns);
    xm_ring_set_period(lane->out, period_ns);
    /* Columns that no probe fills. */
    memset(xm_ring_values(lane->out), 0, 8 * (size_t)lane->out->geometry.columns);
    memset(xm_ring_reasons(lane->out), XM_REASON_UNSUPPORTED, lane->out->geometry.columns);
    *out = lane;
    return 0;
}

void xm_lane_destroy(struct xm_lane *lane)
{
    xm_work_destroy(lane->work);
    lane->out->claimed = 0;
    xm_ring_drop(lane->ring);
    free(lane);
}

/* The first time of the grid from `now` on. */
static int64_t grid_from(int64_t origin_ns, int64_t period_ns, int64_t now_ns)
{
    int64_t behind = (now_ns - origin_ns) % period_ns;

    if (behind < 0)
        behind += period_ns;
    return behind == 0 ? now_ns : now_ns + period_ns - behind;
}

/*
 * Run all probes and commit the row; returns the time of its end. A row that was to be stopped
 * while it waited at a gate is given up.
 */
static int64_t run_row(struct xm_lane *lane, int64_t due_ns, int64_t begin_ns, uint64_t missed)
{
    struct xm_ring_row row = {due_ns, begin_ns, 0, missed,
                              xm_ring_columns_bytes(lane->out->geometry.columns)};
    int64_t end_ns;
    int64_t took_ns;

    xm_ring_prefetch(lane->out);
    if (xm_work_do(lane->work, lane->out, begin_ns, &lane->stop) != 0)
        return begin_ns;
    end_ns = xm_clock_mono();
    took_ns = end_ns - begin_ns;
    xm_histogram_add(lane->work->lateness, begin_ns - due_ns);
    xm_histogram_add(lane->work->duration, took_ns);
    row.duration_ns = took_ns > 0 ? (uint64_t)took_ns : 0;
    xm_ring_commit(lane->out, &row);
    return end_ns;
}

static void run_rows(struct xm_lane *lane)
{
    /* Pairs with the store in xm_lane_set_period. */
    int64_t period = atomic_load_explicit(&lane->period_ns, memory_order_relaxed);
    int64_t now = xm_clock_mono();
    int64_t due = lane->origin_ns;

    xm_ring_set_period(lane->out, period);
    if (due == 0)
        due = grid_from(0, period, now);
    for (;;) {
        /* Pairs with the release in nudge: what was set before it is seen below. */
        uint32_t seen = atomic_load_explicit(&lane->wake, memory_order_acquire);
        int64_t wanted = atomic_load_explicit(&lane->period_ns, memory_order_relaxed);
        uint64_t missed = 0;

        if (atomic_load_explicit(&lane->stop, memory_order_relaxed))
            return;
        if (wanted != period) {
            period = wanted;
            due = grid_from(lane->origin_ns, period, now + 1);
            xm_ring_set_period(lane->out, period);
        }
        if (now < due) {
            xm_futex_wait(&lane->wake, seen, due);
            now = xm_clock_mono();
            continue;
        }
        /* Deadlines that have passed as well are given up, never made up for in a burst. */
        missed = (uint64_t)((now - due) / period);
        due += (int64_t)missed * period;
        now = run_row(lane, due, now, missed);
        due += period;
    }
}

static void *run(void *argument)
{
    struct xm_lane *lane = argument;
    char name[16];

    snprintf(name, sizeof(name), "xm-lane-%u", lane->index);
    prctl(PR_SET_NAME, name);
    /* The default of 50 us would be most of the lateness; realtime threads have none anyway. */
    prctl(PR_SET_TIMERSLACK, 1UL);
    xm_work_open(lane->work, lane->out);
    run_rows(lane);
    atomic_store_explicit(&lane->cpu_ns, xm_clock_now(CLOCK_THREAD_CPUTIME_ID),
                          memory_order_relaxed);
    /* Pairs with the acquire loads in xm_lane_wait and xm_lane_cpu_ns. */
    atomic_store_explicit(&lane->ended, 1, memory_order_release);
    xm_futex_wake(&lane->ended);
    return NULL;
}

static int set_attributes(pthread_attr_t *attributes, const struct xm_lane *lane)
{
    struct sched_param param = {.sched_priority = lane->fifo_priority};
    size_t stack_bytes = lane->work->calls->n > 0 ? CALL_STACK_BYTES : STACK_BYTES;
    int rc = pthread_attr_setstacksize(attributes, stack_bytes);

    if (rc != 0 || lane->fifo_priority == 0)
        return rc;
    rc = pthread_attr_setinheritsched(attributes, PTHREAD_EXPLICIT_SCHED);
    if (rc == 0)
        rc = pthread_attr_setschedpolicy(attributes, SCHED_FIFO);
    if (rc == 0)
        rc = pthread_attr_setschedparam(attributes, &param);
    return rc;
}

int xm_lane_start(struct xm_lane *lane, int64_t origin_ns)
{
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t before;
    int rc;

    if (lane->running)
        return -EALREADY;
    lane->origin_ns = origin_ns;
    xm_ring_touch(lane->out);
    atomic_store(&lane->stop, 0);
    atomic_store(&lane->ended, 0);
    rc = pthread_attr_init(&attributes);
    if (rc != 0)
        return -rc;
    rc = set_attributes(&attributes, lane);
    if (rc == 0) {
        /* The thread inherits the mask: there is no moment at which a signal could reach it. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        rc = pthread_create(&lane->thread, &attributes, run, lane);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attributes);
    lane->running = rc == 0;
    return -rc;
}

/* Make the thread look at stop and period_ns, out of its sleep if need be. */
static void nudge(struct xm_lane *lane)
{
    /* Pairs with the acquire load in run_rows. */
    atomic_fetch_add_explicit(&lane->wake, 1, memory_order_release);
    xm_futex_wake(&lane->wake);
}

int xm_lane_is_running(const struct xm_lane *lane)
{
    return lane->running;
}

const struct xm_work *xm_lane_work(const struct xm_lane *lane)
{
    return lane->work;
}

void xm_lane_request_stop(struct xm_lane *lane)
{
    atomic_store_explicit(&lane->stop, 1, memory_order_relaxed);
    nudge(lane);
}

void xm_lane_set_period(struct xm_lane *lane, int64_t period_ns)
{
    atomic_store_explicit(&lane->period_ns, period_ns, memory_order_relaxed);
    if (lane->running)
        nudge(lane);
    else
        xm_ring_set_period(lane->out, period_ns);
}

int xm_lane_wait(struct xm_lane *lane, int64_t timeout_ns)
{
    int64_t now = xm_clock_mono();
    int64_t until = timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;

    /* Pairs with the release store in run: all that the thread wrote is visible. */
    while (!atomic_load_explicit(&lane->ended, memory_order_acquire)) {
        if (xm_clock_mono() >= until)
            return -ETIMEDOUT;
        xm_futex_wait(&lane->ended, 0, until);
    }
    return 0;
}

void xm_lane_join(struct xm_lane *lane)
{
    if (!lane->running)
        return;
    pthread_join(lane->thread, NULL);
    lane->running = 0;
    lane->cpu_before_ns += atomic_load_explicit(&lane->cpu_ns, memory_order_relaxed);
}

int64_t xm_lane_cpu_ns(const struct xm_lane *lane)
{
    clockid_t clock;
    int64_t cpu_ns = 0;

    if (!lane->running)
        return lane->cpu_before_ns;
    if (pthread_getcpuclockid(lane->thread, &clock) == 0)
        cpu_ns = xm_clock_now(clock);
    /*
     * Pairs with the release store in run. Asked last: the clock of a thread that has ended is
     * nobody's or somebody else's.
     */
    if (atomic_load_explicit(&lane->ended, memory_order_acquire))
        cpu_ns = atomic_load_explicit(&lane->cpu_ns, memory_order_relaxed);
    return lane->cpu_before_ns + cpu_ns;
}
