/* SPDX-License-Identifier: Apache-2.0 */
#include "column.h"

#include <stdlib.h>
#include <string.h>

/* Unpack anything; what can be unpacked must come back after packing again. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    size_t n = bytes > 0 ? data[0] : 0;
    int64_t *values = calloc(n + 1, sizeof(*values));
    int64_t *back = calloc(n + 1, sizeof(*back));
    uint8_t *packed = malloc(XM_COLUMN_BOUND(n) + XM_COLUMN_SLACK);
    size_t used;

    if (bytes > 0 && xm_column_unpack(data + 1, bytes - 1, n, values, &used) == 0) {
        size_t length;

        check(used <= bytes - 1);
        length = xm_column_pack(values, n, packed);
        check(length <= XM_COLUMN_BOUND(n));
        check(xm_column_unpack(packed, length, n, back, &used) == 0 && used == length);
        check(memcmp(values, back, 8 * n) == 0);
    }
    free(values);
    free(back);
    free(packed);
    return 0;
}
