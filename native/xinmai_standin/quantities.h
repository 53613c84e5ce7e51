/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XS_QUANTITIES_H
#define XS_QUANTITIES_H

/*
 * What a scenario can give a device, in one unit for every vendor; a shim converts to its own.
 * X(constant, name in a scenario, unit). A name ends in [] where it has an index.
 */
#define XS_QUANTITIES(X) \
    X(XS_POWER, "power", "mW") \
    X(XS_POWER_AVERAGE, "power.average", "mW") \
    X(XS_POWER_LIMIT, "power.limit", "mW") \
    X(XS_WAY_POWER, "way.power[]", "mW") \
    X(XS_WAY_VOLTAGE, "way.voltage[]", "mV") \
    X(XS_WAY_CURRENT, "way.current[]", "mA") \
    X(XS_ENERGY, "energy", "mJ") \
    X(XS_TEMP_CORE, "temp.core", "m°C") \
    X(XS_TEMP_HOTSPOT, "temp.hotspot", "m°C") \
    X(XS_TEMP_MEMORY, "temp.memory", "m°C") \
    X(XS_TEMP_BOARD, "temp.board", "m°C") \
    X(XS_TEMP_VREG, "temp.vreg", "m°C") \
    X(XS_TEMP_LIMIT, "temp.limit", "m°C") \
    X(XS_UTIL_CORE, "util.core", "0.01 %") \
    X(XS_UTIL_MEMORY, "util.memory", "0.01 %") \
    X(XS_UTIL_TENSOR, "util.tensor", "0.01 %") \
    X(XS_UTIL_VECTOR, "util.vector", "0.01 %") \
    X(XS_UTIL_ENCODER, "util.encoder", "0.01 %") \
    X(XS_UTIL_DECODER, "util.decoder", "0.01 %") \
    X(XS_MEMORY_TOTAL, "memory.total", "bytes") \
    X(XS_MEMORY_USED, "memory.used", "bytes") \
    X(XS_CLOCK_CORE, "clock.core", "Hz") \
    X(XS_CLOCK_MEMORY, "clock.memory", "Hz") \
    X(XS_CLOCK_VIDEO, "clock.video", "Hz") \
    X(XS_VOLTAGE, "voltage", "mV") \
    X(XS_FAN, "fan[]", "rpm") \
    X(XS_THROTTLE, "throttle", "bits: 0 power, 1 thermal, 2 brake, 3 board") \
    X(XS_THROTTLE_POWER_TIME, "throttle.power.time", "ns") \
    X(XS_THROTTLE_THERMAL_TIME, "throttle.thermal.time", "ns") \
    X(XS_HEALTH, "health", "0 ok, 1 degraded, 2 failed") \
    X(XS_ECC_CORRECTED, "ecc.corrected", "errors") \
    X(XS_ECC_UNCORRECTED, "ecc.uncorrected", "errors") \
    X(XS_RETIRED_PAGES, "retired.pages", "pages") \
    X(XS_PCIE_GENERATION, "pcie.generation", "1") \
    X(XS_PCIE_WIDTH, "pcie.width", "lanes") \
    X(XS_PCIE_RX_BYTES, "pcie.rx_bytes", "bytes") \
    X(XS_PCIE_TX_BYTES, "pcie.tx_bytes", "bytes") \
    X(XS_PCIE_REPLAYS, "pcie.replays", "replays") \
    X(XS_LINK_UP, "link.up[]", "0 or 1") \
    X(XS_LINK_SPEED, "link.speed[]", "bytes/s") \
    X(XS_LINK_RX_BYTES, "link.rx_bytes[]", "bytes") \
    X(XS_LINK_TX_BYTES, "link.tx_bytes[]", "bytes") \
    X(XS_LINK_CRC_ERRORS, "link.crc_errors[]", "errors") \
    X(XS_LINK_REPLAYS, "link.replays[]", "replays") \
    X(XS_LINK_RECOVERIES, "link.recoveries[]", "recoveries") \
    X(XS_PROCESS_PID, "process.pid[]", "1") \
    X(XS_PROCESS_MEMORY, "process.memory[]", "bytes") \
    X(XS_PARTITIONS, "partitions", "1") \
    /* Calls that read no quantity: places for faults only. */ \
    X(XS_INIT, "init", "") \
    X(XS_COUNT, "count", "") \
    X(XS_IDENTITY, "identity", "") \
    X(XS_EVENTS, "events", "") \
    X(XS_SHUTDOWN, "shutdown", "")

/* X(constant, name in a scenario, what it is where no scenario says; %d is the device's index). */
#define XS_TEXTS(X) \
    X(XS_MODEL, "model", "Stand-in") \
    X(XS_UUID, "uuid", "") \
    X(XS_SERIAL, "serial", "STANDIN-%d") \
    X(XS_PCI, "pci", "") \
    X(XS_FIRMWARE, "firmware", "1.0.0") \
    X(XS_DRIVER, "driver", "1.0.0")

#endif
