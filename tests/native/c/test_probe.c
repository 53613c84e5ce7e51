/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "clock.h"
#include "probe.h"
#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Linked with --wrap=pread: the kernel answers what a test tells it to. */
static int next_error;
static size_t chunk;

ssize_t __real_pread(int fd, void *buffer, size_t bytes, off_t at);
ssize_t __wrap_pread(int fd, void *buffer, size_t bytes, off_t at);

ssize_t __wrap_pread(int fd, void *buffer, size_t bytes, off_t at)
{
    if (next_error != 0) {
        errno = next_error;
        return -1;
    }
    if (chunk != 0 && bytes > chunk)
        bytes = chunk;
    return __real_pread(fd, buffer, bytes, at);
}

static char text[XM_PROBE_TEXT_BYTES];
static char path[] = "/tmp/xm-probe-XXXXXX";

static void write_file(const char *content)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0600);

    CHECK_EQ(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    close(fd);
}

static struct xm_probe make(struct xm_parse_field *fields, size_t n)
{
    struct xm_probe probe = {.path = path, .fd = -1, .n_fields = n, .fields = fields};

    for (size_t i = 0; i < n; i++) {
        fields[i].low = INT64_MIN;
        fields[i].high = INT64_MAX;
    }
    xm_probe_prepare(&probe);
    xm_probe_open(&probe, 0);
    return probe;
}

static void test_errno_becomes_a_reason(void)
{
    static const struct {
        int error;
        uint8_t reason;
        int64_t code;
        int reopens;
    } rows[] = {
        {ENOENT, XM_REASON_DEVICE_LOST, 0, 1},     {ENODEV, XM_REASON_DEVICE_LOST, 0, 1},
        {ENXIO, XM_REASON_DEVICE_LOST, 0, 1},      {EACCES, XM_REASON_NO_PERMISSION, 0, 0},
        {EPERM, XM_REASON_NO_PERMISSION, 0, 0},    {EINVAL, XM_REASON_UNSUPPORTED, 0, 0},
        {EOPNOTSUPP, XM_REASON_UNSUPPORTED, 0, 0}, {ENODATA, XM_REASON_UNSUPPORTED, 0, 0},
        {ENOTTY, XM_REASON_UNSUPPORTED, 0, 0},     {EAGAIN, XM_REASON_NOT_YET, 0, 0},
        {ETIMEDOUT, XM_REASON_TIMEOUT, 0, 0},      {EIO, XM_REASON_VENDOR_ERROR, EIO, 0},
        {EBUSY, XM_REASON_VENDOR_ERROR, EBUSY, 0},
    };

    write_file("5\n");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct xm_parse_field field = {.column = 0};
        struct xm_probe probe = make(&field, 1);
        int64_t value = 99;
        uint8_t reason = 99;

        next_error = rows[i].error;
        xm_probe_read(&probe, 1, text, &value, &reason);
        next_error = 0;
        CHECK_EQ(reason, rows[i].reason);
        CHECK_EQ(value, rows[i].code);
        CHECK_EQ(probe.fd < 0, rows[i].reopens);
        /* One that is gone stays so for a second, any other is read again at once. */
        xm_probe_read(&probe, 2, text, &value, &reason);
        CHECK_EQ(reason, rows[i].reopens ? rows[i].reason : XM_REASON_VALUE);
        xm_probe_read(&probe, XM_SECOND_NS + 1, text, &value, &reason);
        CHECK_EQ(reason, XM_REASON_VALUE);
        CHECK_EQ(value, 5);
        close(probe.fd);
    }
}

static void test_file_is_read_on_in_chunks(void)
{
    static char long_text[40000];
    struct xm_parse_field fields[3] = {{.column = 0, .key = "line7999", .key_bytes = 8},
                                       {.column = 1, .index = 1},
                                       {.column = 2, .key = "nokey", .key_bytes = 5}};
    struct xm_probe probe;
    int64_t values[3];
    uint8_t reasons[3];
    char *p = long_text;

    p += sprintf(p, "1 2\n");
    for (int i = 7000; i < 8000; i++)
        p += sprintf(p, "line%d %d\n", i, i);
    write_file(long_text);
    probe = make(fields, 3);
    for (chunk = 1000; chunk < 5000; chunk += 333) {
        xm_probe_read(&probe, 1, text, values, reasons);
        CHECK_EQ(reasons[0], XM_REASON_VALUE);
        CHECK_EQ(values[0], 7999);
        CHECK_EQ(reasons[1], XM_REASON_VALUE);
        CHECK_EQ(values[1], 2);
        CHECK_EQ(reasons[2], XM_REASON_UNSUPPORTED);
    }
    chunk = 0;
    close(probe.fd);
}

