/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "column.h"

#include <errno.h>
#include <string.h>

struct vector {
    int64_t values[4];
    size_t n;
    uint8_t packed[40];
    size_t bytes;
};

static const struct vector vectors[] = {
    {{0}, 0, {0}, 0},
    {{0}, 1, {1, 0}, 2},
    {{-1}, 1, {1, 1}, 2},
    {{1}, 1, {1, 2}, 2},
    {{63}, 1, {1, 126}, 2},
    {{64}, 1, {1, 0x80, 0x01}, 3},
    {{5, 5, 5, 4}, 4, {2, 8, 1, 7}, 4},
    /* All the same, and all the same steps: no bits at all. */
    {{5, 5, 5, 5}, 4, {2, 10, 0}, 3},
    /* INT64_MIN takes ten bytes as a varint, so one value of it is stored plainly. */
    {{INT64_MIN}, 1, {0, 0, 0, 0, 0, 0, 0, 0, 0x80}, 9},
    {{INT64_MAX, INT64_MIN, INT64_MAX},
     3,
     {1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x02, 0x01},
     13},
    /* Nine bytes of varint against eight: the shorter one wins, a tie would be codec 1. */
    {{INT64_C(1) << 55}, 1, {0, 0, 0, 0, 0, 0, 0, 0x80, 0}, 9},
    {{(INT64_C(1) << 55) - 1}, 1, {1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, 9},
};

static void check_pack(const int64_t *values, size_t n, const uint8_t *expected, size_t bytes)
{
    uint8_t *out = malloc(XM_COLUMN_BOUND(n) + XM_COLUMN_SLACK);
    size_t used = xm_column_pack(values, n, out);

    CHECK_EQ(used, bytes);
    CHECK(memcmp(out, expected, bytes) == 0);
    free(out);
}

static void test_vectors(void)
{
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const struct vector *v = &vectors[i];
        int64_t back[4];
        size_t used;

        check_pack(v->values, v->n, v->packed, v->bytes);
        CHECK_EQ(xm_column_unpack(v->packed, v->bytes, v->n, back, &used), 0);
        CHECK_EQ(used, v->bytes);
        CHECK(memcmp(back, v->values, 8 * v->n) == 0);
    }
}

static int64_t draw(uint64_t *seed, int64_t before, int shape)
{
    uint64_t r = next_random(seed);

    switch (shape) {
    case 0:
        return (int64_t)r;
    case 1:
        return (int64_t)((uint64_t)before + r % 5 - 2);
    case 2:
        return (int64_t)(r >> r % 64);
    case 3:
        return 42;
    case 4:
        return (int64_t)(1000 * (r % 7)); /* scaled */
    case 5:
        return (int64_t)((r >> 32) % 50 == 0 ? r : r % 3); /* far out */
    case 6:
        return (int64_t)(1000000 + (r & 255) + (r >> 8 & 255) + (r >> 16 & 255));
    case 7:
        return (int64_t)((r % 11) * UINT64_C(0x123456789abcdef)); /* levels */
    default:
        return (int64_t)((uint64_t)before + (r >> r % 64));
    }
}

/* A copy of exactly that many bytes, so that a sanitizer sees the first one too many. */
static int unpack_exactly(const uint8_t *data, size_t bytes, size_t n, int64_t *out, size_t *used)
{
    uint8_t *copy = malloc(bytes + (bytes == 0));
    int rc;

    memcpy(copy, data, bytes);
    rc = xm_column_unpack(copy, bytes, n, out, used);
    free(copy);
    return rc;
}

enum { SHAPES = 9, SHORT = 200, LONG = 4200 };

static size_t fill(uint64_t *seed, int64_t *values, size_t most)
{
    size_t n = next_random(seed) % most;
    int shape = (int)(next_random(seed) % SHAPES);

    for (size_t i = 0; i < n; i++)
        values[i] = draw(seed, i > 0 ? values[i - 1] : 0, shape);
    /* Sums of sums now and then: differences of the second order. */
    for (uint64_t order = next_random(seed) % 4; order < 2; order++)
        for (size_t i = 1; i < n; i++)
            values[i] = (int64_t)((uint64_t)values[i] + (uint64_t)values[i - 1]);
    return n;
}

