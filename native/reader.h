/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_READER_H
#define XM_READER_H

#include "ring.h"

/* Most bytes that one call hands out, however much is asked for. */
#define XM_READER_BATCH_BYTES (UINT64_C(4) << 20)

/* No further row or window is begun once this many cells without a value are listed. */
#define XM_READER_BATCH_REASONS 65536

/* A producer that claims this many rows in one go is broken or hostile. */
#define XM_READER_MAX_JUMP (UINT64_C(1) << 40)

struct xm_reader_lane {
    struct xm_ring_geometry geometry;
    const struct xm_ring_lane_header *header;
    const uint8_t *slots;
};

struct xm_reader {
    const void *map;
    size_t bytes;
    uint32_t lanes;
    uint32_t pid;
    uint8_t id[XM_RING_ID_BYTES];
    struct xm_reader_lane lane[];
};

struct xm_reader_state {
    uint64_t committed;
    uint64_t missed;
    uint64_t call; /* index + 1, 0 for none */
    int64_t since_ns;
    int64_t scheduled_ns;
    int64_t begin_ns;
    int64_t period_ns;
    uint64_t busy_ns;
    uint64_t late_ns;
    uint64_t late_max_ns;
};

struct xm_reader_span {
    uint64_t first; /* oldest row from the asked position on that may still be there */
    uint64_t committed;
};

/*
 * Check everything in the header against the descriptor's real size and seals, copy it, map the
 * rest read-only. -EPROTO: no ring, *why says what is wrong; another -errno: the call failed.
 * The descriptor is not kept.
 */
int xm_reader_open(int fd, struct xm_reader **out, const char **why);
void xm_reader_close(struct xm_reader *reader);

void xm_reader_state(const struct xm_reader_lane *lane, struct xm_reader_state *out);

/* 0, or -EPROTO when the producer's position went backwards or made an absurd jump. */
int xm_reader_span(const struct xm_reader_lane *lane, uint64_t position,
                   struct xm_reader_span *out);

/* Copy row `position` into copy (slot_bytes, 8-aligned); 0, or -ESTALE for an overrun row. */
int xm_reader_row(const struct xm_reader_lane *lane, uint64_t position, struct xm_ring_slot *copy);

/* First position behind an overrun row at which it makes sense to go on, at most `end`. */
uint64_t xm_reader_resume(const struct xm_reader_lane *lane, uint64_t position, uint64_t end);

/* Room for one row. */
struct xm_ring_slot *xm_reader_scratch(const struct xm_reader_lane *lane);

struct xm_reader_cell {
    int64_t value; /* vendor code for vendor_error, else 0 where a reason stands */
    uint8_t reason;
    uint8_t is_repeat; /* of a value */
};

struct xm_reader_cell xm_reader_cell(const struct xm_ring_slot *row, uint32_t columns,
                                     uint32_t column);

#endif