static void test_file_larger_than_the_buffer(void)
{
    static char huge[XM_PROBE_TEXT_BYTES + 100];
    struct xm_parse_field fields[2] = {{.column = 0, .index = 0}, {.column = 1, .index = 1}};
    struct xm_probe probe;
    int64_t values[2];
    uint8_t reasons[2];

    memset(huge, ' ', sizeof(huge) - 1);
    memcpy(huge, "5", 1);
    memcpy(huge + sizeof(huge) - 3, "6\n", 2);
    write_file(huge);
    probe = make(fields, 2);
    xm_probe_read(&probe, 1, text, values, reasons);
    CHECK_EQ(reasons[0], XM_REASON_VALUE);
    CHECK_EQ(values[0], 5);
    CHECK_EQ(reasons[1], XM_REASON_UNSUPPORTED);
    close(probe.fd);
}

static void test_sentinels_and_range(void)
{
    int64_t sentinels[] = {65535, -1};
    struct xm_parse_field field = {.sentinels = sentinels, .n_sentinels = 2};
    struct xm_probe probe = make(&field, 1);
    int64_t value;
    uint8_t reason;

    field.low = 0;
    field.high = 100;
    xm_probe_prepare(&probe);
    write_file("100\n");
    xm_probe_read(&probe, 1, text, &value, &reason);
    CHECK(reason == XM_REASON_VALUE && value == 100);
    write_file("101\n");
    xm_probe_read(&probe, 1, text, &value, &reason);
    CHECK(reason == XM_REASON_IMPLAUSIBLE && value == 0);
    write_file("65535\n");
    xm_probe_read(&probe, 1, text, &value, &reason);
    CHECK(reason == XM_REASON_UNSUPPORTED && value == 0);
    write_file("18446744073709551615\n");
    xm_probe_read(&probe, 1, text, &value, &reason);
    CHECK(reason == XM_REASON_UNSUPPORTED && value == 0);
    write_file("18446744073709551616\n");
    xm_probe_read(&probe, 1, text, &value, &reason);
    CHECK(reason == XM_REASON_IMPLAUSIBLE && value == 0);
    close(probe.fd);
}

static void test_removed_and_replaced_files(void)
{
    struct xm_parse_field field = {.column = 0};
    struct xm_probe probe;
    int64_t now = 1;
    int64_t value;
    uint8_t reason;

    write_file("1\n");
    probe = make(&field, 1);
    unlink(path);
    now += XM_SECOND_NS;
    xm_probe_read(&probe, now, text, &value, &reason);
    CHECK_EQ(reason, XM_REASON_DEVICE_LOST);
    write_file("2\n");
    xm_probe_read(&probe, now + 1, text, &value, &reason);
    CHECK_EQ(reason, XM_REASON_DEVICE_LOST);
    now += XM_SECOND_NS;
    xm_probe_read(&probe, now, text, &value, &reason);
    CHECK(reason == XM_REASON_VALUE && value == 2);
    unlink(path);
    CHECK_EQ(mkfifo(path, 0600), 0);
    now += XM_SECOND_NS;
    xm_probe_read(&probe, now, text, &value, &reason);
    CHECK_EQ(reason, XM_REASON_NOT_YET);
    unlink(path);
    write_file("3\n");
    now += XM_SECOND_NS;
    xm_probe_read(&probe, now, text, &value, &reason);
    CHECK(reason == XM_REASON_VALUE && value == 3);
    close(probe.fd);
}

static void test_written_fifo_is_read(void)
{
    struct xm_parse_field field = {.column = 0};
    struct xm_probe probe;
    int64_t value;
    uint8_t reason;
    int writer;

    unlink(path);
    CHECK_EQ(mkfifo(path, 0600), 0);
    probe = make(&field, 1);
    writer = open(path, O_WRONLY | O_NONBLOCK);
    xm_probe_read(&probe, 1, text, &value, &reason);
    CHECK_EQ(reason, XM_REASON_NOT_YET);
    CHECK_EQ(write(writer, "44 \n", 4), 4);
    xm_probe_read(&probe, 1, text, &value, &reason);
    CHECK(reason == XM_REASON_VALUE && value == 44);
    close(writer);
    close(probe.fd);
    unlink(path);
}

int main(void)
{
    close(mkstemp(path));
    test_errno_becomes_a_reason();
    test_file_is_read_on_in_chunks();
    test_file_larger_than_the_buffer();
    test_sentinels_and_range();
    test_removed_and_replaced_files();
    test_written_fifo_is_read();
    unlink(path);
    return 0;
}
