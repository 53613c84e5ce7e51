/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "parse.h"

#include <string.h>

#define NONE INT64_C(0)

struct row {
    const char *text;
    const char *key; /* NULL: none */
    uint32_t index;
    uint32_t decimals;
    enum xm_parse_result result;
    int64_t value;
};

static const char psi[] = "some avg10=0.00 avg60=1.25 avg300=12.5 total=123456\n"
                          "full avg10=7.01 avg60=0.5 avg300=3 total=654321\n";
static const char netdev[] = "Inter-|   Receive\n"
                             " face |bytes    packets\n"
                             "    lo: 123456 789\n"
                             "  eth0: 1 2 3\n"
                             "eth0.5: 4 5 6";

/* One row per rule of the number grammar. */
static const struct row rows[] = {
    {"45000\n", NULL, 0, 0, XM_PARSE_FOUND, 45000},
    {"45000", NULL, 0, 0, XM_PARSE_FOUND, 45000},
    {"-40\n", NULL, 0, 0, XM_PARSE_FOUND, -40},
    {"0\n", NULL, 0, 0, XM_PARSE_FOUND, 0},
    {"  7\n", NULL, 0, 0, XM_PARSE_FOUND, 7},
    {"007\n", NULL, 0, 0, XM_PARSE_FOUND, 7},
    {"", NULL, 0, 0, XM_PARSE_ABSENT, NONE},
    {"\n", NULL, 0, 0, XM_PARSE_ABSENT, NONE},
    {"on\n", NULL, 0, 0, XM_PARSE_ABSENT, NONE},
    {"-\n", NULL, 0, 0, XM_PARSE_ABSENT, NONE},
    {"--5\n", NULL, 0, 0, XM_PARSE_FOUND, -5},
    {"+5\n", NULL, 0, 0, XM_PARSE_FOUND, 5},
    /* index */
    {"1 2 3\n", NULL, 1, 0, XM_PARSE_FOUND, 2},
    {"1 2 3\n", NULL, 2, 0, XM_PARSE_FOUND, 3},
    {"1 2 3\n", NULL, 3, 0, XM_PARSE_ABSENT, NONE},
    {"1\n2\n3\n", NULL, 2, 0, XM_PARSE_FOUND, 3},
    {"1,2;3", NULL, 2, 0, XM_PARSE_FOUND, 3},
    {"0-3\n", NULL, 1, 0, XM_PARSE_FOUND, 3},
    /* glue */
    {"avg10=5\n", NULL, 0, 0, XM_PARSE_FOUND, 5},
    {"cpu0 9\n", NULL, 0, 0, XM_PARSE_FOUND, 9},
    {"x_1 9\n", NULL, 0, 0, XM_PARSE_FOUND, 9},
    {"v.1 9\n", NULL, 0, 0, XM_PARSE_FOUND, 9},
    {"1.2.3 9\n", NULL, 1, 0, XM_PARSE_FOUND, 9},
    {"a-5 9\n", NULL, 0, 0, XM_PARSE_FOUND, 5},
    {"300Mhz 400Mhz\n", NULL, 1, 0, XM_PARSE_FOUND, 400},
    {"(3)\n", NULL, 0, 0, XM_PARSE_FOUND, 3},
    /* decimals */
    {"0.12\n", NULL, 0, 2, XM_PARSE_FOUND, 12},
    {"0.12\n", NULL, 0, 0, XM_PARSE_FOUND, 0},
    {"0.129\n", NULL, 0, 2, XM_PARSE_FOUND, 12},
    {"0.1\n", NULL, 0, 2, XM_PARSE_FOUND, 10},
    {"5\n", NULL, 0, 2, XM_PARSE_FOUND, 500},
    {"5", NULL, 0, 2, XM_PARSE_FOUND, 500},
    {"5.\n", NULL, 0, 2, XM_PARSE_FOUND, 500},
    {"-1.29\n", NULL, 0, 1, XM_PARSE_FOUND, -12},
    {"-0.5\n", NULL, 0, 1, XM_PARSE_FOUND, -5},
    {"1.5 2.5\n", NULL, 1, 1, XM_PARSE_FOUND, 25},
    {"1 2\n", NULL, 0, 3, XM_PARSE_FOUND, 1000},
    {"16.0 GT/s PCIe\n", NULL, 0, 1, XM_PARSE_FOUND, 160},
    {"0.123456789012345678\n", NULL, 0, 18, XM_PARSE_FOUND, 123456789012345678},
    /* width */
    {"999999999999999999\n", NULL, 0, 0, XM_PARSE_FOUND, 999999999999999999},
    {"1000000000000000000\n", NULL, 0, 0, XM_PARSE_FOUND, 1000000000000000000},
    {"9223372036854775807\n", NULL, 0, 0, XM_PARSE_FOUND, INT64_MAX},
    {"9223372036854775808\n", NULL, 0, 0, XM_PARSE_FOUND, INT64_MIN},
    {"18446744073709551615\n", NULL, 0, 0, XM_PARSE_FOUND, -1},
    {"18446744073709551616\n", NULL, 0, 0, XM_PARSE_BAD, NONE},
    {"99999999999999999999999999\n", NULL, 0, 0, XM_PARSE_BAD, NONE},
    {"-9223372036854775808\n", NULL, 0, 0, XM_PARSE_FOUND, INT64_MIN},
    {"-9223372036854775809\n", NULL, 0, 0, XM_PARSE_BAD, NONE},
    {"18446744073709551615\n", NULL, 0, 1, XM_PARSE_BAD, NONE},
    {"000000000000000000000000012\n", NULL, 0, 0, XM_PARSE_FOUND, 12},
    {"0x1f\n", NULL, 0, 0, XM_PARSE_BAD, NONE},
    {"0x1f 5\n", NULL, 1, 0, XM_PARSE_FOUND, 5},
    /* key */
    {psi, "some", 0, 2, XM_PARSE_FOUND, 0},
    {psi, "some", 1, 2, XM_PARSE_FOUND, 125},
    {psi, "some", 3, 0, XM_PARSE_FOUND, 123456},
    {psi, "some", 4, 0, XM_PARSE_ABSENT, NONE},
    {psi, "full", 0, 2, XM_PARSE_FOUND, 701},
    {psi, "full", 3, 0, XM_PARSE_FOUND, 654321},
    {psi, "ful", 0, 0, XM_PARSE_ABSENT, NONE},
    {psi, "avg60=1.25", 0, 0, XM_PARSE_ABSENT, NONE},
    {netdev, "lo:", 1, 0, XM_PARSE_FOUND, 789},
    {netdev, "eth0:", 0, 0, XM_PARSE_FOUND, 1},
    {netdev, "eth0:", 2, 0, XM_PARSE_FOUND, 3},
    {netdev, "eth0:", 3, 0, XM_PARSE_ABSENT, NONE},
    {netdev, "eth0.5:", 2, 0, XM_PARSE_FOUND, 6},
    {"key\n5\n", "key", 0, 0, XM_PARSE_ABSENT, NONE},
    {"key", "key", 0, 0, XM_PARSE_ABSENT, NONE},
    {"\n\n  key 5", "key", 0, 0, XM_PARSE_FOUND, 5},
    {"key5 6\nkey 7\n", "key", 0, 0, XM_PARSE_FOUND, 7},
    {"MemTotal:       16384 kB\n", "MemTotal:", 0, 0, XM_PARSE_FOUND, 16384},
};

