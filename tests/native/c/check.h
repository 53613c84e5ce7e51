/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_CHECK_H
#define XM_CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1); \
        } \
    } while (0)

#define CHECK_EQ(got, expected) \
    do { \
        long long got_ = (long long)(got); \
        long long expected_ = (long long)(expected); \
        if (got_ != expected_) { \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #got, got_, \
                    expected_); \
            exit(1); \
        } \
    } while (0)

/* The same sequence in every run: a failure can be repeated. */
static inline uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

#endif
