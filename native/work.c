/* SPDX-License-Identifier: Apache-2.0 */
#include "work.h"

#include "clock.h"

#include <errno.h>
#include <stdlib.h>

static void make_runs(struct xm_work *work, size_t n, const struct xm_work_probe *probes)
{
    struct xm_work_run *run = NULL;
    size_t files = 0;
    size_t calls = 0;

    for (size_t i = 0; i < n; i++) {
        struct xm_work_probe kind = probes[i];

        if (run == NULL || run->kind.is_call != kind.is_call || run->kind.group != kind.group) {
            run = &work->runs[work->n_runs++];
            *run = (struct xm_work_run){kind, &work->groups[kind.group],
                                        kind.is_call ? calls : files, 0, i};
        }
        run->n++;
        if (kind.is_call)
            work->call_index[calls++] = i;
        else
            work->file_index[files++] = i;
    }
}

static int make_histograms(struct xm_work *work, size_t n, const struct xm_work_probe *probes)
{
    struct xm_histogram *all;

    work->n_groups = 1;
    for (size_t i = 0; i < n; i++) {
        if (probes[i].group >= work->n_groups)
            work->n_groups = probes[i].group + 1u;
    }
    all = calloc(2 + work->n_groups, sizeof(*all));
    if (all == NULL)
        return -ENOMEM;
    work->lateness = all;
    work->duration = all + 1;
    work->groups = all + 2;
    return 0;
}

struct xm_work *xm_work_create(size_t n, const struct xm_work_probe *probes)
{
    struct xm_work *work = calloc(1, sizeof(*work));
    size_t calls = 0;

    if (work == NULL)
        return NULL;
    for (size_t i = 0; i < n; i++)
        calls += probes[i].is_call;
    work->files = xm_probe_create(n - calls);
    work->calls = xm_call_create(calls);
    work->runs = calloc(n + 1, sizeof(*work->runs));
    work->file_index = calloc(n - calls + 1, sizeof(*work->file_index));
    work->call_index = calloc(calls + 1, sizeof(*work->call_index));
    work->took_ns = calloc(n + 1, sizeof(*work->took_ns));
    work->text = malloc(XM_PROBE_TEXT_BYTES);
    if (work->files == NULL || work->calls == NULL || work->runs == NULL ||
        work->file_index == NULL || work->call_index == NULL || work->took_ns == NULL ||
        work->text == NULL || make_histograms(work, n, probes) != 0) {
        xm_work_destroy(work);
        return NULL;
    }
    make_runs(work, n, probes);
    return work;
}

void xm_work_destroy(struct xm_work *work)
{
    if (work->files != NULL)
        xm_probe_destroy(work->files);
    if (work->calls != NULL)
        xm_call_destroy(work->calls);
    if (work->gate != NULL)
        xm_gate_drop(work->gate);
    free(work->runs);
    free(work->file_index);
    free(work->call_index);
    free(work->took_ns);
    free(work->text);
    free(work->lateness);
    free(work);
}

void xm_work_set_gate(struct xm_work *work, struct xm_gate *gate)
{
    xm_gate_hold(gate);
    work->gate = gate;
}

void xm_work_open(struct xm_work *work, struct xm_ring_lane *out)
{
    xm_ticks_init(&work->ticks);
    for (size_t i = 0; i < work->files->n; i++) {
        xm_ring_enter_since(out, work->file_index[i] + 1, xm_clock_mono());
        xm_probe_open(work->files, i);
    }
    xm_ring_enter_since(out, 0, 0);
    work->files->check_ns = xm_clock_mono() + XM_SECOND_NS;
}

/* A row under way. One stamp per boundary between probes: the end of one, begin of the next. */
struct turn {
    struct xm_ring_lane *out;
    const _Atomic uint32_t *stop;
    int64_t now_ns; /* at the last boundary */
    size_t n;       /* probes that are done */
    /* A stamp and its time. */
    uint64_t anchor;
    int64_t anchor_ns;
};

static inline void end_probe(struct xm_work *work, struct turn *turn)
{
    uint64_t stamp = xm_ticks_now(&work->ticks);
    int64_t now_ns = turn->anchor_ns + xm_ticks_ns(&work->ticks, turn->anchor, stamp);

    work->took_ns[turn->n++] = now_ns - turn->now_ns;
    turn->now_ns = now_ns;
}

/* All at once: reading the counter waits for what was begun before, and this takes its time. */
static void count_probes(const struct xm_work *work, size_t n)
{
    for (size_t i = 0; i < work->n_runs; i++) {
        const struct xm_work_run *run = &work->runs[i];

        for (size_t k = run->index; k < run->index + run->n && k < n; k++)
            xm_histogram_add(run->durations, work->took_ns[k]);
    }
}

static void read_files(struct xm_work *work, const struct xm_work_run *run, struct turn *turn)
{
    int64_t *values = xm_ring_values(turn->out);
    uint8_t *reasons = xm_ring_reasons(turn->out);

    for (size_t i = 0; i < run->n; i++) {
        xm_ring_enter(turn->out, run->index + i + 1);
        xm_probe_read(work->files, run->first + i, work->text, values, reasons);
        end_probe(work, turn);
    }
}

static void set_anchor(const struct xm_work *work, struct turn *turn, int64_t now_ns)
{
    turn->anchor = xm_ticks_now(&work->ticks);
    turn->anchor_ns = now_ns;
    turn->now_ns = now_ns;
}

/* 0 or -ECANCELED. */
static int enter_gate(struct xm_work *work, struct turn *turn)
{
    int rc = xm_gate_try(work->gate);

    if (rc == 0)
        return 0;
    /* Whoever is inside is to blame for what happens now, not the call that is next. */
    xm_ring_enter_since(turn->out, 0, 0);
    rc = xm_gate_enter(work->gate, INT64_MAX, turn->stop);
    set_anchor(work, turn, xm_clock_mono());
    return rc;
}

static int make_calls(struct xm_work *work, const struct xm_work_run *run, struct turn *turn)
{
    int64_t *values = xm_ring_values(turn->out);
    uint8_t *reasons = xm_ring_reasons(turn->out);

    for (size_t i = 0; i < run->n; i++) {
        if (work->gate != NULL && enter_gate(work, turn) != 0)
            return -ECANCELED;
        xm_ring_enter_since(turn->out, run->index + i + 1, turn->now_ns);
        xm_call_run(work->calls, run->first + i, values, reasons);
        end_probe(work, turn);
        if (work->gate != NULL) {
            xm_ring_enter(turn->out, 0);
            xm_gate_leave(work->gate);
        }
    }
    return 0;
}

int xm_work_do(struct xm_work *work, struct xm_ring_lane *out, int64_t begin_ns,
               const _Atomic uint32_t *stop)
{
    struct turn turn = {.out = out, .stop = stop};
    int rc = 0;
    size_t i;

    xm_ring_enter_since(out, 0, begin_ns);
    while (xm_probe_due(work->files, begin_ns, &i)) {
        xm_ring_enter(out, work->file_index[i] + 1);
        xm_probe_check(work->files, i);
    }
    xm_ticks_learn(&work->ticks, begin_ns);
    set_anchor(work, &turn, begin_ns);
    for (i = 0; i < work->n_runs && rc == 0; i++) {
        if (work->runs[i].kind.is_call)
            rc = make_calls(work, &work->runs[i], &turn);
        else
            read_files(work, &work->runs[i], &turn);
    }
    count_probes(work, turn.n);
    xm_ring_enter_since(out, 0, 0);
    return rc;
}
