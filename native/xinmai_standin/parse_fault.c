/* SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *word;
    int signal;
} SIGNALS[] = {{"SEGV", SIGSEGV}, {"ABRT", SIGABRT}, {"BUS", SIGBUS},  {"FPE", SIGFPE},
               {"ILL", SIGILL},   {"KILL", SIGKILL}, {"TERM", SIGTERM}};

static int parse_when(struct xs_line *line, struct xs_fault *fault)
{
    const char *word = xs_line_word(line, "a time");
    char from[64], *until;

    if (word == NULL)
        return -1;
    snprintf(from, sizeof(from), "%s", word);
    until = strstr(from, "..");
    fault->until_ns = XS_ALWAYS;
    if (until != NULL) {
        *until = '\0';
        if (xs_word_duration(line, until + 2, &fault->until_ns) != 0)
            return -1;
    }
    if (xs_word_duration(line, from, &fault->from_ns) != 0)
        return -1;
    if (fault->from_ns >= fault->until_ns)
        return xs_line_fail(line, "\"%s\" ends before it begins", word);
    return 0;
}

/* Only what becomes of a call can depend on a file: values are functions of time. */
static int parse_while(struct xs_line *line, struct xs_fault *fault, const char *folder)
{
    const char *file = xs_line_word(line, "a file");
    char path[XS_PATH_BYTES];

    if (file == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s%s", *file == '/' ? "" : folder, file);
    fault->until_ns = XS_ALWAYS;
    fault->flag = strdup(path);
    return fault->flag == NULL ? xs_line_fail(line, "no memory") : 0;
}

static int parse_places(struct xs_line *line, struct xs_fault *fault)
{
    return xs_line_places(line, fault->places, &fault->indices);
}

static int parse_text(struct xs_line *line, struct xs_fault *fault)
{
    if (!xs_line_is_quoted(line))
        return xs_line_fail(line, "a text in quotation marks is expected");
    if (strlen(line->words[line->at]) >= sizeof(fault->text))
        return xs_line_fail(line, "a text has at most %zu bytes", sizeof(fault->text) - 1);
    strcpy(fault->text, line->words[line->at++]);
    return 0;
}

static int parse_crash(struct xs_line *line, struct xs_fault *fault)
{
    fault->number = SIGSEGV;
    for (size_t i = 0; i < sizeof(SIGNALS) / sizeof(*SIGNALS); i++) {
        if (xs_line_accept(line, SIGNALS[i].word))
            fault->number = SIGNALS[i].signal;
    }
    return parse_places(line, fault);
}

static int parse_slow(struct xs_line *line, struct xs_fault *fault)
{
    if (xs_line_duration(line, "how slow", &fault->number) != 0 || parse_places(line, fault) != 0)
        return -1;
    if (xs_line_accept(line, "jitter"))
        return xs_line_duration(line, "the jitter", &fault->jitter_ns);
    return 0;
}

static int parse_drop(struct xs_line *line, struct xs_fault *fault)
{
    if (parse_places(line, fault) != 0)
        return -1;
    return xs_line_accept(line, "to") ? xs_line_number(line, "a number", &fault->number) : 0;
}

static int parse_event(struct xs_line *line, struct xs_fault *fault)
{
    return xs_line_number(line, "the event's code", &fault->number) != 0 ? -1
                                                                         : parse_text(line, fault);
}

static int parse_numbered(struct xs_line *line, struct xs_fault *fault)
{
    return xs_line_number(line, "a number", &fault->number) != 0 ? -1 : parse_places(line, fault);
}

static int parse_print(struct xs_line *line, struct xs_fault *fault)
{
    return parse_text(line, fault) != 0 ? -1 : parse_places(line, fault);
}

/* Every place: what a device as a whole suffers. */
static int parse_nothing(struct xs_line *line, struct xs_fault *fault)
{
    (void)line;
    memset(fault->places, 1, sizeof(fault->places));
    return 0;
}

static const struct {
    const char *word;
    enum xs_verb verb;
    int (*parse)(struct xs_line *line, struct xs_fault *fault);
} VERBS[] = {
    {"hang", XS_HANG, parse_places},         {"error", XS_FAIL, parse_numbered},
    {"sentinel", XS_NO_VALUE, parse_places}, {"reads", XS_READS, parse_numbered},
    {"slow", XS_SLOW, parse_slow},           {"crash", XS_CRASH, parse_crash},
    {"leak", XS_LEAK, parse_numbered},       {"print", XS_PRINT, parse_print},
    {"overrun", XS_OVERRUN, parse_numbered}, {"drop", XS_DROP, parse_drop},
    {"freeze", XS_FREEZE, parse_places},     {"reset", XS_RESET, parse_places},
    {"lost", XS_LOSE, parse_nothing},        {"absent", XS_ABSENT, parse_nothing},
    {"event", XS_EVENT, parse_event},
};

static int parse_verb(struct xs_line *line, struct xs_fault *fault)
{
    const char *word = xs_line_word(line, "what happens");

    if (word == NULL)
        return -1;
    for (size_t i = 0; i < sizeof(VERBS) / sizeof(*VERBS); i++) {
        if (strcmp(word, VERBS[i].word) != 0)
            continue;
        fault->verb = VERBS[i].verb;
        return VERBS[i].parse(line, fault);
    }
    return xs_line_fail(line,
                        "\"%s\" does not happen; hang, error, sentinel, reads, slow, crash, leak, "
                        "print, overrun, drop, freeze, reset, lost, absent and event do",
                        word);
}

static int parse_line(struct xs_line *line, struct xs_fault *fault, const char *folder)
{
    const char *devices;
    int status =
        xs_line_accept(line, "while") ? parse_while(line, fault, folder) : parse_when(line, fault);

    if (status != 0)
        return -1;
    if (xs_line_accept(line, "device")) {
        devices = xs_line_word(line, "devices such as 0,2..5 or *");
        if (devices == NULL || xs_word_set(line, devices, &fault->devices) != 0)
            return -1;
    }
    if (parse_verb(line, fault) != 0)
        return -1;
    if (fault->flag != NULL && fault->verb >= XS_READS)
        return xs_line_fail(line, "while is for what becomes of a call: hang, slow, crash, leak, "
                                  "print, overrun, error and sentinel");
    return xs_line_end(line);
}

int xs_parse_fault(struct xs_line *line, struct xs_fault *fault, const char *folder)
{
    memset(fault, 0, sizeof(*fault));
    fault->devices = fault->indices = (struct xs_set){{UINT64_MAX, UINT64_MAX}};
    if (parse_line(line, fault, folder) == 0)
        return 0;
    free(fault->flag);
    return -1;
}
