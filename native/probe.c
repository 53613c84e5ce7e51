/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

/* A turn around all paths takes about so long. */
#define CHECK_NS XM_SECOND_NS

uint8_t xm_probe_reason(int error, int64_t *code)
{
    *code = 0;
    switch (error) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
        return XM_REASON_DEVICE_LOST;
    case EACCES:
    case EPERM:
        return XM_REASON_NO_PERMISSION;
    case EINVAL:
    case EOPNOTSUPP:
    case ENODATA:
    case ENOTTY:
        return XM_REASON_UNSUPPORTED;
    case EAGAIN:
        return XM_REASON_NOT_YET;
    case ETIMEDOUT:
        return XM_REASON_TIMEOUT;
    default:
        *code = error;
        return XM_REASON_VENDOR_ERROR;
    }
}

struct xm_probe_set *xm_probe_create(size_t n)
{
    struct xm_probe_set *set = calloc(1, sizeof(*set));

    if (set == NULL)
        return NULL;
    set->n = n;
    set->probe = calloc(n + 1, sizeof(*set->probe));
    set->plain = calloc(n + 1, sizeof(*set->plain));
    if (set->probe == NULL || set->plain == NULL) {
        set->n = 0;
        xm_probe_destroy(set);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        set->probe[i].fd = set->plain[i].fd = -1;
    return set;
}

static void close_file(struct xm_probe_set *set, size_t i)
{
    struct xm_probe *probe = &set->probe[i];

    if (probe->fd >= 0)
        close(probe->fd);
    probe->fd = -1;
    probe->is_stream = 0;
    set->plain[i].fd = -1;
}

void xm_probe_destroy(struct xm_probe_set *set)
{
    for (size_t i = 0; i < set->n; i++) {
        struct xm_probe *probe = &set->probe[i];

        close_file(set, i);
        for (size_t k = 0; k < probe->n_fields; k++) {
            free(probe->fields[k].key);
            free(probe->fields[k].sentinels);
        }
        free(probe->fields);
        free(probe->path);
    }
    free(set->probe);
    free(set->plain);
    free(set);
}

static int is_plain(const struct xm_probe *probe)
{
    return probe->n_fields == 1 && probe->fields->n_sentinels == 0 &&
           xm_parse_is_plain(probe->fields);
}

void xm_probe_open(struct xm_probe_set *set, size_t i)
{
    struct xm_probe *probe = &set->probe[i];
    struct stat status;

    close_file(set, i);
    probe->error = 0;
    /* NONBLOCK: a FIFO in place of the file must not hold the lane until a writer comes. */
    probe->fd = open(probe->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (probe->fd < 0 || fstat(probe->fd, &status) != 0) {
        probe->error = errno;
        close_file(set, i);
        return;
    }
    probe->device = status.st_dev;
    probe->inode = status.st_ino;
    if (is_plain(probe))
        set->plain[i] = (struct xm_probe_plain){probe->fd, probe->fields->column,
                                                probe->fields->low, probe->fields->high};
}

int xm_probe_due(struct xm_probe_set *set, int64_t now_ns, size_t *i)
{
    int64_t step = CHECK_NS / (int64_t)(set->n + 1);

    /* Far behind, as a slow lane is in each row: one turn around, not one per second passed. */
    if (set->check_ns < now_ns - CHECK_NS)
        set->check_ns = now_ns - CHECK_NS;
    if (set->n == 0 || now_ns < set->check_ns)
        return 0;
    *i = set->next;
    set->next = (set->next + 1) % set->n;
    set->check_ns += step + 1;
    return 1;
}

void xm_probe_check(struct xm_probe_set *set, size_t i)
{
    const struct xm_probe *probe = &set->probe[i];
    struct stat status;

    /* A removed or replaced file stays readable through its descriptor, with values of the past. */
    if (probe->fd >= 0 && stat(probe->path, &status) == 0 && status.st_dev == probe->device &&
        status.st_ino == probe->inode)
        return;
    xm_probe_open(set, i);
}

/* Bytes read, or -errno. */
static ssize_t read_at(const struct xm_probe *probe, char *text, size_t bytes, off_t at)
{
    ssize_t got;

    do
        got = probe->is_stream ? read(probe->fd, text, bytes) : pread(probe->fd, text, bytes, at);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    /* Nobody writes to the FIFO, or not yet. */
    return got == 0 && probe->is_stream ? -EAGAIN : got;
}

/* After a pread that failed with errno: bytes read, or -errno. */
static ssize_t read_again(struct xm_probe *probe, char *text)
{
    if (errno == ESPIPE)
        probe->is_stream = 1;
    else if (errno != EINTR)
        return -errno;
    return read_at(probe, text, XM_PROBE_TEXT_BYTES, 0);
}

static void fail_fields(const struct xm_probe *probe, int error, int64_t *values, uint8_t *reasons)
{
    int64_t code;
    uint8_t reason = xm_probe_reason(error, &code);

    for (size_t i = 0; i < probe->n_fields; i++) {
        values[probe->fields[i].column] = code;
        reasons[probe->fields[i].column] = reason;
    }
}

/* Whether the descriptor is of no use any more after this error of a read. */
static int is_gone(int error)
{
    return error == ENODEV || error == ENXIO || error == ENOENT || error == ESTALE ||
           error == EBADF;
}

static int is_sentinel(const struct xm_parse_field *field, int64_t value)
{
    for (size_t i = 0; i < field->n_sentinels; i++) {
        if (field->sentinels[i] == value)
            return 1;
    }
    return 0;
}

static void store_value(const struct xm_parse_field *field, int64_t value, int64_t *values,
                        uint8_t *reasons)
{
    uint8_t reason = XM_REASON_VALUE;

    if (is_sentinel(field, value))
        reason = XM_REASON_UNSUPPORTED;
    else if (value < field->low || value > field->high)
        reason = XM_REASON_IMPLAUSIBLE;
    values[field->column] = reason == XM_REASON_VALUE ? value : 0;
    reasons[field->column] = reason;
}

/* Read on where the text ends: a seq_file hands out a page's worth at a time. 0 or -errno. */
static int read_more(struct xm_probe *probe, char *buffer, struct xm_parse_text *text)
{
    size_t room = XM_PROBE_TEXT_BYTES - text->bytes;
    ssize_t got = 0;

    if (room > 0)
        got = read_at(probe, buffer + text->bytes, room, (off_t)text->bytes);
    if (got < 0)
        return (int)got;
    text->bytes += (size_t)got;
    text->whole = got == 0;
    return 0;
}

/* 0 or -errno of a read that was needed to go on. */
static int fill_field(struct xm_probe *probe, char *buffer, struct xm_parse_text *text,
                      struct xm_parse_field *field, int64_t *values, uint8_t *reasons)
{
    int64_t value = 0;
    enum xm_parse_result result = xm_parse_number(text, field, &value);

    while (result == XM_PARSE_MORE) {
        int rc = read_more(probe, buffer, text);

        if (rc != 0)
            return rc;
        result = xm_parse_number(text, field, &value);
    }
    if (result == XM_PARSE_FOUND) {
        store_value(field, value, values, reasons);
        return 0;
    }
    values[field->column] = 0;
    reasons[field->column] = result == XM_PARSE_BAD ? XM_REASON_IMPLAUSIBLE : XM_REASON_UNSUPPORTED;
    return 0;
}

void xm_probe_fill(struct xm_probe_set *set, size_t i, char *buffer, ssize_t got, int64_t *values,
                   uint8_t *reasons)
{
    struct xm_probe *probe = &set->probe[i];
    struct xm_parse_text text = {.data = buffer};
    int rc = 0;

    if (got < 0)
        got = read_again(probe, buffer);
    if (got < 0)
        rc = (int)got;
    else
        text.bytes = (size_t)got;
    text.whole = got == 0 || probe->is_stream;
    for (size_t k = 0; k < probe->n_fields && rc == 0; k++)
        rc = fill_field(probe, buffer, &text, &probe->fields[k], values, reasons);
    if (rc == 0)
        return;
    fail_fields(probe, -rc, values, reasons);
    if (is_gone(-rc)) {
        close_file(set, i);
        probe->error = -rc;
    }
}

void xm_probe_read_other(struct xm_probe_set *set, size_t i, char *text, int64_t *values,
                         uint8_t *reasons)
{
    const struct xm_probe *probe = &set->probe[i];

    if (probe->fd >= 0)
        xm_probe_fill(set, i, text, pread(probe->fd, text, XM_PROBE_TEXT_BYTES, 0), values,
                      reasons);
    else
        fail_fields(probe, probe->error, values, reasons);
}
