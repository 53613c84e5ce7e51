/* SPDX-License-Identifier: Apache-2.0 */
#include "py_work.h"

#include <stdlib.h>
#include <string.h>

/* Fills one item of an array; `into` is zeroed. */
typedef int (*parse_item)(PyObject *item, void *into);

/*
 * An array of the items of any sequence, of `bytes` each; *n counts those begun, so that what a
 * failed item has allocated is freed with the rest.
 */
static void *parse_items(PyObject *sequence, const char *what, size_t bytes, parse_item parse,
                         size_t *n)
{
    PyObject *items = PySequence_Tuple(sequence);
    uint8_t *array = NULL;
    size_t all;

    if (items == NULL)
        return NULL;
    all = (size_t)PyTuple_Size(items);
    if (all > XM_CALL_MAX_ITEMS)
        PyErr_Format(PyExc_ValueError, "%zu %s, at most %d", all, what, XM_CALL_MAX_ITEMS);
    else if ((array = calloc(all + 1, bytes)) == NULL)
        PyErr_NoMemory();
    for (size_t i = 0; array != NULL && i < all; i++) {
        *n = i + 1;
        if (parse(PyTuple_GetItem(items, (Py_ssize_t)i), array + i * bytes) != 0)
            break;
    }
    Py_DECREF(items);
    return array;
}

/* An integer of 64 bits, signed or not, as a cell holds it. */
static int parse_cell(PyObject *item, int64_t *cell, int *is_unsigned)
{
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(item, &overflow);

    if (overflow > 0)
        number = (long long)PyLong_AsUnsignedLongLong(item);
    *is_unsigned = overflow > 0;
    if (overflow < 0 || (overflow > 0 && PyErr_Occurred())) {
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError, "%R does not fit 64 bits", item);
    }
    *cell = number;
    return PyErr_Occurred() ? -1 : 0;
}

static int parse_code(PyObject *item, void *into)
{
    int is_unsigned;

    return parse_cell(item, into, &is_unsigned);
}

static int parse_sentinel(PyObject *item, void *into)
{
    struct xm_call_sentinel *sentinel = into;
    int is_unsigned;

    if (parse_cell(item, &sentinel->cell, &is_unsigned) != 0)
        return -1;
    sentinel->real = is_unsigned ? (double)(uint64_t)sentinel->cell : (double)sentinel->cell;
    return 0;
}

static int check_tuple(PyObject *item, const char *what)
{
    if (PyTuple_Check(item))
        return 0;
    PyErr_Format(PyExc_TypeError, "%s is a tuple, not %R", what, item);
    return -1;
}

static int parse_type(PyObject *item, char *type, int may_be_empty)
{
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(item, &length);

    if (text == NULL)
        return -1;
    if (length > 1 || (length == 0 && !may_be_empty) || (length == 1 && text[0] == '\0')) {
        PyErr_Format(PyExc_ValueError, "type %R is unknown", item);
        return -1;
    }
    *type = length == 0 ? '\0' : text[0];
    return 0;
}

static int parse_argument(PyObject *item, void *into)
{
    struct xm_call_argument *argument = into;
    long long buffer, offset;
    PyObject *value;
    int64_t cell;

    if (check_tuple(item, "an argument") != 0)
        return -1;
    if (PyTuple_Size(item) == 1) {
        if (!PyArg_ParseTuple(item, "O:Value", &value) || parse_code(value, &cell) != 0)
            return -1;
        argument->value = (uint64_t)cell;
        return 0;
    }
    if (!PyArg_ParseTuple(item, "LL:Buffer", &buffer, &offset))
        return -1;
    argument->is_buffer = 1;
    argument->buffer = buffer;
    argument->offset = offset;
    return 0;
}

