/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_WORK_H
#define XM_WORK_H

#include "call.h"
#include "gate.h"
#include "probe.h"
#include "ring.h"

/* Neighbours of one kind among a lane's probes: a lane of files alone has one run. */
struct xm_work_run {
    int is_call;
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
    struct xm_gate *gate; /* around each call; NULL: there is none */
    char *text;
};

/*
 * Work of n probes, is_call saying which kind each is; files and calls are to be filled in by the
 * caller. NULL when out of memory.
 */
struct xm_work *xm_work_create(size_t n, const uint8_t *is_call);

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
