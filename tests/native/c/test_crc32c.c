/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "crc32c.h"

#include <string.h>

typedef uint32_t update_fn(uint32_t crc, const void *data, size_t bytes);

/* RFC 3720, B.4. */
static void test_known_vectors(update_fn *update)
{
    static const uint8_t iscsi[48] = {0x01, 0xc0, 0,    0, 0, 0, 0, 0,    0, 0, 0,   0, 0,    0, 0,
                                      0,    0x14, 0,    0, 0, 0, 0, 0x04, 0, 0, 0,   0, 0x14, 0, 0,
                                      0,    0x18, 0x28, 0, 0, 0, 0, 0,    0, 0, 0x02};
    uint8_t data[32];

    memset(data, 0, sizeof(data));
    CHECK_EQ(update(0, data, 32), 0x8a9136aa);
    memset(data, 0xff, sizeof(data));
    CHECK_EQ(update(0, data, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        data[i] = (uint8_t)i;
    CHECK_EQ(update(0, data, 32), 0x46dd794e);
    for (int i = 0; i < 32; i++)
        data[i] = (uint8_t)(31 - i);
    CHECK_EQ(update(0, data, 32), 0x113fdb5c);
    CHECK_EQ(update(0, iscsi, 48), 0xd9963a56);
    CHECK_EQ(update(0, "123456789", 9), 0xe3069283);
    CHECK_EQ(update(0, "", 0), 0);
}

static void test_hardware_equals_table(void)
{
    uint8_t data[600];
    uint64_t seed = 5;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)next_random(&seed);
    for (size_t from = 0; from < 17; from++) {
        for (size_t bytes = 0; bytes < 512; bytes++) {
            uint32_t start = (uint32_t)next_random(&seed);
            size_t cut = bytes > 0 ? next_random(&seed) % bytes : 0;
            uint32_t whole = xm_crc32c_table(start, data + from, bytes);

            CHECK_EQ(xm_crc32c_update(start, data + from, bytes), whole);
            CHECK_EQ(xm_crc32c_update(xm_crc32c_table(start, data + from, cut), data + from + cut,
                                      bytes - cut),
                     whole);
        }
    }
}

int main(void)
{
    printf("hardware: %d\n", xm_crc32c_is_hardware());
    test_known_vectors(xm_crc32c_update);
    test_known_vectors(xm_crc32c_table);
    test_hardware_equals_table();
    return 0;
}