static struct xm_parse_field field_of(const struct row *row)
{
    struct xm_parse_field field = {.index = row->index, .decimals = row->decimals};

    if (row->key != NULL) {
        field.key = (char *)(uintptr_t)row->key;
        field.key_bytes = (uint32_t)strlen(row->key);
    }
    return field;
}

/* Exactly so many bytes, so that a sanitizer sees the first one too many. */
static enum xm_parse_result parse(const char *text, size_t bytes, int whole,
                                  struct xm_parse_field *field, int64_t *value)
{
    char *copy = malloc(bytes + (bytes == 0));
    struct xm_parse_text seen = {.data = copy, .bytes = bytes, .whole = whole};
    enum xm_parse_result result;

    memcpy(copy, text, bytes);
    result = xm_parse_number(&seen, field, value);
    free(copy);
    return result;
}

static void test_table(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct xm_parse_field field = field_of(&rows[i]);
        int64_t value = NONE;
        enum xm_parse_result result;

        result = parse(rows[i].text, strlen(rows[i].text), 1, &field, &value);
        if (result != rows[i].result || value != rows[i].value)
            fprintf(stderr, "row %zu: %s\n", i, rows[i].text);
        CHECK_EQ(result, rows[i].result);
        CHECK_EQ(value, rows[i].value);
    }
}

