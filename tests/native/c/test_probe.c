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

struct cells {
    int64_t values[3];
    uint8_t reasons[3];
};

/* One probe with a copy of the fields. */
static struct xm_probe_set *make(const struct xm_parse_field *fields, size_t n)
{
    struct xm_probe_set *set = xm_probe_create(1);
    struct xm_probe *probe = &set->probe[0];

    probe->path = strdup(path);
    probe->n_fields = n;
    probe->fields = calloc(n, sizeof(*fields));
    for (size_t i = 0; i < n; i++) {
        probe->fields[i] = fields[i];
        if (fields[i].key != NULL)
            probe->fields[i].key = strdup(fields[i].key);
        if (fields[i].low == 0 && fields[i].high == 0) {
            probe->fields[i].low = INT64_MIN;
            probe->fields[i].high = INT64_MAX;
        }
    }
    xm_probe_open(set, 0);
    return set;
}

static struct cells read_cells(struct xm_probe_set *set)
{
    struct cells cells;

    memset(&cells, 99, sizeof(cells));
    xm_probe_read(set, 0, text, cells.values, cells.reasons);
    return cells;
}

static void check_cell(struct xm_probe_set *set, uint8_t reason, int64_t value)
{
    struct cells cells = read_cells(set);

    CHECK_EQ(cells.reasons[0], reason);
    CHECK_EQ(cells.values[0], value);
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
        struct xm_probe_set *set = make(&field, 1);

        next_error = rows[i].error;
        check_cell(set, rows[i].reason, rows[i].code);
        next_error = 0;
        CHECK_EQ(set->probe[0].fd < 0, rows[i].reopens);
        /* One that is gone stays so until its next check, any other is read again at once. */
        if (rows[i].reopens) {
            check_cell(set, rows[i].reason, rows[i].code);
            xm_probe_check(set, 0);
        }
        check_cell(set, XM_REASON_VALUE, 5);
        xm_probe_destroy(set);
    }
}

static void test_file_is_read_on_in_chunks(void)
{
    static char long_text[40000];
    struct xm_parse_field fields[3] = {{.column = 0, .key = "line7999", .key_bytes = 8},
                                       {.column = 1, .index = 1},
                                       {.column = 2, .key = "nokey", .key_bytes = 5}};
    struct xm_probe_set *set;
    char *p = long_text;

    p += sprintf(p, "1 2\n");
    for (int i = 7000; i < 8000; i++)
        p += sprintf(p, "line%d %d\n", i, i);
    write_file(long_text);
    set = make(fields, 3);
    for (chunk = 1000; chunk < 5000; chunk += 333) {
        struct cells cells = read_cells(set);

        CHECK_EQ(cells.reasons[0], XM_REASON_VALUE);
        CHECK_EQ(cells.values[0], 7999);
        CHECK_EQ(cells.reasons[1], XM_REASON_VALUE);
        CHECK_EQ(cells.values[1], 2);
        CHECK_EQ(cells.reasons[2], XM_REASON_UNSUPPORTED);
    }
    chunk = 0;
    xm_probe_destroy(set);
}

static void test_file_larger_than_the_buffer(void)
{
    static char huge[XM_PROBE_TEXT_BYTES + 100];
    struct xm_parse_field fields[2] = {{.column = 0, .index = 0}, {.column = 1, .index = 1}};
    struct xm_probe_set *set;
    struct cells cells;

    memset(huge, ' ', sizeof(huge) - 1);
    memcpy(huge, "5", 1);
    memcpy(huge + sizeof(huge) - 3, "6\n", 2);
    write_file(huge);
    set = make(fields, 2);
    cells = read_cells(set);
    CHECK_EQ(cells.reasons[0], XM_REASON_VALUE);
    CHECK_EQ(cells.values[0], 5);
    CHECK_EQ(cells.reasons[1], XM_REASON_UNSUPPORTED);
    xm_probe_destroy(set);
}

