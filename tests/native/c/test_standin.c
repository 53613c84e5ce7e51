/* SPDX-License-Identifier: Apache-2.0 */
/* The core of stand-in SDKs: traces, counters, faults and what a bad scenario says of itself. */
#include "check.h"

#include "xinmai_standin/calls.h"
#include "xinmai_standin/scenario.h"

#include <pthread.h>
#include <string.h>

#define MS        1000000LL
#define S         XS_SECOND_NS
#define N_THREADS 4

static struct xs_scenario *scenario_of(const char *text)
{
    struct xs_scenario *scenario = xs_scenario_create("test");
    char error[XS_ERROR_BYTES] = "";

    CHECK(scenario != NULL);
    if (xs_scenario_parse(scenario, "test.txt", text, error) != 0) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    return scenario;
}

static int64_t value(const struct xs_scenario *scenario, enum xs_quantity quantity, int64_t t_ns)
{
    int64_t got = 0;

    CHECK_EQ(xs_value_at(scenario, 0, quantity, 0, t_ns, &got), XS_OK);
    return got;
}

static void test_shapes(void)
{
    struct xs_scenario *scenario =
        scenario_of("device * power square low 10W high 30W period 2s duty 25%\n"
                    "device * temp.core ramp low 0 high 1000 period 1s\n"
                    "device * util.core sine low 0 high 100% period 4s\n"
                    "device * memory.used steps 1Gi@0s 3Gi@1s 2Gi@3s\n"
                    "device * voltage 12V\n"
                    "device * clock.core follows power gain 50% offset 7\n");

    CHECK_EQ(value(scenario, XS_POWER, 0), 30000);
    CHECK_EQ(value(scenario, XS_POWER, 499 * MS), 30000);
    CHECK_EQ(value(scenario, XS_POWER, 500 * MS), 10000);
    CHECK_EQ(value(scenario, XS_POWER, 4 * S), 30000);
    CHECK_EQ(value(scenario, XS_TEMP_CORE, 2250 * MS), 250);
    CHECK_EQ(value(scenario, XS_UTIL_CORE, 0), 5000);
    CHECK_EQ(value(scenario, XS_UTIL_CORE, 1 * S), 10000);
    CHECK_EQ(value(scenario, XS_UTIL_CORE, 3 * S), 0);
    CHECK_EQ(value(scenario, XS_MEMORY_USED, 2999 * MS), 3LL << 30);
    CHECK_EQ(value(scenario, XS_MEMORY_USED, 9 * S), 2LL << 30);
    CHECK_EQ(value(scenario, XS_VOLTAGE, 5), 12000);
    CHECK_EQ(value(scenario, XS_CLOCK_CORE, 100 * MS), 15007);
    xs_scenario_destroy(scenario);
}

/* Each counter against the sum over steps of 1 ms of the gauge of the same trace. */
static void test_counters_integrate(void)
{
    static const char *const TRACES[] = {
        "square low 10k high 90k period 700ms duty 30% phase 110ms",
        "ramp low 1k high 8k period 900ms",
        "sine low 0 high 50k period 1300ms",
        "steps 5k@0s 1k@400ms 9k@900ms period 1500ms",
        "17k",
        "follows voltage gain 2.5 offset 100",
    };
    char text[512];

    for (size_t i = 0; i < sizeof(TRACES) / sizeof(*TRACES); i++) {
        struct xs_scenario *scenario;
        int64_t sum = 0, counted;

        snprintf(text, sizeof(text),
                 "device * voltage square low 1k high 3k period 600ms\n"
                 "device * power %s\ndevice * energy counts %s\n",
                 TRACES[i], TRACES[i]);
        scenario = scenario_of(text);
        for (int64_t ms = 0; ms < 10000; ms++)
            sum += value(scenario, XS_POWER, ms * MS + MS / 2);
        counted = value(scenario, XS_ENERGY, 10 * S);
        /* A gauge in whole numbers is up to one below its trace. */
        CHECK(counted - sum / 1000 <= 11 && sum / 1000 - counted <= 2);
        xs_scenario_destroy(scenario);
    }
}

