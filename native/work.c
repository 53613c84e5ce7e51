/* SPDX-License-Identifier: Apache-2.0 */
#include "work.h"

#include "clock.h"

#include <errno.h>
#include <stdlib.h>

static void make_runs(struct xm_work *work, size_t n, const uint8_t *is_call)
{
    struct xm_work_run *run = NULL;
    size_t files = 0;
    size_t calls = 0;

    for (size_t i = 0; i < n; i++) {
        if (run == NULL || run->is_call != is_call[i]) {
            run = &work->runs[work->n_runs++];
            *run = (struct xm_work_run){is_call[i], is_call[i] ? calls : files, 0, i};
        }
        run->n++;
        if (is_call[i])
            work->call_index[calls++] = i;
        else
            work->file_index[files++] = i;
    }
}

struct xm_work *xm_work_create(size_t n, const uint8_t *is_call)
{
    struct xm_work *work = calloc(1, sizeof(*work));
    size_t calls = 0;

    if (work == NULL)
        return NULL;
    for (size_t i = 0; i < n; i++)
        calls += is_call[i];
    work->files = xm_probe_create(n - calls);
    work->calls = xm_call_create(calls);
    work->runs = calloc(n + 1, sizeof(*work->runs));
    work->file_index = calloc(n - calls + 1, sizeof(*work->file_index));
    work->call_index = calloc(calls + 1, sizeof(*work->call_index));
    work->text = malloc(XM_PROBE_TEXT_BYTES);
    if (work->files == NULL || work->calls == NULL || work->runs == NULL ||
        work->file_index == NULL || work->call_index == NULL || work->text == NULL) {
        xm_work_destroy(work);
        return NULL;
    }
    make_runs(work, n, is_call);
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
    free(work->text);
    free(work);
}

void xm_work_set_gate(struct xm_work *work, struct xm_gate *gate)
{
    xm_gate_hold(gate);
    work->gate = gate;
}

void xm_work_open(struct xm_work *work, struct xm_ring_lane *out)
{
    for (size_t i = 0; i < work->files->n; i++) {
        xm_ring_enter_since(out, work->file_index[i] + 1, xm_clock_mono());
        xm_probe_open(work->files, i);
    }
    xm_ring_enter_since(out, 0, 0);
    work->files->check_ns = xm_clock_mono() + XM_SECOND_NS;
}

static void read_files(struct xm_work *work, const struct xm_work_run *run,
                       struct xm_ring_lane *out)
{
    int64_t *values = xm_ring_values(out);
    uint8_t *reasons = xm_ring_reasons(out);

    for (size_t i = 0; i < run->n; i++) {
        xm_ring_enter(out, run->index + i + 1);
        xm_probe_read(work->files, run->first + i, work->text, values, reasons);
    }
}

/* 0 or -ECANCELED. */
static int enter_gate(struct xm_work *work, struct xm_ring_lane *out, int64_t *since_ns,
                      const _Atomic uint32_t *stop)
{
    int rc = xm_gate_try(work->gate);

    if (rc == 0)
        return 0;
    /* Whoever is inside is to blame for what happens now, not the call that is next. */
    xm_ring_enter_since(out, 0, 0);
    rc = xm_gate_enter(work->gate, INT64_MAX, stop);
    *since_ns = xm_clock_mono();
    return rc;
}

static int make_calls(struct xm_work *work, const struct xm_work_run *run, struct xm_ring_lane *out,
                      int64_t *since_ns, const _Atomic uint32_t *stop)
{
    int64_t *values = xm_ring_values(out);
    uint8_t *reasons = xm_ring_reasons(out);

    for (size_t i = 0; i < run->n; i++) {
        if (work->gate != NULL && enter_gate(work, out, since_ns, stop) != 0)
            return -ECANCELED;
        xm_ring_enter_since(out, run->index + i + 1, *since_ns);
        xm_call_run(work->calls, run->first + i, values, reasons);
        if (work->gate != NULL) {
            xm_ring_enter(out, 0);
            xm_gate_leave(work->gate);
        }
    }
    return 0;
}

int xm_work_do(struct xm_work *work, struct xm_ring_lane *out, int64_t begin_ns,
               const _Atomic uint32_t *stop)
{
    int64_t since_ns = begin_ns;
    int rc = 0;
    size_t i;

    xm_ring_enter_since(out, 0, begin_ns);
    while (xm_probe_due(work->files, begin_ns, &i)) {
        xm_ring_enter(out, work->file_index[i] + 1);
        xm_probe_check(work->files, i);
    }
    for (i = 0; i < work->n_runs && rc == 0; i++) {
        if (work->runs[i].is_call)
            rc = make_calls(work, &work->runs[i], out, &since_ns, stop);
        else
            read_files(work, &work->runs[i], out);
    }
    xm_ring_enter_since(out, 0, 0);
    return rc;
}
