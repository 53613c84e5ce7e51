/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XS_SCENARIO_H
#define XS_SCENARIO_H

#include "standin.h"

#include <stdatomic.h>

#define XS_ALWAYS      INT64_MAX
#define XS_SECOND_NS   1000000000LL
#define XS_ERROR_BYTES 320
#define XS_GAIN_ONE    1000000
#define XS_PATH_BYTES  4096

/* value × nanoseconds: what a counter integrates, without a rounding. */
typedef __int128 xs_wide;

/* Indices below 128, of devices or of links, ways and fans. */
struct xs_set {
    uint64_t bits[2];
};

enum xs_shape { XS_CONSTANT, XS_SQUARE, XS_SINE, XS_RAMP, XS_POINTS, XS_FOLLOWS, XS_NONE };

/* Holds from its time to the next point's. */
struct xs_point {
    int64_t t_ns;
    int64_t value;
    xs_wide integral; /* up to t_ns */
};

struct xs_trace {
    enum xs_shape shape;
    int64_t low, high; /* of constant: low; of follows: low is the offset */
    int64_t period_ns; /* of points: 0 plays once */
    int64_t high_ns;   /* of square */
    struct xs_point *points;
    size_t n_points;
    enum xs_quantity other; /* of follows */
    int64_t gain;           /* of follows, in millionths */
    int64_t phase_ns, stagger_ns;
};

/* One line `device … quantity …`. The last that matches counts. */
struct xs_rule {
    struct xs_set devices, indices;
    struct xs_trace trace;
    int is_counter;
    unsigned width; /* bits of a counter, 64 */
    int64_t start;
    int64_t noise, refresh_ns, window_ns, min, max;
    struct xs_rule *before; /* the line before this one for the same quantity */
};

enum xs_verb {
    /* What becomes of a call. */
    XS_HANG,
    XS_FAIL,
    XS_NO_VALUE,
    XS_SLOW,
    XS_CRASH,
    XS_LEAK,
    XS_PRINT,
    XS_OVERRUN,
    /* What a sensor shows, and what a device does. */
    XS_READS,
    XS_DROP,
    XS_FREEZE,
    XS_RESET,
    XS_LOSE,
    XS_ABSENT,
    XS_EVENT,
};

/* One line `at …` or `while …`. */
struct xs_fault {
    int64_t from_ns, until_ns;
    struct xs_set devices, indices;
    enum xs_verb verb;
    uint8_t places[XS_N_QUANTITIES];
    int64_t number;
    int64_t jitter_ns;
    char text[XS_TEXT_BYTES];
    char *flag; /* of `while`: the file whose existence makes it so, else NULL */
};

struct xs_scenario {
    unsigned n_devices;
    uint64_t seed;
    struct xs_rule *last[XS_N_QUANTITIES];
    struct xs_fault *faults;
    size_t n_faults;
    char texts[XS_MAX_DEVICES][XS_N_TEXTS][XS_TEXT_BYTES];
};

/* What is open, or NULL. */
const struct xs_scenario *xs_current(void);

/* With texts and identities, without devices' quantities; NULL where memory lacks. */
struct xs_scenario *xs_scenario_create(const char *vendor);
void xs_scenario_destroy(struct xs_scenario *scenario);

/* Lays a text over what is there. 0, or -1 and error says FILE:LINE: what is wrong. */
int xs_scenario_parse(struct xs_scenario *scenario, const char *name, const char *text,
                      char *error);
int xs_scenario_read(struct xs_scenario *scenario, const char *path, char *error);

/* The lines that every scenario starts from. */
extern const char *const xs_standard;

/* Trace alone, at any time, also below 0: no noise, refresh or window. */
int64_t xs_trace_value(const struct xs_scenario *scenario, const struct xs_trace *trace,
                       unsigned device, unsigned index, int64_t t_ns);
/* Integral of it from 0 to t_ns. */
xs_wide xs_trace_integral(const struct xs_scenario *scenario, const struct xs_trace *trace,
                          unsigned device, unsigned index, int64_t t_ns);

const struct xs_rule *xs_rule_find(const struct xs_scenario *scenario, unsigned device,
                                   enum xs_quantity quantity, unsigned index);

/* What a healthy sensor reads at t_ns: XS_OK or XS_UNSUPPORTED. */
enum xs_status xs_value_at(const struct xs_scenario *scenario, unsigned device,
                           enum xs_quantity quantity, unsigned index, int64_t t_ns, int64_t *value);

/* The fault of this verb at this place and time, the last line of several; or NULL. */
const struct xs_fault *xs_fault_find(const struct xs_scenario *scenario, enum xs_verb verb,
                                     unsigned device, enum xs_quantity place, unsigned index,
                                     int64_t t_ns);
/* Latest moment up to t_ns when the quantity's counters started anew; -1 for never. */
int64_t xs_fault_reset_ns(const struct xs_scenario *scenario, unsigned device,
                          enum xs_quantity quantity, unsigned index, int64_t t_ns);
/* Slow, print, leak, crash, hang, in this order; then XS_OK, XS_ERROR or XS_SENTINEL. */
enum xs_status xs_fault_act(const struct xs_scenario *scenario, unsigned device,
                            enum xs_quantity place, unsigned index, int64_t t_ns,
                            struct xs_reading *reading);
/* A repeatable number of 64 random bits. */
uint64_t xs_hash(uint64_t seed, uint64_t device, uint64_t quantity, uint64_t index, uint64_t step);

static inline int xs_set_has(const struct xs_set *set, unsigned i)
{
    return i < 128 && (set->bits[i / 64] >> (i % 64) & 1);
}

static inline void xs_set_add(struct xs_set *set, unsigned i)
{
    set->bits[i / 64] |= 1ULL << (i % 64);
}

#endif
