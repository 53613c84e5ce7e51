/* SPDX-License-Identifier: Apache-2.0 */
#include "call_target.h"

#include <stddef.h>

#define BASE_MW 300000u

struct device {
    uint64_t magic;
    uint32_t reads;
};

static struct device devices[XM_TARGET_DEVICES];

uint64_t xm_target_handle(uint32_t index)
{
    if (index >= XM_TARGET_DEVICES)
        return 0;
    devices[index].magic = (uint64_t)(uintptr_t)&devices[index];
    return devices[index].magic;
}

static struct device *find(uint64_t handle)
{
    uint64_t offset = handle - (uint64_t)(uintptr_t)devices;
    struct device *device;

    if (offset >= sizeof(devices) || offset % sizeof(*devices) != 0)
        return NULL;
    device = &devices[offset / sizeof(*devices)];
    return device->magic == handle ? device : NULL;
}

int32_t xm_target_read(uint64_t handle, uint32_t kind, uint32_t *value)
{
    struct device *device = find(handle);

    if (device == NULL)
        return -1;
    *value = BASE_MW + kind + (device->reads++ & 1023);
    return 0;
}

int32_t xm_target_fields(uint64_t handle, int32_t n, struct xm_target_field *fields)
{
    struct device *device = find(handle);

    if (device == NULL)
        return -1;
    device->reads++;
    for (int32_t i = 0; i < n; i++) {
        struct xm_target_field *field = &fields[i];
        uint32_t reading = field->id * BASE_MW + (device->reads & 1023);

        field->time_us = device->reads;
        field->status = 0;
        if (field->id % 2 == 0) {
            field->type = XM_TARGET_UINT;
            field->value.u32 = reading;
        } else {
            field->type = XM_TARGET_ULONG;
            field->value.u64 = reading;
        }
    }
    return 0;
}
