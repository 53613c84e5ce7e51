/* SPDX-License-Identifier: Apache-2.0 */
#include "reader.h"

#include "crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEED_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

static int refuse(const char **why, const char *what)
{
    *why = what;
    return -EPROTO;
}

static int read_exactly(int fd, void *out, size_t bytes, off_t at)
{
    ssize_t got;

    do
        got = pread(fd, out, bytes, at);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    return (size_t)got == bytes ? 0 : -EPROTO;
}

static int check_descriptor(int fd, uint64_t *bytes, const char **why)
{
    struct stat status;
    int seals;

    if (fstat(fd, &status) != 0)
        return -errno;
    seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0)
        return refuse(why, "the descriptor is not a memfd that can be sealed");
    if ((seals & NEED_SEALS) != NEED_SEALS)
        return refuse(why, "the descriptor is not sealed against resizing: reading it could end in "
                           "SIGBUS");
    if (status.st_size < (off_t)XM_RING_PAGE)
        return refuse(why, "the descriptor is shorter than a header");
    if ((uint64_t)status.st_size > XM_RING_MAX_BYTES)
        return refuse(why, "the descriptor is larger than a ring may be");
    *bytes = (uint64_t)status.st_size;
    return 0;
}

static int check_header(const struct xm_ring_header *header, uint64_t bytes, const char **why)
{
    uint64_t needed;

    if (memcmp(header->magic, XM_RING_MAGIC, sizeof(header->magic)) != 0)
        return refuse(why, "no ring: the magic is wrong");
    if (header->version != XM_RING_VERSION)
        return refuse(why, "a ring of another version");
    if (header->total_bytes != bytes)
        return refuse(why, "the header's total_bytes is not the descriptor's size");
    if (header->lanes < 1 || header->lanes > XM_RING_MAX_LANES)
        return refuse(why, "the number of lanes is not 1 to 4096");
    needed = XM_RING_PAGE + header->lanes * (uint64_t)sizeof(struct xm_ring_lane_header);
    if (needed > bytes)
        return refuse(why, "the lane headers reach past the end");
    return 0;
}

static int check_lane(const struct xm_ring_geometry *geometry, uint64_t first, uint64_t bytes,
                      const char **why)
{
    struct xm_ring_geometry measured = *geometry;

    if (xm_ring_measure(&measured) != 0)
        return refuse(why, "a lane's kind, columns or payload_bytes is out of range");
    if (measured.slot_bytes != geometry->slot_bytes)
        return refuse(why, "a lane's slot_bytes does not fit its columns or payload_bytes");
    if (geometry->offset % XM_RING_PAGE != 0 || geometry->offset < first ||
        geometry->offset > bytes)
        return refuse(why, "a lane's offset is not a page of the ring");
    if (geometry->slots < 1 || geometry->slots > (bytes - geometry->offset) / geometry->slot_bytes)
        return refuse(why, "a lane's slots reach past the end");
    return 0;
}

