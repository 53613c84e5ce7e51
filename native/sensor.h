/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_SENSOR_H
#define XM_SENSOR_H

#include <stdint.h>

/*
 * What a lane's producer knows of the sensors behind its columns: how often they renew their value
 * and where a counter stands. Private memory of the producer; statements RING-11 to RING-14.
 */

enum xm_sensor_kind { XM_TRACK_NONE = 0, XM_TRACK_GAUGE = 1, XM_TRACK_COUNTER = 2, XM_TRACKS };

#define XM_SENSOR_MIN_BITS 8
#define XM_SENSOR_MAX_BITS 64

struct xm_sensor_spec {
    uint8_t kind;       /* one of xm_sensor_kind */
    uint8_t bits;       /* width of a counter, 8 to 64; 64 also where it is not known */
    int64_t refresh_ns; /* as declared, 0 where nobody says */
};

struct xm_sensor;

/* 0, -EINVAL for a spec that is none, or -ENOMEM. */
int xm_sensor_create(const struct xm_sensor_spec *specs, uint32_t columns, struct xm_sensor **out);
void xm_sensor_destroy(struct xm_sensor *sensor);

/*
 * Look at a row begun at now_ns before it is committed: marks repeats, extends counters, and makes
 * a counter's drop implausible. Only the producer may.
 */
void xm_sensor_look(struct xm_sensor *sensor, int64_t now_ns, int64_t *values, uint8_t *reasons);

/* Any thread may ask: the measured refresh period, 0 while unknown, and accepted resets. */
int64_t xm_sensor_refresh_ns(const struct xm_sensor *sensor, uint32_t column);
uint32_t xm_sensor_resets(const struct xm_sensor *sensor, uint32_t column);

#endif
