/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_CALL_TARGET_H
#define XM_CALL_TARGET_H

#include <stdint.h>

/* Functions shaped like those of a vendor's library, as cheap as such a call can be. */

#define XM_TARGET_DEVICES 96

/* What the union of a field holds. */
enum xm_target_type {
    XM_TARGET_DOUBLE = 0,
    XM_TARGET_UINT = 1,
    XM_TARGET_ULONG = 3,
};

struct xm_target_field {
    uint32_t id; /* in: even ones are unsigned int, odd ones unsigned long */
    uint32_t scope;
    int64_t time_us;
    uint32_t type;
    int32_t status;
    union {
        uint32_t u32;
        uint64_t u64;
        double f64;
    } value;
};

/* Handle of the index-th device, 0 where there is none. */
uint64_t xm_target_handle(uint32_t index);

/* Look the handle up, write one reading: 0, or -1 for no such handle. */
int32_t xm_target_read(uint64_t handle, uint32_t kind, uint32_t *value);

/* Fill n fields, each with a type and a status of its own. */
int32_t xm_target_fields(uint64_t handle, int32_t n, struct xm_target_field *fields);

#endif
