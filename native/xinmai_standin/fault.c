/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How often a call that hangs looks whether its file is still there. */
#define FLAG_NS 5000000

static int is_here(const struct xs_fault *fault, unsigned device, enum xs_quantity place,
                   unsigned index)
{
    return fault->places[place] && xs_set_has(&fault->devices, device) &&
           xs_set_has(&fault->indices, index);
}

/* Whether the file that it waits for is there, if it waits for one. */
static int is_flagged(const struct xs_fault *fault)
{
    return fault->flag == NULL || access(fault->flag, F_OK) == 0;
}

const struct xs_fault *xs_fault_find(const struct xs_scenario *scenario, enum xs_verb verb,
                                     unsigned device, enum xs_quantity place, unsigned index,
                                     int64_t t_ns)
{
    for (size_t i = scenario->n_faults; i-- > 0;) {
        const struct xs_fault *fault = &scenario->faults[i];

        if (fault->verb == verb && t_ns >= fault->from_ns && t_ns < fault->until_ns &&
            is_here(fault, device, place, index) && is_flagged(fault))
            return fault;
    }
    return NULL;
}

int64_t xs_fault_reset_ns(const struct xs_scenario *scenario, unsigned device,
                          enum xs_quantity quantity, unsigned index, int64_t t_ns)
{
    int64_t latest_ns = -1;

    for (size_t i = 0; i < scenario->n_faults; i++) {
        const struct xs_fault *fault = &scenario->faults[i];
        int64_t at_ns = XS_ALWAYS;

        if (!is_here(fault, device, quantity, index))
            continue;
        if (fault->verb == XS_RESET)
            at_ns = fault->from_ns;
        else if (fault->verb == XS_LOSE || fault->verb == XS_ABSENT)
            at_ns = fault->until_ns;
        if (at_ns <= t_ns && at_ns > latest_ns)
            latest_ns = at_ns;
    }
    return latest_ns;
}

static void sleep_ns(int64_t ns)
{
    struct timespec left = {ns / XS_SECOND_NS, ns % XS_SECOND_NS};

    while (nanosleep(&left, &left) != 0)
        ;
}

/* Until the fault's end, which for most never comes; no signal ends it early. */
static void hang(const struct xs_fault *fault)
{
    while (fault->flag != NULL && is_flagged(fault))
        sleep_ns(FLAG_NS);
    while (fault->flag == NULL && fault->until_ns == XS_ALWAYS)
        sleep_ns(3600 * XS_SECOND_NS);
    if (fault->flag != NULL)
        return;
    for (int64_t left_ns = fault->until_ns - xs_now_ns(); left_ns > 0;
         left_ns = fault->until_ns - xs_now_ns())
        sleep_ns(left_ns);
}

/* A thread that blocks the signal dies of it all the same, as of a fault of the processor. */
static void crash(const struct xs_fault *fault)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, (int)fault->number);
    signal((int)fault->number, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    raise((int)fault->number);
}

/* Nobody frees what was here before. */
static volatile char *volatile last_leak;

static void leak(const struct xs_fault *fault)
{
    /* volatile: the compiler must not see that nobody reads it. */
    volatile char *lost = malloc((size_t)fault->number);

    last_leak = lost;
    for (int64_t i = 0; lost != NULL && i < fault->number; i += 1024)
        lost[i] = 1;
}

/* As a vendor's library does: to the descriptor, whoever owns it. */
static void print(const struct xs_fault *fault)
{
    ssize_t written = write(STDOUT_FILENO, fault->text, strlen(fault->text));

    written += write(STDOUT_FILENO, "\n", 1);
    (void)written;
}

enum xs_status xs_fault_act(const struct xs_scenario *scenario, unsigned device,
                            enum xs_quantity place, unsigned index, int64_t t_ns,
                            struct xs_reading *reading)
{
    const struct xs_fault *fault;
    int64_t extra_ns = 0;

    fault = xs_fault_find(scenario, XS_SLOW, device, place, index, t_ns);
    if (fault != NULL) {
        if (fault->jitter_ns > 0)
            extra_ns = (int64_t)(xs_hash(scenario->seed, device, place, index, (uint64_t)t_ns) %
                                 (uint64_t)fault->jitter_ns);
        sleep_ns(fault->number + extra_ns);
    }
    fault = xs_fault_find(scenario, XS_PRINT, device, place, index, t_ns);
    if (fault != NULL)
        print(fault);
    fault = xs_fault_find(scenario, XS_LEAK, device, place, index, t_ns);
    if (fault != NULL)
        leak(fault);
    fault = xs_fault_find(scenario, XS_CRASH, device, place, index, t_ns);
    if (fault != NULL)
        crash(fault);
    fault = xs_fault_find(scenario, XS_HANG, device, place, index, t_ns);
    if (fault != NULL)
        hang(fault);
    fault = xs_fault_find(scenario, XS_FAIL, device, place, index, t_ns);
    if (fault != NULL) {
        reading->code = fault->number;
        return XS_ERROR;
    }
    fault = xs_fault_find(scenario, XS_NO_VALUE, device, place, index, t_ns);
    return fault != NULL ? XS_SENTINEL : XS_OK;
}
