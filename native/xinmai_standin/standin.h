/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XS_STANDIN_H
#define XS_STANDIN_H

#include "quantities.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Simulated devices behind a vendor's ABI. A shim translates each of the vendor's functions to
 * xs_read and friends; values, times, faults and scenario files live here. Every value is a pure
 * function of seed, device, quantity and time, so that two readers of one instant agree.
 *
 * Environment, read by the first xs_init of a process:
 *   XINMAI_STANDIN_SCENARIO, XINMAI_STANDIN_<VENDOR>_SCENARIO   file laid over the standard
 * scenario XINMAI_STANDIN_DEVICES, XINMAI_STANDIN_<VENDOR>_DEVICES     how many, over the
 * scenario's own XINMAI_STANDIN_T0_NS        CLOCK_MONOTONIC that is second 0; the first xs_init
 * where unset XINMAI_STANDIN_CALLS        file where calls are counted, see calls.h
 *   XINMAI_STANDIN_VIOLATIONS   file that gets a line for every call that would set something
 */

#define XS_MAX_DEVICES 128
#define XS_TEXT_BYTES  96

#define XS_CONSTANT(id, name, about) id,
enum xs_quantity { XS_QUANTITIES(XS_CONSTANT) XS_N_QUANTITIES };
enum xs_text { XS_TEXTS(XS_CONSTANT) XS_N_TEXTS };
#undef XS_CONSTANT

enum xs_status {
    XS_OK,
    XS_UNSUPPORTED,   /* the scenario gives this device no such quantity or index */
    XS_SENTINEL,      /* the vendor's number for "no value" */
    XS_ERROR,         /* the vendor's error code, in xs_reading.code */
    XS_LOST,          /* the device is gone */
    XS_NO_DEVICE,     /* no such index */
    XS_UNINITIALIZED, /* xs_init was not called, or xs_shutdown was */
};

struct xs_reading {
    int64_t value; /* in the quantity's unit; a counter of 64 bits is the bit pattern of unsigned */
    int64_t code;  /* with XS_ERROR */
};

struct xs_event {
    int64_t time_ns; /* since second 0 */
    unsigned device;
    int64_t code;
    const char *message; /* lives as long as the process */
};

/*
 * 0, or -1 where the scenario cannot be read; xs_init_error says why, and so does stderr.
 * Counted: as many xs_shutdown close it. The scenario and second 0 are the first call's for the
 * life of the process, as a driver's state outlives its users.
 *
 * standard: the shim's own scenario lines, over the core's; may be NULL.
 */
int xs_init(const char *vendor, const char *standard);
void xs_shutdown(void);
const char *xs_init_error(void);

/* How many devices enumerate now, and the scenario's device behind each of their indices. */
unsigned xs_device_count(void);
enum xs_status xs_device_at(unsigned index, unsigned *device);

/* Times the device has been lost or absent and come back: old handles are stale. */
unsigned xs_device_epoch(unsigned device);
/* XS_OK, XS_LOST, XS_NO_DEVICE or XS_UNINITIALIZED. */
enum xs_status xs_device_state(unsigned device);

const char *xs_device_text(unsigned device, enum xs_text text);

/* Reads, and does what the scenario's faults say of this place: may never return, or crash. */
enum xs_status xs_read(unsigned device, enum xs_quantity quantity, unsigned index,
                       struct xs_reading *reading);

/* The faults only: for calls that read no quantity. */
enum xs_status xs_pass(unsigned device, enum xs_quantity place, struct xs_reading *reading);

/* How many indices from 0 the quantity has on the device. */
unsigned xs_index_count(unsigned device, enum xs_quantity quantity);

/* Writes past a struct of the caller's that ends at `end` where the scenario says so. */
void xs_overrun(unsigned device, enum xs_quantity quantity, void *end);

/* Up to where a reader of events has read; a new one sees what happens from now on. */
struct xs_cursor {
    int64_t time_ns;
    size_t line;
    unsigned device;
};
void xs_event_start(struct xs_cursor *cursor);
/* The next event up to now: 1, or 0 for none. Moves the cursor. */
int xs_event_next(struct xs_cursor *cursor, struct xs_event *event);

/* What xs_read would give at t_ns, without what the scenario does to the call itself. */
enum xs_status xs_peek(unsigned device, enum xs_quantity quantity, unsigned index, int64_t t_ns,
                       int64_t *value);
/* The quantity of that name, such as "link.rx_bytes"; XS_N_QUANTITIES for none. */
enum xs_quantity xs_quantity_named(const char *name);

/* Nanoseconds since second 0, never below 0. */
int64_t xs_now_ns(void);
int64_t xs_t0_ns(void);

/* A function that would change something was called: leaves a line, does nothing. */
void xs_forbidden(const char *function);

/* Counts a call. One static site per function, so that a call finds its counter at once. */
struct xs_site {
    const char *function;
    void *_Atomic counter;
};
void xs_called(struct xs_site *site);

#define XS_CALLED() \
    do { \
        static struct xs_site xs_site_ = {__func__, NULL}; \
        xs_called(&xs_site_); \
    } while (0)

#define XS_EXPORT __attribute__((visibility("default")))

#endif
