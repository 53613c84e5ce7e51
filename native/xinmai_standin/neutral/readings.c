/* SPDX-License-Identifier: Apache-2.0 */
#include "shim.h"

#define RESOLUTION_UJ 15300

XS_EXPORT nsdkReturn_t nsdkDeviceGetPower(nsdkDevice_t handle, unsigned *mw)
{
    unsigned device;
    nsdkReturn_t code = nsdk_open_handle(handle, &device);

    XS_CALLED();
    if (code == NSDK_SUCCESS)
        code = nsdk_read_u32(device, XS_POWER, 0, 1, mw);
    if (code == NSDK_SUCCESS)
        xs_overrun(device, XS_POWER, mw + 1);
    return code;
}

XS_EXPORT nsdkReturn_t nsdkDeviceGetPowerLimit(nsdkDevice_t handle, unsigned *mw)
{
    unsigned device;
    nsdkReturn_t code = nsdk_open_handle(handle, &device);

    XS_CALLED();
    return code != NSDK_SUCCESS ? code : nsdk_read_u32(device, XS_POWER_LIMIT, 0, 1, mw);
}

XS_EXPORT nsdkReturn_t nsdkDeviceGetTemperature(nsdkDevice_t handle, nsdkSensor_t sensor,
                                                int *millidegrees)
{
    static const enum xs_quantity SENSORS[] = {XS_TEMP_CORE, XS_TEMP_HOTSPOT, XS_TEMP_MEMORY,
                                               XS_TEMP_BOARD};
    unsigned device;
    nsdkReturn_t code = nsdk_open_handle(handle, &device);
    int64_t value;

    XS_CALLED();
    if (code != NSDK_SUCCESS)
        return code;
    if ((unsigned)sensor >= sizeof(SENSORS) / sizeof(*SENSORS))
        return NSDK_INVALID_ARGUMENT;
    code = nsdk_read_scaled(device, SENSORS[sensor], 0, 1, NSDK_NO_VALUE_I32, &value);
    if (code == NSDK_SUCCESS)
        *millidegrees = (int)value;
    return code;
}

XS_EXPORT nsdkReturn_t nsdkDeviceGetTemperatures(nsdkDevice_t handle,
                                                 nsdkTemperatures *temperatures)
{
    unsigned device;
    double hotspot = 0, memory = 0;
    nsdkReturn_t code = nsdk_open_handle(handle, &device);

    XS_CALLED();
    if (code == NSDK_SUCCESS)
        code = nsdk_read_degrees(device, XS_TEMP_HOTSPOT, &hotspot);
    if (code == NSDK_SUCCESS)
        code = nsdk_read_degrees(device, XS_TEMP_MEMORY, &memory);
    if (code == NSDK_SUCCESS)
        code = nsdk_read_degrees(device, XS_TEMP_CORE, &temperatures->core);
    if (code != NSDK_SUCCESS)
        return code;
    temperatures->hotspot = (float)hotspot;
    temperatures->memory = (float)memory;
    xs_overrun(device, XS_TEMP_CORE, temperatures + 1);
    return NSDK_SUCCESS;
}

XS_EXPORT nsdkReturn_t nsdkDeviceGetUtilization(nsdkDevice_t handle,
                                                nsdkUtilization_v2 *utilization)
{
    unsigned device;
    nsdkReturn_t code = nsdk_open_handle(handle, &device);

    XS_CALLED();
    if (code != NSDK_SUCCESS)
        return code;
    if (utilization->version != NSDK_UTILIZATION_V2)
        return NSDK_VERSION_MISMATCH;
    code = nsdk_read_u32(device, XS_UTIL_CORE, 0, 100, &utilization->core);
    if (code == NSDK_SUCCESS)
        code = nsdk_read_u32(device, XS_UTIL_MEMORY, 0, 100, &utilization->memory);
    if (code == NSDK_SUCCESS)
        code = nsdk_read_u32(device, XS_UTIL_ENCODER, 0, 100, &utilization->encoder);
    if (code == NSDK_SUCCESS)
        code = nsdk_read_u32(device, XS_UTIL_DECODER, 0, 100, &utilization->decoder);
    if (code == NSDK_SUCCESS)
        xs_overrun(device, XS_UTIL_CORE, utilization + 1);
    return code;
}

