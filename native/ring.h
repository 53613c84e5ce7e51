/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_RING_H
#define XM_RING_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Layout and statements: docs/specs/001-ring.md. */

#define XM_RING_MAGIC       "XMRING1"
#define XM_RING_VERSION     1u
#define XM_RING_PAGE        4096u
#define XM_RING_ID_BYTES    8u
#define XM_RING_MAX_LANES   4096u
#define XM_RING_MAX_COLUMNS 65535u
#define XM_RING_MAX_PAYLOAD (1u << 24)
/* A ring is memory that somebody pays for: a layout beyond this is a mistake or an attack. */
#define XM_RING_MAX_BYTES (UINT64_C(1) << 30)

enum xm_ring_kind { XM_RING_COLUMNS = 1, XM_RING_RECORDS = 2 };

enum xm_ring_reason {
    XM_REASON_VALUE = 0,
    XM_REASON_UNSUPPORTED = 1,
    XM_REASON_NO_PERMISSION = 2,
    XM_REASON_NOT_YET = 3,
    XM_REASON_TIMEOUT = 4,
    XM_REASON_DEVICE_LOST = 5,
    XM_REASON_DRIVER_LOST = 6,
    XM_REASON_VENDOR_ERROR = 7,
    XM_REASON_IMPLAUSIBLE = 8,
    XM_REASON_ASLEEP = 9,
    XM_REASON_RELEASED = 10,
    XM_REASON_STALE = 11,
    XM_REASONS = 12
};

/* Reason byte of a value that is the reading counted before, not a new one. */
#define XM_RING_REPEATED 0x80

struct xm_ring_header {
    char magic[8];
    uint32_t version;
    uint32_t lanes;
    uint64_t total_bytes;
    uint8_t id[XM_RING_ID_BYTES];
    uint32_t pid;
    uint32_t reserved;
    int64_t created_ns;
};

struct xm_ring_geometry {
    uint32_t kind;
    uint32_t columns;
    uint32_t payload_bytes;
    uint32_t slot_bytes;
    uint64_t slots;
    uint64_t offset;
};

struct xm_ring_lane_header {
    struct xm_ring_geometry geometry;
    uint8_t reserved0[32];
    /* Written by the producer for each row; a line of its own. */
    _Atomic uint64_t committed;
    _Atomic uint64_t writing;
    _Atomic int64_t scheduled_ns;
    _Atomic int64_t begin_ns;
    _Atomic uint64_t missed;
    _Atomic int64_t period_ns;
    uint8_t reserved1[16];
    /* Written by the producer for each probe. */
    _Atomic uint64_t call;
    _Atomic int64_t since_ns;
    _Atomic uint64_t busy_ns;
    _Atomic uint64_t late_ns;
    _Atomic uint64_t late_max_ns;
    uint8_t reserved2[88];
};

