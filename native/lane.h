/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_LANE_H
#define XM_LANE_H

#include "ring.h"
#include "work.h"

#define XM_LANE_MIN_PERIOD_NS INT64_C(10000)
#define XM_LANE_MAX_PERIOD_NS (INT64_C(86400) * 1000000000)
#define XM_LANE_MAX_ORIGIN_NS (INT64_C(1) << 62)

struct xm_lane;

/*
 * A lane over ring->lane[index] with a reference to the ring. On success the work belongs to the
 * lane, on failure it stays the caller's. -EBUSY: the ring lane has a producer already.
 */
int xm_lane_create(struct xm_ring *ring, uint32_t index, int64_t period_ns, struct xm_work *work,
                   int fifo_priority, struct xm_lane **out);

/* The calls below are serialised by the caller, but for xm_lane_wait. */

/*
 * Rows are due at origin_ns + k * period; the first is the first such time from now on, or
 * origin_ns itself where it is not 0. -EALREADY while the thread runs.
 */
int xm_lane_start(struct xm_lane *lane, int64_t origin_ns);

/* Whether a thread was started and not joined. */
int xm_lane_is_running(const struct xm_lane *lane);

/* Ask the thread to end after the row it is in. */
void xm_lane_request_stop(struct xm_lane *lane);

/* Wait for the end of a running thread: 0 or -ETIMEDOUT. Any number of threads may wait. */
int xm_lane_wait(struct xm_lane *lane, int64_t timeout_ns);

/* Join a thread whose end xm_lane_wait has seen, or that never ran. */
void xm_lane_join(struct xm_lane *lane);

void xm_lane_set_period(struct xm_lane *lane, int64_t period_ns);

/* What it does in each row; belongs to the lane. */
const struct xm_work *xm_lane_work(const struct xm_lane *lane);

/* CPU time of the lane's threads so far. */
int64_t xm_lane_cpu_ns(const struct xm_lane *lane);

/* Only after xm_lane_join: a thread stuck in a read keeps its memory for ever. */
void xm_lane_destroy(struct xm_lane *lane);

#endif
