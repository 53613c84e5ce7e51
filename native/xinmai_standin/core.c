/* SPDX-License-Identifier: Apache-2.0 */
#include "calls.h"
#include "scenario.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned n_open;
static char error[XS_ERROR_BYTES];
/* Set by the first xs_init and kept: a racing call after xs_shutdown must not crash. */
static struct xs_scenario *loaded;
static int64_t t0_ns;
/* `loaded` while it is open, else NULL. */
static struct xs_scenario *_Atomic scenario_now;
static struct xs_site opened = {"(open)", NULL}, closed = {"(close)", NULL};

const struct xs_scenario *xs_current(void)
{
    /* Pairs with the release in xs_init: what was parsed is seen with the pointer. */
    return atomic_load_explicit(&scenario_now, memory_order_acquire);
}

static int64_t mono_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * XS_SECOND_NS + now.tv_nsec;
}

/* XINMAI_STANDIN_<VENDOR>_<WHAT>, or else XINMAI_STANDIN_<WHAT>; NULL where neither is set. */
static const char *setting(const char *vendor, const char *what)
{
    char name[128], own[64];
    const char *value;
    size_t i;

    for (i = 0; vendor[i] != '\0' && i < sizeof(own) - 1; i++)
        own[i] = (char)toupper((unsigned char)vendor[i]);
    own[i] = '\0';
    snprintf(name, sizeof(name), "XINMAI_STANDIN_%s_%s", own, what);
    value = getenv(name);
    if (value == NULL || *value == '\0') {
        snprintf(name, sizeof(name), "XINMAI_STANDIN_%s", what);
        value = getenv(name);
    }
    return value == NULL || *value == '\0' ? NULL : value;
}

static int read_count(struct xs_scenario *scenario, const char *count)
{
    char line[64];

    snprintf(line, sizeof(line), "devices %s", count);
    return xs_scenario_parse(scenario, "XINMAI_STANDIN_DEVICES", line, error);
}

static int read_t0(const char *text)
{
    char *end;

    if (text == NULL) {
        t0_ns = mono_ns();
        return 0;
    }
    t0_ns = strtoll(text, &end, 10);
    if (*end == '\0' && end != text)
        return 0;
    snprintf(error, sizeof(error), "XINMAI_STANDIN_T0_NS=%s: not a time in ns", text);
    return -1;
}

static int load(struct xs_scenario *scenario, const char *vendor, const char *standard)
{
    const char *path = setting(vendor, "SCENARIO"), *count = setting(vendor, "DEVICES");

    if (xs_scenario_parse(scenario, "standard", xs_standard, error) != 0)
        return -1;
    if (standard != NULL && xs_scenario_parse(scenario, vendor, standard, error) != 0)
        return -1;
    if (path != NULL && xs_scenario_read(scenario, path, error) != 0)
        return -1;
    if (count != NULL && read_count(scenario, count) != 0)
        return -1;
    return read_t0(setting(vendor, "T0_NS"));
}

static int load_once(const char *vendor, const char *standard)
{
    struct xs_scenario *scenario;

    if (loaded != NULL)
        return 0;
    scenario = xs_scenario_create(vendor);
    if (scenario == NULL) {
        snprintf(error, sizeof(error), "no memory for a scenario");
        return -1;
    }
    if (load(scenario, vendor, standard) != 0) {
        fprintf(stderr, "stand-in: %s\n", error);
        xs_scenario_destroy(scenario);
        return -1;
    }
    xs_calls_open();
    loaded = scenario;
    return 0;
}

int xs_init(const char *vendor, const char *standard)
{
    int status;

    pthread_mutex_lock(&lock);
    status = load_once(vendor, standard);
    if (status == 0 && n_open++ == 0) {
        /* Pairs with the acquire in xs_current(). */
        atomic_store_explicit(&scenario_now, loaded, memory_order_release);
        xs_called(&opened);
    }
    pthread_mutex_unlock(&lock);
    return status;
}

void xs_shutdown(void)
{
    pthread_mutex_lock(&lock);
    if (n_open > 0 && --n_open == 0) {
        /* Release only for symmetry: nothing is taken away that a reader could miss. */
        atomic_store_explicit(&scenario_now, NULL, memory_order_release);
        xs_called(&closed);
    }
    pthread_mutex_unlock(&lock);
}

const char *xs_init_error(void)
{
    return error;
}

int64_t xs_t0_ns(void)
{
    return t0_ns;
}

int64_t xs_now_ns(void)
{
    int64_t now_ns = mono_ns() - t0_ns;

    return now_ns < 0 ? 0 : now_ns;
}
