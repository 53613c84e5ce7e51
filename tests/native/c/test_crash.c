/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include "clock.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* Built with -DCRASHLAB: the producer dies at a chosen store, the reader must not mind. */

#ifndef CRASHLAB
#error "this program needs crash points"
#endif

extern int xm_crash_at;

enum { COLUMNS = 9, SLOTS = 16, POINTS = 6 };

/* Rows that a dead producer committed, each either read whole or the one being overwritten. */
static uint64_t check_dead(const struct xm_reader *reader, int may_be_writing)
{
    const struct xm_reader_lane *lane = &reader->lane[0];
    struct xm_ring_slot *row = xm_reader_scratch(lane);
    uint64_t position = 0, accepted = 0, overrun = 0;
    uint64_t expected;

    rig_drain(lane, row, &position, &accepted, &overrun);
    CHECK_EQ(accepted + overrun, position);
    expected = position < SLOTS ? position : SLOTS;
    CHECK(accepted == expected || (may_be_writing && position >= SLOTS && accepted == SLOTS - 1));
    free(row);
    return position;
}

static void die_at(struct xm_ring_lane *lane, int point, int rows)
{
    for (int i = 0; i < rows; i++)
        rig_commit(lane);
    xm_crash_at = point;
    rig_commit(lane);
    _exit(0);
}

static void test_death_at_each_store(int point, int rows)
{
    int fd;
    struct xm_ring *ring = rig_make(COLUMNS, SLOTS, &fd);
    struct xm_reader *reader = rig_open(fd);
    pid_t child = fork();
    int status;

    if (child == 0)
        die_at(&ring->lane[0], point, rows);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == point);
    CHECK_EQ(check_dead(reader, point > 1), rows + (point == POINTS));
    close(fd);
    xm_reader_close(reader);
    xm_ring_drop(ring);
}

static void test_killed_producer(uint64_t *seed)
{
    int fd;
    struct xm_ring *ring = rig_make(COLUMNS, SLOTS, &fd);
    struct xm_reader *reader = rig_open(fd);
    uint64_t rows = 1 + next_random(seed) % 300;
    struct xm_reader_state state;
    pid_t child = fork();

    if (child == 0) {
        for (;;)
            rig_commit(&ring->lane[0]);
    }
    do
        xm_reader_state(&reader->lane[0], &state);
    while (state.committed < rows);
    CHECK_EQ(kill(child, SIGKILL), 0);
    CHECK(waitpid(child, NULL, 0) == child);
    CHECK(check_dead(reader, 1) >= rows);
    close(fd);
    xm_reader_close(reader);
    xm_ring_drop(ring);
}

int main(int argc, char **argv)
{
    int kills = argc > 1 ? atoi(argv[1]) : 300;
    uint64_t seed = 7;

    for (int point = 1; point <= POINTS; point++) {
        for (int rows = 0; rows < 3 * SLOTS; rows += 1 + rows / 3)
            test_death_at_each_store(point, rows);
    }
    for (int i = 0; i < kills; i++)
        test_killed_producer(&seed);
    return 0;
}
