/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include "clock.h"
#include "rollup.h"
#include "rows.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* A producer that writes what it likes where it likes, before and after it is opened. */

#define LANES       3
#define MAX_COLUMNS 65535

static uint8_t kinds[MAX_COLUMNS];

static struct xm_ring *make(int *fd)
{
    const struct xm_ring_spec specs[LANES] = {{XM_RING_COLUMNS, 3, 0, 16, 1000},
                                              {XM_RING_RECORDS, 0, 40, 8, 0},
                                              {XM_RING_COLUMNS, 20, 0, 32, 1000}};
    struct xm_ring *ring;

    CHECK_EQ(xm_ring_create(specs, LANES, &ring, fd), 0);
    return ring;
}

static void fill(struct xm_ring *ring)
{
    struct xm_ring_row record = {1, 1, 0, 0, 17};

    for (int i = 0; i < 40; i++) {
        rig_commit(&ring->lane[0]);
        xm_ring_commit(&ring->lane[1], &record);
        rig_commit(&ring->lane[2]);
    }
}

/* Values that bounds checks are made of. */
static uint64_t nasty(uint64_t *seed)
{
    static const uint64_t edges[] = {0,          1,          2,          7,           8,
                                     40,         4095,       4096,       4097,        65535,
                                     65536,      UINT32_MAX, INT32_MAX,  UINT64_MAX,  INT64_MAX,
                                     1ull << 40, 1ull << 63, 1ull << 31, 0x1fffffff8, 12288};
    uint64_t r = next_random(seed);

    if (r % 4 == 0)
        return next_random(seed);
    return edges[(r >> 8) % (sizeof(edges) / sizeof(edges[0]))];
}

/* Overwrite 1, 4 or 8 bytes, mostly in the headers. */
static void damage(uint8_t *map, size_t bytes, uint64_t *seed)
{
    static const size_t sizes[] = {1, 4, 8};
    size_t size = sizes[next_random(seed) % 3];
    uint64_t value = nasty(seed);
    uint64_t where = next_random(seed) % 8;
    size_t at;

    if (where < 2)
        at = next_random(seed) % 48;
    else if (where < 6)
        at = XM_RING_PAGE + next_random(seed) % (LANES * sizeof(struct xm_ring_lane_header));
    else
        at = next_random(seed) % bytes;
    at = at / size * size;
    if (at + size <= bytes)
        memcpy(map + at, &value, size);
}

static void read_columns(const struct xm_reader_lane *lane, uint64_t position, uint64_t *seed)
{
    struct xm_rollup_options options = {1 + (int64_t)(next_random(seed) % 100), INT64_MAX, 50,
                                        kinds};
    struct xm_rollup rollup;
    struct xm_rows rows;
    int rc;

    if (next_random(seed) % 8 == 0)
        options.width_ns = INT64_MAX;
    rc = xm_rows_read(lane, position, 1000, &rows);
    CHECK(rc == 0 || rc == -EPROTO);
    CHECK(rc != 0 || (rows.n <= lane->geometry.slots && rows.next == rows.first + rows.n &&
                      rows.overrun == rows.first - position));
    xm_rows_free(&rows);
    rc = xm_rollup_read(lane, position, &options, &rollup);
    CHECK(rc == 0 || rc == -EPROTO);
    CHECK(rc != 0 || (rollup.n <= 50 && rollup.next >= position));
    xm_rollup_free(&rollup);
}

static void read_records(const struct xm_reader_lane *lane, uint64_t position)
{
    struct xm_rows_records records;
    int rc = xm_rows_read_records(lane, position, 1000, &records);

    CHECK(rc == 0 || rc == -EPROTO);
    CHECK(rc != 0 || records.n <= lane->geometry.slots);
    for (size_t i = 0; rc == 0 && i < records.n; i++)
        CHECK(records.record[i].bytes <= lane->geometry.payload_bytes);
    xm_rows_free_records(&records);
}

static void read_all(const struct xm_reader *reader, uint64_t *seed)
{
    for (uint32_t i = 0; i < reader->lanes; i++) {
        const struct xm_reader_lane *lane = &reader->lane[i];
        uint64_t position = next_random(seed) % 4 == 0 ? nasty(seed) >> 1 : 0;
        struct xm_reader_state state;

        xm_reader_state(lane, &state);
        if (lane->geometry.kind == XM_RING_COLUMNS)
            read_columns(lane, position, seed);
        else
            read_records(lane, position);
    }
}

