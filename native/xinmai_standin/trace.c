/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <math.h>

#define TURN 6.283185307179586

/* Whole periods before t_ns, also below 0; the rest, from 0 up to the period. */
static int64_t periods(int64_t t_ns, int64_t period_ns, int64_t *rest_ns)
{
    int64_t n = t_ns / period_ns;

    *rest_ns = t_ns % period_ns;
    if (*rest_ns < 0) {
        *rest_ns += period_ns;
        n--;
    }
    return n;
}

/* The last point at or before t_ns; the first where there is none. */
static const struct xs_point *point_at(const struct xs_trace *trace, int64_t t_ns)
{
    size_t low = 0, high = trace->n_points;

    while (high - low > 1) {
        size_t middle = (low + high) / 2;

        if (trace->points[middle].t_ns <= t_ns)
            low = middle;
        else
            high = middle;
    }
    return &trace->points[low];
}

static xs_wide points_integral(const struct xs_trace *trace, int64_t t_ns)
{
    const struct xs_point *point = point_at(trace, t_ns);

    return point->integral + (xs_wide)point->value * (t_ns - point->t_ns);
}

/* Integral over the first rest_ns of a period. */
static xs_wide within(const struct xs_trace *trace, int64_t rest_ns)
{
    xs_wide high_ns = rest_ns < trace->high_ns ? rest_ns : trace->high_ns;
    double amplitude = ((double)trace->high - (double)trace->low) / 2;
    double turn = (double)rest_ns / (double)trace->period_ns * TURN;

    switch (trace->shape) {
    case XS_SQUARE:
        return high_ns * trace->high + (rest_ns - high_ns) * trace->low;
    case XS_RAMP:
        return (xs_wide)rest_ns * trace->low + ((xs_wide)rest_ns * rest_ns / 2) *
                                                   ((xs_wide)trace->high - trace->low) /
                                                   trace->period_ns;
    case XS_SINE:
        return ((xs_wide)trace->low + trace->high) * rest_ns / 2 +
               (xs_wide)(amplitude * (double)trace->period_ns / TURN * (1 - cos(turn)));
    default:
        return points_integral(trace, rest_ns) - points_integral(trace, 0);
    }
}

static int64_t shape_value(const struct xs_trace *trace, int64_t rest_ns)
{
    double turn = (double)rest_ns / (double)trace->period_ns * TURN;
    double middle = ((double)trace->low + (double)trace->high) / 2;

    switch (trace->shape) {
    case XS_SQUARE:
        return rest_ns < trace->high_ns ? trace->high : trace->low;
    case XS_RAMP:
        return trace->low +
               (int64_t)((xs_wide)(trace->high - trace->low) * rest_ns / trace->period_ns);
    case XS_SINE:
        return (int64_t)llround(middle + ((double)trace->high - middle) * sin(turn));
    default:
        return point_at(trace, rest_ns)->value;
    }
}

/* Antiderivative of all shapes but follows, with 0 at 0. */
static xs_wide shape_integral(const struct xs_trace *trace, int64_t t_ns)
{
    int64_t rest_ns, n;

    if (trace->shape == XS_CONSTANT)
        return (xs_wide)trace->low * t_ns;
    if (trace->period_ns == 0)
        return points_integral(trace, t_ns) - points_integral(trace, 0);
    n = periods(t_ns, trace->period_ns, &rest_ns);
    return n * within(trace, trace->period_ns) + within(trace, rest_ns);
}

static int64_t shifted(const struct xs_trace *trace, unsigned device, int64_t t_ns)
{
    return t_ns + trace->phase_ns + trace->stagger_ns * device;
}

/* A quantity without an index leads all indices of the one that follows it. */
static const struct xs_trace *leader(const struct xs_scenario *scenario,
                                     const struct xs_trace *trace, unsigned device, unsigned *index)
{
    const struct xs_rule *rule = xs_rule_find(scenario, device, trace->other, *index);

    if (rule == NULL) {
        *index = 0;
        rule = xs_rule_find(scenario, device, trace->other, 0);
    }
    return rule == NULL ? NULL : &rule->trace;
}

int64_t xs_trace_value(const struct xs_scenario *scenario, const struct xs_trace *trace,
                       unsigned device, unsigned index, int64_t t_ns)
{
    const struct xs_trace *other;
    int64_t rest_ns;

    t_ns = shifted(trace, device, t_ns);
    if (trace->shape == XS_CONSTANT || trace->shape == XS_NONE)
        return trace->low;
    if (trace->shape == XS_FOLLOWS) {
        other = leader(scenario, trace, device, &index);
        if (other == NULL)
            return trace->low;
        return trace->low +
               (int64_t)((xs_wide)trace->gain *
                         xs_trace_value(scenario, other, device, index, t_ns) / XS_GAIN_ONE);
    }
    if (trace->period_ns == 0)
        return point_at(trace, t_ns)->value;
    periods(t_ns, trace->period_ns, &rest_ns);
    return shape_value(trace, rest_ns);
}

xs_wide xs_trace_integral(const struct xs_scenario *scenario, const struct xs_trace *trace,
                          unsigned device, unsigned index, int64_t t_ns)
{
    const struct xs_trace *other;
    int64_t from_ns = shifted(trace, device, 0), to_ns = shifted(trace, device, t_ns);
    xs_wide integral;

    if (trace->shape == XS_NONE)
        return 0;
    if (trace->shape != XS_FOLLOWS)
        return shape_integral(trace, to_ns) - shape_integral(trace, from_ns);
    integral = (xs_wide)trace->low * t_ns;
    other = leader(scenario, trace, device, &index);
    if (other == NULL)
        return integral;
    return integral + (xs_trace_integral(scenario, other, device, index, to_ns) -
                       xs_trace_integral(scenario, other, device, index, from_ns)) *
                          trace->gain / XS_GAIN_ONE;
}
