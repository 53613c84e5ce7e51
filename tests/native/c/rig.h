/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_RIG_H
#define XM_RIG_H

#include "check.h"
#include "reader.h"
#include "ring.h"

#include <string.h>

/* A ring whose rows tell their own position: cell c of row p holds p * 1000 + c. */
static inline struct xm_ring *rig_make(uint32_t columns, uint64_t slots, int *fd)
{
    struct xm_ring_spec spec = {XM_RING_COLUMNS, columns, 0, slots, 1000};
    struct xm_ring *ring;

    CHECK_EQ(xm_ring_create(&spec, 1, &ring, fd), 0);
    return ring;
}

static inline uint64_t rig_commit(struct xm_ring_lane *lane)
{
    uint32_t columns = lane->geometry.columns;
    int64_t p = (int64_t)lane->position;
    struct xm_ring_row row = {p * 10, p * 10 + 1, 2, 0, xm_ring_columns_bytes(columns)};

    for (uint32_t c = 0; c < columns; c++) {
        xm_ring_values(lane)[c] = p * 1000 + c;
        xm_ring_reasons(lane)[c] = XM_REASON_VALUE;
    }
    return xm_ring_commit(lane, &row);
}

static inline void rig_verify(const struct xm_ring_slot *row, uint32_t columns, uint64_t position)
{
    CHECK_EQ(row->position, position);
    CHECK_EQ(row->scheduled_ns, position * 10);
    CHECK_EQ(row->begin_ns, position * 10 + 1);
    for (uint32_t c = 0; c < columns; c++) {
        struct xm_reader_cell cell = xm_reader_cell(row, columns, c);

        CHECK_EQ(cell.reason, XM_REASON_VALUE);
        CHECK_EQ(cell.value, position * 1000 + c);
    }
}

static inline struct xm_reader *rig_open(int fd)
{
    struct xm_reader *reader;
    const char *why = "";
    int rc = xm_reader_open(fd, &reader, &why);

    if (rc != 0)
        fprintf(stderr, "%s\n", why);
    CHECK_EQ(rc, 0);
    return reader;
}

/* Read everything from *position on that is there; verifies each row and counts the rest. */
static inline void rig_drain(const struct xm_reader_lane *lane, struct xm_ring_slot *scratch,
                             uint64_t *position, uint64_t *accepted, uint64_t *overrun)
{
    struct xm_reader_span span;

    CHECK_EQ(xm_reader_span(lane, *position, &span), 0);
    *overrun += span.first - *position;
    *position = span.first;
    while (*position < span.committed) {
        uint64_t next = *position + 1;

        if (xm_reader_row(lane, *position, scratch) == 0) {
            rig_verify(scratch, lane->geometry.columns, *position);
            ++*accepted;
        } else {
            next = xm_reader_resume(lane, *position, span.committed);
            *overrun += next - *position;
        }
        *position = next;
    }
}

#endif
