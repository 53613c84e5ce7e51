/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NSDK_H
#define NSDK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Neutral SDK: a made-up vendor whose ABI holds every habit of real ones. libnsdk.so.1.
 * Every function is safe from any thread. A handle is good until nsdkShutdown or until its device
 * is lost; one that came back needs a new handle.
 */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nsdkDevice *nsdkDevice_t;

typedef enum {
    NSDK_SUCCESS = 0,
    NSDK_UNINITIALIZED = 1,
    NSDK_INVALID_ARGUMENT = 2,
    NSDK_NOT_SUPPORTED = 3,
    NSDK_NO_PERMISSION = 4,
    NSDK_VERSION_MISMATCH = 5,
    NSDK_INSUFFICIENT_SIZE = 7,
    NSDK_TIMEOUT = 10,
    NSDK_DEVICE_LOST = 15,
    NSDK_NO_EVENT = 16,
    NSDK_UNKNOWN = 999
} nsdkReturn_t;

#define NSDK_TEXT_SIZE 96
/* Readings of 32 bits, and of a sensor: no value. */
#define NSDK_NO_VALUE_U32 0xffffffffu
#define NSDK_NO_VALUE_I32 (-32768)
#define NSDK_NO_VALUE_F32 (-273.0f)
#define NSDK_NO_VALUE_U64 0xffffffffffffffffull

typedef enum {
    NSDK_SENSOR_CORE = 0,
    NSDK_SENSOR_HOTSPOT = 1,
    NSDK_SENSOR_MEMORY = 2,
    NSDK_SENSOR_BOARD = 3
} nsdkSensor_t;

typedef enum { NSDK_CLOCK_CORE = 0, NSDK_CLOCK_MEMORY = 1 } nsdkClock_t;

/* version: NSDK_UTILIZATION_V2, or the call refuses it. Percent. */
typedef struct {
    unsigned version;
    unsigned core;
    unsigned memory;
    unsigned encoder;
    unsigned decoder;
} nsdkUtilization_v2;
#define NSDK_UTILIZATION_V2 ((unsigned)(sizeof(nsdkUtilization_v2) | (2u << 24)))

typedef struct {
    unsigned power : 1;
    unsigned thermal : 1;
    unsigned brake : 1;
    unsigned board : 1;
    unsigned reserved : 24;
    unsigned level : 4;
} nsdkThrottle;

/* Degrees Celsius. */
typedef struct {
    float hotspot;
    float memory;
    double core;
} nsdkTemperatures;

/* One supply way of the board; the board's power is their sum. */
typedef struct {
    unsigned voltage_mv;
    unsigned current_ma;
    unsigned power_mw;
} nsdkSupplyWay;

/* Energy since the driver was loaded = counter * resolution_uj. */
typedef struct {
    uint64_t counter;
    unsigned resolution_uj;
    unsigned reserved;
} nsdkEnergy;

typedef struct {
    uint64_t total;
    uint64_t used;
} nsdkMemory;

typedef struct {
    uint64_t corrected;
    uint64_t uncorrected;
    unsigned retired_pages;
} nsdkEcc;

/* Error counters wrap at 32 bits. */
typedef struct {
    uint8_t up;
    uint64_t rx_bytes;
    uint64_t tx_bytes;
    uint32_t crc_errors;
    uint32_t replays;
    uint64_t speed_bytes_per_s;
} nsdkLink;

typedef enum {
    NSDK_VALUE_UINT = 0,
    NSDK_VALUE_INT = 1,
    NSDK_VALUE_ULLONG = 2,
    NSDK_VALUE_DOUBLE = 3
} nsdkValueType;

typedef union {
    unsigned ui;
    int si;
    uint64_t ull;
    double d;
} nsdkValue;

/* field_id and scope_id are the caller's; status and value are per field. */
typedef struct {
    unsigned field_id;
    unsigned scope_id;
    int64_t time_us;
    int value_type;
    int status;
    nsdkValue value;
} nsdkFieldValue;

