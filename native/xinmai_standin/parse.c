/* SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCENARIO_BYTES (4 << 20)

#define NAME(id, name, about) name,
static const char *const TEXTS[] = {XS_TEXTS(NAME)};
static const char *const QUANTITIES[] = {XS_QUANTITIES(NAME)};
#undef NAME
#define STANDARD(id, name, standard) standard,
static const char *const TEXT_STANDARD[] = {XS_TEXTS(STANDARD)};
#undef STANDARD

/* %d stands for the device's index; nothing else is special. */
static void write_text(char *out, const char *text, unsigned device)
{
    const char *mark = strstr(text, "%d");

    if (mark == NULL)
        snprintf(out, XS_TEXT_BYTES, "%s", text);
    else
        snprintf(out, XS_TEXT_BYTES, "%.*s%u%s", (int)(mark - text), text, device, mark + 2);
}

static uint64_t hash_of(const char *text)
{
    uint64_t hash = 0;

    for (; *text != '\0'; text++)
        hash = xs_hash(hash, (uint8_t)*text, 0, 0, 0);
    return hash;
}

static void write_uuid(char *out, uint64_t vendor, unsigned device)
{
    uint64_t high = xs_hash(vendor, device, 1, 0, 0), low = xs_hash(vendor, device, 2, 0, 0);

    snprintf(out, XS_TEXT_BYTES, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(high >> 32),
             (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xffff), (unsigned)(low >> 48),
             (unsigned long long)(low & 0xffffffffffffULL));
}

struct xs_scenario *xs_scenario_create(const char *vendor)
{
    struct xs_scenario *scenario = calloc(1, sizeof(*scenario));
    uint64_t hash = hash_of(vendor);

    if (scenario == NULL)
        return NULL;
    scenario->n_devices = 8;
    for (unsigned device = 0; device < XS_MAX_DEVICES; device++) {
        char(*texts)[XS_TEXT_BYTES] = scenario->texts[device];

        for (unsigned i = 0; i < XS_N_TEXTS; i++)
            write_text(texts[i], TEXT_STANDARD[i], device);
        write_uuid(texts[XS_UUID], hash, device);
        /* Two vendors on one node share no address: the domain is the vendor's. */
        snprintf(texts[XS_PCI], XS_TEXT_BYTES, "%04x:%02x:00.0", 0x1000 + (unsigned)(hash % 0xe000),
                 device + 1);
    }
    return scenario;
}

void xs_scenario_destroy(struct xs_scenario *scenario)
{
    for (size_t i = 0; i < XS_N_QUANTITIES; i++) {
        while (scenario->last[i] != NULL) {
            struct xs_rule *rule = scenario->last[i];

            scenario->last[i] = rule->before;
            free(rule->trace.points);
            free(rule);
        }
    }
    for (size_t i = 0; i < scenario->n_faults; i++)
        free(scenario->faults[i].flag);
    free(scenario->faults);
    free(scenario);
}

static int parse_text(struct xs_line *line, struct xs_scenario *scenario,
                      const struct xs_set *devices, enum xs_text text)
{
    const char *word = xs_line_word(line, "a text in quotation marks");

    if (word == NULL)
        return -1;
    if (strlen(word) >= XS_TEXT_BYTES - 4)
        return xs_line_fail(line, "a text has at most %d bytes", XS_TEXT_BYTES - 5);
    for (unsigned i = 0; i < XS_MAX_DEVICES; i++) {
        if (xs_set_has(devices, i))
            write_text(scenario->texts[i][text], word, i);
    }
    return xs_line_end(line);
}

static int parse_rule(struct xs_line *line, struct xs_scenario *scenario,
                      const struct xs_set *devices, const char *folder)
{
    struct xs_rule *rule = calloc(1, sizeof(*rule));
    enum xs_quantity quantity;

    if (rule == NULL)
        return xs_line_fail(line, "no memory");
    rule->devices = *devices;
    if (xs_line_quantity(line, &quantity, &rule->indices) != 0 ||
        xs_parse_trace(line, rule, folder) != 0) {
        free(rule->trace.points);
        free(rule);
        return -1;
    }
    rule->before = scenario->last[quantity];
    scenario->last[quantity] = rule;
    return 0;
}

static int parse_device(struct xs_line *line, struct xs_scenario *scenario, const char *folder)
{
    const char *word = xs_line_word(line, "devices such as 0,2..5 or *");
    struct xs_set devices;

    if (word == NULL || xs_word_set(line, word, &devices) != 0)
        return -1;
    for (unsigned i = 0; i < XS_N_TEXTS; i++) {
        if (xs_line_accept(line, TEXTS[i]))
            return parse_text(line, scenario, &devices, (enum xs_text)i);
    }
    return parse_rule(line, scenario, &devices, folder);
}

