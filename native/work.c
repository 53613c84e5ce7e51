/* SPDX-License-Identifier: Apache-2.0 */
#include "work.h"

#include "clock.h"

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
    free(work->runs);
    free(work->file_index);
    free(work->call_index);
    free(work->text);
    free(work);
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

static void make_calls(struct xm_work *work, const struct xm_work_run *run,
                       struct xm_ring_lane *out)
{
    int64_t *values = xm_ring_values(out);
    uint8_t *reasons = xm_ring_reasons(out);

    for (size_t i = 0; i < run->n; i++) {
        xm_ring_enter(out, run->index + i + 1);
        xm_call_run(&work->calls->call[run->first + i], values, reasons);
    }
}

void xm_work_do(struct xm_work *work, struct xm_ring_lane *out, int64_t begin_ns)
{
    size_t i;

    xm_ring_enter_since(out, 0, begin_ns);
    while (xm_probe_due(work->files, begin_ns, &i)) {
        xm_ring_enter(out, work->file_index[i] + 1);
        xm_probe_check(work->files, i);
    }
    for (i = 0; i < work->n_runs; i++) {
        if (work->runs[i].is_call)
            make_calls(work, &work->runs[i], out);
        else
            read_files(work, &work->runs[i], out);
    }
    xm_ring_enter_since(out, 0, 0);
}
