/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_FUTEX_H
#define XM_FUTEX_H

#include "clock.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Sleep while *word is `seen`, until a time of CLOCK_MONOTONIC. Absolute, and the timer slack of
 * the thread applies: as exact as clock_nanosleep. May return early.
 */
static inline void xm_futex_wait(_Atomic uint32_t *word, uint32_t seen, int64_t until_ns)
{
    struct timespec until = {.tv_sec = until_ns / XM_SECOND_NS, .tv_nsec = until_ns % XM_SECOND_NS};

    syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, seen, &until, NULL,
            FUTEX_BITSET_MATCH_ANY);
}

static inline void xm_futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT32_MAX, NULL, NULL, 0);
}

#endif
