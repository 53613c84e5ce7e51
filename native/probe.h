/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_PROBE_H
#define XM_PROBE_H

#include "parse.h"
#include "ring.h"

#include <sys/types.h>
#include <unistd.h>

/* The most of a file that is looked at. */
#define XM_PROBE_TEXT_BYTES 65536

/*
 * What a plain read needs: one whole number, no sentinels. Packed apart from the rest because a
 * lane that wakes up finds its cache cold, and each line of it costs more than the parsing.
 */
struct xm_probe_plain {
    int fd; /* -1: closed, or not a plain read */
    uint32_t column;
    int64_t low;
    int64_t high;
};

/* One file, kept open, and what is read from it. */
struct xm_probe {
    char *path;
    size_t n_fields;
    struct xm_parse_field *fields;
    int fd;
    int is_stream; /* no offsets: a FIFO or a terminal in place of the file */
    int error;     /* errno of the last open or of the read that closed the file */
    uint64_t device;
    uint64_t inode;
};

struct xm_probe_set {
    size_t n;
    struct xm_probe *probe;
    struct xm_probe_plain *plain;
    size_t next;      /* to be checked */
    int64_t check_ns; /* when */
};

/* n closed probes without paths or fields; NULL when out of memory. */
struct xm_probe_set *xm_probe_create(size_t n);
void xm_probe_destroy(struct xm_probe_set *set);

/* Open one now; a failure is kept as the reason of its cells. Its fields must not change after. */
void xm_probe_open(struct xm_probe_set *set, size_t i);

/*
 * Each file that is open is looked up about once a second, whether the path still names it, and
 * each other is opened; one after the other, not all in one row. 1 and the index of the next
 * that is due.
 */
int xm_probe_due(struct xm_probe_set *set, int64_t now_ns, size_t *i);
void xm_probe_check(struct xm_probe_set *set, size_t i);

/* The reason that an errno of open or read stands for; *code is the vendor code. */
uint8_t xm_probe_reason(int error, int64_t *code);

/* Fill the cells of a probe from what its first pread gave; where it gave -1, errno says why. */
void xm_probe_fill(struct xm_probe_set *set, size_t i, char *text, ssize_t got, int64_t *values,
                   uint8_t *reasons);

/* Fill the cells of a probe whose file is not plain or not open. */
void xm_probe_read_other(struct xm_probe_set *set, size_t i, char *text, int64_t *values,
                         uint8_t *reasons);

/*
 * Read a file and fill its cells. `text` holds XM_PROBE_TEXT_BYTES. May block for as long as the
 * driver behind the file does.
 */
static inline void xm_probe_read(struct xm_probe_set *set, size_t i, char *text, int64_t *values,
                                 uint8_t *reasons)
{
    const struct xm_probe_plain *plain = &set->plain[i];
    int64_t value;
    ssize_t got;

    if (plain->fd < 0) {
        xm_probe_read_other(set, i, text, values, reasons);
        return;
    }
    got = pread(plain->fd, text, XM_PROBE_TEXT_BYTES, 0);
    if (got > 0 && xm_parse_plain(text, (size_t)got, &value) && value >= plain->low &&
        value <= plain->high) {
        values[plain->column] = value;
        reasons[plain->column] = XM_REASON_VALUE;
        return;
    }
    xm_probe_fill(set, i, text, got, values, reasons);
}

#endif
