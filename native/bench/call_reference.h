/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_CALL_REFERENCE_H
#define XM_CALL_REFERENCE_H

#include <stddef.h>
#include <stdint.h>

#define XM_CALL_REFERENCE_FIELDS 12

/*
 * The yardstick of a call probe: n raw calls of the bench's own target at each of `ticks` absolute
 * deadlines, in a thread of its own, with the timer and slack of xm_reference_loop. With `fields`
 * each call fills XM_CALL_REFERENCE_FIELDS of them, and nothing looks at what it filled.
 * 0 or -errno. Frozen as xm_reference_loop is.
 */
int xm_call_reference_loop(int fields, uint32_t n, int64_t period_ns, int64_t ticks,
                           int64_t *cpu_ns, int64_t *missed);

#endif
