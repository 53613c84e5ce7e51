/* SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include <stdio.h>
#include <string.h>

#define NAME(id, name, about) name,
static const char *const QUANTITIES[] = {XS_QUANTITIES(NAME)};
#undef NAME

static int index_of(struct xs_line *line, const char *word, char **end, unsigned *index)
{
    unsigned value = 0;
    const char *digit = word;

    for (; *digit >= '0' && *digit <= '9' && value < 1000; digit++)
        value = value * 10 + (unsigned)(*digit - '0');
    if (digit == word || value >= XS_MAX_DEVICES)
        return xs_line_fail(line, "\"%s\" is no index from 0 to %d", word, XS_MAX_DEVICES - 1);
    *end = (char *)digit;
    *index = value;
    return 0;
}

int xs_word_set(struct xs_line *line, const char *word, struct xs_set *set)
{
    unsigned from, to;
    char *end;

    *set = (struct xs_set){{0, 0}};
    if (strcmp(word, "*") == 0) {
        *set = (struct xs_set){{UINT64_MAX, UINT64_MAX}};
        return 0;
    }
    for (;; word = end + 1) {
        if (index_of(line, word, &end, &from) != 0)
            return -1;
        to = from;
        if (strncmp(end, "..", 2) == 0 && index_of(line, end + 2, &end, &to) != 0)
            return -1;
        for (unsigned i = from; i <= to; i++)
            xs_set_add(set, i);
        if (*end == '\0')
            return 0;
        if (*end != ',')
            return xs_line_fail(line, "\"%s\" is no list such as 0,2,4..7 or *", word);
    }
}

/* Whether a scenario's name, which may end in *, means this quantity; [] is no part of it. */
static int means(const char *name, const char *quantity)
{
    size_t n = strlen(name), bare = strcspn(quantity, "[");

    if (n > 0 && name[n - 1] == '*')
        return n - 1 <= bare && strncmp(name, quantity, n - 1) == 0;
    return n == bare && strncmp(name, quantity, n) == 0;
}

enum xs_quantity xs_quantity_named(const char *name)
{
    for (size_t i = 0; i < XS_N_QUANTITIES; i++) {
        if (strchr(name, '*') == NULL && means(name, QUANTITIES[i]))
            return (enum xs_quantity)i;
    }
    return XS_N_QUANTITIES;
}

/* Quantities that begin as the name does, up to its first point: what may have been meant. */
static int fail_unknown(struct xs_line *line, const char *name)
{
    char near[XS_ERROR_BYTES / 2] = "";
    size_t used = 0, same = strcspn(name, ".");

    for (size_t i = 0; i < XS_N_QUANTITIES; i++) {
        int is_near = strncmp(name, QUANTITIES[i], same < 1 ? same : 1) == 0;

        if (is_near && used + strlen(QUANTITIES[i]) + 3 < sizeof(near))
            used += (size_t)snprintf(near + used, sizeof(near) - used, "%s%s", used ? ", " : "",
                                     QUANTITIES[i]);
    }
    return xs_line_fail(line, "no quantity \"%s\"%s%s", name, used ? "; there are " : "", near);
}

int xs_line_places(struct xs_line *line, uint8_t *places, struct xs_set *indices)
{
    const char *word = xs_line_word(line, "a quantity");
    char name[64], *open, *close;
    int found = 0;

    if (word == NULL)
        return -1;
    if (strlen(word) >= sizeof(name))
        return fail_unknown(line, "a word so long");
    strcpy(name, word);
    *indices = (struct xs_set){{UINT64_MAX, UINT64_MAX}};
    open = strchr(name, '[');
    if (open != NULL) {
        close = strchr(open, ']');
        if (close == NULL || close[1] != '\0')
            return xs_line_fail(line, "\"%s\": a ] is missing at its end", word);
        *open = *close = '\0';
        if (xs_word_set(line, open + 1, indices) != 0)
            return -1;
    }
    for (size_t i = 0; i < XS_N_QUANTITIES; i++) {
        places[i] = (uint8_t)means(name, QUANTITIES[i]);
        found += places[i];
    }
    return found == 0 ? fail_unknown(line, name) : 0;
}

int xs_line_quantity(struct xs_line *line, enum xs_quantity *quantity, struct xs_set *indices)
{
    uint8_t places[XS_N_QUANTITIES];
    int found = 0;

    if (xs_line_places(line, places, indices) != 0)
        return -1;
    for (size_t i = 0; i < XS_N_QUANTITIES; i++) {
        if (places[i]) {
            *quantity = (enum xs_quantity)i;
            found++;
        }
    }
    if (found != 1)
        return xs_line_fail(line, "a trace is for one quantity, this names %d", found);
    /* Without an index there is only index 0. */
    if (strchr(QUANTITIES[*quantity], '[') == NULL)
        *indices = (struct xs_set){{1, 0}};
    return 0;
}
