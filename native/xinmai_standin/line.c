/* SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int xs_line_fail(struct xs_line *line, const char *format, ...)
{
    va_list arguments;
    int used = snprintf(line->error, XS_ERROR_BYTES, "%s:%u: ", line->file, line->number);

    if (used < 0 || used >= XS_ERROR_BYTES)
        used = 0;
    va_start(arguments, format);
    vsnprintf(line->error + used, (size_t)(XS_ERROR_BYTES - used), format, arguments);
    va_end(arguments);
    return -1;
}

static int is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Past the word that begins at text, NUL behind it; NULL where quotes do not close. */
static char *cut_word(struct xs_line *line, char *text)
{
    char *end = text;

    line->quoted[line->n] = *text == '"';
    if (*text == '"') {
        line->words[line->n++] = ++text;
        end = strchr(text, '"');
        if (end == NULL)
            return NULL;
        *end = '\0';
        return end + 1;
    }
    line->words[line->n++] = text;
    while (*end != '\0' && *end != '#' && !is_space(*end))
        end++;
    if (*end == '#' || *end == '\0') {
        *end = '\0';
        return end;
    }
    *end = '\0';
    return end + 1;
}

int xs_line_cut(struct xs_line *line, char *text)
{
    line->n = line->at = 0;
    for (;;) {
        while (is_space(*text))
            text++;
        if (*text == '\0' || *text == '#')
            return 0;
        if (line->n == XS_WORDS)
            return xs_line_fail(line, "more than %d words", XS_WORDS);
        text = cut_word(line, text);
        if (text == NULL)
            return xs_line_fail(line, "a quotation mark is missing");
    }
}

const char *xs_line_word(struct xs_line *line, const char *expected)
{
    if (line->at == line->n) {
        xs_line_fail(line, "the line ends where %s is expected", expected);
        return NULL;
    }
    return line->words[line->at++];
}

int xs_line_accept(struct xs_line *line, const char *word)
{
    if (line->at == line->n || line->quoted[line->at] || strcmp(line->words[line->at], word) != 0)
        return 0;
    line->at++;
    return 1;
}

int xs_line_is_quoted(const struct xs_line *line)
{
    return line->at < line->n && line->quoted[line->at];
}

int xs_line_end(struct xs_line *line)
{
    if (line->at == line->n)
        return 0;
    return xs_line_fail(line, "what is \"%s\" here?", line->words[line->at]);
}

struct suffix {
    const char *text;
    int64_t numerator, denominator;
};

static const struct suffix NUMBER[] = {
    {"", 1, 1},
    {"k", 1000, 1},
    {"M", 1000000, 1},
    {"G", 1000000000, 1},
    {"T", 1000000000000, 1},
    {"Ki", 1LL << 10, 1},
    {"Mi", 1LL << 20, 1},
    {"Gi", 1LL << 30, 1},
    {"Ti", 1LL << 40, 1},
    {"W", 1000, 1},
    {"mW", 1, 1},
    {"C", 1000, 1},
    {"mC", 1, 1},
    {"V", 1000, 1},
    {"mV", 1, 1},
    {"A", 1000, 1},
    {"mA", 1, 1},
    {"Hz", 1, 1},
    {"kHz", 1000, 1},
    {"MHz", 1000000, 1},
    {"GHz", 1000000000, 1},
    {"%", 100, 1},
    {NULL, 0, 0},
};
static const struct suffix FRACTION[] = {{"", 1000000, 1}, {"%", 10000, 1}, {NULL, 0, 0}};
static const struct suffix DURATION[] = {
    {"ns", 1, 1},
    {"us", 1000, 1},
    {"ms", 1000000, 1},
    {"s", XS_SECOND_NS, 1},
    {"m", 60 * XS_SECOND_NS, 1},
    {"h", 3600 * XS_SECOND_NS, 1},
    {NULL, 0, 0},
};

static const struct suffix *find_suffix(const struct suffix *table, const char *text)
{
    while (table->text != NULL && strcmp(table->text, text) != 0)
        table++;
    return table->text == NULL ? NULL : table;
}

/* Digits with up to 18 behind a point, without rounding where the suffix makes them whole. */
static int scaled(const char *word, const struct suffix *table, int64_t *value)
{
    xs_wide whole = 0, scale = 1;
    int negative = *word == '-', digits = 0, behind = 0;
    const struct suffix *suffix;

    for (word += negative; (*word >= '0' && *word <= '9') || (*word == '.' && !behind); word++) {
        if (*word == '.') {
            behind = 1;
            continue;
        }
        if (++digits > 20 || (behind && scale >= XS_SECOND_NS * (xs_wide)XS_SECOND_NS))
            return -1;
        whole = whole * 10 + (*word - '0');
        scale *= behind ? 10 : 1;
    }
    suffix = find_suffix(table, word);
    if (digits == 0 || suffix == NULL)
        return -1;
    whole = whole * suffix->numerator / suffix->denominator / scale;
    if (whole > INT64_MAX)
        return -1;
    *value = (int64_t)(negative ? -whole : whole);
    return 0;
}

int xs_word_number(struct xs_line *line, const char *word, int64_t *value)
{
    if (scaled(word, NUMBER, value) == 0)
        return 0;
    return xs_line_fail(line, "\"%s\" is no number such as 42, 1.5G, 64Gi, 350W, 65C, 95%%", word);
}

int xs_word_duration(struct xs_line *line, const char *word, int64_t *ns)
{
    if (scaled(word, DURATION, ns) == 0)
        return 0;
    return xs_line_fail(line, "\"%s\" is no time such as 25ms, 1.5s, 2m", word);
}

int xs_line_number(struct xs_line *line, const char *what, int64_t *value)
{
    const char *word = xs_line_word(line, what);

    return word == NULL ? -1 : xs_word_number(line, word, value);
}

int xs_line_fraction(struct xs_line *line, const char *what, int64_t *millionths)
{
    const char *word = xs_line_word(line, what);

    if (word == NULL)
        return -1;
    if (scaled(word, FRACTION, millionths) == 0)
        return 0;
    return xs_line_fail(line, "%s: \"%s\" is no fraction such as 0.25 or 25%%", what, word);
}

int xs_line_duration(struct xs_line *line, const char *what, int64_t *ns)
{
    const char *word = xs_line_word(line, what);

    return word == NULL ? -1 : xs_word_duration(line, word, ns);
}