static int parse_buffer(PyObject *item, void *into)
{
    struct xm_call_template *template = into;
    Py_ssize_t bytes;
    char *data;

    if (PyBytes_AsStringAndSize(item, &data, &bytes) != 0)
        return -1;
    template->bytes = (size_t)bytes;
    /* One that is too large is refused by its size alone. */
    if (template->bytes > XM_CALL_MAX_BUFFER_BYTES)
        return 0;
    template->data = malloc((size_t)bytes + 1);
    if (template->data == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(template->data, data, (size_t)bytes);
    return 0;
}

static int parse_load(PyObject *item, struct xm_call_load *load)
{
    long long buffer, offset, shift, bits;
    PyObject *type;

    if (check_tuple(item, "a load") != 0)
        return -1;
    if (!PyArg_ParseTuple(item, "LLOLL:Load", &buffer, &offset, &type, &shift, &bits))
        return -1;
    load->buffer = buffer;
    load->offset = offset;
    load->shift = shift;
    load->bits = bits;
    return parse_type(type, &load->type, 0);
}

static int parse_optional(PyObject *item, struct xm_call_load *load, int *has)
{
    *has = item != Py_None;
    return *has ? parse_load(item, load) : 0;
}

static int parse_tagged(PyObject *item, void *into)
{
    struct xm_call_tagged *tagged = into;
    PyObject *tag, *load;

    if (check_tuple(item, "a tagged load") != 0)
        return -1;
    if (!PyArg_ParseTuple(item, "OO:loads", &tag, &load) || parse_code(tag, &tagged->tag) != 0)
        return -1;
    return parse_load(load, &tagged->load);
}

static int parse_reason(PyObject *item, void *into)
{
    struct xm_call_reason *reason = into;
    PyObject *code;
    long long number;

    if (check_tuple(item, "a reason") != 0)
        return -1;
    if (!PyArg_ParseTuple(item, "OL:reasons", &code, &number) || parse_code(code, &reason->code))
        return -1;
    reason->reason = number;
    return 0;
}

static int parse_returns(PyObject *item, struct xm_call_returns *returns)
{
    PyObject *type, *success, *reasons;

    if (check_tuple(item, "what a function returns") != 0)
        return -1;
    if (!PyArg_ParseTuple(item, "OOO:Returns", &type, &success, &reasons))
        return -1;
    if (parse_type(type, &returns->type, 1) != 0)
        return -1;
    returns->success =
        parse_items(success, "codes", sizeof(*returns->success), parse_code, &returns->n_success);
    if (returns->success == NULL || PyErr_Occurred())
        return -1;
    returns->reasons = parse_items(reasons, "reasons", sizeof(*returns->reasons), parse_reason,
                                   &returns->n_reasons);
    return PyErr_Occurred() ? -1 : 0;
}

static int parse_limit(PyObject *item, struct xm_call_result_spec *result)
{
    long long index;
    PyObject *load;

    if (item == Py_None)
        return 0;
    if (check_tuple(item, "a limit") != 0)
        return -1;
    if (!PyArg_ParseTuple(item, "OL:limit", &load, &index))
        return -1;
    result->limit_index = index;
    return parse_optional(load, &result->limit, &result->has_limit);
}

static int parse_result(PyObject *item, void *into)
{
    struct xm_call_result_spec *result = into;
    PyObject *loads, *factor, *status, *tag, *limit, *sentinels;
    long long column, elements, stride, decimals, low, high;

    if (check_tuple(item, "a result") != 0)
        return -1;
    if (!PyArg_ParseTuple(item, "LOLLOLOOOOLL:Result", &column, &loads, &elements, &stride, &factor,
                          &decimals, &status, &tag, &limit, &sentinels, &low, &high))
        return -1;
    result->column = column;
    result->elements = elements;
    result->stride = stride;
    result->decimals = decimals;
    result->low = low;
    result->high = high;
    if (parse_optional(factor, &result->factor, &result->has_factor) != 0 ||
        parse_optional(status, &result->status, &result->has_status) != 0 ||
        parse_optional(tag, &result->tag, &result->has_tag) != 0 || parse_limit(limit, result) != 0)
        return -1;
    result->loads =
        parse_items(loads, "loads", sizeof(*result->loads), parse_tagged, &result->n_loads);
    if (result->loads == NULL || PyErr_Occurred())
        return -1;
    result->sentinels = parse_items(sentinels, "sentinels", sizeof(*result->sentinels),
                                    parse_sentinel, &result->n_sentinels);
    return PyErr_Occurred() ? -1 : 0;
}

static int parse_spec(PyObject *item, struct xm_call_spec *spec)
{
    PyObject *function, *arguments, *buffers, *returns, *results;

    if (!PyArg_ParseTuple(item, "OOOOO:Call", &function, &arguments, &buffers, &returns, &results))
        return -1;
    if (parse_code(function, (int64_t *)&spec->function) != 0)
        return -1;
    spec->arguments = parse_items(arguments, "arguments", sizeof(*spec->arguments), parse_argument,
                                  &spec->n_arguments);
    if (spec->arguments == NULL || PyErr_Occurred())
        return -1;
    spec->buffers =
        parse_items(buffers, "buffers", sizeof(*spec->buffers), parse_buffer, &spec->n_buffers);
    if (spec->buffers == NULL || PyErr_Occurred())
        return -1;
    if (parse_returns(returns, &spec->returns) != 0)
        return -1;
    spec->results =
        parse_items(results, "results", sizeof(*spec->results), parse_result, &spec->n_results);
    return PyErr_Occurred() ? -1 : 0;
}

static void free_spec(struct xm_call_spec *spec)
{
    for (size_t i = 0; i < spec->n_buffers; i++)
        free(spec->buffers[i].data);
    for (size_t i = 0; i < spec->n_results; i++) {
        free(spec->results[i].loads);
        free(spec->results[i].sentinels);
    }
    free(spec->arguments);
    free(spec->buffers);
    free(spec->returns.success);
    free(spec->returns.reasons);
    free(spec->results);
}

/* Say which probe the exception is about; an integer out of range is a wrong value as well. */
static void name_probe(Py_ssize_t index)
{
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    if (PyErr_GivenExceptionMatches(type, PyExc_OverflowError)) {
        Py_DECREF(type);
        type = Py_NewRef(PyExc_ValueError);
    }
    if (type == PyExc_ValueError || type == PyExc_TypeError) {
        PyErr_Format(type, "probe %zd: %S", index, value);
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
    } else {
        PyErr_Restore(type, value, traceback);
    }
}

int xm_py_call_parse(PyObject *item, struct xm_py_builder *builder, size_t at, Py_ssize_t index)
{
    struct xm_call_spec spec = {0};
    char problem[XM_CALL_PROBLEM_BYTES];
    int rc = parse_spec(item, &spec);

    if (rc == 0 && xm_call_check(&spec, builder->taken, builder->columns, &builder->scratch_bytes,
                                 problem) != 0) {
        PyErr_SetString(PyExc_ValueError, problem);
        rc = -1;
    }
    if (rc == 0 && xm_call_prepare(builder->work->calls, at, &spec) != 0) {
        PyErr_NoMemory();
        rc = -1;
    }
    free_spec(&spec);
    if (rc != 0)
        name_probe(index);
    return rc;
}
