/* SPDX-License-Identifier: Apache-2.0 */
#include "call_spec.h"

#include "call.h"
#include "load.h"
#include "ring.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* What is looked at, and where to say what is wrong with it. */
struct check {
    const struct xm_call_spec *spec;
    const struct xm_call_result_spec *result; /* NULL outside the results */
    char *problem;
};

__attribute__((format(printf, 2, 3))) static int refuse(const struct check *check,
                                                        const char *format, ...)
{
    size_t used = 0;
    va_list arguments;

    if (check->result != NULL)
        used = (size_t)snprintf(check->problem, XM_CALL_PROBLEM_BYTES,
                                "result %td: ", check->result - check->spec->results);
    va_start(arguments, format);
    vsnprintf(check->problem + used, XM_CALL_PROBLEM_BYTES - used, format, arguments);
    va_end(arguments);
    return -EINVAL;
}

static int check_buffers(const struct check *check, size_t *scratch_bytes)
{
    const struct xm_call_spec *spec = check->spec;

    for (size_t i = 0; i < spec->n_buffers; i++) {
        size_t bytes = spec->buffers[i].bytes;

        if (bytes == 0 || bytes > XM_CALL_MAX_BUFFER_BYTES)
            return refuse(check, "buffer %zu is of %zu bytes, not 1 to %u", i, bytes,
                          XM_CALL_MAX_BUFFER_BYTES);
        *scratch_bytes += xm_call_scratch_bytes(bytes);
        if (*scratch_bytes > XM_CALL_MAX_SCRATCH_BYTES)
            return refuse(check, "buffers of the lane's probes are over %u bytes together",
                          XM_CALL_MAX_SCRATCH_BYTES);
    }
    return 0;
}

static int check_arguments(const struct check *check)
{
    const struct xm_call_spec *spec = check->spec;

    if (spec->function == 0)
        return refuse(check, "the function has no address");
    if (spec->n_arguments > XM_CALL_MAX_ARGUMENTS)
        return refuse(check, "%zu arguments; only integers and pointers in registers, up to %d",
                      spec->n_arguments, XM_CALL_MAX_ARGUMENTS);
    for (size_t i = 0; i < spec->n_arguments; i++) {
        const struct xm_call_argument *argument = &spec->arguments[i];

        if (!argument->is_buffer)
            continue;
        if (argument->buffer < 0 || (uint64_t)argument->buffer >= spec->n_buffers)
            return refuse(check, "argument %zu is buffer %" PRId64 " of %zu", i, argument->buffer,
                          spec->n_buffers);
        if (argument->offset < 0 ||
            (uint64_t)argument->offset >= spec->buffers[argument->buffer].bytes)
            return refuse(check, "argument %zu points at %" PRId64 ", outside its buffer", i,
                          argument->offset);
    }
    return 0;
}

static int check_returns(const struct check *check)
{
    const struct xm_call_returns *returns = &check->spec->returns;
    uint8_t kind, width;

    if (returns->type != '\0' &&
        (xm_load_type(returns->type, &kind, &width) != 0 || kind == XM_LOAD_FLOAT))
        return refuse(check, "the function returns '%c', which is no integer", returns->type);
    for (size_t i = 0; i < returns->n_reasons; i++) {
        int64_t reason = returns->reasons[i].reason;

        if (reason <= XM_REASON_VALUE || reason >= XM_REASONS)
            return refuse(check, "code %" PRId64 " means %" PRId64 ", which is no reason",
                          returns->reasons[i].code, reason);
    }
    return 0;
}

static int check_bits(const struct check *check, const char *what, const struct xm_call_load *load,
                      uint8_t kind, uint8_t width)
{
    int64_t all = 8 * width;

    if (load->shift < 0 || load->bits < 0 || load->shift > all || load->bits > all ||
        load->shift + load->bits > all || (load->bits == 0 && load->shift != 0))
        return refuse(check, "%s has %" PRId64 " bits from bit %" PRId64 " on, outside its type",
                      what, load->bits, load->shift);
    if (kind == XM_LOAD_FLOAT && load->bits != 0)
        return refuse(check, "%s takes bits of a float", what);
    return 0;
}

/* The return value: no wider than it is. */
static int check_returned(const struct check *check, const char *what,
                          const struct xm_call_load *load, uint8_t kind, uint8_t width)
{
    uint8_t returned_kind, returned_width;

    if (xm_load_type(check->spec->returns.type, &returned_kind, &returned_width) != 0)
        return refuse(check, "%s is the return value of a function that returns nothing", what);
    if (kind == XM_LOAD_FLOAT)
        return refuse(check, "%s takes a float from the return value", what);
    if (load->offset != 0 || width > returned_width)
        return refuse(check, "%s is not inside the return value", what);
    return 0;
}

