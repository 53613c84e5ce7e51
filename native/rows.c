/* SPDX-License-Identifier: Apache-2.0 */
#include "rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int allocate(struct xm_rows *rows, size_t room)
{
    rows->scheduled_ns = malloc(room * sizeof(*rows->scheduled_ns));
    rows->begin_ns = malloc(room * sizeof(*rows->begin_ns));
    rows->duration_ns = malloc(room * sizeof(*rows->duration_ns));
    rows->missed = malloc(room * sizeof(*rows->missed));
    rows->values = malloc(room * rows->columns * sizeof(*rows->values));
    rows->distinct = calloc(rows->columns, sizeof(*rows->distinct));
    if (rows->scheduled_ns == NULL || rows->begin_ns == NULL || rows->duration_ns == NULL ||
        rows->missed == NULL || rows->values == NULL || rows->distinct == NULL)
        return -ENOMEM;
    return 0;
}

static int add_reason(struct xm_rows *rows, uint32_t column, struct xm_reader_cell cell)
{
    if (rows->n_reasons == rows->room_reasons) {
        size_t room = rows->room_reasons ? 2 * rows->room_reasons : 64;
        void *grown = realloc(rows->reasons, room * sizeof(*rows->reasons));

        if (grown == NULL)
            return -ENOMEM;
        rows->reasons = grown;
        rows->room_reasons = room;
    }
    rows->reasons[rows->n_reasons++] = (struct xm_rows_reason){
        .column = column, .row = (uint32_t)rows->n, .reason = cell.reason, .code = cell.value};
    return 0;
}

static int add_row(struct xm_rows *rows, const struct xm_ring_slot *row)
{
    int64_t *values = rows->values + rows->n * rows->columns;

    for (uint32_t c = 0; c < rows->columns; c++) {
        struct xm_reader_cell cell = xm_reader_cell(row, rows->columns, c);

        values[c] = cell.value;
        rows->distinct[c] += cell.reason == XM_REASON_VALUE && !cell.is_repeat;
        if (cell.reason != XM_REASON_VALUE && add_reason(rows, c, cell) != 0)
            return -ENOMEM;
    }
    rows->scheduled_ns[rows->n] = row->scheduled_ns;
    rows->begin_ns[rows->n] = row->begin_ns;
    rows->duration_ns[rows->n] = row->duration_ns;
    rows->missed[rows->n] = row->missed;
    rows->n++;
    return 0;
}

int xm_rows_read(const struct xm_reader_lane *lane, uint64_t position, uint64_t limit,
                 struct xm_rows *out)
{
    uint32_t columns = lane->geometry.columns;
    uint64_t cells = XM_READER_BATCH_BYTES / (8 * (uint64_t)columns + 24);
    struct xm_ring_slot *row = NULL;
    struct xm_reader_span span;
    uint64_t room;
    uint64_t p;
    int rc;

    *out = (struct xm_rows){.columns = columns};
    rc = xm_reader_span(lane, position, &span);
    if (rc != 0)
        return rc;
    room = smaller(smaller(limit, cells > 0 ? cells : 1), span.committed - span.first);
    out->first = out->next = span.first;
    out->overrun = span.first - position;
    if (room == 0)
        return 0;
    rc = -ENOMEM;
    row = xm_reader_scratch(lane);
    if (row == NULL || allocate(out, room) != 0)
        goto out;
    rc = 0;
    for (p = span.first; p < span.committed && out->n < room && rc == 0;) {
        if (out->n_reasons >= XM_READER_BATCH_REASONS)
            break;
        if (xm_reader_row(lane, p, row) == 0) {
            rc = add_row(out, row);
            p++;
        } else if (out->n > 0) {
            break; /* rows handed out are contiguous; the next call counts this one */
        } else {
            p = xm_reader_resume(lane, p, span.committed);
            out->first = p;
        }
    }
    out->overrun = out->first - position;
    out->next = out->first + out->n;
out:
    free(row);
    return rc;
}

void xm_rows_free(struct xm_rows *rows)
{
    free(rows->scheduled_ns);
    free(rows->begin_ns);
    free(rows->duration_ns);
    free(rows->missed);
    free(rows->values);
    free(rows->distinct);
    free(rows->reasons);
}

int xm_rows_read_records(const struct xm_reader_lane *lane, uint64_t position, uint64_t limit,
                         struct xm_rows_records *out)
{
    struct xm_ring_slot *row = NULL;
    struct xm_reader_span span;
    uint64_t payload = lane->geometry.payload_bytes;
    uint64_t room;
    size_t used = 0;
    int rc;

    *out = (struct xm_rows_records){0};
    rc = xm_reader_span(lane, position, &span);
    if (rc != 0)
        return rc;
    out->next = span.first;
    out->overrun = span.first - position;
    room = smaller(limit, 1 + XM_READER_BATCH_BYTES / (payload + sizeof(*out->record)));
    room = smaller(room, span.committed - span.first);
    if (room == 0)
        return 0;
    rc = -ENOMEM;
    row = xm_reader_scratch(lane);
    out->record = malloc(room * sizeof(*out->record));
    out->payloads = malloc(room * payload);
    if (row == NULL || out->record == NULL || out->payloads == NULL)
        goto out;
    rc = 0;
    while (out->next < span.committed && out->n < room) {
        uint64_t next = out->next + 1;

        if (xm_reader_row(lane, out->next, row) == 0) {
            memcpy(out->payloads + used, row + 1, row->length);
            out->record[out->n++] =
                (struct xm_rows_record){row->scheduled_ns, out->payloads + used, row->length};
            used += row->length;
        } else {
            next = xm_reader_resume(lane, out->next, span.committed);
            out->overrun += next - out->next;
        }
        out->next = next;
    }
out:
    free(row);
    return rc;
}

void xm_rows_free_records(struct xm_rows_records *records)
{
    free(records->record);
    free(records->payloads);
}

void xm_rows_transpose64(const void *from, void *to, size_t rows, size_t columns)
{
    const uint64_t *cells = from;
    uint64_t *out = to;

    for (size_t c = 0; c < columns; c++) {
        for (size_t r = 0; r < rows; r++)
            *out++ = cells[r * columns + c];
    }
}

void xm_rows_transpose32(const void *from, void *to, size_t rows, size_t columns)
{
    const uint32_t *cells = from;
    uint32_t *out = to;

    for (size_t c = 0; c < columns; c++) {
        for (size_t r = 0; r < rows; r++)
            *out++ = cells[r * columns + c];
    }
}
