/* SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CSV_BYTES 4096

static int add_point(struct xs_line *line, struct xs_trace *trace, int64_t t_ns, int64_t value)
{
    struct xs_point *points = trace->points, *before;
    size_t n = trace->n_points;
    xs_wide integral = 0;

    if ((n & (n - 1)) == 0) {
        points = realloc(points, (n ? 2 * n : 1) * sizeof(*points));
        if (points == NULL)
            return xs_line_fail(line, "no memory for %zu points", n);
        trace->points = points;
    }
    if (n > 0) {
        before = &points[n - 1];
        if (t_ns <= before->t_ns)
            return xs_line_fail(line, "the times of points must grow");
        integral = before->integral + (xs_wide)before->value * (t_ns - before->t_ns);
    }
    points[n] = (struct xs_point){t_ns, value, integral};
    trace->n_points = n + 1;
    return 0;
}

/* VALUE@TIME … */
static int parse_steps(struct xs_line *line, struct xs_trace *trace)
{
    int64_t value, t_ns;
    char *word, *time;

    while (line->at < line->n && (time = strchr(line->words[line->at], '@')) != NULL) {
        word = line->words[line->at++];
        *time++ = '\0';
        if (xs_word_number(line, word, &value) != 0 || xs_word_duration(line, time, &t_ns) != 0 ||
            add_point(line, trace, t_ns, value) != 0)
            return -1;
    }
    if (trace->n_points == 0)
        return xs_line_fail(line, "steps: give points such as 80W@0s 400W@1.5s");
    return 0;
}

/* The column of that name in a CSV header, from 0; -1 for none. */
static int find_column(char *header, const char *name)
{
    char *rest = header, *cell;

    for (int i = 0; (cell = strsep(&rest, ",\r\n")) != NULL; i++) {
        if (strcmp(cell, name) == 0)
            return i;
    }
    return -1;
}

static const char *cell_of(const char *row, int column)
{
    while (row != NULL && column-- > 0) {
        row = strchr(row, ',');
        row = row == NULL ? NULL : row + 1;
    }
    return row;
}

static int read_rows(struct xs_line *line, struct xs_trace *trace, FILE *file, const char *name)
{
    char row[CSV_BYTES], *end;
    int64_t first_ns = 0, t_ns;
    int column;

    if (fgets(row, sizeof(row), file) == NULL || (column = find_column(row, name)) < 1)
        return xs_line_fail(line, "replay: its first line has no column %s after the time", name);
    for (unsigned number = 2; fgets(row, sizeof(row), file) != NULL; number++) {
        const char *cell = cell_of(row, column);

        t_ns = strtoll(row, &end, 10);
        if (end == row || *end != ',' || cell == NULL)
            return xs_line_fail(line, "replay: line %u has no time or no %s", number, name);
        if (trace->n_points == 0)
            first_ns = t_ns;
        if (add_point(line, trace, t_ns - first_ns, strtoll(cell, NULL, 10)) != 0)
            return -1;
    }
    return trace->n_points == 0 ? xs_line_fail(line, "replay: it has no rows") : 0;
}