/* Fed byte by byte, an answer comes too early never, and the same one at the end. */
static void test_split_texts(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t bytes = strlen(rows[i].text);

        for (size_t cut = 0; cut <= bytes; cut++) {
            struct xm_parse_field field = field_of(&rows[i]);
            int64_t value = NONE;
            enum xm_parse_result result = parse(rows[i].text, cut, 0, &field, &value);

            if (result == XM_PARSE_MORE)
                continue;
            CHECK_EQ(result, rows[i].result);
            CHECK_EQ(value, rows[i].value);
        }
    }
}

static void test_plain_path_agrees(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct xm_parse_field field = field_of(&rows[i]);
        int64_t value;

        if (!xm_parse_is_plain(&field) ||
            !xm_parse_plain(rows[i].text, strlen(rows[i].text), &value))
            continue;
        CHECK_EQ(rows[i].result, XM_PARSE_FOUND);
        CHECK_EQ(value, rows[i].value);
    }
}

static void test_fields_continue_on_their_line(void)
{
    struct xm_parse_text text = {.data = netdev, .bytes = strlen(netdev), .whole = 1};
    struct xm_parse_field fields[4] = {
        {.key = (char *)(uintptr_t) "eth0:", .key_bytes = 5, .index = 0},
        {.key = (char *)(uintptr_t) "eth0:", .key_bytes = 5, .index = 2, .continues = 1},
        {.key = (char *)(uintptr_t) "eth0:", .key_bytes = 5, .index = 3, .continues = 1},
        {.key = (char *)(uintptr_t) "eth0:", .key_bytes = 5, .index = 1},
    };
    int64_t value;

    CHECK_EQ(xm_parse_number(&text, &fields[0], &value), XM_PARSE_FOUND);
    CHECK_EQ(value, 1);
    CHECK_EQ(xm_parse_number(&text, &fields[1], &value), XM_PARSE_FOUND);
    CHECK_EQ(value, 3);
    CHECK_EQ(xm_parse_number(&text, &fields[2], &value), XM_PARSE_ABSENT);
    CHECK_EQ(xm_parse_number(&text, &fields[3], &value), XM_PARSE_FOUND);
    CHECK_EQ(value, 2);
}

static void test_remembered_line_is_checked_again(void)
{
    struct xm_parse_field field = {.key = (char *)(uintptr_t) "b", .key_bytes = 1};
    int64_t value;

    CHECK_EQ(parse("a 1\nb 2\n", 8, 1, &field, &value), XM_PARSE_FOUND);
    CHECK_EQ(value, 2);
    CHECK_EQ(parse("aaaa 1\nb 3\n", 11, 1, &field, &value), XM_PARSE_FOUND);
    CHECK_EQ(value, 3);
    CHECK_EQ(parse("a 1234 b 9\n", 11, 1, &field, &value), XM_PARSE_ABSENT);
    CHECK_EQ(parse("b 4\n", 4, 1, &field, &value), XM_PARSE_FOUND);
    CHECK_EQ(value, 4);
}

int main(void)
{
    test_table();
    test_split_texts();
    test_plain_path_agrees();
    test_fields_continue_on_their_line();
    test_remembered_line_is_checked_again();
    return 0;
}
