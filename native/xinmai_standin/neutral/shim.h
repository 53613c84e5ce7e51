/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSDK_SHIM_H
#define NSDK_SHIM_H

#include "../standin.h"
#include "nsdk.h"

nsdkReturn_t nsdk_code_of(enum xs_status status, const struct xs_reading *reading);

nsdkDevice_t nsdk_make_handle(unsigned device);
/* The device behind a handle; a handle from before a loss stays lost. */
nsdkReturn_t nsdk_open_handle(nsdkDevice_t handle, unsigned *device);

/* value / divisor, or no_value where the sensor has none. */
nsdkReturn_t nsdk_read_scaled(unsigned device, enum xs_quantity quantity, unsigned index,
                              int64_t divisor, int64_t no_value, int64_t *value);
nsdkReturn_t nsdk_read_u32(unsigned device, enum xs_quantity quantity, unsigned index,
                           int64_t divisor, unsigned *out);
nsdkReturn_t nsdk_read_u64(unsigned device, enum xs_quantity quantity, unsigned index,
                           uint64_t *out);
nsdkReturn_t nsdk_read_degrees(unsigned device, enum xs_quantity quantity, double *out);

int64_t nsdk_wall_us(void);

#endif
