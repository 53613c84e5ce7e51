/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include "clock.h"

#include <pthread.h>
#include <unistd.h>

/* A writer at full speed against readers: whatever a reader accepts must be one whole row. */

static _Atomic int done;

static void *read_on(void *argument)
{
    const struct xm_reader *reader = argument;
    const struct xm_reader_lane *lane = &reader->lane[0];
    struct xm_ring_slot *row = xm_reader_scratch(lane);
    uint64_t position = 0, accepted = 0, overrun = 0;
    int last = 0;

    while (!last) {
        last = atomic_load(&done);
        rig_drain(lane, row, &position, &accepted, &overrun);
    }
    CHECK_EQ(accepted + overrun, position);
    CHECK(accepted > 0);
    printf("accepted %" PRIu64 ", overrun %" PRIu64 "\n", accepted, overrun);
    free(row);
    return NULL;
}

static void race(uint32_t columns, uint64_t slots, int64_t run_ns)
{
    int64_t until = xm_clock_mono() + run_ns;
    pthread_t threads[2];
    struct xm_reader *reader;
    struct xm_ring *ring;
    int fd;

    atomic_store(&done, 0);
    ring = rig_make(columns, slots, &fd);
    reader = rig_open(fd);
    close(fd);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, read_on, reader), 0);
    while (xm_clock_mono() < until) {
        for (int i = 0; i < 100; i++)
            rig_commit(&ring->lane[0]);
    }
    atomic_store(&done, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    xm_reader_close(reader);
    xm_ring_drop(ring);
}

int main(int argc, char **argv)
{
    int64_t run_ns = (argc > 1 ? atoll(argv[1]) : 200) * 1000000;

    race(1, 2, run_ns);
    race(3, 1, run_ns);
    race(100, 8, run_ns);
    race(7, 4096, run_ns);
    return 0;
}
