/* SPDX-License-Identifier: Apache-2.0 */
#include "shim.h"

XS_EXPORT nsdkReturn_t nsdkDeviceGetSupplyWays(nsdkDevice_t handle, unsigned *count,
                                               nsdkSupplyWay *ways)
{
    unsigned device, n;
    nsdkReturn_t code = nsdk_open_handle(handle, &device);

    XS_CALLED();
    if (code != NSDK_SUCCESS)
        return code;
    n = xs_index_count(device, XS_WAY_POWER);
    if (n > *count) {
        *count = n;
        return NSDK_INSUFFICIENT_SIZE;
    }
    for (unsigned i = 0; i < n && code == NSDK_SUCCESS; i++) {
        code = nsdk_read_u32(device, XS_WAY_VOLTAGE, i, 1, &ways[i].voltage_mv);
        if (code == NSDK_SUCCESS)
            code = nsdk_read_u32(device, XS_WAY_CURRENT, i, 1, &ways[i].current_ma);
        if (code == NSDK_SUCCESS)
            code = nsdk_read_u32(device, XS_WAY_POWER, i, 1, &ways[i].power_mw);
    }
    if (code == NSDK_SUCCESS)
        xs_overrun(device, XS_WAY_POWER, ways + n);
    *count = code == NSDK_SUCCESS ? n : 0;
    return code;
}

static const struct {
    enum xs_quantity quantity;
    nsdkValueType type;
    int has_scope;
} FIELDS[] = {
    [NSDK_FIELD_POWER_MW] = {XS_POWER, NSDK_VALUE_UINT, 0},
    [NSDK_FIELD_ENERGY_MJ] = {XS_ENERGY, NSDK_VALUE_ULLONG, 0},
    [NSDK_FIELD_TEMP_MEMORY_C] = {XS_TEMP_MEMORY, NSDK_VALUE_INT, 0},
    [NSDK_FIELD_TEMP_HOTSPOT_C] = {XS_TEMP_HOTSPOT, NSDK_VALUE_DOUBLE, 0},
    [NSDK_FIELD_LINK_RX_BYTES] = {XS_LINK_RX_BYTES, NSDK_VALUE_ULLONG, 1},
    [NSDK_FIELD_LINK_TX_BYTES] = {XS_LINK_TX_BYTES, NSDK_VALUE_ULLONG, 1},
    [NSDK_FIELD_PCIE_RX_BYTES] = {XS_PCIE_RX_BYTES, NSDK_VALUE_ULLONG, 0},
    [NSDK_FIELD_PCIE_TX_BYTES] = {XS_PCIE_TX_BYTES, NSDK_VALUE_ULLONG, 0},
    [NSDK_FIELD_PCIE_REPLAYS] = {XS_PCIE_REPLAYS, NSDK_VALUE_UINT, 0},
};

static nsdkReturn_t read_field(unsigned device, nsdkFieldValue *field)
{
    enum xs_quantity quantity;
    int64_t degrees;
    unsigned index;
    nsdkReturn_t code;

    if (field->field_id == 0 || field->field_id >= sizeof(FIELDS) / sizeof(*FIELDS))
        return NSDK_NOT_SUPPORTED;
    quantity = FIELDS[field->field_id].quantity;
    index = FIELDS[field->field_id].has_scope ? field->scope_id : 0;
    field->value_type = FIELDS[field->field_id].type;
    switch (FIELDS[field->field_id].type) {
    case NSDK_VALUE_UINT:
        return nsdk_read_u32(device, quantity, index, 1, &field->value.ui);
    case NSDK_VALUE_ULLONG:
        return nsdk_read_u64(device, quantity, index, &field->value.ull);
    case NSDK_VALUE_DOUBLE:
        return nsdk_read_degrees(device, quantity, &field->value.d);
    case NSDK_VALUE_INT:
        break;
    }
    code = nsdk_read_scaled(device, quantity, index, 1000, NSDK_NO_VALUE_I32, &degrees);
    if (code == NSDK_SUCCESS)
        field->value.si = (int)degrees;
    return code;
}

