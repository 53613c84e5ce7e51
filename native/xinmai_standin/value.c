/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

/* How often noise changes where a sensor has no refresh of its own. */
#define NOISE_STEP_NS 1000000

/* One round of splitmix64's finalizer per word. */
static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash += word + 0x9e3779b97f4a7c15ULL;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9ULL;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebULL;
    return hash ^ (hash >> 31);
}

uint64_t xs_hash(uint64_t seed, uint64_t device, uint64_t quantity, uint64_t index, uint64_t step)
{
    return mix(mix(mix(mix(mix(0, seed), device), quantity), index), step);
}

const struct xs_rule *xs_rule_find(const struct xs_scenario *scenario, unsigned device,
                                   enum xs_quantity quantity, unsigned index)
{
    const struct xs_rule *rule = scenario->last[quantity];

    while (rule != NULL &&
           !(xs_set_has(&rule->devices, device) && xs_set_has(&rule->indices, index)))
        rule = rule->before;
    return rule == NULL || rule->trace.shape == XS_NONE ? NULL : rule;
}

static int64_t clamp(const struct xs_rule *rule, int64_t value)
{
    if (value < rule->min)
        return rule->min;
    return value > rule->max ? rule->max : value;
}

static int64_t floor_to(int64_t t_ns, int64_t step_ns)
{
    return step_ns == 0 ? t_ns : t_ns - t_ns % step_ns;
}

static int64_t noise_at(const struct xs_scenario *scenario, const struct xs_rule *rule,
                        unsigned device, enum xs_quantity quantity, unsigned index, int64_t t_ns)
{
    int64_t step_ns = rule->refresh_ns ? rule->refresh_ns : NOISE_STEP_NS;
    uint64_t hash = xs_hash(scenario->seed, device, quantity, index, (uint64_t)(t_ns / step_ns));

    if (rule->noise == 0)
        return 0;
    return (int64_t)(hash % (2 * (uint64_t)rule->noise + 1)) - rule->noise;
}

static int64_t gauge_at(const struct xs_scenario *scenario, const struct xs_rule *rule,
                        unsigned device, enum xs_quantity quantity, unsigned index, int64_t t_ns)
{
    const struct xs_trace *trace = &rule->trace;
    int64_t value;

    t_ns = floor_to(t_ns, rule->refresh_ns);
    if (rule->window_ns > 0)
        value =
            (int64_t)((xs_trace_integral(scenario, trace, device, index, t_ns) -
                       xs_trace_integral(scenario, trace, device, index, t_ns - rule->window_ns)) /
                      rule->window_ns);
    else
        value = xs_trace_value(scenario, trace, device, index, t_ns);
    return clamp(rule, value + noise_at(scenario, rule, device, quantity, index, t_ns));
}

/* What has come since from_ns, in whole units. */
static uint64_t counted(const struct xs_scenario *scenario, const struct xs_rule *rule,
                        unsigned device, unsigned index, int64_t from_ns, int64_t t_ns)
{
    if (t_ns <= from_ns)
        return 0;
    return (uint64_t)((xs_trace_integral(scenario, &rule->trace, device, index, t_ns) -
                       xs_trace_integral(scenario, &rule->trace, device, index, from_ns)) /
                      XS_SECOND_NS);
}

static int64_t counter_at(const struct xs_scenario *scenario, const struct xs_rule *rule,
                          unsigned device, enum xs_quantity quantity, unsigned index, int64_t t_ns)
{
    const struct xs_fault *drop = xs_fault_find(scenario, XS_DROP, device, quantity, index, t_ns);
    int64_t reset_ns = xs_fault_reset_ns(scenario, device, quantity, index, t_ns);
    uint64_t value;

    t_ns = floor_to(t_ns, rule->refresh_ns);
    if (drop != NULL)
        value =
            (uint64_t)drop->number + counted(scenario, rule, device, index, drop->from_ns, t_ns);
    else if (reset_ns >= 0)
        value = counted(scenario, rule, device, index, reset_ns, t_ns);
    else
        value = (uint64_t)rule->start + counted(scenario, rule, device, index, 0, t_ns);
    if (rule->width < 64)
        value &= (1ULL << rule->width) - 1;
    return (int64_t)value;
}

enum xs_status xs_value_at(const struct xs_scenario *scenario, unsigned device,
                           enum xs_quantity quantity, unsigned index, int64_t t_ns, int64_t *value)
{
    const struct xs_rule *rule = xs_rule_find(scenario, device, quantity, index);
    const struct xs_fault *fault;

    if (rule == NULL)
        return XS_UNSUPPORTED;
    fault = xs_fault_find(scenario, XS_READS, device, quantity, index, t_ns);
    if (fault != NULL) {
        *value = fault->number;
        return XS_OK;
    }
    fault = xs_fault_find(scenario, XS_FREEZE, device, quantity, index, t_ns);
    if (fault != NULL)
        t_ns = fault->from_ns;
    *value = rule->is_counter ? counter_at(scenario, rule, device, quantity, index, t_ns)
                              : gauge_at(scenario, rule, device, quantity, index, t_ns);
    return XS_OK;
}
