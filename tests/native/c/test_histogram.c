/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "histogram.h"
#include "ticks.h"

#include <pthread.h>

static void test_buckets_follow_each_other_without_a_gap(void)
{
    CHECK_EQ(xm_histogram_bound(0), 0);
    for (uint32_t i = 1; i < XM_HISTOGRAM_BUCKETS; i++) {
        uint64_t lowest = xm_histogram_bound(i - 1) + 1;
        uint64_t highest = xm_histogram_bound(i);

        CHECK(highest >= lowest);
        CHECK_EQ(xm_histogram_bucket(lowest), i);
        CHECK_EQ(xm_histogram_bucket(highest), i);
        /* Eight per octave: no bucket is wider than an eighth of where it begins. */
        CHECK(highest - lowest <= lowest / 8);
    }
    CHECK_EQ(xm_histogram_bound(XM_HISTOGRAM_BUCKETS - 1), (UINT64_C(1) << 36) - 1);
}

static void test_last_bucket_holds_all_beyond(void)
{
    CHECK_EQ(xm_histogram_bucket(UINT64_C(1) << 36), XM_HISTOGRAM_BUCKETS - 1);
    CHECK_EQ(xm_histogram_bucket(UINT64_MAX), XM_HISTOGRAM_BUCKETS - 1);
}

static struct xm_histogram histogram;

static void *add_many(void *unused)
{
    for (int64_t i = -5; i < 20000; i++)
        xm_histogram_add(&histogram, i);
    return unused;
}

static uint64_t sum_counts(void)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < XM_HISTOGRAM_BUCKETS; i++)
        sum += xm_histogram_read(&histogram, i);
    return sum;
}

static void test_counts_are_read_while_they_grow(void)
{
    uint64_t before = 0;
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, add_many, NULL), 0);
    for (int i = 0; i < 50; i++) {
        uint64_t now = sum_counts();

        CHECK(now >= before);
        before = now;
    }
    pthread_join(thread, NULL);
    CHECK_EQ(sum_counts(), 20005);
    /* -5 to 0: a duration below 0 is none. */
    CHECK_EQ(xm_histogram_read(&histogram, 0), 6);
    CHECK_EQ(xm_histogram_read(&histogram, 1), 1);
}

static void spin(int64_t ns)
{
    int64_t until = xm_clock_mono() + ns;

    while (xm_clock_mono() < until)
        ;
}

/* Whatever stamps are made of: between two readings of the clock there is no more than it says. */
static void check_stamps(const struct xm_ticks *ticks)
{
    for (int i = 0; i < 20; i++) {
        int64_t outer = xm_clock_mono();
        uint64_t from = xm_ticks_now(ticks);
        int64_t inner = xm_clock_mono();
        int64_t span;
        uint64_t to;

        spin(1000000);
        inner = xm_clock_mono() - inner;
        to = xm_ticks_now(ticks);
        outer = xm_clock_mono() - outer;
        span = xm_ticks_ns(ticks, from, to);
        CHECK(span >= inner - inner / 64);
        CHECK(span <= outer + outer / 64);
    }
}

static void test_stamps_agree_with_the_clock(void)
{
    struct xm_ticks ticks;

    xm_ticks_init(&ticks);
    CHECK_EQ(ticks.scale, 0);
    check_stamps(&ticks);
    /* Each try may be cut in two by another program, and is then no pair. */
    for (int i = 0; ticks.has_counter && ticks.scale == 0 && i < 100; i++) {
        spin(11000000);
        xm_ticks_learn(&ticks, xm_clock_mono());
    }
    CHECK_EQ(ticks.scale != 0, ticks.has_counter);
    check_stamps(&ticks);
}

static void test_too_short_a_time_teaches_nothing(void)
{
    struct xm_ticks ticks;

    xm_ticks_init(&ticks);
    xm_ticks_learn(&ticks, ticks.base_ns + 1000);
    CHECK_EQ(ticks.scale, 0);
}

int main(void)
{
    test_buckets_follow_each_other_without_a_gap();
    test_last_bucket_holds_all_beyond();
    test_counts_are_read_while_they_grow();
    test_stamps_agree_with_the_clock();
    test_too_short_a_time_teaches_nothing();
    return 0;
}