struct xm_ring_slot {
    uint64_t position;
    int64_t scheduled_ns;
    int64_t begin_ns;
    uint32_t duration_ns;
    uint32_t missed;
    uint32_t length;
    uint32_t crc;
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the layout is little endian");
_Static_assert(sizeof(void *) == 8, "rings are mapped whole: 64-bit only");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a lock in shared memory would be a stranger's lock");
_Static_assert(sizeof(_Atomic uint64_t) == 8, "atomics have the layout of their type");

#define XM_RING_AT(type, field, at) \
    _Static_assert(offsetof(struct type, field) == (at), #type "." #field " at " #at)
XM_RING_AT(xm_ring_header, magic, 0);
XM_RING_AT(xm_ring_header, version, 8);
XM_RING_AT(xm_ring_header, lanes, 12);
XM_RING_AT(xm_ring_header, total_bytes, 16);
XM_RING_AT(xm_ring_header, id, 24);
XM_RING_AT(xm_ring_header, pid, 32);
XM_RING_AT(xm_ring_header, reserved, 36);
XM_RING_AT(xm_ring_header, created_ns, 40);
XM_RING_AT(xm_ring_lane_header, geometry.kind, 0);
XM_RING_AT(xm_ring_lane_header, geometry.columns, 4);
XM_RING_AT(xm_ring_lane_header, geometry.payload_bytes, 8);
XM_RING_AT(xm_ring_lane_header, geometry.slot_bytes, 12);
XM_RING_AT(xm_ring_lane_header, geometry.slots, 16);
XM_RING_AT(xm_ring_lane_header, geometry.offset, 24);
XM_RING_AT(xm_ring_lane_header, committed, 64);
XM_RING_AT(xm_ring_lane_header, writing, 72);
XM_RING_AT(xm_ring_lane_header, scheduled_ns, 80);
XM_RING_AT(xm_ring_lane_header, begin_ns, 88);
XM_RING_AT(xm_ring_lane_header, missed, 96);
XM_RING_AT(xm_ring_lane_header, period_ns, 104);
XM_RING_AT(xm_ring_lane_header, call, 128);
XM_RING_AT(xm_ring_lane_header, since_ns, 136);
XM_RING_AT(xm_ring_lane_header, busy_ns, 144);
XM_RING_AT(xm_ring_lane_header, late_ns, 152);
XM_RING_AT(xm_ring_lane_header, late_max_ns, 160);
XM_RING_AT(xm_ring_slot, position, 0);
XM_RING_AT(xm_ring_slot, scheduled_ns, 8);
XM_RING_AT(xm_ring_slot, begin_ns, 16);
XM_RING_AT(xm_ring_slot, duration_ns, 24);
XM_RING_AT(xm_ring_slot, missed, 28);
XM_RING_AT(xm_ring_slot, length, 32);
XM_RING_AT(xm_ring_slot, crc, 36);
_Static_assert(sizeof(struct xm_ring_lane_header) == 256, "lane header size");
_Static_assert(sizeof(struct xm_ring_slot) == 40, "slot header size");

struct xm_sensor;

struct xm_ring_lane {
    struct xm_ring_geometry geometry;
    struct xm_ring_lane_header *header;
    uint8_t *slots;
    /* The next row is put together here, so that a slot is invalid for a copy's time only. */
    struct xm_ring_slot *stage;
    uint64_t position;
    uint64_t missed;
    uint64_t busy_ns;
    uint64_t late_ns;
    uint64_t late_max_ns;
    struct xm_sensor *sensor; /* NULL where columns are not tracked */
    int claimed;              /* a C lane is its producer */
};

struct xm_ring {
    void *map;
    size_t bytes;
    unsigned refs;
    uint32_t lanes;
    uint8_t id[XM_RING_ID_BYTES];
    struct xm_ring_lane lane[];
};

struct xm_ring_spec {
    uint32_t kind;
    uint32_t columns;
    uint32_t payload_bytes;
    uint64_t slots;
    int64_t period_ns;
};

struct xm_ring_row {
    int64_t scheduled_ns;
    int64_t begin_ns;
    /* These two saturate in the row, not in the lane's totals. */
    uint64_t duration_ns;
    uint64_t missed;
    uint32_t length;
};

static inline uint32_t xm_ring_columns_bytes(uint32_t columns)
{
    return columns * 9;
}

/* 0 or -EINVAL; fills payload_bytes of a column lane and slot_bytes. */
int xm_ring_measure(struct xm_ring_geometry *geometry);

/* Make and seal a ring; *fd is the caller's. One reference is held by the caller. */
int xm_ring_create(const struct xm_ring_spec *specs, uint32_t lanes, struct xm_ring **out, int *fd);

/* References are counted without atomics: the caller serialises both calls. */
void xm_ring_hold(struct xm_ring *ring);
void xm_ring_drop(struct xm_ring *ring);

/* Take the lane's memory now, so that no commit has to wait for a page. */
void xm_ring_touch(struct xm_ring_lane *lane);

/*
 * Look at each row of a column lane before it is committed. -EBUSY: it has rows, a producer or a
 * sensor already. The lane owns the sensor then.
 */
int xm_ring_track(struct xm_ring_lane *lane, struct xm_sensor *sensor);

static inline void *xm_ring_payload(const struct xm_ring_lane *lane)
{
    return lane->stage + 1;
}

static inline int64_t *xm_ring_values(const struct xm_ring_lane *lane)
{
    return xm_ring_payload(lane);
}

static inline uint8_t *xm_ring_reasons(const struct xm_ring_lane *lane)
{
    return (uint8_t *)(xm_ring_values(lane) + lane->geometry.columns);
}

/* Fetch the memory that the next commit writes: slots are written once in a ring's length. */
static inline void xm_ring_prefetch(const struct xm_ring_lane *lane)
{
    const uint8_t *slot =
        lane->slots + lane->position % lane->geometry.slots * lane->geometry.slot_bytes;
    uint32_t bytes = lane->geometry.slot_bytes;

    for (uint32_t at = 0; at < bytes && at < XM_RING_PAGE; at += 64)
        __builtin_prefetch(slot + at, 1);
}

/* Commit what stands in the stage; returns the row's position. Only the lane's producer may. */
uint64_t xm_ring_commit(struct xm_ring_lane *lane, const struct xm_ring_row *row);

/* Say which call runs since when; call is the index + 1, 0 for none. */
static inline void xm_ring_enter(struct xm_ring_lane *lane, uint64_t call)
{
    /* Pairs with the relaxed load in xm_reader_state: a hint for a watcher, it orders nothing. */
    atomic_store_explicit(&lane->header->call, call, memory_order_relaxed);
}

void xm_ring_enter_since(struct xm_ring_lane *lane, uint64_t call, int64_t since_ns);
void xm_ring_set_period(struct xm_ring_lane *lane, int64_t period_ns);

#endif
