/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <string.h>

static int is_absent(const struct xs_scenario *scenario, unsigned device, int64_t now_ns)
{
    return xs_fault_find(scenario, XS_ABSENT, device, XS_COUNT, 0, now_ns) != NULL;
}

unsigned xs_device_count(void)
{
    const struct xs_scenario *scenario = xs_current();
    int64_t now_ns = xs_now_ns();
    unsigned n = 0;

    for (unsigned i = 0; scenario != NULL && i < scenario->n_devices; i++)
        n += !is_absent(scenario, i, now_ns);
    return n;
}

enum xs_status xs_device_at(unsigned index, unsigned *device)
{
    const struct xs_scenario *scenario = xs_current();
    int64_t now_ns = xs_now_ns();

    if (scenario == NULL)
        return XS_UNINITIALIZED;
    for (unsigned i = 0; i < scenario->n_devices; i++) {
        if (is_absent(scenario, i, now_ns) || index-- > 0)
            continue;
        *device = i;
        return XS_OK;
    }
    return XS_NO_DEVICE;
}

unsigned xs_device_epoch(unsigned device)
{
    const struct xs_scenario *scenario = xs_current();
    unsigned epoch = 0;
    int64_t now_ns;

    /* Without a fault no clock is read: a call should cost what its value costs. */
    if (scenario == NULL || scenario->n_faults == 0)
        return 0;
    now_ns = xs_now_ns();
    for (size_t i = 0; i < scenario->n_faults; i++) {
        const struct xs_fault *fault = &scenario->faults[i];

        if ((fault->verb == XS_LOSE || fault->verb == XS_ABSENT) && fault->until_ns <= now_ns &&
            xs_set_has(&fault->devices, device))
            epoch++;
    }
    return epoch;
}

static enum xs_status state_of(const struct xs_scenario *scenario, unsigned device, int64_t now_ns)
{
    if (scenario == NULL)
        return XS_UNINITIALIZED;
    if (device >= scenario->n_devices)
        return XS_NO_DEVICE;
    if (scenario->n_faults == 0)
        return XS_OK;
    if (xs_fault_find(scenario, XS_LOSE, device, XS_COUNT, 0, now_ns) != NULL ||
        is_absent(scenario, device, now_ns))
        return XS_LOST;
    return XS_OK;
}

enum xs_status xs_device_state(unsigned device)
{
    const struct xs_scenario *scenario = xs_current();

    return state_of(scenario, device, scenario != NULL && scenario->n_faults ? xs_now_ns() : 0);
}

const char *xs_device_text(unsigned device, enum xs_text text)
{
    const struct xs_scenario *scenario = xs_current();

    return scenario == NULL || device >= XS_MAX_DEVICES ? "" : scenario->texts[device][text];
}

/* Faults of a call at this place; *now_ns moves on where one took its time. */
static enum xs_status act(const struct xs_scenario *scenario, unsigned device,
                          enum xs_quantity place, unsigned index, int64_t *now_ns,
                          struct xs_reading *reading)
{
    enum xs_status status;

    if (scenario->n_faults == 0)
        return XS_OK;
    status = xs_fault_act(scenario, device, place, index, *now_ns, reading);
    *now_ns = xs_now_ns();
    return status;
}

enum xs_status xs_read(unsigned device, enum xs_quantity quantity, unsigned index,
                       struct xs_reading *reading)
{
    const struct xs_scenario *scenario = xs_current();
    int64_t now_ns = xs_now_ns();
    enum xs_status status = state_of(scenario, device, now_ns);

    reading->code = 0;
    if (status != XS_OK)
        return status;
    status = act(scenario, device, quantity, index, &now_ns, reading);
    if (status != XS_OK)
        return status;
    return xs_value_at(scenario, device, quantity, index, now_ns, &reading->value);
}

enum xs_status xs_pass(unsigned device, enum xs_quantity place, struct xs_reading *reading)
{
    const struct xs_scenario *scenario = xs_current();
    int64_t now_ns = xs_now_ns();
    enum xs_status status;

    *reading = (struct xs_reading){0, 0};
    if (scenario == NULL)
        return XS_UNINITIALIZED;
    status = act(scenario, device, place, 0, &now_ns, reading);
    /* Nothing is read that could be without a value. */
    return status == XS_SENTINEL ? XS_OK : status;
}

unsigned xs_index_count(unsigned device, enum xs_quantity quantity)
{
    const struct xs_scenario *scenario = xs_current();
    unsigned n = 0;

    while (scenario != NULL && n < XS_MAX_DEVICES &&
           xs_rule_find(scenario, device, quantity, n) != NULL)
        n++;
    return n;
}

enum xs_status xs_peek(unsigned device, enum xs_quantity quantity, unsigned index, int64_t t_ns,
                       int64_t *value)
{
    const struct xs_scenario *scenario = xs_current();

    if (scenario == NULL)
        return XS_UNINITIALIZED;
    if (device >= scenario->n_devices)
        return XS_NO_DEVICE;
    return xs_value_at(scenario, device, quantity, index, t_ns, value);
}

void xs_overrun(unsigned device, enum xs_quantity quantity, void *end)
{
    const struct xs_scenario *scenario = xs_current();
    const struct xs_fault *fault;

    if (scenario == NULL || scenario->n_faults == 0)
        return;
    fault = xs_fault_find(scenario, XS_OVERRUN, device, quantity, 0, xs_now_ns());
    if (fault != NULL)
        memset(end, 0xa5, (size_t)fault->number);
}
