/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_CALL_POOL_H
#define XM_CALL_POOL_H

#include <stddef.h>
#include <stdint.h>

/* Memory that grows and moves: what is in it is named by its offset, which is a multiple of 8. */
struct xm_call_pool {
    uint8_t *data;
    size_t bytes;
    size_t room;
};

/* Zeroed bytes at the end; *at is where. NULL when out of memory, or beyond what 32 bits name. */
void *xm_call_pool_add(struct xm_call_pool *pool, size_t bytes, uint32_t *at);

/*
 * Where the same bytes stand already, or at the end. A pool is filled by this alone or never, and
 * what is found has up to 7 zeroed bytes behind it. 0 or -ENOMEM.
 */
int xm_call_pool_share(struct xm_call_pool *pool, const void *data, size_t bytes, uint32_t *at);

void xm_call_pool_free(struct xm_call_pool *pool);

static inline const void *xm_call_pool_at(const struct xm_call_pool *pool, uint32_t at)
{
    return pool->data + at;
}

#endif
