/* SPDX-License-Identifier: Apache-2.0 */
/* Read by cffi as it stands, but for the lines with a `#` and the includes' types. */
#ifndef TINYSDK_H
#define TINYSDK_H
#include <stdint.h>

typedef struct tsdk_device *tsdk_device_t;

typedef enum { TSDK_OK = 0, TSDK_ODD = -1, TSDK_UNSUPPORTED = -3, TSDK_GONE = -9 } tsdk_return_t;

typedef struct {
    unsigned int voltage, current, power;
} tsdk_way_t;

typedef union {
    double real;
    unsigned int whole;
    int below;
    unsigned long long wide;
} tsdk_number_t;

typedef struct {
    unsigned int id, scope;
    long long time_us;
    int type, status;
    tsdk_number_t value;
} tsdk_value_t;

typedef struct {
    unsigned int version;
    unsigned int is_on : 1, mode : 3;
    int level : 4;
    struct {
        unsigned int id;
        signed char celsius[4];
    } sensor;
    struct tsdk_device *owner;
    void (*notify)(int);
} tsdk_state_t;

tsdk_return_t tsdk_init(const char *where);
tsdk_return_t tsdk_get_handle(int index, tsdk_device_t *device);
tsdk_return_t tsdk_get_power(tsdk_device_t device, unsigned int *mw);
tsdk_return_t tsdk_get_fan(tsdk_device_t device, unsigned int *rpm);
tsdk_return_t tsdk_get_ways(int index, unsigned int *count, tsdk_way_t *ways);
tsdk_return_t tsdk_get_energy(int index, uint64_t *counter, float *resolution, uint64_t *time_ns);
tsdk_return_t tsdk_get_values(tsdk_device_t device, int count, tsdk_value_t *values);
tsdk_return_t tsdk_get_state(tsdk_device_t device, tsdk_state_t *state);
unsigned int tsdk_count(void);
/* Writes more than it says. */
tsdk_return_t tsdk_get_name(tsdk_device_t device, unsigned int *id);

/* What no lane can call. */
int tsdk_log(const char *format, ...);
tsdk_way_t tsdk_by_value(int index);
int tsdk_take(tsdk_way_t way);
int tsdk_take_union(tsdk_number_t number);
double tsdk_ratio(int index);
int tsdk_limit(float share);
int tsdk_listen(void (*notify)(int));
int tsdk_seven(int a, int b, int c, int d, int e, int f, int g);
int tsdk_precise(long double number);
/* Declared, and in no version of the library. */
tsdk_return_t tsdk_get_power_v2(tsdk_device_t device, unsigned int *mw);

#endif
