/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XS_CALLS_H
#define XS_CALLS_H

#include "standin.h"

#include <stdatomic.h>

/*
 * The file XINMAI_STANDIN_CALLS: 1024 slots of 64 bytes, shared by every process that maps it. A
 * name, NUL-padded, and how often it was called, in the machine's byte order. "(open)" and
 * "(close)" count the first xs_init and the last xs_shutdown of a process.
 */
#define XS_CALL_SLOTS 1024

struct xs_call_slot {
    char function[56];
    _Atomic uint64_t calls;
};

/* Maps the file where the environment names one; without it nothing is counted. */
void xs_calls_open(void);

#endif