static void test_round_trip_and_truncation(int rounds)
{
    uint64_t seed = 3;

    for (int round = 0; round < rounds; round++) {
        int64_t values[SHORT];
        int64_t back[SHORT];
        uint8_t packed[XM_COLUMN_BOUND(SHORT) + XM_COLUMN_SLACK];
        size_t n = fill(&seed, values, SHORT);
        size_t bytes = xm_column_pack(values, n, packed);
        size_t used;

        CHECK(bytes <= XM_COLUMN_BOUND(n));
        CHECK_EQ(unpack_exactly(packed, bytes, n, back, &used), 0);
        CHECK_EQ(used, bytes);
        CHECK(memcmp(back, values, 8 * n) == 0);
        for (size_t cut = 0; cut < bytes; cut++)
            CHECK_EQ(unpack_exactly(packed, cut, n, back, &used), -EINVAL);
    }
}

static void test_pieces_come_back(int rounds)
{
    uint64_t seed = 4;
    int64_t *values = malloc(8 * LONG);
    int64_t *back = malloc(8 * LONG);
    uint8_t *packed = malloc(XM_COLUMN_BOUND(LONG) + XM_COLUMN_SLACK);

    for (int round = 0; round < rounds; round++) {
        size_t n = fill(&seed, values, LONG);
        size_t bytes = xm_column_pack(values, n, packed);
        size_t used;

        CHECK(bytes <= XM_COLUMN_BOUND(n));
        CHECK_EQ(unpack_exactly(packed, bytes, n, back, &used), 0);
        CHECK_EQ(used, bytes);
        CHECK(memcmp(back, values, 8 * n) == 0);
        if (bytes > 0)
            CHECK_EQ(unpack_exactly(packed, bytes - 1, n, back, &used), -EINVAL);
    }
    free(values);
    free(back);
    free(packed);
}

/* What any one flipped bit does stays inside the bounds; most are refused. */
static void test_flipped_bits_do_no_harm(int rounds)
{
    uint64_t seed = 5;

    for (int round = 0; round < rounds; round++) {
        int64_t values[SHORT];
        int64_t back[SHORT];
        uint8_t packed[XM_COLUMN_BOUND(SHORT) + XM_COLUMN_SLACK];
        size_t n = fill(&seed, values, SHORT);
        size_t bytes = xm_column_pack(values, n, packed);
        size_t used;

        for (int flip = 0; flip < 8 && bytes > 0; flip++) {
            uint8_t *byte = &packed[next_random(&seed) % bytes];
            uint8_t before = *byte;

            *byte ^= (uint8_t)(1u << next_random(&seed) % 8);
            if (unpack_exactly(packed, bytes, n, back, &used) == 0)
                CHECK(used <= bytes);
            *byte = before;
        }
    }
}

static void test_damaged_columns_are_refused(void)
{
    static const uint8_t wide[] = {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    static const uint8_t endless[] = {1,    0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                      0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
    static const uint8_t all[] = {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    uint8_t unknown[9] = {0};
    int64_t out;
    size_t used;

    CHECK_EQ(xm_column_unpack(wide, sizeof(wide), 1, &out, &used), -EINVAL);
    CHECK_EQ(xm_column_unpack(endless, sizeof(endless), 1, &out, &used), -EINVAL);
    CHECK_EQ(xm_column_unpack(all, sizeof(all), 1, &out, &used), 0);
    CHECK_EQ(out, INT64_MIN);
    for (int codec = 15; codec < 256; codec++) {
        unknown[0] = (uint8_t)codec;
        CHECK_EQ(xm_column_unpack(unknown, sizeof(unknown), 1, &out, &used), -EINVAL);
    }
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 2000;

    test_vectors();
    test_round_trip_and_truncation(rounds);
    test_pieces_come_back(rounds / 4);
    test_flipped_bits_do_no_harm(rounds);
    test_damaged_columns_are_refused();
    return 0;
}