static void test_damage_after_opening(uint64_t *seed, int rounds)
{
    int fd;
    struct xm_ring *ring = make(&fd);
    struct xm_reader *reader = rig_open(fd);
    uint8_t *good = malloc(ring->bytes);

    close(fd);
    fill(ring);
    memcpy(good, ring->map, ring->bytes);
    for (int i = 0; i < rounds; i++) {
        for (uint64_t n = next_random(seed) % 6; n > 0; n--)
            damage(ring->map, ring->bytes, seed);
        read_all(reader, seed);
        if (i % 16 == 0)
            memcpy(ring->map, good, ring->bytes);
    }
    free(good);
    xm_reader_close(reader);
    xm_ring_drop(ring);
}

static void test_damage_before_opening(uint64_t *seed, int rounds)
{
    int fd;
    struct xm_ring *ring = make(&fd);
    uint8_t *good = malloc(ring->bytes);
    int opened = 0;

    fill(ring);
    memcpy(good, ring->map, ring->bytes);
    for (int i = 0; i < rounds; i++) {
        struct xm_reader *reader;
        const char *why;
        int rc;

        memcpy(ring->map, good, ring->bytes);
        for (uint64_t n = 1 + next_random(seed) % 3; n > 0; n--)
            damage(ring->map, ring->bytes, seed);
        rc = xm_reader_open(fd, &reader, &why);
        CHECK(rc == 0 || rc == -EPROTO);
        if (rc != 0)
            continue;
        opened++;
        read_all(reader, seed);
        xm_reader_close(reader);
    }
    CHECK(opened > 0 && opened < rounds);
    free(good);
    close(fd);
    xm_ring_drop(ring);
}

static void check_refused(int fd, const char *word)
{
    struct xm_reader *reader;
    const char *why = "";

    CHECK_EQ(xm_reader_open(fd, &reader, &why), -EPROTO);
    if (strstr(why, word) == NULL)
        fprintf(stderr, "%s\n", why);
    CHECK(strstr(why, word) != NULL);
}

static void test_unfit_descriptors_are_refused(void)
{
    char page[4096] = {0};
    int pipes[2];
    int fd = memfd_create("unsealed", MFD_ALLOW_SEALING);

    CHECK_EQ(write(fd, page, sizeof(page)), sizeof(page));
    check_refused(fd, "sealed against resizing");
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
    check_refused(fd, "sealed against resizing");
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    check_refused(fd, "magic");
    close(fd);
    fd = memfd_create("short", MFD_ALLOW_SEALING);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), 0);
    check_refused(fd, "shorter");
    close(fd);
    fd = memfd_create("vast", MFD_ALLOW_SEALING);
    CHECK_EQ(ftruncate(fd, (off_t)XM_RING_MAX_BYTES + 4096), 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), 0);
    check_refused(fd, "larger");
    close(fd);
    CHECK_EQ(pipe(pipes), 0);
    check_refused(pipes[0], "not a memfd");
    close(pipes[0]);
    close(pipes[1]);
}

static void test_absurd_positions_are_refused(void)
{
    int fd;
    struct xm_ring *ring = rig_make(1, 4, &fd);
    struct xm_reader *reader = rig_open(fd);
    struct xm_reader_span span;

    close(fd);
    for (int i = 0; i < 10; i++)
        rig_commit(&ring->lane[0]);
    CHECK_EQ(xm_reader_span(&reader->lane[0], 11, &span), -EPROTO);
    atomic_store(&ring->lane[0].header->committed, 10 + XM_READER_MAX_JUMP + 1);
    CHECK_EQ(xm_reader_span(&reader->lane[0], 10, &span), -EPROTO);
    atomic_store(&ring->lane[0].header->committed, 10 + XM_READER_MAX_JUMP);
    CHECK_EQ(xm_reader_span(&reader->lane[0], 10, &span), 0);
    CHECK_EQ(span.first, 6 + XM_READER_MAX_JUMP);
    xm_reader_close(reader);
    xm_ring_drop(ring);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 20000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;

    for (uint32_t c = 0; c < MAX_COLUMNS; c++)
        kinds[c] = (uint8_t)(c % XM_ROLLUP_KINDS);
    test_unfit_descriptors_are_refused();
    test_absurd_positions_are_refused();
    test_damage_before_opening(&seed, rounds);
    test_damage_after_opening(&seed, rounds);
    return 0;
}
