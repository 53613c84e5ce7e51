/* SPDX-License-Identifier: Apache-2.0 */
#include "standin.h"

/*
 * What every stand-in exports beside its vendor's functions: that it is one, and the truth to
 * compare readings with.
 */
XS_EXPORT const char xinmai_standin_version[] = "1";

XS_EXPORT int64_t xinmai_standin_t0_ns(void);
XS_EXPORT int xinmai_standin_peek(unsigned device, const char *quantity, unsigned index,
                                  int64_t t_ns, int64_t *value);

/* CLOCK_MONOTONIC of second 0. */
int64_t xinmai_standin_t0_ns(void)
{
    return xs_t0_ns();
}

/* 0 and the value at t_ns after second 0 in the core's unit, else an xs_status. */
int xinmai_standin_peek(unsigned device, const char *quantity, unsigned index, int64_t t_ns,
                        int64_t *value)
{
    enum xs_quantity found = xs_quantity_named(quantity);

    return found == XS_N_QUANTITIES ? XS_UNSUPPORTED : xs_peek(device, found, index, t_ns, value);
}