/* Whole numbers where a double has none left: 25 GB/s for half a year. */
static void test_counters_are_exact(void)
{
    struct xs_scenario *scenario = scenario_of("device * pcie.rx_bytes counts 25000000001\n");

    CHECK_EQ(value(scenario, XS_PCIE_RX_BYTES, 15552000 * S), 388800000015552000);
    xs_scenario_destroy(scenario);
}

static void test_counters_wrap_reset_and_drop(void)
{
    struct xs_scenario *scenario = scenario_of("device * pcie.replays counts 10 width 8 start 250\n"
                                               "device * energy counts 1k\n"
                                               "at 6s device 0 reset energy\n"
                                               "at 2s..3s device 0 drop energy to 7\n"
                                               "at 20s..30s device 0 lost\n");

    CHECK_EQ(value(scenario, XS_PCIE_REPLAYS, 0), 250);
    CHECK_EQ(value(scenario, XS_PCIE_REPLAYS, 1 * S), 4);
    CHECK_EQ(value(scenario, XS_ENERGY, 2 * S - 1), 1999);
    CHECK_EQ(value(scenario, XS_ENERGY, 2500 * MS), 507);
    CHECK_EQ(value(scenario, XS_ENERGY, 3 * S), 3000);
    CHECK_EQ(value(scenario, XS_ENERGY, 6 * S), 0);
    CHECK_EQ(value(scenario, XS_ENERGY, 7 * S), 1000);
    CHECK_EQ(value(scenario, XS_ENERGY, 30500 * MS), 500);
    xs_scenario_destroy(scenario);
}

static void test_sensors_have_refresh_window_and_noise(void)
{
    struct xs_scenario *scenario =
        scenario_of("device * power square low 0 high 1000 period 100ms refresh 100ms window 50ms\n"
                    "device * temp.core 1000 noise 50 refresh 10ms\n"
                    "device * temp.board 1000 noise 50 max 1000\n");
    int64_t seen = 0;

    /* The window before each refresh holds the low half only. */
    CHECK_EQ(value(scenario, XS_POWER, 1130 * MS), 0);
    CHECK_EQ(value(scenario, XS_TEMP_CORE, 10 * MS), value(scenario, XS_TEMP_CORE, 19 * MS));
    for (int64_t ms = 0; ms < 2000; ms++) {
        int64_t got = value(scenario, XS_TEMP_CORE, ms * MS);

        CHECK(got >= 950 && got <= 1050);
        seen += got != 1000;
        CHECK(value(scenario, XS_TEMP_BOARD, ms * MS) <= 1000);
    }
    CHECK(seen > 1000);
    xs_scenario_destroy(scenario);
}

static void test_same_seed_same_values(void)
{
    const char *text = "seed 7\ndevice * power 1000 noise 500\n";
    struct xs_scenario *one = scenario_of(text), *two = scenario_of(text);
    struct xs_scenario *other = scenario_of("seed 8\ndevice * power 1000 noise 500\n");
    int differ = 0;

    for (int64_t ms = 0; ms < 1000; ms++) {
        CHECK_EQ(value(one, XS_POWER, ms * MS), value(two, XS_POWER, ms * MS));
        differ += value(one, XS_POWER, ms * MS) != value(other, XS_POWER, ms * MS);
    }
    CHECK(differ > 900);
    xs_scenario_destroy(one);
    xs_scenario_destroy(two);
    xs_scenario_destroy(other);
}