XS_EXPORT nsdkReturn_t nsdkDeviceGetThrottle(nsdkDevice_t handle, nsdkThrottle *throttle)
{
    unsigned device, bits;
    nsdkReturn_t code = nsdk_open_handle(handle, &device);

    XS_CALLED();
    if (code == NSDK_SUCCESS)
        code = nsdk_read_u32(device, XS_THROTTLE, 0, 1, &bits);
    if (code != NSDK_SUCCESS)
        return code;
    /* No number of a bit field could say it. */
    if (bits == NSDK_NO_VALUE_U32)
        return NSDK_NOT_SUPPORTED;
    *throttle = (nsdkThrottle){bits & 1, bits >> 1 & 1, bits >> 2 & 1, bits >> 3 & 1, 0, 3};
    return NSDK_SUCCESS;
}

XS_EXPORT nsdkReturn_t nsdkDeviceGetEnergy(nsdkDevice_t handle, nsdkEnergy *energy)
{
    uint64_t mj;
    unsigned device;
    nsdkReturn_t code = nsdk_open_handle(handle, &device);

    XS_CALLED();
    if (code == NSDK_SUCCESS)
        code = nsdk_read_u64(device, XS_ENERGY, 0, &mj);
    if (code != NSDK_SUCCESS)
        return code;
    energy->counter = mj == NSDK_NO_VALUE_U64 ? mj : mj * 1000 / RESOLUTION_UJ;
    energy->resolution_uj = RESOLUTION_UJ;
    energy->reserved = 0;
    return NSDK_SUCCESS;
}

XS_EXPORT nsdkReturn_t nsdkDeviceGetMemory(nsdkDevice_t handle, nsdkMemory *memory)
{
    unsigned device;
    nsdkReturn_t code = nsdk_open_handle(handle, &device);

    XS_CALLED();
    if (code == NSDK_SUCCESS)
        code = nsdk_read_u64(device, XS_MEMORY_TOTAL, 0, &memory->total);
    if (code == NSDK_SUCCESS)
        code = nsdk_read_u64(device, XS_MEMORY_USED, 0, &memory->used);
    return code;
}

XS_EXPORT nsdkReturn_t nsdkDeviceGetClock(nsdkDevice_t handle, nsdkClock_t clock, unsigned *mhz)
{
    unsigned device;
    nsdkReturn_t code = nsdk_open_handle(handle, &device);

    XS_CALLED();
    if (code != NSDK_SUCCESS)
        return code;
    if (clock != NSDK_CLOCK_CORE && clock != NSDK_CLOCK_MEMORY)
        return NSDK_INVALID_ARGUMENT;
    return nsdk_read_u32(device, clock == NSDK_CLOCK_CORE ? XS_CLOCK_CORE : XS_CLOCK_MEMORY, 0,
                         1000000, mhz);
}

XS_EXPORT nsdkReturn_t nsdkDeviceGetEcc(nsdkDevice_t handle, nsdkEcc *ecc)
{
    unsigned device;
    nsdkReturn_t code = nsdk_open_handle(handle, &device);

    XS_CALLED();
    if (code == NSDK_SUCCESS)
        code = nsdk_read_u64(device, XS_ECC_CORRECTED, 0, &ecc->corrected);
    if (code == NSDK_SUCCESS)
        code = nsdk_read_u64(device, XS_ECC_UNCORRECTED, 0, &ecc->uncorrected);
    if (code == NSDK_SUCCESS)
        code = nsdk_read_u32(device, XS_RETIRED_PAGES, 0, 1, &ecc->retired_pages);
    return code;
}

XS_EXPORT int nsdkDeviceFanRpm(nsdkDevice_t handle, unsigned fan)
{
    unsigned device, rpm;
    nsdkReturn_t code = nsdk_open_handle(handle, &device);

    XS_CALLED();
    if (code == NSDK_SUCCESS)
        code = nsdk_read_u32(device, XS_FAN, fan, 1, &rpm);
    return code == NSDK_SUCCESS ? (int)rpm : -(int)code;
}