XS_EXPORT nsdkReturn_t nsdkDeviceGetFieldValues(nsdkDevice_t handle, int n, nsdkFieldValue *values)
{
    unsigned device;
    nsdkReturn_t code = nsdk_open_handle(handle, &device);
    int64_t time_us;

    XS_CALLED();
    if (code == NSDK_SUCCESS && (n < 0 || values == NULL))
        code = NSDK_INVALID_ARGUMENT;
    if (code != NSDK_SUCCESS)
        return code;
    time_us = nsdk_wall_us();
    for (int i = 0; i < n; i++) {
        values[i].time_us = time_us;
        values[i].status = read_field(device, &values[i]);
    }
    xs_overrun(device, XS_POWER, values + n);
    return xs_device_state(device) == XS_LOST ? NSDK_DEVICE_LOST : NSDK_SUCCESS;
}

static nsdkReturn_t read_link(unsigned device, unsigned i, nsdkLink *link)
{
    unsigned up = 0;
    nsdkReturn_t code = nsdk_read_u32(device, XS_LINK_UP, i, 1, &up);

    if (code == NSDK_SUCCESS)
        code = nsdk_read_u64(device, XS_LINK_RX_BYTES, i, &link->rx_bytes);
    if (code == NSDK_SUCCESS)
        code = nsdk_read_u64(device, XS_LINK_TX_BYTES, i, &link->tx_bytes);
    if (code == NSDK_SUCCESS)
        code = nsdk_read_u32(device, XS_LINK_CRC_ERRORS, i, 1, &link->crc_errors);
    if (code == NSDK_SUCCESS)
        code = nsdk_read_u32(device, XS_LINK_REPLAYS, i, 1, &link->replays);
    if (code == NSDK_SUCCESS)
        code = nsdk_read_u64(device, XS_LINK_SPEED, i, &link->speed_bytes_per_s);
    link->up = (uint8_t)up;
    return code;
}

XS_EXPORT nsdkReturn_t nsdkDeviceGetLinks(nsdkDevice_t handle, unsigned *count, nsdkLink *links)
{
    unsigned device, n;
    nsdkReturn_t code = nsdk_open_handle(handle, &device);

    XS_CALLED();
    if (code != NSDK_SUCCESS)
        return code;
    n = xs_index_count(device, XS_LINK_UP);
    if (n > *count) {
        *count = n;
        return NSDK_INSUFFICIENT_SIZE;
    }
    for (unsigned i = 0; i < n && code == NSDK_SUCCESS; i++)
        code = read_link(device, i, &links[i]);
    *count = code == NSDK_SUCCESS ? n : 0;
    if (code == NSDK_SUCCESS)
        xs_overrun(device, XS_LINK_UP, links + n);
    return code;
}

XS_EXPORT nsdkReturn_t nsdkDeviceGetProcesses(nsdkDevice_t handle, unsigned *count,
                                              nsdkProcess *processes)
{
    unsigned device, n;
    nsdkReturn_t code = nsdk_open_handle(handle, &device);

    XS_CALLED();
    if (code != NSDK_SUCCESS)
        return code;
    n = xs_index_count(device, XS_PROCESS_PID);
    if (n > *count) {
        *count = n;
        return NSDK_INSUFFICIENT_SIZE;
    }
    for (unsigned i = 0; i < n && code == NSDK_SUCCESS; i++) {
        processes[i].reserved = 0;
        code = nsdk_read_u32(device, XS_PROCESS_PID, i, 1, &processes[i].pid);
        if (code == NSDK_SUCCESS)
            code = nsdk_read_u64(device, XS_PROCESS_MEMORY, i, &processes[i].memory_bytes);
    }
    *count = code == NSDK_SUCCESS ? n : 0;
    return code;
}