enum {
    NSDK_FIELD_POWER_MW = 1,       /* uint */
    NSDK_FIELD_ENERGY_MJ = 2,      /* ullong */
    NSDK_FIELD_TEMP_MEMORY_C = 3,  /* int */
    NSDK_FIELD_TEMP_HOTSPOT_C = 4, /* double */
    NSDK_FIELD_LINK_RX_BYTES = 5,  /* ullong, scope: link */
    NSDK_FIELD_LINK_TX_BYTES = 6,  /* ullong, scope: link */
    NSDK_FIELD_PCIE_RX_BYTES = 7,  /* ullong */
    NSDK_FIELD_PCIE_TX_BYTES = 8,  /* ullong */
    NSDK_FIELD_PCIE_REPLAYS = 9    /* uint */
};

typedef struct {
    unsigned device;
    unsigned code;
    int64_t time_us; /* since the Unix epoch */
    char message[NSDK_TEXT_SIZE];
} nsdkEvent;

typedef struct {
    unsigned pid;
    unsigned reserved;
    uint64_t memory_bytes;
} nsdkProcess;

nsdkReturn_t nsdkInit(void);
nsdkReturn_t nsdkShutdown(void);
const char *nsdkErrorString(nsdkReturn_t code);
nsdkReturn_t nsdkDriverVersion(char *text, unsigned size);

/* Devices that are here now. */
nsdkReturn_t nsdkDeviceCount(unsigned *count);
nsdkReturn_t nsdkDeviceByIndex(unsigned index, nsdkDevice_t *device);
nsdkReturn_t nsdkDeviceUuid(nsdkDevice_t device, char *text, unsigned size);
nsdkReturn_t nsdkDeviceName(nsdkDevice_t device, char *text, unsigned size);
nsdkReturn_t nsdkDeviceSerial(nsdkDevice_t device, char *text, unsigned size);
nsdkReturn_t nsdkDeviceFirmware(nsdkDevice_t device, char *text, unsigned size);
nsdkReturn_t nsdkDevicePci(nsdkDevice_t device, char *text, unsigned size);
/* Whether calls on it can succeed. */
bool nsdkDeviceIsAlive(nsdkDevice_t device);

nsdkReturn_t nsdkDeviceGetPower(nsdkDevice_t device, unsigned *mw);
nsdkReturn_t nsdkDeviceGetPowerLimit(nsdkDevice_t device, unsigned *mw);
/* Thousandths of a degree Celsius. */
nsdkReturn_t nsdkDeviceGetTemperature(nsdkDevice_t device, nsdkSensor_t sensor, int *millidegrees);
nsdkReturn_t nsdkDeviceGetTemperatures(nsdkDevice_t device, nsdkTemperatures *temperatures);
nsdkReturn_t nsdkDeviceGetUtilization(nsdkDevice_t device, nsdkUtilization_v2 *utilization);
nsdkReturn_t nsdkDeviceGetThrottle(nsdkDevice_t device, nsdkThrottle *throttle);
nsdkReturn_t nsdkDeviceGetSupplyWays(nsdkDevice_t device, unsigned *count, nsdkSupplyWay *ways);
nsdkReturn_t nsdkDeviceGetEnergy(nsdkDevice_t device, nsdkEnergy *energy);
nsdkReturn_t nsdkDeviceGetMemory(nsdkDevice_t device, nsdkMemory *memory);
nsdkReturn_t nsdkDeviceGetClock(nsdkDevice_t device, nsdkClock_t clock, unsigned *mhz);
nsdkReturn_t nsdkDeviceGetEcc(nsdkDevice_t device, nsdkEcc *ecc);
nsdkReturn_t nsdkDeviceGetFieldValues(nsdkDevice_t device, int n, nsdkFieldValue *values);
/* count: how many links has room for, then how many were written. */
nsdkReturn_t nsdkDeviceGetLinks(nsdkDevice_t device, unsigned *count, nsdkLink *links);
/* count: as in nsdkDeviceGetLinks. */
nsdkReturn_t nsdkDeviceGetProcesses(nsdkDevice_t device, unsigned *count, nsdkProcess *processes);
/* Revolutions per minute, or a negative nsdkReturn_t. */
int nsdkDeviceFanRpm(nsdkDevice_t device, unsigned fan);

/* The next event since the one before, or NSDK_NO_EVENT at once. One queue per process. */
nsdkReturn_t nsdkEventNext(nsdkEvent *event);

nsdkReturn_t nsdkDeviceReset(nsdkDevice_t device);
nsdkReturn_t nsdkDeviceSetPowerLimit(nsdkDevice_t device, unsigned mw);

#ifdef __cplusplus
}
#endif

#endif
