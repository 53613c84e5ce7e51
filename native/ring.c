/* SPDX-License-Identifier: Apache-2.0 */
#include "ring.h"

#include "clock.h"
#include "crash.h"
#include "crc32c.h"
#include "sensor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

#ifdef CRASHLAB
int xm_crash_at;

void xm_crash_point(int n)
{
    if (n == xm_crash_at)
        _exit(n);
}
#endif

int xm_ring_measure(struct xm_ring_geometry *geometry)
{
    uint32_t length;

    if (geometry->kind == XM_RING_COLUMNS) {
        if (geometry->columns < 1 || geometry->columns > XM_RING_MAX_COLUMNS ||
            geometry->payload_bytes != 0)
            return -EINVAL;
        length = xm_ring_columns_bytes(geometry->columns);
    } else if (geometry->kind == XM_RING_RECORDS) {
        if (geometry->payload_bytes < 1 || geometry->payload_bytes > XM_RING_MAX_PAYLOAD ||
            geometry->columns != 0)
            return -EINVAL;
        length = geometry->payload_bytes;
    } else {
        return -EINVAL;
    }
    geometry->slot_bytes = ((uint32_t)sizeof(struct xm_ring_slot) + length + 7) & ~7u;
    return 0;
}

static uint64_t round_page(uint64_t bytes)
{
    return (bytes + XM_RING_PAGE - 1) & ~(uint64_t)(XM_RING_PAGE - 1);
}

/* Total bytes of the layout, 0 when it is refused. */
static uint64_t lay_out(const struct xm_ring_spec *specs, struct xm_ring *ring)
{
    uint64_t at = XM_RING_PAGE + ring->lanes * sizeof(struct xm_ring_lane_header);

    for (uint32_t i = 0; i < ring->lanes; i++) {
        struct xm_ring_geometry *geometry = &ring->lane[i].geometry;

        geometry->kind = specs[i].kind;
        geometry->columns = specs[i].columns;
        geometry->payload_bytes = specs[i].payload_bytes;
        geometry->slots = specs[i].slots;
        if (xm_ring_measure(geometry) != 0)
            return 0;
        geometry->offset = round_page(at);
        if (geometry->slots < 1 || geometry->slots > XM_RING_MAX_BYTES / geometry->slot_bytes)
            return 0;
        at = geometry->offset + geometry->slots * geometry->slot_bytes;
        if (at > XM_RING_MAX_BYTES)
            return 0;
    }
    return round_page(at);
}

static int open_memfd(void)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int fd = memfd_create("xinmai-ring", flags | MFD_NOEXEC_SEAL);

    /* Before Linux 6.3 the flag is unknown; from then on its absence is logged. */
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("xinmai-ring", flags);
    return fd < 0 ? -errno : fd;
}

static int bind_lanes(const struct xm_ring_spec *specs, struct xm_ring *ring)
{
    struct xm_ring_lane_header *headers = (void *)((uint8_t *)ring->map + XM_RING_PAGE);

    for (uint32_t i = 0; i < ring->lanes; i++) {
        struct xm_ring_lane *lane = &ring->lane[i];

        lane->header = &headers[i];
        lane->header->geometry = lane->geometry;
        lane->slots = (uint8_t *)ring->map + lane->geometry.offset;
        lane->stage = calloc(1, lane->geometry.slot_bytes);
        if (lane->stage == NULL)
            return -ENOMEM;
        xm_ring_set_period(lane, specs[i].period_ns);
    }
    return 0;
}

/* 0, or -1 with errno set. */
static int fill_header(struct xm_ring *ring, struct xm_ring_header *header)
{
    if (getrandom(ring->id, sizeof(ring->id), 0) != (ssize_t)sizeof(ring->id))
        return -1;
    memcpy(header->magic, XM_RING_MAGIC, sizeof(header->magic));
    memcpy(header->id, ring->id, sizeof(header->id));
    header->version = XM_RING_VERSION;
    header->lanes = ring->lanes;
    header->total_bytes = ring->bytes;
    header->pid = (uint32_t)getpid();
    header->created_ns = xm_clock_mono();
    return 0;
}

