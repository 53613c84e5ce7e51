/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_SENSOR_PERIOD_H
#define XM_SENSOR_PERIOD_H

#include <stdint.h>

/* How often a sensor renews its value, told from when the value changes. */

#define XM_SENSOR_KEPT  16u /* intervals looked at */
#define XM_SENSOR_EVERY 8u  /* changes from one look to the next */

struct xm_sensor_period {
    int64_t changed_ns; /* time of the newest change, 0 where it was not seen */
    uint64_t step;      /* how far the value moved then */
    uint32_t changes;   /* intervals noted */
    uint16_t varied;    /* bit i: the step of interval i was of another size than the one before */
    uint8_t failures;   /* looks in a row that found no period */
    uint8_t is_quick;   /* the value changes from row to row */
    int64_t found_ns;   /* 0 while unknown */
    int64_t interval_ns[XM_SENSOR_KEPT];
};

/*
 * A change by `step`, read at now_ns by rows row_ns apart. 1 when found_ns was looked at again,
 * which happens every XM_SENSOR_EVERY changes.
 */
int xm_sensor_period_note(struct xm_sensor_period *period, int64_t now_ns, int64_t row_ns,
                          uint64_t step);

/* Changes were not noted for a while: what is known stays, what is learnt is learnt from new ones.
 */
void xm_sensor_period_restart(struct xm_sensor_period *period);

#endif
