/* SPDX-License-Identifier: Apache-2.0 */
#include "shim.h"

#include <time.h>

#define MAX_EPOCHS 64

/* A handle is the address of its own place; it is never dereferenced. */
struct nsdkDevice {
    char place;
};
static struct nsdkDevice handles[XS_MAX_DEVICES * MAX_EPOCHS];

nsdkReturn_t nsdk_code_of(enum xs_status status, const struct xs_reading *reading)
{
    switch (status) {
    case XS_OK:
    case XS_SENTINEL:
        return NSDK_SUCCESS;
    case XS_UNSUPPORTED:
        return NSDK_NOT_SUPPORTED;
    case XS_ERROR:
        return (nsdkReturn_t)reading->code;
    case XS_LOST:
        return NSDK_DEVICE_LOST;
    case XS_NO_DEVICE:
        return NSDK_INVALID_ARGUMENT;
    case XS_UNINITIALIZED:
        return NSDK_UNINITIALIZED;
    }
    return NSDK_UNKNOWN;
}

nsdkDevice_t nsdk_make_handle(unsigned device)
{
    return &handles[xs_device_epoch(device) % MAX_EPOCHS * XS_MAX_DEVICES + device];
}

nsdkReturn_t nsdk_open_handle(nsdkDevice_t handle, unsigned *device)
{
    size_t place = (size_t)(handle - handles);

    if (handle < handles || place >= XS_MAX_DEVICES * MAX_EPOCHS)
        return NSDK_INVALID_ARGUMENT;
    *device = (unsigned)(place % XS_MAX_DEVICES);
    if (xs_device_state(*device) == XS_UNINITIALIZED)
        return NSDK_UNINITIALIZED;
    if (xs_device_epoch(*device) % MAX_EPOCHS != place / XS_MAX_DEVICES)
        return NSDK_DEVICE_LOST;
    return NSDK_SUCCESS;
}

nsdkReturn_t nsdk_read_scaled(unsigned device, enum xs_quantity quantity, unsigned index,
                              int64_t divisor, int64_t no_value, int64_t *value)
{
    struct xs_reading reading;
    enum xs_status status = xs_read(device, quantity, index, &reading);

    *value = status == XS_OK ? reading.value / divisor : no_value;
    return nsdk_code_of(status, &reading);
}

nsdkReturn_t nsdk_read_u32(unsigned device, enum xs_quantity quantity, unsigned index,
                           int64_t divisor, unsigned *out)
{
    int64_t value;
    nsdkReturn_t code =
        nsdk_read_scaled(device, quantity, index, divisor, NSDK_NO_VALUE_U32, &value);

    if (code == NSDK_SUCCESS)
        *out = (unsigned)value;
    return code;
}

nsdkReturn_t nsdk_read_u64(unsigned device, enum xs_quantity quantity, unsigned index,
                           uint64_t *out)
{
    int64_t value;
    nsdkReturn_t code =
        nsdk_read_scaled(device, quantity, index, 1, (int64_t)NSDK_NO_VALUE_U64, &value);

    if (code == NSDK_SUCCESS)
        *out = (uint64_t)value;
    return code;
}

nsdkReturn_t nsdk_read_degrees(unsigned device, enum xs_quantity quantity, double *out)
{
    struct xs_reading reading;
    enum xs_status status = xs_read(device, quantity, 0, &reading);

    *out = status == XS_OK ? (double)reading.value / 1000 : (double)NSDK_NO_VALUE_F32;
    return nsdk_code_of(status, &reading);
}

int64_t nsdk_wall_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}
