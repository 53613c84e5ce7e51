/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static void test_rows_come_back_as_committed(void)
{
    int fd;
    struct xm_ring *ring = rig_make(5, 64, &fd);
    struct xm_reader *reader = rig_open(fd);
    struct xm_ring_slot *row = xm_reader_scratch(&reader->lane[0]);
    uint64_t position = 0, accepted = 0, overrun = 0;

    close(fd);
    for (int i = 0; i < 64; i++)
        CHECK_EQ(rig_commit(&ring->lane[0]), i);
    rig_drain(&reader->lane[0], row, &position, &accepted, &overrun);
    CHECK_EQ(accepted, 64);
    CHECK_EQ(overrun, 0);
    free(row);
    xm_reader_close(reader);
    xm_ring_drop(ring);
}

static void test_slow_reader_loses_the_oldest_only(uint64_t slots)
{
    int fd;
    struct xm_ring *ring = rig_make(3, slots, &fd);
    struct xm_reader *reader = rig_open(fd);
    struct xm_ring_slot *row = xm_reader_scratch(&reader->lane[0]);
    uint64_t position = 0, accepted = 0, overrun = 0;

    close(fd);
    for (uint64_t i = 0; i < 3 * slots + 1; i++)
        rig_commit(&ring->lane[0]);
    rig_drain(&reader->lane[0], row, &position, &accepted, &overrun);
    CHECK_EQ(accepted, slots);
    CHECK_EQ(overrun, 2 * slots + 1);
    free(row);
    xm_reader_close(reader);
    xm_ring_drop(ring);
}

/* A producer that says it is writing over the oldest row takes that row away, no other. */
static void test_row_being_overwritten_is_refused(void)
{
    int fd;
    struct xm_ring *ring = rig_make(3, 4, &fd);
    struct xm_reader *reader = rig_open(fd);
    struct xm_ring_slot *row = xm_reader_scratch(&reader->lane[0]);

    close(fd);
    for (int i = 0; i < 4; i++)
        rig_commit(&ring->lane[0]);
    CHECK_EQ(xm_reader_row(&reader->lane[0], 0, row), 0);
    atomic_store(&ring->lane[0].header->writing, 5);
    CHECK_EQ(xm_reader_row(&reader->lane[0], 0, row), -ESTALE);
    CHECK_EQ(xm_reader_row(&reader->lane[0], 1, row), 0);
    CHECK_EQ(xm_reader_resume(&reader->lane[0], 0, 4), 1);
    free(row);
    xm_reader_close(reader);
    xm_ring_drop(ring);
}

