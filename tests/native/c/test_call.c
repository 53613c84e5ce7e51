/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"
#include "check.h"
#include "ring.h"

#include <errno.h>

#define COLUMNS 16

static uint8_t given[256];
static size_t given_bytes;
static uint64_t calls;

/* Leaves what the test gave, and takes whatever the buffer held for its own. */
static uint64_t leave(uint8_t *buffer)
{
    calls++;
    memcpy(buffer, given, given_bytes);
    return UINT64_C(0xa5a5a5a500000000);
}

struct rig {
    struct xm_call_spec spec;
    struct xm_call_argument argument;
    struct xm_call_template buffer;
    struct xm_call_result_spec results[COLUMNS];
    struct xm_call_tagged loads[COLUMNS];
    struct xm_call_sentinel sentinels[2];
    int64_t success;
    uint8_t template[256];
    int64_t values[COLUMNS];
    uint8_t reasons[COLUMNS];
};

static struct xm_call_load word(int64_t offset, char type)
{
    return (struct xm_call_load){.buffer = 0, .offset = offset, .type = type};
}

static void add(struct rig *rig, struct xm_call_load load)
{
    size_t i = rig->spec.n_results++;

    rig->loads[i].load = load;
    rig->results[i] = (struct xm_call_result_spec){.column = (int64_t)i,
                                                   .n_loads = 1,
                                                   .loads = &rig->loads[i],
                                                   .elements = 1,
                                                   .low = INT64_MIN,
                                                   .high = INT64_MAX};
}

static struct rig *make(size_t bytes)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    rig->argument.is_buffer = 1;
    rig->buffer = (struct xm_call_template){rig->template, bytes};
    rig->spec.function = (uint64_t)(uintptr_t)leave;
    rig->spec.n_arguments = 1;
    rig->spec.arguments = &rig->argument;
    rig->spec.n_buffers = 1;
    rig->spec.buffers = &rig->buffer;
    rig->spec.returns = (struct xm_call_returns){.type = 'i', .n_success = 1};
    rig->spec.returns.success = &rig->success;
    rig->spec.results = rig->results;
    given_bytes = bytes;
    return rig;
}

static struct xm_call_set *prepare(struct rig *rig)
{
    struct xm_call_set *set = xm_call_create(1);
    uint8_t taken[COLUMNS] = {0};
    char problem[XM_CALL_PROBLEM_BYTES] = "";
    size_t scratch = 0;

    if (xm_call_check(&rig->spec, taken, COLUMNS, &scratch, problem) != 0)
        fprintf(stderr, "%s\n", problem);
    CHECK_EQ(problem[0], 0);
    CHECK_EQ(xm_call_prepare(set, 0, &rig->spec), 0);
    return set;
}

static void run(struct rig *rig, struct xm_call_set *set)
{
    memset(rig->reasons, 0xff, sizeof(rig->reasons));
    xm_call_run(set, 0, rig->values, rig->reasons);
}

static void fill_random(uint64_t *random)
{
    for (size_t i = 0; i < sizeof(given); i += 8) {
        uint64_t next = next_random(random);

        /* Every exponent and both extremes: what a conversion can trip over. */
        if (next % 5 == 0)
            next = UINT64_MAX;
        else if (next % 5 == 1)
            next = UINT64_C(1) << 63;
        memcpy(given + i, &next, 8);
    }
}

/* Whatever stands in memory: a value or a reason, and nothing undefined on the way. */
static void test_any_bits_give_a_value_or_a_reason(void)
{
    static const char types[] = "bBhHiIqQ?fd";
    uint64_t random = 1;

    for (int round = 0; round < 300; round++) {
        struct rig *rig = make(200);
        struct xm_call_set *set;

        for (size_t i = 0; i < COLUMNS; i++) {
            struct xm_call_result_spec *result = &rig->results[i];
            struct xm_call_load *load = &rig->loads[i].load;
            int has_float;

            add(rig, word((int64_t)(next_random(&random) % 60), types[next_random(&random) % 11]));
            result->elements = 1 + (int64_t)(next_random(&random) % 9);
            result->stride = 8 + (int64_t)(next_random(&random) % 3);
            result->has_factor = next_random(&random) % 2 != 0;
            result->factor =
                word((int64_t)(next_random(&random) % 190), types[next_random(&random) % 11]);
            has_float =
                load->type == 'f' || load->type == 'd' ||
                (result->has_factor && (result->factor.type == 'f' || result->factor.type == 'd'));
            result->decimals = has_float ? (int64_t)(next_random(&random) % 20) - 1 : 0;
            result->n_sentinels = 1;
            result->sentinels = rig->sentinels;
        }
        set = prepare(rig);
        for (int i = 0; i < 50; i++) {
            fill_random(&random);
            run(rig, set);
            for (size_t c = 0; c < COLUMNS; c++) {
                CHECK(rig->reasons[c] == XM_REASON_VALUE ||
                      rig->reasons[c] == XM_REASON_IMPLAUSIBLE ||
                      rig->reasons[c] == XM_REASON_UNSUPPORTED);
                CHECK(rig->reasons[c] == XM_REASON_VALUE || rig->values[c] == 0);
            }
        }
        xm_call_destroy(set);
        free(rig);
    }
}

