/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_COLUMN_PLAN_H
#define XM_COLUMN_PLAN_H

#include "column_dense.h"

/* How a piece will be written. */
struct xm_plan {
    unsigned order;
    int zigzag;
    unsigned shape;
    uint64_t head[2];
    uint64_t centre; /* of the differences */
    int peaked;      /* many are the centre itself */
    unsigned spread; /* bits between it and most of them, about */
    uint64_t base;
    uint64_t scale;
    unsigned levels; /* 0: none, numbers are differences */
    uint64_t level[XM_DENSE_MOST_LEVELS];
    size_t n;      /* values behind the heads */
    uint64_t cost; /* in 1/256 bits */
    struct xm_bins bins;
};

/*
 * Choose, by samples and then by counting, how n values are written, and give their numbers. The
 * choice is the writer's alone; integers only, so that it is the same on every machine.
 */
void xm_plan_make(const uint8_t *values, size_t n, struct xm_plan *plan, uint64_t *mapped);

#endif
