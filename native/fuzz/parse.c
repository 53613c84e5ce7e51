/* SPDX-License-Identifier: Apache-2.0 */
#include "parse.h"

#include <stdlib.h>
#include <string.h>

/* Fields of any text; a text cut short must say so or give the same answer. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct answer {
    enum xm_parse_result result;
    int64_t value;
};

static struct answer ask(const uint8_t *data, size_t bytes, int whole,
                         const struct xm_parse_field *asked)
{
    struct xm_parse_field field = *asked;
    char *copy = malloc(bytes + (bytes == 0));
    struct xm_parse_text text = {.data = copy, .bytes = bytes, .whole = whole};
    struct answer answer = {0};

    if (bytes > 0)
        memcpy(copy, data, bytes);
    answer.result = xm_parse_number(&text, &field, &answer.value);
    free(copy);
    return answer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct xm_parse_field field = {0};
    struct answer whole, part;
    char key[8] = {0};

    if (bytes < 12)
        return 0;
    field.index = data[0] % 8;
    field.decimals = data[1] % (XM_PARSE_MAX_DECIMALS + 1);
    field.key_bytes = data[2] % 8;
    field.line = data[3];
    memcpy(key, data + 4, field.key_bytes);
    field.key = key;
    data += 12;
    bytes -= 12;
    whole = ask(data, bytes, 1, &field);
    if (whole.result == XM_PARSE_MORE)
        abort();
    /* A remembered line may be another one with the same key where the text is another. */
    field.line = 0;
    whole = ask(data, bytes, 1, &field);
    for (size_t cut = 0; cut <= bytes; cut++) {
        part = ask(data, cut, 0, &field);
        if (part.result != XM_PARSE_MORE &&
            (part.result != whole.result || part.value != whole.value))
            abort();
    }
    return 0;
}
