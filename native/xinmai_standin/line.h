/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XS_LINE_H
#define XS_LINE_H

#include "scenario.h"

#define XS_WORDS 64

/* One line of a scenario, cut into words, and where in it the parser stands. */
struct xs_line {
    const char *file;
    unsigned number;
    char *error; /* XS_ERROR_BYTES */
    char *words[XS_WORDS];
    uint8_t quoted[XS_WORDS];
    size_t n, at;
};

/* Cuts text, which it changes, at spaces; "…" is one word; # begins a comment. 0 or -1. */
int xs_line_cut(struct xs_line *line, char *text);

/* Notes FILE:LINE and the message; always -1. */
int xs_line_fail(struct xs_line *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The next word and past it, or NULL and a failure that says what was expected. */
const char *xs_line_word(struct xs_line *line, const char *expected);
/* Whether the next word is this one; past it if so. */
int xs_line_accept(struct xs_line *line, const char *word);
/* Whether the next word stands in quotes. */
int xs_line_is_quoted(const struct xs_line *line);
/* Fails where a word is left. */
int xs_line_end(struct xs_line *line);

/* Numbers with k M G T, Ki Mi Gi Ti, W mW, C mC, V mV, Hz kHz MHz GHz, % behind them. */
int xs_line_number(struct xs_line *line, const char *what, int64_t *value);
/* A fraction of one: 0.25 or 25%, in millionths. */
int xs_line_fraction(struct xs_line *line, const char *what, int64_t *millionths);
/* With one of ns us ms s m h behind it. */
int xs_line_duration(struct xs_line *line, const char *what, int64_t *ns);
int xs_word_duration(struct xs_line *line, const char *word, int64_t *ns);
int xs_word_number(struct xs_line *line, const char *word, int64_t *value);
/* A list such as 0,2,4..7 or *. */
int xs_word_set(struct xs_line *line, const char *word, struct xs_set *set);
/* NAME, NAME[SET], NAME.* or *; places has a byte per quantity. */
int xs_line_places(struct xs_line *line, uint8_t *places, struct xs_set *indices);
/* One quantity only. */
int xs_line_quantity(struct xs_line *line, enum xs_quantity *quantity, struct xs_set *indices);

int xs_parse_trace(struct xs_line *line, struct xs_rule *rule, const char *folder);
/* folder: what the paths of files are relative to. */
int xs_parse_fault(struct xs_line *line, struct xs_fault *fault, const char *folder);

#endif
