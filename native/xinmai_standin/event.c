/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

void xs_event_start(struct xs_cursor *cursor)
{
    *cursor = (struct xs_cursor){xs_now_ns(), SIZE_MAX, 0};
}

static int is_before(const struct xs_cursor *a, const struct xs_cursor *b)
{
    if (a->time_ns != b->time_ns)
        return a->time_ns < b->time_ns;
    return a->line != b->line ? a->line < b->line : a->device < b->device;
}

/* The line's first device whose event is behind the cursor, as a cursor; 0 for none. */
static int next_of_line(const struct xs_scenario *scenario, size_t line,
                        const struct xs_cursor *cursor, struct xs_cursor *next)
{
    const struct xs_fault *fault = &scenario->faults[line];

    *next = (struct xs_cursor){fault->from_ns, line, 0};
    if (fault->verb != XS_EVENT)
        return 0;
    for (; next->device < scenario->n_devices; next->device++) {
        if (xs_set_has(&fault->devices, next->device) && is_before(cursor, next))
            return 1;
    }
    return 0;
}

int xs_event_next(struct xs_cursor *cursor, struct xs_event *event)
{
    const struct xs_scenario *scenario = xs_current();
    /* Nothing up to now is after this. */
    struct xs_cursor first = {xs_now_ns(), SIZE_MAX, 0}, next;

    for (size_t i = 0; scenario != NULL && i < scenario->n_faults; i++) {
        if (next_of_line(scenario, i, cursor, &next) && is_before(&next, &first))
            first = next;
    }
    if (first.line == SIZE_MAX)
        return 0;
    *cursor = first;
    *event = (struct xs_event){first.time_ns, first.device, scenario->faults[first.line].number,
                               scenario->faults[first.line].text};
    return 1;
}
