/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_GATE_H
#define XM_GATE_H

#include <stdatomic.h>
#include <stdint.h>

struct xm_gate;

/* One reference is the caller's. References are counted without atomics: the caller serialises. */
struct xm_gate *xm_gate_create(void);
void xm_gate_hold(struct xm_gate *gate);
void xm_gate_drop(struct xm_gate *gate);

/*
 * Enter if nobody is inside: 0, -EBUSY, or -EDEADLK where this thread is inside already.
 */
int xm_gate_try(struct xm_gate *gate);

/*
 * Wait until nobody else is inside: 0, -ETIMEDOUT at until_ns of CLOCK_MONOTONIC, -EDEADLK, or
 * -ECANCELED within XM_GATE_STOP_NS after *stop was set (NULL: never). Whoever has waited for
 * XM_GATE_PATIENCE_NS is next, in the order of coming, so that nobody starves.
 */
int xm_gate_enter(struct xm_gate *gate, int64_t until_ns, const _Atomic uint32_t *stop);

/* -EPERM where this thread is not inside. */
int xm_gate_leave(struct xm_gate *gate);

#define XM_GATE_STOP_NS     INT64_C(50000000)
#define XM_GATE_PATIENCE_NS INT64_C(1000000)

#endif
