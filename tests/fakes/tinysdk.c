/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tinysdk.h"

/* A vendor's library in miniature: the shapes that such libraries have, and a card that hangs. */

static char directory[256];
static struct tsdk_device {
    int index;
} devices[4] = {{0}, {1}, {2}, {3}};

tsdk_return_t tsdk_init(const char *where)
{
    snprintf(directory, sizeof directory, "%s", where);
    return TSDK_OK;
}

tsdk_return_t tsdk_get_handle(int index, tsdk_device_t *device)
{
    if (index < 0 || index >= 4)
        return TSDK_GONE;
    *device = &devices[index];
    return TSDK_OK;
}

static void hang_when_told(int index)
{
    char path[300];
    snprintf(path, sizeof path, "%s/hang-%d", directory, index);
    while (access(path, F_OK) == 0)
        usleep(10000);
}

tsdk_return_t tsdk_get_power(tsdk_device_t device, unsigned int *mw)
{
    hang_when_told(device->index);
    *mw = 42000 + (unsigned int)device->index;
    return TSDK_OK;
}

tsdk_return_t tsdk_get_fan(tsdk_device_t device, unsigned int *rpm)
{
    *rpm = 0;
    return device->index == 0 ? TSDK_UNSUPPORTED : TSDK_ODD;
}

tsdk_return_t tsdk_get_ways(int index, unsigned int *count, tsdk_way_t *ways)
{
    if (*count < 2)
        return TSDK_ODD;
    for (unsigned int way = 0; way < 2; way++)
        ways[way] = (tsdk_way_t){
            .voltage = 12000, .current = 1, .power = 1000 * (way + 1) + (unsigned int)index};
    *count = 2;
    return TSDK_OK;
}

tsdk_return_t tsdk_get_energy(int index, uint64_t *counter, float *resolution, uint64_t *time_ns)
{
    *counter = 1000 + (uint64_t)index;
    *resolution = 15.5f;
    *time_ns = 0;
    return TSDK_OK;
}

tsdk_return_t tsdk_get_values(tsdk_device_t device, int count, tsdk_value_t *values)
{
    for (int at = 0; at < count; at++) {
        tsdk_value_t *value = &values[at];
        value->status = TSDK_OK;
        value->value.wide = 0;
        switch (value->id) {
        case 1:
            value->type = 1;
            value->value.whole = 7 + (unsigned int)device->index;
            break;
        case 2:
            value->type = 0;
            value->value.real = 2.5;
            break;
        case 3:
            value->type = 2;
            value->value.below = -5;
            break;
        default:
            value->status = TSDK_UNSUPPORTED;
        }
    }
    return TSDK_OK;
}

tsdk_return_t tsdk_get_state(tsdk_device_t device, tsdk_state_t *state)
{
    if (state->version != (sizeof *state | 2u << 24))
        return TSDK_ODD;
    state->is_on = 1;
    state->level = -3;
    state->sensor.celsius[1] = (signed char)(40 + device->index);
    return TSDK_OK;
}

tsdk_return_t tsdk_get_name(tsdk_device_t device, unsigned int *id)
{
    for (int at = 0; at < 4; at++)
        id[at] = (unsigned int)device->index;
    return TSDK_OK;
}

unsigned int tsdk_count(void)
{
    return 4;
}

int tsdk_log(const char *format, ...)
{
    return format != NULL;
}

tsdk_way_t tsdk_by_value(int index)
{
    return (tsdk_way_t){.power = (unsigned int)index};
}

int tsdk_take(tsdk_way_t way)
{
    return (int)way.power;
}

int tsdk_take_union(tsdk_number_t number)
{
    return (int)number.whole;
}

double tsdk_ratio(int index)
{
    return index;
}

int tsdk_limit(float share)
{
    return share > 1;
}

int tsdk_listen(void (*notify)(int))
{
    return notify != NULL;
}

int tsdk_seven(int a, int b, int c, int d, int e, int f, int g)
{
    return a + b + c + d + e + f + g;
}

int tsdk_precise(long double number)
{
    return number > 1;
}