/* The same with and without the short way of a plain read. */
static void test_sentinels_and_range(size_t n_sentinels)
{
    static const int64_t sentinels[] = {65535, -1};
    struct xm_parse_field field = {.low = 0, .high = 100};
    struct xm_probe_set *set;

    if (n_sentinels > 0) {
        field.sentinels = malloc(sizeof(sentinels));
        field.n_sentinels = n_sentinels;
        memcpy(field.sentinels, sentinels, sizeof(sentinels));
    }
    write_file("100\n");
    set = make(&field, 1);
    CHECK_EQ(set->plain[0].fd >= 0, n_sentinels == 0);
    check_cell(set, XM_REASON_VALUE, 100);
    write_file("101\n");
    check_cell(set, XM_REASON_IMPLAUSIBLE, 0);
    write_file("-1\n");
    check_cell(set, n_sentinels > 0 ? XM_REASON_UNSUPPORTED : XM_REASON_IMPLAUSIBLE, 0);
    write_file("18446744073709551615\n");
    check_cell(set, n_sentinels > 0 ? XM_REASON_UNSUPPORTED : XM_REASON_IMPLAUSIBLE, 0);
    write_file("18446744073709551616\n");
    check_cell(set, XM_REASON_IMPLAUSIBLE, 0);
    write_file(" 7 \n");
    check_cell(set, XM_REASON_VALUE, 7);
    write_file("");
    check_cell(set, XM_REASON_UNSUPPORTED, 0);
    xm_probe_destroy(set);
}

static void test_removed_and_replaced_files(void)
{
    struct xm_parse_field field = {.column = 0};
    struct xm_probe_set *set;

    write_file("1\n");
    set = make(&field, 1);
    unlink(path);
    xm_probe_check(set, 0);
    check_cell(set, XM_REASON_DEVICE_LOST, 0);
    write_file("2\n");
    check_cell(set, XM_REASON_DEVICE_LOST, 0);
    xm_probe_check(set, 0);
    check_cell(set, XM_REASON_VALUE, 2);
    unlink(path);
    CHECK_EQ(mkfifo(path, 0600), 0);
    xm_probe_check(set, 0);
    check_cell(set, XM_REASON_NOT_YET, 0);
    check_cell(set, XM_REASON_NOT_YET, 0);
    unlink(path);
    write_file("3\n");
    xm_probe_check(set, 0);
    check_cell(set, XM_REASON_VALUE, 3);
    xm_probe_destroy(set);
}

static void test_written_fifo_is_read(void)
{
    struct xm_parse_field field = {.column = 0};
    struct xm_probe_set *set;
    int writer;

    unlink(path);
    CHECK_EQ(mkfifo(path, 0600), 0);
    set = make(&field, 1);
    writer = open(path, O_WRONLY | O_NONBLOCK);
    check_cell(set, XM_REASON_NOT_YET, 0);
    CHECK_EQ(write(writer, "44 \n", 4), 4);
    check_cell(set, XM_REASON_VALUE, 44);
    close(writer);
    xm_probe_destroy(set);
    unlink(path);
}

/* Checks are spread over a second, and a slow lane makes them all in one row. */
static void test_each_path_is_checked_once_a_second(void)
{
    struct xm_probe_set *set = xm_probe_create(10);
    int checks[10] = {0};
    int64_t now = 0;
    size_t i;

    for (; now < 10 * XM_SECOND_NS; now += XM_SECOND_NS / 1000) {
        int in_row = 0;

        while (xm_probe_due(set, now, &i)) {
            checks[i]++;
            in_row++;
        }
        CHECK(in_row <= 1);
    }
    for (i = 0; i < 10; i++)
        CHECK(checks[i] >= 9 && checks[i] <= 12);
    for (now += 60 * XM_SECOND_NS; now < 700 * XM_SECOND_NS; now += 60 * XM_SECOND_NS) {
        int in_row = 0;

        while (xm_probe_due(set, now, &i))
            in_row++;
        CHECK(in_row >= 10 && in_row <= 12);
    }
    xm_probe_destroy(set);
}

int main(void)
{
    close(mkstemp(path));
    test_errno_becomes_a_reason();
    test_file_is_read_on_in_chunks();
    test_file_larger_than_the_buffer();
    test_sentinels_and_range(0);
    test_sentinels_and_range(2);
    test_removed_and_replaced_files();
    test_written_fifo_is_read();
    test_each_path_is_checked_once_a_second();
    unlink(path);
    return 0;
}