static int check_load(const struct check *check, const char *what, const struct xm_call_load *load,
                      int64_t elements, int64_t stride)
{
    const struct xm_call_spec *spec = check->spec;
    uint8_t kind, width;
    uint64_t end;

    if (xm_load_type(load->type, &kind, &width) != 0)
        return refuse(check, "%s is of an unknown type", what);
    if (check_bits(check, what, load, kind, width) != 0)
        return -EINVAL;
    if (elements > 1 && (stride < width || stride > XM_CALL_MAX_BUFFER_BYTES))
        return refuse(check, "elements %" PRId64 " bytes apart", stride);
    if (load->buffer == XM_CALL_RETURNED) {
        if (elements > 1)
            return refuse(check, "%s is a sum over the return value", what);
        return check_returned(check, what, load, kind, width);
    }
    if (load->buffer < 0 || (uint64_t)load->buffer >= spec->n_buffers)
        return refuse(check, "%s is in buffer %" PRId64 " of %zu", what, load->buffer,
                      spec->n_buffers);
    end = (uint64_t)(elements - 1) * (uint64_t)stride + width;
    if (load->offset < 0 || load->offset > XM_CALL_MAX_BUFFER_BYTES ||
        (uint64_t)load->offset + end > spec->buffers[load->buffer].bytes)
        return refuse(check, "%s at %" PRId64 " is outside its buffer of %zu bytes", what,
                      load->offset, spec->buffers[load->buffer].bytes);
    return 0;
}

static int is_float(const struct xm_call_load *load)
{
    return load->type == 'f' || load->type == 'd';
}

static int check_integer(const struct check *check, const char *what, int is_there,
                         const struct xm_call_load *load)
{
    if (!is_there)
        return 0;
    if (is_float(load))
        return refuse(check, "%s is a float", what);
    return check_load(check, what, load, 1, 0);
}

static int check_conditions(const struct check *check)
{
    const struct xm_call_result_spec *result = check->result;

    if (check_integer(check, "status", result->has_status, &result->status) != 0 ||
        check_integer(check, "tag", result->has_tag, &result->tag) != 0 ||
        check_integer(check, "limit", result->has_limit, &result->limit) != 0)
        return -EINVAL;
    if (result->has_status && check->spec->returns.n_success == 0)
        return refuse(check, "it has a status, and no code means success");
    if (result->has_limit && result->limit_index < 0)
        return refuse(check, "its index below the limit is negative");
    return 0;
}

static int check_numbers(const struct check *check)
{
    const struct xm_call_result_spec *result = check->result;
    int has_float = 0;

    if (result->n_loads == 0)
        return refuse(check, "it loads nothing");
    if (result->n_loads > 1 && !result->has_tag)
        return refuse(check, "%zu loads and no tag that chooses", result->n_loads);
    if (result->elements < 1 || result->elements > XM_CALL_MAX_ITEMS)
        return refuse(check, "%" PRId64 " elements, not 1 to %d", result->elements,
                      XM_CALL_MAX_ITEMS);
    for (size_t i = 0; i < result->n_loads; i++) {
        const struct xm_call_load *load = &result->loads[i].load;

        if (check_load(check, "load", load, result->elements, result->stride) != 0)
            return -EINVAL;
        has_float |= is_float(load);
    }
    if (result->has_factor) {
        if (check_load(check, "factor", &result->factor, 1, 0) != 0)
            return -EINVAL;
        has_float |= is_float(&result->factor);
    }
    if (result->decimals < -1 || result->decimals > XM_CALL_MAX_DECIMALS)
        return refuse(check, "%" PRId64 " decimals, not -1 to %d", result->decimals,
                      XM_CALL_MAX_DECIMALS);
    if (result->decimals != 0 && !has_float)
        return refuse(check, "%" PRId64 " decimals of an integer", result->decimals);
    return 0;
}

static int check_column(const struct check *check, uint8_t *taken, uint32_t columns)
{
    const struct xm_call_result_spec *result = check->result;

    if (result->column < 0 || result->column >= columns)
        return refuse(check, "column %" PRId64 " is not in the ring's lane", result->column);
    if (taken[result->column])
        return refuse(check, "column %" PRId64 " is filled already", result->column);
    if (result->low > result->high)
        return refuse(check, "column %" PRId64 " has an empty range", result->column);
    taken[result->column] = 1;
    return 0;
}

int xm_call_check(const struct xm_call_spec *spec, uint8_t *taken, uint32_t columns,
                  size_t *scratch_bytes, char *problem)
{
    struct check check = {.spec = spec, .problem = problem};

    if (check_buffers(&check, scratch_bytes) != 0 || check_arguments(&check) != 0 ||
        check_returns(&check) != 0)
        return -EINVAL;
    for (size_t i = 0; i < spec->n_results; i++) {
        check.result = &spec->results[i];
        if (check_column(&check, taken, columns) != 0 || check_numbers(&check) != 0 ||
            check_conditions(&check) != 0)
            return -EINVAL;
    }
    return 0;
}
