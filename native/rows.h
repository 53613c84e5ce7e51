/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_ROWS_H
#define XM_ROWS_H

#include "reader.h"

struct xm_rows_reason {
    uint32_t column;
    uint32_t row;
    uint8_t reason;
    int64_t code;
};

/* Rows at full rate, contiguous from `first`; values are row-major. */
struct xm_rows {
    uint64_t first;
    uint64_t next;
    uint64_t overrun;
    uint32_t columns;
    size_t n;
    int64_t *scheduled_ns;
    int64_t *begin_ns;
    uint32_t *duration_ns;
    uint32_t *missed;
    int64_t *values;
    uint32_t *distinct; /* per column: values that are no repeats */
    struct xm_rows_reason *reasons;
    size_t n_reasons;
    size_t room_reasons;
};

/* Column lane only. 0 or -errno; `out` must be freed with xm_rows_free in both cases. */
int xm_rows_read(const struct xm_reader_lane *lane, uint64_t position, uint64_t limit,
                 struct xm_rows *out);
void xm_rows_free(struct xm_rows *rows);

struct xm_rows_record {
    int64_t time_ns;
    const uint8_t *payload;
    uint32_t bytes;
};

struct xm_rows_records {
    uint64_t next;
    uint64_t overrun;
    size_t n;
    struct xm_rows_record *record;
    uint8_t *payloads;
};

/* Record lane only. 0 or -errno; `out` must be freed with xm_rows_free_records in both cases. */
int xm_rows_read_records(const struct xm_reader_lane *lane, uint64_t position, uint64_t limit,
                         struct xm_rows_records *out);
void xm_rows_free_records(struct xm_rows_records *records);

/* Row-major rows × columns of 8-byte or 4-byte cells to column-major. */
void xm_rows_transpose64(const void *from, void *to, size_t rows, size_t columns);
void xm_rows_transpose32(const void *from, void *to, size_t rows, size_t columns);

#endif
