/* What this plugin calls of libnsdk.so.1, in the words of the vendor's header nsdk.h. */

typedef struct nsdkDevice *nsdkDevice_t;
typedef int nsdkReturn_t;

typedef struct {
    unsigned version;
    unsigned core;
    unsigned memory;
    unsigned encoder;
    unsigned decoder;
} nsdkUtilization_v2;

typedef struct {
    unsigned power : 1;
    unsigned thermal : 1;
    unsigned brake : 1;
    unsigned board : 1;
    unsigned reserved : 24;
    unsigned level : 4;
} nsdkThrottle;

typedef struct {
    float hotspot;
    float memory;
    double core;
} nsdkTemperatures;

typedef struct {
    unsigned voltage_mv;
    unsigned current_ma;
    unsigned power_mw;
} nsdkSupplyWay;

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

typedef struct {
    uint8_t up;
    uint64_t rx_bytes;
    uint64_t tx_bytes;
    uint32_t crc_errors;
    uint32_t replays;
    uint64_t speed_bytes_per_s;
} nsdkLink;

typedef union {
    unsigned ui;
    int si;
    uint64_t ull;
    double d;
} nsdkValue;

typedef struct {
    unsigned field_id;
    unsigned scope_id;
    int64_t time_us;
    int value_type;
    int status;
    nsdkValue value;
} nsdkFieldValue;

typedef struct {
    unsigned device;
    unsigned code;
    int64_t time_us;
    char message[96];
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
nsdkReturn_t nsdkDeviceCount(unsigned *count);
nsdkReturn_t nsdkDeviceByIndex(unsigned index, nsdkDevice_t *device);
nsdkReturn_t nsdkDeviceUuid(nsdkDevice_t device, char *text, unsigned size);
nsdkReturn_t nsdkDeviceName(nsdkDevice_t device, char *text, unsigned size);
nsdkReturn_t nsdkDeviceSerial(nsdkDevice_t device, char *text, unsigned size);
nsdkReturn_t nsdkDeviceFirmware(nsdkDevice_t device, char *text, unsigned size);
nsdkReturn_t nsdkDevicePci(nsdkDevice_t device, char *text, unsigned size);
_Bool nsdkDeviceIsAlive(nsdkDevice_t device);
nsdkReturn_t nsdkDeviceGetPower(nsdkDevice_t device, unsigned *mw);
nsdkReturn_t nsdkDeviceGetPowerLimit(nsdkDevice_t device, unsigned *mw);
nsdkReturn_t nsdkDeviceGetTemperature(nsdkDevice_t device, int sensor, int *millidegrees);
nsdkReturn_t nsdkDeviceGetTemperatures(nsdkDevice_t device, nsdkTemperatures *temperatures);
nsdkReturn_t nsdkDeviceGetUtilization(nsdkDevice_t device, nsdkUtilization_v2 *utilization);
nsdkReturn_t nsdkDeviceGetThrottle(nsdkDevice_t device, nsdkThrottle *throttle);
nsdkReturn_t nsdkDeviceGetSupplyWays(nsdkDevice_t device, unsigned *count, nsdkSupplyWay *ways);
nsdkReturn_t nsdkDeviceGetEnergy(nsdkDevice_t device, nsdkEnergy *energy);
nsdkReturn_t nsdkDeviceGetMemory(nsdkDevice_t device, nsdkMemory *memory);
nsdkReturn_t nsdkDeviceGetClock(nsdkDevice_t device, int clock, unsigned *mhz);
nsdkReturn_t nsdkDeviceGetEcc(nsdkDevice_t device, nsdkEcc *ecc);
nsdkReturn_t nsdkDeviceGetFieldValues(nsdkDevice_t device, int n, nsdkFieldValue *values);
nsdkReturn_t nsdkDeviceGetLinks(nsdkDevice_t device, unsigned *count, nsdkLink *links);
nsdkReturn_t nsdkDeviceGetProcesses(nsdkDevice_t device, unsigned *count, nsdkProcess *processes);
int nsdkDeviceFanRpm(nsdkDevice_t device, unsigned fan);
nsdkReturn_t nsdkEventNext(nsdkEvent *event);

/* Only a stand-in has this one. */
extern const char xinmai_standin_version[];