static void test_later_lines_lie_over_earlier_ones(void)
{
    struct xs_scenario *scenario = scenario_of("device * power 1\ndevice 0..1 power 2\n"
                                               "device 0 link.up[2,4] 1\ndevice 0 temp.core 5\n"
                                               "device 0 temp.core none\n");
    int64_t got;

    CHECK_EQ(value(scenario, XS_POWER, 0), 2);
    CHECK_EQ(xs_value_at(scenario, 2, XS_POWER, 0, 0, &got), XS_OK);
    CHECK_EQ(got, 1);
    CHECK_EQ(xs_value_at(scenario, 0, XS_LINK_UP, 4, 0, &got), XS_OK);
    CHECK_EQ(xs_value_at(scenario, 0, XS_LINK_UP, 3, 0, &got), XS_UNSUPPORTED);
    CHECK_EQ(xs_value_at(scenario, 0, XS_TEMP_CORE, 0, 0, &got), XS_UNSUPPORTED);
    xs_scenario_destroy(scenario);
}

static void test_values_freeze_and_lie(void)
{
    struct xs_scenario *scenario = scenario_of("device * power ramp low 0 high 1000 period 10s\n"
                                               "at 2s..4s device 0 freeze power\n"
                                               "at 6s..7s device 0 reads 4290000W power\n");

    CHECK_EQ(value(scenario, XS_POWER, 3 * S), 200);
    CHECK_EQ(value(scenario, XS_POWER, 4 * S), 400);
    CHECK_EQ(value(scenario, XS_POWER, 6500 * MS), 4290000000);
    CHECK_EQ(value(scenario, XS_POWER, 7 * S), 700);
    xs_scenario_destroy(scenario);
}

static void test_bad_lines_say_where_and_what(void)
{
    static const char *const LINES[][2] = {
        {"frobnicate", "a line begins with devices, seed, device, at or while, not \"frobnicate\""},
        {"devices 999", "devices: 0 to 128"},
        {"device 0 pover 5", "no quantity \"pover\"; there are power, "},
        {"device 0 power", "the line ends where a trace is expected"},
        {"device 0 power twelve", "\"twelve\" is no number"},
        {"device 0 power 5 wobble 3", "what is \"wobble\" here?"},
        {"device 0 power square low 1 high 2", "a wave needs low VALUE high VALUE period TIME"},
        {"device 0 power 5 refresh 3", "\"3\" is no time such as"},
        {"device 0 power 5 width 32", "width: a counter has 8 to 64 bits"},
        {"device 0 energy counts 5 noise 3", "a counter has no noise and no window"},
        {"device 0 power steps 1@2s 2@1s", "the times of points must grow"},
        {"device 0 power replay nowhere.csv column p", "cannot open nowhere.csv"},
        {"device 200 power 5", "\"200\" is no index from 0 to 127"},
        {"device 0 link.up[1 1", "\"link.up[1\": a ] is missing at its end"},
        {"device 0 model \"N", "a quotation mark is missing"},
        {"device 0 power follows power", "power of device 0 follows itself"},
        {"at 5s explode power", "\"explode\" does not happen"},
        {"at 5s..3s lost", "\"5s..3s\" ends before it begins"},
        {"at 5s hang", "the line ends where a quantity is expected"},
        {"while gone device 1 lost", "while is for what becomes of a call"},
        {"at 5s lost forever", "what is \"forever\" here?"},
        {"at 1s event 79 bus", "a text in quotation marks is expected"},
    };
    char text[256], error[XS_ERROR_BYTES];

    for (size_t i = 0; i < sizeof(LINES) / sizeof(*LINES); i++) {
        struct xs_scenario *scenario = xs_scenario_create("test");

        snprintf(text, sizeof(text), "\n# a comment\n%s", LINES[i][0]);
        CHECK_EQ(xs_scenario_parse(scenario, "bad.txt", text, error), -1);
        if (strstr(error, LINES[i][1]) == NULL || strncmp(error, "bad.txt:3: ", 11) != 0) {
            fprintf(stderr, "%s\n", error);
            CHECK(!"the message");
        }
        xs_scenario_destroy(scenario);
    }
}

