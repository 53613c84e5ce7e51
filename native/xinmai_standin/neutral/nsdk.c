/* SPDX-License-Identifier: Apache-2.0 */
#include "shim.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* One queue per process, whichever thread asks. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct xs_cursor events;

static nsdkReturn_t copy_text(const char *from, char *text, unsigned size)
{
    if (text == NULL)
        return NSDK_INVALID_ARGUMENT;
    if (strlen(from) >= size)
        return NSDK_INSUFFICIENT_SIZE;
    strcpy(text, from);
    return NSDK_SUCCESS;
}

XS_EXPORT nsdkReturn_t nsdkInit(void)
{
    struct xs_reading reading;
    enum xs_status status;

    XS_CALLED();
    if (xs_init("neutral", "device * model \"Neutral N1\"\ndevice * serial \"N1-000%d\"\n") != 0)
        return NSDK_UNKNOWN;
    status = xs_pass(0, XS_INIT, &reading);
    if (status != XS_OK) {
        xs_shutdown();
        return nsdk_code_of(status, &reading);
    }
    pthread_mutex_lock(&lock);
    xs_event_start(&events);
    pthread_mutex_unlock(&lock);
    return NSDK_SUCCESS;
}

XS_EXPORT nsdkReturn_t nsdkShutdown(void)
{
    struct xs_reading reading;
    enum xs_status status = xs_pass(0, XS_SHUTDOWN, &reading);

    XS_CALLED();
    xs_shutdown();
    return nsdk_code_of(status, &reading);
}

XS_EXPORT const char *nsdkErrorString(nsdkReturn_t code)
{
    switch (code) {
    case NSDK_SUCCESS:
        return "success";
    case NSDK_UNINITIALIZED:
        return "nsdkInit was not called";
    case NSDK_INVALID_ARGUMENT:
        return "invalid argument";
    case NSDK_NOT_SUPPORTED:
        return "not supported by this device";
    case NSDK_NO_PERMISSION:
        return "no permission";
    case NSDK_VERSION_MISMATCH:
        return "unknown version of a struct";
    case NSDK_INSUFFICIENT_SIZE:
        return "buffer too small";
    case NSDK_TIMEOUT:
        return "timeout";
    case NSDK_DEVICE_LOST:
        return "device lost";
    case NSDK_NO_EVENT:
        return "no event";
    case NSDK_UNKNOWN:
        break;
    }
    return *xs_init_error() ? xs_init_error() : "unknown error";
}

XS_EXPORT nsdkReturn_t nsdkDriverVersion(char *text, unsigned size)
{
    XS_CALLED();
    return copy_text(xs_device_text(0, XS_DRIVER), text, size);
}

XS_EXPORT nsdkReturn_t nsdkDeviceCount(unsigned *count)
{
    struct xs_reading reading;
    enum xs_status status = xs_pass(0, XS_COUNT, &reading);

    XS_CALLED();
    if (status == XS_OK)
        *count = xs_device_count();
    return nsdk_code_of(status, &reading);
}

XS_EXPORT nsdkReturn_t nsdkDeviceByIndex(unsigned index, nsdkDevice_t *device)
{
    struct xs_reading reading = {0, 0};
    unsigned found;
    enum xs_status status = xs_device_at(index, &found);

    XS_CALLED();
    if (status == XS_OK)
        status = xs_device_state(found);
    if (status == XS_OK)
        status = xs_pass(found, XS_IDENTITY, &reading);
    if (status == XS_OK)
        *device = nsdk_make_handle(found);
    return nsdk_code_of(status, &reading);
}

static nsdkReturn_t get_text(nsdkDevice_t handle, enum xs_text which, char *text, unsigned size)
{
    struct xs_reading reading;
    enum xs_status status;
    unsigned device;
    nsdkReturn_t code = nsdk_open_handle(handle, &device);

    if (code != NSDK_SUCCESS)
        return code;
    status = xs_pass(device, XS_IDENTITY, &reading);
    if (status != XS_OK)
        return nsdk_code_of(status, &reading);
    return copy_text(xs_device_text(device, which), text, size);
}

XS_EXPORT nsdkReturn_t nsdkDeviceUuid(nsdkDevice_t device, char *text, unsigned size)
{
    XS_CALLED();
    return get_text(device, XS_UUID, text, size);
}

XS_EXPORT nsdkReturn_t nsdkDeviceName(nsdkDevice_t device, char *text, unsigned size)
{
    XS_CALLED();
    return get_text(device, XS_MODEL, text, size);
}

XS_EXPORT nsdkReturn_t nsdkDeviceSerial(nsdkDevice_t device, char *text, unsigned size)
{
    XS_CALLED();
    return get_text(device, XS_SERIAL, text, size);
}

XS_EXPORT nsdkReturn_t nsdkDeviceFirmware(nsdkDevice_t device, char *text, unsigned size)
{
    XS_CALLED();
    return get_text(device, XS_FIRMWARE, text, size);
}

XS_EXPORT nsdkReturn_t nsdkDevicePci(nsdkDevice_t device, char *text, unsigned size)
{
    XS_CALLED();
    return get_text(device, XS_PCI, text, size);
}

XS_EXPORT bool nsdkDeviceIsAlive(nsdkDevice_t handle)
{
    unsigned device;

    XS_CALLED();
    return nsdk_open_handle(handle, &device) == NSDK_SUCCESS && xs_device_state(device) == XS_OK;
}

XS_EXPORT nsdkReturn_t nsdkEventNext(nsdkEvent *event)
{
    struct xs_reading reading;
    struct xs_event next;
    int found;
    enum xs_status status = xs_pass(0, XS_EVENTS, &reading);

    XS_CALLED();
    if (status != XS_OK)
        return nsdk_code_of(status, &reading);
    pthread_mutex_lock(&lock);
    found = xs_event_next(&events, &next);
    pthread_mutex_unlock(&lock);
    if (!found)
        return NSDK_NO_EVENT;
    event->device = next.device;
    event->code = (unsigned)next.code;
    event->time_us = nsdk_wall_us() - (xs_now_ns() - next.time_ns) / 1000;
    snprintf(event->message, sizeof(event->message), "%s", next.message);
    return NSDK_SUCCESS;
}

XS_EXPORT nsdkReturn_t nsdkDeviceReset(nsdkDevice_t device)
{
    (void)device;
    xs_forbidden(__func__);
    return NSDK_NO_PERMISSION;
}

XS_EXPORT nsdkReturn_t nsdkDeviceSetPowerLimit(nsdkDevice_t device, unsigned mw)
{
    (void)device;
    (void)mw;
    xs_forbidden(__func__);
    return NSDK_NO_PERMISSION;
}
