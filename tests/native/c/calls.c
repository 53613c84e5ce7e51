/* SPDX-License-Identifier: Apache-2.0 */
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

/* What the tests call in place of a vendor's library. */

uint64_t give(uint64_t value);
uint64_t args0(void);
uint64_t args1(uint64_t a);
uint64_t args2(uint64_t a, uint64_t b);
uint64_t args3(uint64_t a, uint64_t b, uint64_t c);
uint64_t args4(uint64_t a, uint64_t b, uint64_t c, uint64_t d);
uint64_t args5(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e);
uint64_t args6(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
int8_t narrow(int8_t a, uint16_t b, int32_t c);
int add_into(uint32_t *size, uint32_t *value);
int versioned(uint32_t *structure);
int trample(uint8_t *at, uint64_t bytes);
int count(_Atomic uint64_t *calls);
int wait_while(_Atomic int *flag, _Atomic int *inside);
int slow(uint64_t ns);
int alone(_Atomic int *inside, _Atomic int *worst, uint64_t ns);

/* Given 64 bits, returns them: all that a narrower return value does not use is garbage. */
uint64_t give(uint64_t value)
{
    return value;
}

uint64_t args0(void)
{
    return 7;
}

uint64_t args1(uint64_t a)
{
    return a;
}

uint64_t args2(uint64_t a, uint64_t b)
{
    return a + 3 * b;
}

uint64_t args3(uint64_t a, uint64_t b, uint64_t c)
{
    return a + 3 * b + 5 * c;
}

uint64_t args4(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return a + 3 * b + 5 * c + 7 * d;
}

uint64_t args5(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
    return a + 3 * b + 5 * c + 7 * d + 11 * e;
}

uint64_t args6(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    return a + 3 * b + 5 * c + 7 * d + 11 * e + 13 * f;
}

int8_t narrow(int8_t a, uint16_t b, int32_t c)
{
    return a == -3 && b == 65535 && c == -70000 ? -128 : 0;
}

/* An SDK that takes and changes the size, and adds into the caller's variable. */
int add_into(uint32_t *size, uint32_t *value)
{
    *value += *size;
    *size *= 2;
    return 0;
}

int versioned(uint32_t *structure)
{
    if (structure[0] != 0x1000010)
        return 25;
    structure[0] = 0;
    structure[1] = 4321;
    return 0;
}

int trample(uint8_t *at, uint64_t bytes)
{
    memset(at, 0xa5, bytes);
    return 0;
}

int count(_Atomic uint64_t *calls)
{
    atomic_fetch_add(calls, 1);
    return 0;
}

int wait_while(_Atomic int *flag, _Atomic int *inside)
{
    atomic_fetch_add(inside, 1);
    while (atomic_load(flag))
        sched_yield();
    atomic_fetch_sub(inside, 1);
    return 0;
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int slow(uint64_t ns)
{
    int64_t until = now_ns() + (int64_t)ns;

    while (now_ns() < until)
        ;
    return 0;
}

/* A library that is not thread-safe, and tells how many were inside at once. */
int alone(_Atomic int *inside, _Atomic int *worst, uint64_t ns)
{
    int now = atomic_fetch_add(inside, 1) + 1;

    if (now > atomic_load(worst))
        atomic_store(worst, now);
    slow(ns);
    atomic_fetch_sub(inside, 1);
    return 0;
}
