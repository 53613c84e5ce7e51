/* SPDX-License-Identifier: Apache-2.0 */
#include "py_work.h"

#include <stdlib.h>
#include <string.h>

static char *copy_bytes(PyObject *object, size_t *bytes)
{
    char *from;
    char *copy;

    /* Refuses embedded zero bytes. */
    if (PyBytes_AsStringAndSize(object, &from, NULL) != 0)
        return NULL;
    *bytes = strlen(from);
    copy = strdup(from);
    if (copy == NULL)
        PyErr_NoMemory();
    return copy;
}

/* A sentinel of an unsigned counter may be written as such: cells hold it modulo 2^64. */
static int parse_sentinel(PyObject *item, int64_t *value)
{
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(item, &overflow);

    if (overflow > 0)
        number = (long long)PyLong_AsUnsignedLongLong(item);
    else if (overflow < 0)
        PyErr_SetString(PyExc_OverflowError, "a sentinel is below -2**63");
    *value = number;
    return PyErr_Occurred() ? -1 : 0;
}

static int parse_sentinels(PyObject *sequence, struct xm_parse_field *field)
{
    PyObject *items = PySequence_Tuple(sequence);
    Py_ssize_t n;
    int rc = -1;

    if (items == NULL)
        return -1;
    n = PyTuple_Size(items);
    field->sentinels = calloc((size_t)n + 1, sizeof(*field->sentinels));
    if (field->sentinels == NULL) {
        PyErr_NoMemory();
        goto out;
    }
    field->n_sentinels = (size_t)n;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (parse_sentinel(PyTuple_GetItem(items, i), &field->sentinels[i]) != 0)
            goto out;
    }
    rc = 0;
out:
    Py_DECREF(items);
    return rc;
}

static int parse_key(PyObject *key, struct xm_parse_field *field)
{
    size_t bytes;

    if (key == Py_None)
        return 0;
    field->key = copy_bytes(key, &bytes);
    if (field->key == NULL)
        return -1;
    field->key_bytes = (uint32_t)bytes;
    if (bytes == 0 || bytes > XM_PROBE_TEXT_BYTES || strpbrk(field->key, " \t\n\v\f\r") != NULL) {
        PyErr_Format(PyExc_ValueError, "key %R is not one word", key);
        return -1;
    }
    return 0;
}

static int check_field(struct xm_py_builder *builder, const struct xm_parse_field *field,
                       long long column, long long index, long long decimals)
{
    const char *problem = NULL;

    if (column < 0 || column >= builder->columns)
        problem = "is not in the ring's lane";
    else if (builder->taken[column])
        problem = "has two fields";
    else if (index < 0 || index > XM_PROBE_TEXT_BYTES)
        problem = "has an index out of range";
    else if (decimals < 0 || decimals > XM_PARSE_MAX_DECIMALS)
        problem = "has decimals that are not 0 to 18";
    else if (field->low > field->high)
        problem = "has an empty range";
    if (problem != NULL) {
        PyErr_Format(PyExc_ValueError, "column %lld %s", column, problem);
        return -1;
    }
    builder->taken[column] = 1;
    return 0;
}

static int parse_field(PyObject *item, struct xm_py_builder *builder, struct xm_parse_field *field)
{
    long long column, index, decimals, low, high;
    PyObject *key, *sentinels;

    if (!PyTuple_Check(item)) {
        PyErr_Format(PyExc_TypeError, "a field is a tuple of seven, not %R", item);
        return -1;
    }
    if (!PyArg_ParseTuple(item, "LOLLOLL:field", &column, &key, &index, &decimals, &sentinels, &low,
                          &high))
        return -1;
    field->low = low;
    field->high = high;
    if (check_field(builder, field, column, index, decimals) != 0)
        return -1;
    field->column = (uint32_t)column;
    field->index = (uint32_t)index;
    field->decimals = (uint32_t)decimals;
    if (parse_key(key, field) != 0)
        return -1;
    return parse_sentinels(sentinels, field);
}

static int continues(const struct xm_parse_field *field, const struct xm_parse_field *before)
{
    return field->key_bytes == before->key_bytes && field->index > before->index &&
           (field->key_bytes == 0 || memcmp(field->key, before->key, field->key_bytes) == 0);
}

static int parse_fields(PyObject *sequence, struct xm_py_builder *builder, struct xm_probe *probe)
{
    PyObject *items = PySequence_Tuple(sequence);
    Py_ssize_t n;
    int rc = -1;

    if (items == NULL)
        return -1;
    n = PyTuple_Size(items);
    probe->fields = calloc((size_t)n + 1, sizeof(*probe->fields));
    if (probe->fields == NULL) {
        PyErr_NoMemory();
        goto out;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        struct xm_parse_field *field = &probe->fields[i];

        probe->n_fields++;
        if (parse_field(PyTuple_GetItem(items, i), builder, field) != 0)
            goto out;
        field->continues = i > 0 && continues(field, field - 1);
    }
    rc = 0;
out:
    Py_DECREF(items);
    return rc;
}

int xm_py_file_parse(PyObject *item, struct xm_py_builder *builder, struct xm_probe *probe)
{
    PyObject *path, *fields;
    size_t bytes;

    if (!PyTuple_Check(item)) {
        PyErr_Format(PyExc_TypeError, "a probe is a tuple (path, fields), not %R", item);
        return -1;
    }
    if (!PyArg_ParseTuple(item, "OO:probe", &path, &fields))
        return -1;
    probe->path = copy_bytes(path, &bytes);
    if (probe->path == NULL)
        return -1;
    return parse_fields(fields, builder, probe);
}
