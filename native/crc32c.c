/* SPDX-License-Identifier: Apache-2.0 */
#include "crc32c.h"

#include <pthread.h>
#include <string.h>

#if defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
#endif

#define POLYNOMIAL 0x82f63b78u

typedef uint32_t update_fn(uint32_t crc, const void *data, size_t bytes);

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint32_t table[8][256];
static update_fn *chosen;

static uint64_t load64(const unsigned char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return word;
}

static uint32_t run_table(uint32_t crc, const void *data, size_t bytes)
{
    const unsigned char *p = data;

    crc = ~crc;
    for (; bytes >= 8; p += 8, bytes -= 8) {
        uint64_t w = load64(p) ^ crc;

        crc = table[7][w & 0xff] ^ table[6][(w >> 8) & 0xff] ^ table[5][(w >> 16) & 0xff] ^
              table[4][(w >> 24) & 0xff] ^ table[3][(w >> 32) & 0xff] ^ table[2][(w >> 40) & 0xff] ^
              table[1][(w >> 48) & 0xff] ^ table[0][w >> 56];
    }
    for (; bytes > 0; p++, bytes--)
        crc = table[0][(crc ^ *p) & 0xff] ^ (crc >> 8);
    return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t run_hardware(uint32_t crc, const void *data,
                                                               size_t bytes)
{
    const unsigned char *p = data;
    uint64_t wide = (uint32_t)~crc;
    uint32_t tail;

    for (; bytes >= 8; p += 8, bytes -= 8)
        wide = __builtin_ia32_crc32di(wide, load64(p));
    tail = (uint32_t)wide;
    for (; bytes > 0; p++, bytes--)
        tail = __builtin_ia32_crc32qi(tail, *p);
    return ~tail;
}

static int have_hardware(void)
{
    return __builtin_cpu_supports("sse4.2") != 0;
}

#elif defined(__aarch64__)

#ifdef __clang__
#define CRC32CX    __builtin_arm_crc32cd
#define CRC32CB    __builtin_arm_crc32cb
#define CRC_TARGET "crc"
#else
#define CRC32CX    __builtin_aarch64_crc32cx
#define CRC32CB    __builtin_aarch64_crc32cb
#define CRC_TARGET "+crc"
#endif

__attribute__((target(CRC_TARGET))) static uint32_t run_hardware(uint32_t crc, const void *data,
                                                                 size_t bytes)
{
    const unsigned char *p = data;

    crc = ~crc;
    for (; bytes >= 8; p += 8, bytes -= 8)
        crc = CRC32CX(crc, load64(p));
    for (; bytes > 0; p++, bytes--)
        crc = CRC32CB(crc, *p);
    return ~crc;
}

static int have_hardware(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
}

#else

#define run_hardware run_table

static int have_hardware(void)
{
    return 0;
}

#endif

static void choose(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;

        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
        table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int k = 1; k < 8; k++)
            table[k][i] = table[0][table[k - 1][i] & 0xff] ^ (table[k - 1][i] >> 8);
    }
    chosen = have_hardware() ? run_hardware : run_table;
}

uint32_t xm_crc32c_update(uint32_t crc, const void *data, size_t bytes)
{
    pthread_once(&once, choose);
    return chosen(crc, data, bytes);
}

uint32_t xm_crc32c_table(uint32_t crc, const void *data, size_t bytes)
{
    pthread_once(&once, choose);
    return run_table(crc, data, bytes);
}

int xm_crc32c_is_hardware(void)
{
    pthread_once(&once, choose);
    return chosen != run_table;
}
