/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_CALL_CELL_H
#define XM_CALL_CELL_H

/* What both kinds of results share: plain ones, in line, and those that are put together. */

#include "call.h"
#include "ring.h"

static inline const uint8_t *xm_call_base(const struct xm_call *call)
{
    return (const uint8_t *)call;
}

static inline void xm_call_put(const struct xm_call_result *result, uint8_t reason, int64_t cell,
                               int64_t *values, uint8_t *reasons)
{
    values[result->column] = cell;
    reasons[result->column] = reason;
}

static inline int xm_call_is_sentinel(const struct xm_call_result *result, int64_t cell)
{
    for (uint32_t i = 0; i < result->n_sentinels; i++) {
        if (result->sentinels[i].cell == cell)
            return 1;
    }
    return 0;
}

static inline void xm_call_put_whole(const struct xm_call_result *result, int64_t cell,
                                     int64_t *values, uint8_t *reasons)
{
    int fits = cell >= result->low && cell <= result->high;

    xm_call_put(result, fits ? XM_REASON_VALUE : XM_REASON_IMPLAUSIBLE, fits ? cell : 0, values,
                reasons);
}

/* Sum, product, decimals, and all that a float needs. */
void xm_call_combine(const struct xm_call *call, const struct xm_call_result *result,
                     const struct xm_load *load, int64_t *values, uint8_t *reasons);

#endif