static void test_bit_fields_match_plain_shifts(void)
{
    uint64_t random = 7;

    for (unsigned bits = 1; bits <= 64; bits++) {
        struct rig *rig = make(8);
        struct xm_call_set *set;
        unsigned shift = (unsigned)(next_random(&random) % (65 - bits));
        uint64_t raw, field, top = UINT64_C(1) << (bits - 1);

        add(rig, word(0, 'Q'));
        add(rig, word(0, 'q'));
        for (int i = 0; i < 2; i++) {
            rig->loads[i].load.shift = shift;
            rig->loads[i].load.bits = bits;
        }
        set = prepare(rig);
        for (int i = 0; i < 100; i++) {
            raw = next_random(&random);
            memcpy(given, &raw, 8);
            field = (raw >> shift) & (top | (top - 1));
            run(rig, set);
            CHECK_EQ(rig->values[0], field);
            CHECK_EQ(rig->values[1], field & top ? field - 2 * top : field);
        }
        xm_call_destroy(set);
        free(rig);
    }
}

/* A6: the last byte of the struct is the function's own, the first behind it is not. */
static void test_canary_trips_once_and_for_all(void)
{
    struct rig *rig = make(20);
    struct xm_call_set *set;

    add(rig, word(0, 'I'));
    set = prepare(rig);
    memset(given, 0xa5, sizeof(given));
    run(rig, set);
    CHECK_EQ(rig->reasons[0], XM_REASON_VALUE);
    CHECK(!xm_call_is_trampled(set, 0));
    given_bytes = 20 + 64;
    calls = 0;
    for (int i = 0; i < 3; i++) {
        run(rig, set);
        CHECK_EQ(rig->reasons[0], XM_REASON_VENDOR_ERROR);
        CHECK_EQ(rig->values[0], XM_CALL_CANARY_CODE);
    }
    CHECK_EQ(calls, 1);
    CHECK(xm_call_is_trampled(set, 0));
    xm_call_destroy(set);
    free(rig);
}

static void test_template_is_back_before_each_call(void)
{
    struct rig *rig = make(8);
    struct xm_call_set *set;

    add(rig, word(4, 'I'));
    rig->template[4] = 9;
    set = prepare(rig);
    memset(given, 0x11, sizeof(given));
    run(rig, set);
    CHECK_EQ(rig->values[0], 0x11111111);
    given_bytes = 4;
    run(rig, set);
    CHECK_EQ(rig->values[0], 9);
    xm_call_destroy(set);
    free(rig);
}

static void test_loads_outside_are_refused(void)
{
    struct rig *rig = make(8);
    char problem[XM_CALL_PROBLEM_BYTES];
    uint8_t taken[COLUMNS];
    size_t scratch = 0;

    add(rig, word(0, 'I'));
    for (int64_t offset = -2; offset < 12; offset++) {
        memset(taken, 0, sizeof(taken));
        rig->loads[0].load.offset = offset;
        CHECK_EQ(xm_call_check(&rig->spec, taken, COLUMNS, &scratch, problem),
                 offset >= 0 && offset <= 4 ? 0 : -EINVAL);
    }
    free(rig);
}

int main(void)
{
    test_any_bits_give_a_value_or_a_reason();
    test_bit_fields_match_plain_shifts();
    test_canary_trips_once_and_for_all();
    test_template_is_back_before_each_call();
    test_loads_outside_are_refused();
    return 0;
}
