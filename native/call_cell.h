/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_CALL_CELL_H
#define XM_CALL_CELL_H

/* What both kinds of results share: plain ones, in line, and those that are put together. */

#include "call.h"
#include "ring.h"

/* Where a call's results come from and go to. */
struct xm_call_view {
    const uint8_t *scratch;
    const struct xm_call_pool *shared;
    int64_t *values;
    uint8_t *reasons;
};

static inline void xm_call_put(const struct xm_call_view *view, const struct xm_call_result *result,
                               uint8_t reason, int64_t cell)
{
    view->values[result->column] = cell;
    view->reasons[result->column] = reason;
}

static inline int xm_call_is_sentinel(const struct xm_call_view *view,
                                      const struct xm_call_pattern *pattern, int64_t cell)
{
    const struct xm_call_sentinel *sentinels = xm_call_pool_at(view->shared, pattern->sentinels);

    for (uint32_t i = 0; i < pattern->n_sentinels; i++) {
        if (sentinels[i].cell == cell)
            return 1;
    }
    return 0;
}

static inline void xm_call_put_whole(const struct xm_call_view *view,
                                     const struct xm_call_result *result,
                                     const struct xm_call_pattern *pattern, int64_t cell)
{
    int fits = cell >= pattern->low && cell <= pattern->high;

    xm_call_put(view, result, fits ? XM_REASON_VALUE : XM_REASON_IMPLAUSIBLE, fits ? cell : 0);
}

/* Sum, product, decimals, and all that a float needs. */
void xm_call_combine(const struct xm_call_view *view, const struct xm_call_result *result,
                     const struct xm_call_pattern *pattern, const struct xm_load *load);

#endif
