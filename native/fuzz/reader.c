/* SPDX-License-Identifier: Apache-2.0 */
#include "reader.h"
#include "crc32c.h"
#include "rollup.h"
#include "rows.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * A good ring with parts of it overwritten: {u16 at, u8 bytes, bytes...}, and the checksums of
 * the slots made good again where the first byte is odd.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static uint8_t kinds[XM_RING_MAX_COLUMNS];
static struct xm_ring *ring;
static uint8_t *image;

static void prepare(void)
{
    const struct xm_ring_spec specs[] = {{XM_RING_COLUMNS, 4, 0, 8, 1000},
                                         {XM_RING_RECORDS, 0, 24, 8, 0}};
    int fd;

    if (ring != NULL)
        return;
    if (xm_ring_create(specs, 2, &ring, &fd) != 0)
        abort();
    close(fd);
    for (int i = 0; i < 20; i++) {
        struct xm_ring_row row = {i * 10, i * 10 + 1, 1, 0, xm_ring_columns_bytes(4)};
        struct xm_ring_row record = {i, i, 0, 0, (uint32_t)i};

        for (int c = 0; c < 4; c++)
            xm_ring_reasons(&ring->lane[0])[c] = (i + c) % 3 == 0 ? XM_RING_REPEATED : 0;
        xm_ring_commit(&ring->lane[0], &row);
        xm_ring_commit(&ring->lane[1], &record);
    }
    for (uint32_t c = 0; c < XM_RING_MAX_COLUMNS; c++)
        kinds[c] = (uint8_t)(c % XM_ROLLUP_KINDS);
    image = malloc(ring->bytes);
}

static void mend(void)
{
    for (uint32_t i = 0; i < 2; i++) {
        const struct xm_ring_geometry *geometry = &ring->lane[i].geometry;

        for (uint64_t s = 0; s < geometry->slots; s++) {
            void *at = image + geometry->offset + s * geometry->slot_bytes;
            struct xm_ring_slot *slot = at;
            uint32_t crc = xm_crc32c_update(0, slot, offsetof(struct xm_ring_slot, crc));

            if (slot->length <= geometry->slot_bytes - sizeof(*slot))
                slot->crc = xm_crc32c_update(crc, slot + 1, slot->length);
        }
    }
}

static int build(const uint8_t *data, size_t bytes)
{
    int fd = memfd_create("fuzz", MFD_ALLOW_SEALING | MFD_CLOEXEC);
    const uint8_t *end = data + bytes;
    int mends = bytes > 0 && data[0] % 2 == 1;

    memcpy(image, ring->map, ring->bytes);
    for (data += bytes > 0; end - data >= 3;) {
        size_t at = (size_t)(data[0] | data[1] << 8) % ring->bytes;
        size_t length = data[2];

        data += 3;
        if (length > (size_t)(end - data))
            length = (size_t)(end - data);
        if (length > ring->bytes - at)
            length = ring->bytes - at;
        memcpy(image + at, data, length);
        data += length;
    }
    if (mends)
        mend();
    if (write(fd, image, ring->bytes) != (ssize_t)ring->bytes ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0)
        abort();
    return fd;
}

static void read_lane(const struct xm_reader_lane *lane)
{
    struct xm_rollup_options options = {30, INT64_MAX, 100, kinds};
    struct xm_rows_records records;
    struct xm_reader_state state;
    struct xm_rollup rollup;
    struct xm_rows rows;

    xm_reader_state(lane, &state);
    if (lane->geometry.kind == XM_RING_RECORDS) {
        xm_rows_read_records(lane, 0, 100, &records);
        xm_rows_free_records(&records);
        return;
    }
    xm_rows_read(lane, 0, 100, &rows);
    xm_rows_free(&rows);
    xm_rollup_read(lane, 0, &options, &rollup);
    xm_rollup_free(&rollup);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct xm_reader *reader;
    const char *why;
    int fd;

    prepare();
    fd = build(data, bytes);
    if (xm_reader_open(fd, &reader, &why) == 0) {
        for (uint32_t i = 0; i < reader->lanes; i++)
            read_lane(&reader->lane[i]);
        xm_reader_close(reader);
    }
    close(fd);
    return 0;
}
