/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include "clock.h"
#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void close_file(struct xm_probe *probe)
{
    if (probe->fd >= 0)
        close(probe->fd);
    probe->fd = -1;
    probe->is_stream = 0;
}

struct xm_probe *xm_probe_allocate(size_t n)
{
    size_t bytes = (n > 0 ? n : 1) * sizeof(struct xm_probe);
    struct xm_probe *probes = aligned_alloc(_Alignof(struct xm_probe), bytes);

    if (probes == NULL)
        return NULL;
    memset(probes, 0, bytes);
    for (size_t i = 0; i < n; i++)
        probes[i].fd = -1;
    return probes;
}

void xm_probe_prepare(struct xm_probe *probe)
{
    const struct xm_parse_field *field = probe->fields;

    probe->is_plain = probe->n_fields == 1 && field->n_sentinels == 0 && xm_parse_is_plain(field);
    if (!probe->is_plain)
        return;
    probe->column = field->column;
    probe->low = field->low;
    probe->high = field->high;
}

void xm_probe_open(struct xm_probe *probe, int64_t now_ns)
{
    struct stat status;

    close_file(probe);
    probe->error = 0;
    probe->check_ns = now_ns + CHECK_NS;
    /* NONBLOCK: a FIFO in place of the file must not hold the lane until a writer comes. */
    probe->fd = open(probe->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (probe->fd < 0 || fstat(probe->fd, &status) != 0) {
        probe->error = errno;
        close_file(probe);
        return;
    }
    probe->device = status.st_dev;
    probe->inode = status.st_ino;
}

/* A removed or replaced file stays readable through its descriptor, with values of the past. */
static void check_path(struct xm_probe *probe, int64_t now_ns)
{
    struct stat status;

    probe->check_ns = now_ns + CHECK_NS;
    if (probe->fd >= 0 && stat(probe->path, &status) == 0 && status.st_dev == probe->device &&
        status.st_ino == probe->inode)
        return;
    xm_probe_open(probe, now_ns);
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

static void fill_fields(struct xm_probe *probe, int64_t now_ns, char *buffer, ssize_t got,
                        int64_t *values, uint8_t *reasons)
{
    struct xm_parse_text text = {.data = buffer};
    int rc = 0;

    if (got < 0)
        rc = (int)got;
    else
        text.bytes = (size_t)got;
    text.whole = got == 0 || probe->is_stream;
    for (size_t i = 0; i < probe->n_fields && rc == 0; i++)
        rc = fill_field(probe, buffer, &text, &probe->fields[i], values, reasons);
    if (rc == 0)
        return;
    fail_fields(probe, -rc, values, reasons);
    if (is_gone(-rc)) {
        close_file(probe);
        probe->error = -rc;
        probe->check_ns = now_ns + CHECK_NS;
    }
}

void xm_probe_read(struct xm_probe *probe, int64_t now_ns, char *buffer, int64_t *values,
                   uint8_t *reasons)
{
    int64_t value;
    ssize_t got;

    if (now_ns >= probe->check_ns)
        check_path(probe, now_ns);
    if (probe->fd < 0) {
        fail_fields(probe, probe->error, values, reasons);
        return;
    }
    got = pread(probe->fd, buffer, XM_PROBE_TEXT_BYTES, 0);
    if (got > 0 && probe->is_plain && xm_parse_plain(buffer, (size_t)got, &value) &&
        value >= probe->low && value <= probe->high) {
        values[probe->column] = value;
        reasons[probe->column] = XM_REASON_VALUE;
        return;
    }
    if (got < 0)
        got = read_again(probe, buffer);
    fill_fields(probe, now_ns, buffer, got, values, reasons);
}

void xm_probe_free(struct xm_probe *probe)
{
    close_file(probe);
    for (size_t i = 0; i < probe->n_fields; i++) {
        free(probe->fields[i].key);
        free(probe->fields[i].sentinels);
    }
    free(probe->fields);
    free(probe->path);
}