static void test_each_flipped_bit_is_noticed(void)
{
    int fd;
    struct xm_ring *ring = rig_make(2, 4, &fd);
    struct xm_reader *reader = rig_open(fd);
    struct xm_ring_slot *row = xm_reader_scratch(&reader->lane[0]);
    size_t used = sizeof(*row) + xm_ring_columns_bytes(2);

    close(fd);
    rig_commit(&ring->lane[0]);
    for (size_t bit = 0; bit < 8 * used; bit++) {
        ring->lane[0].slots[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK_EQ(xm_reader_row(&reader->lane[0], 0, row), -ESTALE);
        ring->lane[0].slots[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CHECK_EQ(xm_reader_row(&reader->lane[0], 0, row), 0);
    free(row);
    xm_reader_close(reader);
    xm_ring_drop(ring);
}

static void test_records_keep_their_length(void)
{
    struct xm_ring_spec spec = {XM_RING_RECORDS, 0, 21, 8, 0};
    struct xm_ring_lane *lane;
    struct xm_reader *reader;
    struct xm_ring_slot *row;
    struct xm_ring *ring;
    int fd;

    CHECK_EQ(xm_ring_create(&spec, 1, &ring, &fd), 0);
    lane = &ring->lane[0];
    reader = rig_open(fd);
    row = xm_reader_scratch(&reader->lane[0]);
    close(fd);
    for (uint32_t length = 0; length <= 21; length++) {
        struct xm_ring_row header = {length, length, 0, 0, length};

        memset(xm_ring_payload(lane), (int)length, length);
        xm_ring_commit(lane, &header);
        CHECK_EQ(xm_reader_row(&reader->lane[0], length, row), 0);
        CHECK_EQ(row->length, length);
        for (uint32_t i = 0; i < length; i++)
            CHECK_EQ(((uint8_t *)(row + 1))[i], length);
    }
    free(row);
    xm_reader_close(reader);
    xm_ring_drop(ring);
}

static void test_totals_do_not_saturate_with_the_row(void)
{
    int fd;
    struct xm_ring *ring = rig_make(1, 4, &fd);
    struct xm_reader *reader = rig_open(fd);
    struct xm_ring_slot *row = xm_reader_scratch(&reader->lane[0]);
    struct xm_ring_row wide = {1, 1001, UINT64_C(5) << 32, UINT64_C(6) << 32,
                               xm_ring_columns_bytes(1)};
    struct xm_reader_state state;

    close(fd);
    xm_ring_commit(&ring->lane[0], &wide);
    CHECK_EQ(xm_reader_row(&reader->lane[0], 0, row), 0);
    CHECK_EQ(row->duration_ns, UINT32_MAX);
    CHECK_EQ(row->missed, UINT32_MAX);
    xm_reader_state(&reader->lane[0], &state);
    CHECK_EQ(state.busy_ns, INT64_C(5) << 32);
    CHECK_EQ(state.missed, INT64_C(6) << 32);
    CHECK_EQ(state.late_ns, 1000);
    CHECK_EQ(state.late_max_ns, 1000);
    free(row);
    xm_reader_close(reader);
    xm_ring_drop(ring);
}

static void test_nobody_can_resize_or_map_it_writable(void)
{
    int fd;
    struct xm_ring *ring = rig_make(2, 4, &fd);

    CHECK(ftruncate(fd, 4096) != 0 && errno == EPERM);
    CHECK(ftruncate(fd, 1 << 20) != 0 && errno == EPERM);
    CHECK(mmap(NULL, ring->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    CHECK(write(fd, "x", 1) < 0);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) != 0);
    rig_commit(&ring->lane[0]);
    close(fd);
    xm_ring_drop(ring);
}

static void test_impossible_layouts_are_refused(void)
{
    const struct xm_ring_spec specs[] = {
        {0, 1, 0, 1, 0},
        {3, 1, 0, 1, 0},
        {XM_RING_COLUMNS, 0, 0, 1, 0},
        {XM_RING_COLUMNS, 65536, 0, 1, 0},
        {XM_RING_COLUMNS, 1, 1, 1, 0},
        {XM_RING_COLUMNS, 1, 0, 0, 0},
        {XM_RING_COLUMNS, 1, 0, UINT64_MAX, 0},
        {XM_RING_COLUMNS, 65535, 0, 4096, 0},
        {XM_RING_RECORDS, 0, 0, 1, 0},
        {XM_RING_RECORDS, 1, 1, 1, 0},
        {XM_RING_RECORDS, 0, XM_RING_MAX_PAYLOAD + 1, 1, 0},
    };
    struct xm_ring *ring;
    int fd;

    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++)
        CHECK_EQ(xm_ring_create(&specs[i], 1, &ring, &fd), -EINVAL);
    CHECK_EQ(xm_ring_create(specs, 0, &ring, &fd), -EINVAL);
    CHECK_EQ(xm_ring_create(specs, XM_RING_MAX_LANES + 1, &ring, &fd), -EINVAL);
}

int main(void)
{
    test_rows_come_back_as_committed();
    test_slow_reader_loses_the_oldest_only(1);
    test_slow_reader_loses_the_oldest_only(7);
    test_slow_reader_loses_the_oldest_only(256);
    test_row_being_overwritten_is_refused();
    test_each_flipped_bit_is_noticed();
    test_records_keep_their_length();
    test_totals_do_not_saturate_with_the_row();
    test_nobody_can_resize_or_map_it_writable();
    test_impossible_layouts_are_refused();
    return 0;
}
