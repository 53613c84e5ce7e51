/* SPDX-License-Identifier: Apache-2.0 */
#include "call_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES  64u
#define FIRST_BYTES 1024u

/* Before each piece that may be shared. */
struct head {
    uint64_t bytes;
};

static size_t padded(size_t bytes)
{
    return (bytes + 7) & ~(size_t)7;
}

void *xm_call_pool_add(struct xm_call_pool *pool, size_t bytes, uint32_t *at)
{
    size_t end = pool->bytes + padded(bytes);
    size_t room = pool->room != 0 ? pool->room : FIRST_BYTES;
    uint8_t *data;

    if (end < bytes || end > UINT32_MAX)
        return NULL;
    while (room < end)
        room *= 2;
    if (room != pool->room) {
        data = aligned_alloc(LINE_BYTES, room);
        if (data == NULL)
            return NULL;
        if (pool->bytes != 0)
            memcpy(data, pool->data, pool->bytes);
        free(pool->data);
        pool->data = data;
        pool->room = room;
    }
    *at = (uint32_t)pool->bytes;
    pool->bytes = end;
    return memset(pool->data + *at, 0, padded(bytes));
}

int xm_call_pool_share(struct xm_call_pool *pool, const void *data, size_t bytes, uint32_t *at)
{
    struct head head = {bytes};
    size_t next = 0;
    uint8_t *piece;

    while (next < pool->bytes) {
        struct head found;

        memcpy(&found, pool->data + next, sizeof(found));
        next += sizeof(found);
        if (found.bytes == bytes && memcmp(pool->data + next, data, bytes) == 0) {
            *at = (uint32_t)next;
            return 0;
        }
        next += padded(found.bytes);
    }
    piece = xm_call_pool_add(pool, sizeof(head) + bytes, at);
    if (piece == NULL)
        return -ENOMEM;
    memcpy(piece, &head, sizeof(head));
    memcpy(piece + sizeof(head), data, bytes);
    *at += (uint32_t)sizeof(head);
    return 0;
}

void xm_call_pool_free(struct xm_call_pool *pool)
{
    free(pool->data);
}