static int read_lanes(int fd, struct xm_reader *reader, const char **why)
{
    uint64_t first = XM_RING_PAGE + reader->lanes * sizeof(struct xm_ring_lane_header);

    for (uint32_t i = 0; i < reader->lanes; i++) {
        struct xm_ring_geometry *geometry = &reader->lane[i].geometry;
        off_t at = (off_t)(XM_RING_PAGE + i * sizeof(struct xm_ring_lane_header));
        int rc = read_exactly(fd, geometry, sizeof(*geometry), at);

        if (rc == 0)
            rc = check_lane(geometry, first, reader->bytes, why);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int map_lanes(int fd, struct xm_reader *reader)
{
    const uint8_t *map = mmap(NULL, reader->bytes, PROT_READ, MAP_SHARED, fd, 0);
    const struct xm_ring_lane_header *headers;

    if (map == MAP_FAILED)
        return -errno;
    reader->map = map;
    headers = (const void *)(map + XM_RING_PAGE);
    for (uint32_t i = 0; i < reader->lanes; i++) {
        reader->lane[i].header = &headers[i];
        reader->lane[i].slots = map + reader->lane[i].geometry.offset;
    }
    return 0;
}

int xm_reader_open(int fd, struct xm_reader **out, const char **why)
{
    struct xm_ring_header header;
    struct xm_reader *reader;
    uint64_t bytes = 0;
    int rc;

    *why = "the header could not be read";
    rc = check_descriptor(fd, &bytes, why);
    if (rc == 0)
        rc = read_exactly(fd, &header, sizeof(header), 0);
    if (rc == 0)
        rc = check_header(&header, bytes, why);
    if (rc != 0)
        return rc;
    reader = calloc(1, sizeof(*reader) + header.lanes * sizeof(reader->lane[0]));
    if (reader == NULL)
        return -ENOMEM;
    reader->bytes = bytes;
    reader->lanes = header.lanes;
    reader->pid = header.pid;
    memcpy(reader->id, header.id, sizeof(reader->id));
    rc = read_lanes(fd, reader, why);
    if (rc == 0)
        rc = map_lanes(fd, reader);
    if (rc != 0) {
        xm_reader_close(reader);
        return rc;
    }
    *out = reader;
    return 0;
}

void xm_reader_close(struct xm_reader *reader)
{
    if (reader->map != NULL)
        munmap((void *)(uintptr_t)reader->map, reader->bytes);
    free(reader);
}

void xm_reader_state(const struct xm_reader_lane *lane, struct xm_reader_state *out)
{
    const struct xm_ring_lane_header *header = lane->header;

    /* Pairs with the release store in xm_ring_commit; the totals may be of a later row. */
    out->committed = atomic_load_explicit(&header->committed, memory_order_acquire);
    out->missed = atomic_load_explicit(&header->missed, memory_order_relaxed);
    /* These two pair with the relaxed stores in xm_ring_enter and xm_ring_enter_since. */
    out->call = atomic_load_explicit(&header->call, memory_order_relaxed);
    out->since_ns = atomic_load_explicit(&header->since_ns, memory_order_relaxed);
    out->scheduled_ns = atomic_load_explicit(&header->scheduled_ns, memory_order_relaxed);
    out->begin_ns = atomic_load_explicit(&header->begin_ns, memory_order_relaxed);
    out->period_ns = atomic_load_explicit(&header->period_ns, memory_order_relaxed);
    out->busy_ns = atomic_load_explicit(&header->busy_ns, memory_order_relaxed);
    out->late_ns = atomic_load_explicit(&header->late_ns, memory_order_relaxed);
    out->late_max_ns = atomic_load_explicit(&header->late_max_ns, memory_order_relaxed);
}

int xm_reader_span(const struct xm_reader_lane *lane, uint64_t position, struct xm_reader_span *out)
{
    /* Pairs with the release store in xm_ring_commit: slots below it are whole. */
    uint64_t committed = atomic_load_explicit(&lane->header->committed, memory_order_acquire);

    if (committed < position || committed - position > XM_READER_MAX_JUMP)
        return -EPROTO;
    out->committed = committed;
    out->first = position;
    if (committed - position > lane->geometry.slots)
        out->first = committed - lane->geometry.slots;
    return 0;
}

static const _Atomic uint64_t *slot_words(const struct xm_reader_lane *lane, uint64_t position)
{
    uint64_t slot = position % lane->geometry.slots;

    return (const _Atomic uint64_t *)(const void *)(lane->slots + slot * lane->geometry.slot_bytes);
}

static void copy_in(const _Atomic uint64_t *from, uint64_t *to, size_t first, size_t end)
{
    /* Pairs with the relaxed store in the producer's copy; a torn copy fails its check. */
    for (size_t i = first; i < end; i++)
        to[i] = atomic_load_explicit(&from[i], memory_order_relaxed);
}

static int length_fits(const struct xm_ring_geometry *geometry, uint32_t length)
{
    if (geometry->kind == XM_RING_COLUMNS)
        return length == xm_ring_columns_bytes(geometry->columns);
    return length <= geometry->payload_bytes;
}

int xm_reader_row(const struct xm_reader_lane *lane, uint64_t position, struct xm_ring_slot *copy)
{
    const _Atomic uint64_t *from = slot_words(lane, position);
    uint64_t *to = (uint64_t *)(void *)copy;
    size_t head = sizeof(*copy) / 8;
    uint64_t writing;
    uint32_t crc;

    copy_in(from, to, 0, head);
    if (copy->position != position || !length_fits(&lane->geometry, copy->length))
        return -ESTALE;
    copy_in(from, to, head, head + (copy->length + 7) / 8);
    /*
     * Pairs with the release fence in xm_ring_commit: if a word above came from a later row,
     * writing is past that row now.
     */
    atomic_thread_fence(memory_order_acquire);
    writing = atomic_load_explicit(&lane->header->writing, memory_order_relaxed);
    if (writing > position + lane->geometry.slots)
        return -ESTALE;
    crc = xm_crc32c_update(0, copy, offsetof(struct xm_ring_slot, crc));
    if (xm_crc32c_update(crc, copy + 1, copy->length) != copy->crc)
        return -ESTALE;
    return 0;
}

uint64_t xm_reader_resume(const struct xm_reader_lane *lane, uint64_t position, uint64_t end)
{
    uint64_t slots = lane->geometry.slots;
    /* Pairs with the relaxed store in xm_ring_commit; only a hint, the row check decides. */
    uint64_t writing = atomic_load_explicit(&lane->header->writing, memory_order_relaxed);
    uint64_t next = position + 1;

    if (writing > slots && writing - slots > next)
        next = writing - slots;
    return next < end ? next : end;
}

struct xm_ring_slot *xm_reader_scratch(const struct xm_reader_lane *lane)
{
    return malloc(lane->geometry.slot_bytes);
}

struct xm_reader_cell xm_reader_cell(const struct xm_ring_slot *row, uint32_t columns,
                                     uint32_t column)
{
    const int64_t *values = (const int64_t *)(const void *)(row + 1);
    const uint8_t *reasons = (const uint8_t *)(values + columns);
    struct xm_reader_cell cell = {values[column], reasons[column], 0};

    /* The bit marks values only: with a reason it is a reason that nobody knows. */
    if (cell.reason == XM_RING_REPEATED) {
        cell.reason = XM_REASON_VALUE;
        cell.is_repeat = 1;
    }
    if (cell.reason >= XM_REASONS)
        cell.reason = XM_REASON_IMPLAUSIBLE;
    if (cell.reason != XM_REASON_VALUE && cell.reason != XM_REASON_VENDOR_ERROR)
        cell.value = 0;
    return cell;
}
