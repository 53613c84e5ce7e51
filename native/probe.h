/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_PROBE_H
#define XM_PROBE_H

#include "parse.h"

/* The most of a file that is looked at. */
#define XM_PROBE_TEXT_BYTES 65536

/* One file, kept open, and what is read from it. */
struct xm_probe {
    /* All that a plain read needs stands in the first cache line: a lane finds a cold cache. */
    _Alignas(64) int fd;
    int is_plain; /* one field, xm_parse_is_plain, no sentinels; the next three are its */
    uint32_t column;
    int64_t low;
    int64_t high;
    int64_t check_ns; /* when to look whether the path still names the open file, or to open it */
    char *path;
    size_t n_fields;
    struct xm_parse_field *fields;
    uint64_t device;
    uint64_t inode;
    int is_stream; /* no offsets: a FIFO or a terminal in place of the file */
    int error;     /* errno of the last try to open */
};

/* n closed probes without fields, to be freed with free; NULL when out of memory. */
struct xm_probe *xm_probe_allocate(size_t n);

/* To be called once the fields are set. */
void xm_probe_prepare(struct xm_probe *probe);

/* The reason that an errno of open or read stands for; *code is the vendor code. */
uint8_t xm_probe_reason(int error, int64_t *code);

/* Open it now; a failure is kept as the reason of its cells. */
void xm_probe_open(struct xm_probe *probe, int64_t now_ns);

/*
 * Read the file and fill the cells of its fields. `text` holds XM_PROBE_TEXT_BYTES. May block
 * for as long as the driver behind the file does.
 */
void xm_probe_read(struct xm_probe *probe, int64_t now_ns, char *text, int64_t *values,
                   uint8_t *reasons);

/* Close the file and free what the probe points to. */
void xm_probe_free(struct xm_probe *probe);

#endif
