/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "clock.h"
#include "gate.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

/* Written without atomics: the thread sanitizer sees a gate that lets two in, or orders nothing. */
static uint64_t entries;
static struct xm_gate *gate;
static _Atomic uint32_t stop;
static _Atomic int64_t patient_waits;

static void spin(int64_t ns)
{
    int64_t until = xm_clock_mono() + ns;

    while (xm_clock_mono() < until)
        ;
}

/* In and out, with time-outs of every length between. */
static void *race(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t entered = 0;

    for (int i = 0; i < 4000; i++) {
        int64_t timeout = (int64_t)(next_random(&random) % 300000);
        int rc = xm_gate_enter(gate, xm_clock_mono() + timeout, &stop);

        CHECK(rc == 0 || rc == -ETIMEDOUT);
        if (rc != 0)
            continue;
        entries++;
        entered++;
        CHECK_EQ(xm_gate_try(gate), -EDEADLK);
        if (i % 64 == 0)
            spin((int64_t)(next_random(&random) % 1500000));
        CHECK_EQ(xm_gate_leave(gate), 0);
        CHECK_EQ(xm_gate_leave(gate), -EPERM);
    }
    return (void *)(uintptr_t)entered;
}

static void test_threads_race_for_the_gate(void)
{
    pthread_t threads[4];
    uint64_t sum = 0;

    for (uintptr_t i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, race, (void *)(i + 1)), 0);
    for (int i = 0; i < 4; i++) {
        void *entered;

        pthread_join(threads[i], &entered);
        sum += (uintptr_t)entered;
    }
    CHECK(sum > 0);
    CHECK_EQ(sum, entries);
    CHECK_EQ(xm_gate_try(gate), 0);
    CHECK_EQ(xm_gate_leave(gate), 0);
}

static void *wait_patiently(void *argument)
{
    (void)argument;
    while (!atomic_load(&stop)) {
        if (xm_gate_enter(gate, INT64_MAX, &stop) != 0)
            break;
        atomic_fetch_add(&patient_waits, 1);
        CHECK_EQ(xm_gate_leave(gate), 0);
        sched_yield();
    }
    return NULL;
}

/* Two threads that come back at once cannot keep the third, or each other, out. */
static void test_nobody_starves(void)
{
    pthread_t thread;
    int64_t before;

    CHECK_EQ(pthread_create(&thread, NULL, wait_patiently, NULL), 0);
    before = atomic_load(&patient_waits);
    while (atomic_load(&patient_waits) < before + 20) {
        CHECK_EQ(xm_gate_enter(gate, INT64_MAX, NULL), 0);
        spin(2 * XM_GATE_PATIENCE_NS);
        CHECK_EQ(xm_gate_leave(gate), 0);
    }
    atomic_store(&stop, 1);
    pthread_join(thread, NULL);
    atomic_store(&stop, 0);
}

static void *wait_until_stopped(void *argument)
{
    *(int *)argument = xm_gate_enter(gate, INT64_MAX, &stop);
    return NULL;
}

static void test_stop_ends_a_wait(void)
{
    pthread_t thread;
    int rc = 0;

    CHECK_EQ(xm_gate_enter(gate, INT64_MAX, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, wait_until_stopped, &rc), 0);
    atomic_store(&stop, 1);
    pthread_join(thread, NULL);
    atomic_store(&stop, 0);
    CHECK_EQ(rc, -ECANCELED);
    CHECK_EQ(xm_gate_leave(gate), 0);
    /* Who gave up is not in the queue: nobody is let in in its place. */
    CHECK_EQ(xm_gate_try(gate), 0);
    CHECK_EQ(xm_gate_leave(gate), 0);
}

static void test_timeout_in_the_past_still_tries(void)
{
    CHECK_EQ(xm_gate_leave(gate), -EPERM);
    CHECK_EQ(xm_gate_enter(gate, 0, NULL), 0);
    CHECK_EQ(xm_gate_leave(gate), 0);
}

int main(void)
{
    gate = xm_gate_create();
    test_timeout_in_the_past_still_tries();
    test_threads_race_for_the_gate();
    test_nobody_starves();
    test_stop_ends_a_wait();
    xm_gate_hold(gate);
    xm_gate_drop(gate);
    xm_gate_drop(gate);
    return 0;
}
