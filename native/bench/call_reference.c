/* SPDX-License-Identifier: Apache-2.0 */
#include "call_reference.h"

#include "call_target.h"
#include "clock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

typedef int32_t (*read_function)(uint64_t, uint32_t, uint32_t *);
typedef int32_t (*fields_function)(uint64_t, int32_t, struct xm_target_field *);

struct loop {
    int fields;
    uint32_t n;
    int64_t period_ns;
    int64_t ticks;
    int64_t cpu_ns;
    int64_t missed;
    uint64_t handles[XM_TARGET_DEVICES];
    int64_t values[XM_TARGET_DEVICES];
    struct xm_target_field filled[XM_TARGET_DEVICES][XM_CALL_REFERENCE_FIELDS];
};

/* Volatile: called through their pointers, as those of a loaded library are. */
static volatile read_function call_read = xm_target_read;
static volatile fields_function call_fields = xm_target_fields;

static void sleep_until(int64_t due_ns)
{
    struct timespec t = {.tv_sec = due_ns / XM_SECOND_NS, .tv_nsec = due_ns % XM_SECOND_NS};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

static void call_all(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->n; i++) {
        uint32_t value = 0;

        if (loop->fields)
            loop->values[i] =
                call_fields(loop->handles[i], XM_CALL_REFERENCE_FIELDS, loop->filled[i]);
        else if (call_read(loop->handles[i], i, &value) == 0)
            loop->values[i] = value;
    }
}

static void *run(void *argument)
{
    struct loop *loop = argument;
    int64_t cpu_ns;
    int64_t due;

    prctl(PR_SET_TIMERSLACK, 1UL);
    cpu_ns = xm_clock_now(CLOCK_THREAD_CPUTIME_ID);
    due = (xm_clock_mono() / loop->period_ns + 1) * loop->period_ns;
    for (int64_t tick = 0; tick < loop->ticks; tick++) {
        int64_t missed;

        sleep_until(due);
        missed = (xm_clock_mono() - due) / loop->period_ns;
        loop->missed += missed;
        due += missed * loop->period_ns;
        call_all(loop);
        due += loop->period_ns;
    }
    loop->cpu_ns = xm_clock_now(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
    return NULL;
}

static int run_thread(struct loop *loop)
{
    sigset_t all;
    sigset_t before;
    pthread_t thread;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&thread, NULL, run, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        pthread_join(thread, NULL);
    return -rc;
}

int xm_call_reference_loop(int fields, uint32_t n, int64_t period_ns, int64_t ticks,
                           int64_t *cpu_ns, int64_t *missed)
{
    struct loop loop = {.fields = fields, .n = n, .period_ns = period_ns, .ticks = ticks};
    int rc;

    if (n > XM_TARGET_DEVICES)
        return -EINVAL;
    for (uint32_t i = 0; i < n; i++) {
        loop.handles[i] = xm_target_handle(i);
        for (uint32_t k = 0; k < XM_CALL_REFERENCE_FIELDS; k++)
            loop.filled[i][k].id = k;
    }
    rc = run_thread(&loop);
    *cpu_ns = loop.cpu_ns;
    *missed = loop.missed;
    return rc;
}