/* FILE column NAME: a CSV whose first column is a time in ns, then integers. */
static int parse_replay(struct xs_line *line, struct xs_trace *trace, const char *folder)
{
    const char *file = xs_line_word(line, "a CSV file"), *column;
    char path[CSV_BYTES];
    FILE *opened;
    int status;

    if (file == NULL)
        return -1;
    if (!xs_line_accept(line, "column"))
        return xs_line_fail(line, "replay FILE column NAME");
    column = xs_line_word(line, "the name of a column");
    if (column == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s%s", *file == '/' ? "" : folder, file);
    opened = fopen(path, "re");
    if (opened == NULL)
        return xs_line_fail(line, "replay: cannot open %s: %m", path);
    status = read_rows(line, trace, opened, column);
    fclose(opened);
    return status;
}

static int parse_follows(struct xs_line *line, struct xs_rule *rule)
{
    struct xs_trace *trace = &rule->trace;
    struct xs_set ignored;

    trace->gain = XS_GAIN_ONE;
    if (xs_line_quantity(line, &trace->other, &ignored) != 0)
        return -1;
    for (;;) {
        if (xs_line_accept(line, "gain")) {
            if (xs_line_fraction(line, "gain", &trace->gain) != 0)
                return -1;
        } else if (xs_line_accept(line, "offset")) {
            if (xs_line_number(line, "an offset", &trace->low) != 0)
                return -1;
        } else {
            return 0;
        }
    }
}

/* low V high V period T [duty F], in any order. */
static int parse_wave(struct xs_line *line, struct xs_trace *trace)
{
    int64_t duty = XS_GAIN_ONE / 2;
    int status = 0, low = 0, high = 0;

    while (status == 0) {
        if (xs_line_accept(line, "low"))
            status = xs_line_number(line, "the low value", &trace->low), low = 1;
        else if (xs_line_accept(line, "high"))
            status = xs_line_number(line, "the high value", &trace->high), high = 1;
        else if (xs_line_accept(line, "period"))
            status = xs_line_duration(line, "the period", &trace->period_ns);
        else if (trace->shape == XS_SQUARE && xs_line_accept(line, "duty"))
            status = xs_line_fraction(line, "duty", &duty);
        else
            break;
    }
    if (status != 0)
        return -1;
    if (!low || !high || trace->period_ns <= 0)
        return xs_line_fail(line, "a wave needs low VALUE high VALUE period TIME");
    if (duty < 0 || duty > XS_GAIN_ONE)
        return xs_line_fail(line, "duty is from 0 to 100%%");
    trace->high_ns = (int64_t)((xs_wide)trace->period_ns * duty / XS_GAIN_ONE);
    return 0;
}

static int parse_shape(struct xs_line *line, struct xs_rule *rule, const char *folder)
{
    struct xs_trace *trace = &rule->trace;

    if (xs_line_accept(line, "none")) {
        trace->shape = XS_NONE;
        return 0;
    }
    if (xs_line_accept(line, "square"))
        trace->shape = XS_SQUARE;
    else if (xs_line_accept(line, "sine"))
        trace->shape = XS_SINE;
    else if (xs_line_accept(line, "ramp"))
        trace->shape = XS_RAMP;
    if (trace->shape != XS_CONSTANT)
        return parse_wave(line, trace);
    if (xs_line_accept(line, "follows")) {
        trace->shape = XS_FOLLOWS;
        return parse_follows(line, rule);
    }
    if (xs_line_accept(line, "steps")) {
        trace->shape = XS_POINTS;
        return parse_steps(line, trace);
    }
    if (xs_line_accept(line, "replay")) {
        trace->shape = XS_POINTS;
        return parse_replay(line, trace, folder);
    }
    return xs_line_number(line, "a trace", &trace->low);
}

static int parse_width(struct xs_line *line, struct xs_rule *rule)
{
    int64_t width;

    if (xs_line_number(line, "a width in bits", &width) != 0)
        return -1;
    if (!rule->is_counter || width < 8 || width > 64)
        return xs_line_fail(line, "width: a counter has 8 to 64 bits");
    rule->width = (unsigned)width;
    return 0;
}

static int parse_option(struct xs_line *line, struct xs_rule *rule)
{
    if (xs_line_accept(line, "noise"))
        return xs_line_number(line, "how much noise", &rule->noise);
    if (xs_line_accept(line, "refresh"))
        return xs_line_duration(line, "the refresh period", &rule->refresh_ns);
    if (xs_line_accept(line, "window"))
        return xs_line_duration(line, "the averaging window", &rule->window_ns);
    if (xs_line_accept(line, "min"))
        return xs_line_number(line, "the least value", &rule->min);
    if (xs_line_accept(line, "max"))
        return xs_line_number(line, "the largest value", &rule->max);
    if (xs_line_accept(line, "phase"))
        return xs_line_duration(line, "a phase", &rule->trace.phase_ns);
    if (xs_line_accept(line, "stagger"))
        return xs_line_duration(line, "a phase per device", &rule->trace.stagger_ns);
    if (rule->trace.shape == XS_POINTS && xs_line_accept(line, "period"))
        return xs_line_duration(line, "the period", &rule->trace.period_ns);
    if (rule->is_counter && xs_line_accept(line, "start"))
        return xs_line_number(line, "what the counter starts from", &rule->start);
    if (xs_line_accept(line, "width"))
        return parse_width(line, rule);
    return xs_line_fail(line, "what is \"%s\" here?", line->words[line->at]);
}

int xs_parse_trace(struct xs_line *line, struct xs_rule *rule, const char *folder)
{
    rule->is_counter = xs_line_accept(line, "counts");
    rule->width = 64;
    rule->min = INT64_MIN;
    rule->max = INT64_MAX;
    if (parse_shape(line, rule, folder) != 0)
        return -1;
    while (line->at < line->n) {
        if (parse_option(line, rule) != 0)
            return -1;
    }
    if (rule->noise < 0 || rule->refresh_ns < 0 || rule->window_ns < 0)
        return xs_line_fail(line, "noise, refresh and window are not negative");
    if (rule->is_counter && (rule->noise || rule->window_ns))
        return xs_line_fail(line, "a counter has no noise and no window");
    return 0;
}
