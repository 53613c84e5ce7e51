/* SPDX-License-Identifier: Apache-2.0 */
#include "column.h"

#include <stdlib.h>
#include <string.h>

/*
 * Two bytes say how many values; the rest is unpacked as so many, and what can be unpacked must
 * come back after packing again. Then the rest is packed as values itself.
 */

#define MOST_VALUES 4200 /* a little over two pieces */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(int condition)
{
    if (!condition)
        abort();
}

static void check_round_trip(const uint8_t *values, size_t n)
{
    size_t room = XM_COLUMN_BOUND(n) + XM_COLUMN_SLACK;
    uint8_t *packed = malloc(room);
    uint8_t *exact;
    uint8_t *back = malloc(8 * n + 1);
    size_t length = xm_column_pack(values, n, packed);
    size_t used;

    check(length <= XM_COLUMN_BOUND(n));
    exact = malloc(length + 1);
    memcpy(exact, packed, length);
    check(xm_column_unpack(exact, length, n, back, &used) == 0 && used == length);
    check(memcmp(values, back, 8 * n) == 0);
    check(length == 0 || xm_column_unpack(exact, length - 1, n, back, &used) != 0);
    free(packed);
    free(exact);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    size_t n = bytes >= 2 ? (data[0] | (size_t)data[1] << 8) % MOST_VALUES : 0;
    uint8_t *values = malloc(8 * n + 1);
    size_t used;

    if (bytes >= 2 && xm_column_unpack(data + 2, bytes - 2, n, values, &used) == 0) {
        check(used <= bytes - 2);
        check_round_trip(values, n);
    }
    free(values);
    if (bytes >= 2)
        check_round_trip(data + 2, (bytes - 2) / 8);
    return 0;
}