/* Cut anywhere, a scenario is refused or accepted, and nothing else happens. */
static void test_any_prefix_of_a_scenario_is_harmless(void)
{
    char error[XS_ERROR_BYTES], *text = strdup(xs_standard);
    uint64_t state = 7;

    for (int i = 0; i < 1000; i++) {
        struct xs_scenario *scenario = xs_scenario_create("test");
        size_t at = next_random(&state) % strlen(xs_standard);
        char kept = text[at];

        text[at] = (char)(next_random(&state) % 3 ? next_random(&state) % 96 + 31 : 0);
        (void)xs_scenario_parse(scenario, "cut.txt", text, error);
        text[at] = kept;
        xs_scenario_destroy(scenario);
    }
    free(text);
}

static void test_events_come_once_and_in_order(void)
{
    struct xs_cursor cursor;
    struct xs_event event;

    setenv("XINMAI_STANDIN_T0_NS", "0", 1);
    CHECK_EQ(xs_init("test",
                     "devices 2\nat 2ms device * event 3 \"c\"\n"
                     "at 1ms device 1 event 79 \"fell off the bus\"\nat 900000h event 1 \"-\"\n"),
             0);
    cursor = (struct xs_cursor){0, SIZE_MAX, 0};
    CHECK(xs_event_next(&cursor, &event));
    CHECK_EQ(event.code, 79);
    CHECK_EQ(event.device, 1);
    CHECK_EQ(strcmp(event.message, "fell off the bus"), 0);
    for (unsigned device = 0; device < 2; device++) {
        CHECK(xs_event_next(&cursor, &event));
        CHECK_EQ(event.code, 3);
        CHECK_EQ(event.device, device);
    }
    CHECK(!xs_event_next(&cursor, &event));
    xs_event_start(&cursor);
    CHECK(!xs_event_next(&cursor, &event));
    xs_shutdown();
}

static void *read_a_lot(void *unused)
{
    struct xs_reading reading;

    (void)unused;
    for (int i = 0; i < 5000; i++) {
        enum xs_status status = xs_read(0, XS_POWER, 0, &reading);

        XS_CALLED();
        CHECK(status == XS_OK || status == XS_UNINITIALIZED);
    }
    return NULL;
}

/* After the test above the scenario is loaded; the standard lines lie under it. */
static void test_calls_race_with_init_and_shutdown(void)
{
    pthread_t threads[N_THREADS];
    struct xs_reading reading;

    CHECK_EQ(xs_read(0, XS_POWER, 0, &reading), XS_UNINITIALIZED);
    for (size_t i = 0; i < N_THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, read_a_lot, NULL), 0);
    for (int i = 0; i < 2000; i++) {
        CHECK_EQ(xs_init("test", NULL), 0);
        xs_shutdown();
    }
    for (size_t i = 0; i < N_THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(xs_read(0, XS_POWER, 0, &reading), XS_UNINITIALIZED);
    CHECK_EQ(xs_init("test", NULL), 0);
    CHECK_EQ(xs_init("test", NULL), 0);
    xs_shutdown();
    CHECK_EQ(xs_read(0, XS_POWER, 0, &reading), XS_OK);
    CHECK_EQ(xs_read(2, XS_POWER, 0, &reading), XS_NO_DEVICE);
    xs_shutdown();
}

int main(void)
{
    test_shapes();
    test_counters_integrate();
    test_counters_are_exact();
    test_counters_wrap_reset_and_drop();
    test_sensors_have_refresh_window_and_noise();
    test_same_seed_same_values();
    test_later_lines_lie_over_earlier_ones();
    test_values_freeze_and_lie();
    test_bad_lines_say_where_and_what();
    test_any_prefix_of_a_scenario_is_harmless();
    test_events_come_once_and_in_order();
    test_calls_race_with_init_and_shutdown();
    return 0;
}