static int map_sealed(struct xm_ring *ring, int *out)
{
    int fd = open_memfd();
    int rc = 0;

    if (fd < 0)
        return fd;
    if (ftruncate(fd, (off_t)ring->bytes) != 0)
        goto fail;
    ring->map = mmap(NULL, ring->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (ring->map == MAP_FAILED) {
        ring->map = NULL;
        goto fail;
    }
    if (fill_header(ring, ring->map) != 0)
        goto fail;
    /* After the mapping: FUTURE_WRITE would refuse ours as well. */
    if (fcntl(fd, F_ADD_SEALS, SEALS) != 0)
        goto fail;
    *out = fd;
    return 0;
fail:
    rc = -errno;
    close(fd);
    return rc;
}

int xm_ring_create(const struct xm_ring_spec *specs, uint32_t lanes, struct xm_ring **out,
                   int *out_fd)
{
    struct xm_ring *ring;
    int fd = -1;
    int rc;

    if (lanes < 1 || lanes > XM_RING_MAX_LANES)
        return -EINVAL;
    ring = calloc(1, sizeof(*ring) + lanes * sizeof(ring->lane[0]));
    if (ring == NULL)
        return -ENOMEM;
    ring->refs = 1;
    ring->lanes = lanes;
    ring->bytes = lay_out(specs, ring);
    rc = -EINVAL;
    if (ring->bytes == 0)
        goto out;
    rc = map_sealed(ring, &fd);
    if (rc != 0)
        goto out;
    rc = bind_lanes(specs, ring);
    if (rc != 0)
        goto out;
    *out = ring;
    *out_fd = fd;
    return 0;
out:
    if (fd >= 0)
        close(fd);
    xm_ring_drop(ring);
    return rc;
}

void xm_ring_touch(struct xm_ring_lane *lane)
{
    size_t bytes = lane->geometry.slots * lane->geometry.slot_bytes;

    /* Before Linux 5.14 the first pass over the ring takes the faults. */
    (void)madvise(lane->slots, bytes, MADV_POPULATE_WRITE);
}

void xm_ring_hold(struct xm_ring *ring)
{
    ring->refs++;
}

void xm_ring_drop(struct xm_ring *ring)
{
    if (--ring->refs > 0)
        return;
    if (ring->map != NULL)
        munmap(ring->map, ring->bytes);
    for (uint32_t i = 0; i < ring->lanes; i++) {
        xm_sensor_destroy(ring->lane[i].sensor);
        free(ring->lane[i].stage);
    }
    free(ring);
}

int xm_ring_track(struct xm_ring_lane *lane, struct xm_sensor *sensor)
{
    if (lane->claimed || lane->position > 0 || lane->sensor != NULL)
        return -EBUSY;
    lane->sensor = sensor;
    return 0;
}

/*
 * Words are copied as relaxed atomics because a reader may copy the same slot at the same time;
 * its check throws such a copy away, but the race itself must be defined.
 */
static void copy_out(uint8_t *slot, const struct xm_ring_slot *stage, uint32_t length)
{
    const uint64_t *from = (const uint64_t *)(const void *)stage;
    _Atomic uint64_t *to = (_Atomic uint64_t *)(void *)slot;
    size_t words = (sizeof(*stage) + length + 7) / 8;

    for (size_t i = 0; i < words; i++) {
        /* Pairs with the relaxed load in xm_reader_row. */
        atomic_store_explicit(&to[i], from[i], memory_order_relaxed);
        if (i == 0)
            CRASH_POINT(2);
        if (i == words / 2)
            CRASH_POINT(3);
    }
}

static uint32_t saturate(uint64_t value)
{
    return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static void stamp(struct xm_ring_lane *lane, const struct xm_ring_row *row)
{
    struct xm_ring_slot *slot = lane->stage;
    uint32_t crc;

    slot->position = lane->position;
    slot->scheduled_ns = row->scheduled_ns;
    slot->begin_ns = row->begin_ns;
    slot->duration_ns = saturate(row->duration_ns);
    slot->missed = saturate(row->missed);
    slot->length = row->length;
    crc = xm_crc32c_update(0, slot, offsetof(struct xm_ring_slot, crc));
    slot->crc = xm_crc32c_update(crc, slot + 1, row->length);
}

/* All relaxed: the release store of committed that follows publishes them (xm_reader_state). */
static void store_totals(struct xm_ring_lane *lane, const struct xm_ring_row *row)
{
    struct xm_ring_lane_header *header = lane->header;
    int64_t late = (int64_t)((uint64_t)row->begin_ns - (uint64_t)row->scheduled_ns);

    lane->missed += row->missed;
    lane->busy_ns += row->duration_ns;
    if (late > 0) {
        lane->late_ns += (uint64_t)late;
        if ((uint64_t)late > lane->late_max_ns)
            lane->late_max_ns = (uint64_t)late;
    }
    atomic_store_explicit(&header->scheduled_ns, row->scheduled_ns, memory_order_relaxed);
    atomic_store_explicit(&header->begin_ns, row->begin_ns, memory_order_relaxed);
    atomic_store_explicit(&header->missed, lane->missed, memory_order_relaxed);
    atomic_store_explicit(&header->busy_ns, lane->busy_ns, memory_order_relaxed);
    atomic_store_explicit(&header->late_ns, lane->late_ns, memory_order_relaxed);
    atomic_store_explicit(&header->late_max_ns, lane->late_max_ns, memory_order_relaxed);
}

uint64_t xm_ring_commit(struct xm_ring_lane *lane, const struct xm_ring_row *row)
{
    struct xm_ring_lane_header *header = lane->header;
    uint64_t position = lane->position;

    if (lane->sensor != NULL)
        xm_sensor_look(lane->sensor, row->begin_ns, xm_ring_values(lane), xm_ring_reasons(lane));
    stamp(lane, row);
    CRASH_POINT(1);
    atomic_store_explicit(&header->writing, position + 1, memory_order_relaxed);
    /*
     * Pairs with the acquire fence in xm_reader_row: a reader that saw one word of the new row
     * must see writing past its old one.
     */
    atomic_thread_fence(memory_order_release);
    copy_out(lane->slots + position % lane->geometry.slots * lane->geometry.slot_bytes, lane->stage,
             row->length);
    CRASH_POINT(4);
    store_totals(lane, row);
    CRASH_POINT(5);
    /* Pairs with the acquire load in xm_reader_span: the slot is whole before it is counted. */
    atomic_store_explicit(&header->committed, position + 1, memory_order_release);
    CRASH_POINT(6);
    lane->position = position + 1;
    return position;
}

void xm_ring_enter_since(struct xm_ring_lane *lane, uint64_t call, int64_t since_ns)
{
    /* A watcher should not see a call without its time. */
    if (call == 0)
        xm_ring_enter(lane, 0);
    /* Pairs with the relaxed load in xm_reader_state. */
    atomic_store_explicit(&lane->header->since_ns, since_ns, memory_order_relaxed);
    if (call != 0)
        xm_ring_enter(lane, call);
}

void xm_ring_set_period(struct xm_ring_lane *lane, int64_t period_ns)
{
    /* Pairs with the relaxed load in xm_reader_state. */
    atomic_store_explicit(&lane->header->period_ns, period_ns, memory_order_relaxed);
}