static int parse_count(struct xs_line *line, struct xs_scenario *scenario)
{
    int64_t n;

    if (xs_line_number(line, "a number of devices", &n) != 0)
        return -1;
    if (n < 0 || n > XS_MAX_DEVICES)
        return xs_line_fail(line, "devices: 0 to %d", XS_MAX_DEVICES);
    scenario->n_devices = (unsigned)n;
    return xs_line_end(line);
}

static int parse_seed(struct xs_line *line, struct xs_scenario *scenario)
{
    int64_t seed;

    if (xs_line_number(line, "a number", &seed) != 0)
        return -1;
    scenario->seed = (uint64_t)seed;
    return xs_line_end(line);
}

static int parse_at(struct xs_line *line, struct xs_scenario *scenario, const char *folder)
{
    struct xs_fault fault, *faults;
    size_t n = scenario->n_faults;

    if (xs_parse_fault(line, &fault, folder) != 0)
        return -1;
    faults = realloc(scenario->faults, (n + 1) * sizeof(*faults));
    if (faults == NULL) {
        free(fault.flag);
        return xs_line_fail(line, "no memory");
    }
    faults[n] = fault;
    scenario->faults = faults;
    scenario->n_faults = n + 1;
    return 0;
}

static int parse_line(struct xs_line *line, struct xs_scenario *scenario, const char *folder)
{
    if (line->n == 0)
        return 0;
    if (xs_line_accept(line, "devices"))
        return parse_count(line, scenario);
    if (xs_line_accept(line, "seed"))
        return parse_seed(line, scenario);
    if (xs_line_accept(line, "device"))
        return parse_device(line, scenario, folder);
    if (strcmp(line->words[0], "while") == 0 || xs_line_accept(line, "at"))
        return parse_at(line, scenario, folder);
    return xs_line_fail(line, "a line begins with devices, seed, device, at or while, not \"%s\"",
                        line->words[0]);
}

/* Whether what the rule follows leads back to its own quantity on this device. */
static int is_circle(const struct xs_scenario *scenario, const struct xs_rule *rule,
                     unsigned device)
{
    for (size_t hops = 0; rule != NULL && rule->trace.shape == XS_FOLLOWS; hops++) {
        if (hops > XS_N_QUANTITIES)
            return 1;
        rule = xs_rule_find(scenario, device, rule->trace.other, 0);
    }
    return 0;
}

static int check_circles(struct xs_line *line, const struct xs_scenario *scenario)
{
    for (unsigned device = 0; device < XS_MAX_DEVICES; device++) {
        for (unsigned i = 0; i < XS_N_QUANTITIES; i++) {
            const struct xs_rule *rule = xs_rule_find(scenario, device, (enum xs_quantity)i, 0);

            if (is_circle(scenario, rule, device))
                return xs_line_fail(line, "%s of device %u follows itself", QUANTITIES[i], device);
        }
    }
    return 0;
}

int xs_scenario_parse(struct xs_scenario *scenario, const char *name, const char *text, char *error)
{
    struct xs_line line = {.file = name, .error = error};
    char *copy = strdup(text), *rest = copy, *row;
    char folder[XS_PATH_BYTES];
    int status = 0;

    if (copy == NULL)
        return xs_line_fail(&line, "no memory");
    snprintf(folder, sizeof(folder), "%s", name);
    if (strrchr(folder, '/') == NULL)
        *folder = '\0';
    else
        strrchr(folder, '/')[1] = '\0';
    while (status == 0 && (row = strsep(&rest, "\n")) != NULL) {
        line.number++;
        status = xs_line_cut(&line, row);
        if (status == 0)
            status = parse_line(&line, scenario, folder);
    }
    if (status == 0)
        status = check_circles(&line, scenario);
    free(copy);
    return status;
}

int xs_scenario_read(struct xs_scenario *scenario, const char *path, char *error)
{
    struct xs_line line = {.file = path, .error = error};
    FILE *file = fopen(path, "re");
    char *text = malloc(SCENARIO_BYTES);
    size_t bytes;
    int status;

    if (file == NULL || text == NULL) {
        status = xs_line_fail(&line, "cannot open the scenario: %m");
    } else {
        bytes = fread(text, 1, SCENARIO_BYTES - 1, file);
        text[bytes] = '\0';
        status = strlen(text) == bytes && bytes < SCENARIO_BYTES - 1
                     ? xs_scenario_parse(scenario, path, text, error)
                     : xs_line_fail(&line, "a scenario is text of less than 4 MiB");
    }
    if (file != NULL)
        fclose(file);
    free(text);
    return status;
}
