/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_CRC32C_H
#define XM_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32C (Castagnoli, RFC 3720) of data, continued from crc (0 at first). */
uint32_t xm_crc32c_update(uint32_t crc, const void *data, size_t bytes);

uint32_t xm_crc32c_table(uint32_t crc, const void *data, size_t bytes);

/* 1 when xm_crc32c_update uses the processor's instruction. */
int xm_crc32c_is_hardware(void);

#endif
