/* SPDX-License-Identifier: Apache-2.0 */
#include "lane_reference.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)

struct loop {
    size_t n;
    int64_t period_ns;
    int64_t ticks;
    int *fds;
    int64_t *values;
    int64_t *late_ns;
    struct xm_reference_result *out;
};

static int64_t now_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * SECOND_NS + t.tv_nsec;
}

static void sleep_until(int64_t due_ns)
{
    struct timespec t = {.tv_sec = due_ns / SECOND_NS, .tv_nsec = due_ns % SECOND_NS};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

static int64_t parse(const char *p, const char *end)
{
    int64_t value = 0;
    int negative = p < end && *p == '-';

    for (p += negative; p < end && *p >= '0' && *p <= '9'; p++)
        value = 10 * value + (*p - '0');
    return negative ? -value : value;
}

static void read_all(struct loop *loop)
{
    char text[4096];

    for (size_t i = 0; i < loop->n; i++) {
        ssize_t got = pread(loop->fds[i], text, sizeof(text), 0);

        loop->values[i] = got > 0 ? parse(text, text + got) : INT64_MIN;
    }
}

static void *run(void *argument)
{
    struct loop *loop = argument;
    int64_t cpu_ns;
    int64_t due;

    prctl(PR_SET_TIMERSLACK, 1UL);
    cpu_ns = now_ns(CLOCK_THREAD_CPUTIME_ID);
    due = (now_ns(CLOCK_MONOTONIC) / loop->period_ns + 1) * loop->period_ns;
    for (int64_t tick = 0; tick < loop->ticks; tick++) {
        int64_t begin;
        int64_t missed;

        sleep_until(due);
        begin = now_ns(CLOCK_MONOTONIC);
        missed = (begin - due) / loop->period_ns;
        loop->out->missed += missed;
        due += missed * loop->period_ns;
        loop->late_ns[tick] = begin - due;
        read_all(loop);
        due += loop->period_ns;
    }
    loop->out->cpu_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
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

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

int xm_reference_loop(const char *const *paths, size_t n, int64_t period_ns, int64_t ticks,
                      struct xm_reference_result *out)
{
    struct loop loop = {.n = n, .period_ns = period_ns, .ticks = ticks, .out = out};
    size_t opened = 0;
    int rc = -ENOMEM;

    *out = (struct xm_reference_result){0};
    loop.fds = calloc(n + 1, sizeof(*loop.fds));
    loop.values = calloc(n + 1, sizeof(*loop.values));
    loop.late_ns = calloc((size_t)ticks + 1, sizeof(*loop.late_ns));
    if (loop.fds == NULL || loop.values == NULL || loop.late_ns == NULL)
        goto out;
    for (; opened < n; opened++) {
        loop.fds[opened] = open(paths[opened], O_RDONLY | O_CLOEXEC);
        if (loop.fds[opened] < 0) {
            rc = -errno;
            goto out;
        }
    }
    rc = run_thread(&loop);
    if (rc == 0 && ticks > 0) {
        qsort(loop.late_ns, (size_t)ticks, sizeof(*loop.late_ns), compare);
        out->late_p50_ns = loop.late_ns[ticks / 2];
        out->late_p99_ns = loop.late_ns[ticks * 99 / 100];
    }
out:
    while (opened > 0)
        close(loop.fds[--opened]);
    free(loop.fds);
    free(loop.values);
    free(loop.late_ns);
    return rc;
}
