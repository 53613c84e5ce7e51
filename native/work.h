/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_WORK_H
#define XM_WORK_H

#include "call.h"
#include "gate.h"
#include "histogram.h"
#include "probe.h"
#include "ring.h"
#include "ticks.h"

#define XM_WORK_GROUPS 64

struct xm_work_probe {
    uint8_t is_call;
    uint8_t group; /* whose durations are counted together */
};

/* Neighbours of one kind and group among a lane's probes: a lane of files alone has one run. */
struct xm_work_run {
    struct xm_work_probe kind;
    struct xm_histogram *durations;
    size_t first; /* in its set */
    size_t n;
    uint64_t index; /* of the first among all probes */
};

/* What a lane does in each row: its probes, in their order. */
struct xm_work {
    struct xm_probe_set *files;
    struct xm_call_set *calls;
    size_t n_runs;
    struct xm_work_run *runs;
    uint64_t *file_index; /* among all probes, per file */
    uint64_t *call_index;
    int64_t *took_ns;     /* per probe, in the row under way */
    struct xm_gate *gate; /* around each call; NULL: there is none */
    char *text;
    struct xm_ticks ticks;
    struct xm_histogram *lateness; /* per row, as is duration; written by the lane */
    struct xm_histogram *duration;
    size_t n_groups;
    struct xm_histogram *groups; /* per probe */
};

/*
 * Work of n probes; files and calls are to be filled in by the caller. NULL when out of memory.
 */
struct xm_work *xm_work_create(size_t n, const struct xm_work_probe *probes);

/* Before the first row: take the gate, with a reference, around each call. */
void xm_work_set_gate(struct xm_work *work, struct xm_gate *gate);

void xm_work_destroy(struct xm_work *work);

/* Open all files, each named in the ring's header meanwhile. */
void xm_work_open(struct xm_work *work, struct xm_ring_lane *out);

/*
 * Fill the cells of one row, each probe named in the ring's header while it runs, and nothing named
 * while the gate is waited for. 0, or -ECANCELED where *stop was set meanwhile.
 */
int xm_work_do(struct xm_work *work, struct xm_ring_lane *out, int64_t begin_ns,
               const _Atomic uint32_t *stop);

#endif
