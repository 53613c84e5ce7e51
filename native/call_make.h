/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_CALL_MAKE_H
#define XM_CALL_MAKE_H

/* What making a probe and making its results share. */

#include "call.h"

/* Where a buffer is in the scratch memory; of the one behind the last: where it ends. */
static inline uint32_t xm_call_buffer_at(const struct xm_call_spec *spec, size_t buffer)
{
    size_t at = XM_CALL_BUFFERS_AT;

    for (size_t i = 0; i < buffer; i++)
        at += xm_call_scratch_bytes(spec->buffers[i].bytes);
    return (uint32_t)at;
}

/* In the shared pool; nothing is at 0. 0 or -ENOMEM. */
static inline int xm_call_share(struct xm_call_set *set, const void *data, size_t bytes,
                                uint32_t *at)
{
    *at = 0;
    return bytes == 0 ? 0 : xm_call_pool_share(&set->shared, data, bytes, at);
}

/* Fill the results of a probe whose counts are set. 0 or -ENOMEM. */
int xm_call_make_results(struct xm_call_set *set, struct xm_call *call,
                         const struct xm_call_spec *spec);

#endif
