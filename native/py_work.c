/* SPDX-License-Identifier: Apache-2.0 */
#include "py_work.h"

#include <stdlib.h>

/* The first of a call is its function's address, of a file its path. */
static int is_call(PyObject *item)
{
    return PyTuple_Check(item) && PyTuple_Size(item) > 0 && PyLong_Check(PyTuple_GetItem(item, 0));
}

static struct xm_work *make_work(PyObject *items)
{
    size_t n = (size_t)PyTuple_Size(items);
    uint8_t *kinds = calloc(n + 1, 1);
    struct xm_work *work = NULL;

    if (kinds != NULL) {
        for (size_t i = 0; i < n; i++)
            kinds[i] = (uint8_t)is_call(PyTuple_GetItem(items, (Py_ssize_t)i));
        work = xm_work_create(n, kinds);
    }
    free(kinds);
    if (work == NULL)
        PyErr_NoMemory();
    return work;
}

static int parse_items(PyObject *items, struct xm_py_builder *builder)
{
    size_t files = 0;
    size_t calls = 0;
    int rc = 0;

    builder->work = make_work(items);
    if (builder->work == NULL)
        return -1;
    for (Py_ssize_t i = 0; i < PyTuple_Size(items) && rc == 0; i++) {
        PyObject *item = PyTuple_GetItem(items, i);

        if (is_call(item))
            rc = xm_py_call_parse(item, builder, calls++, i);
        else
            rc = xm_py_file_parse(item, builder, &builder->work->files->probe[files++]);
    }
    return rc;
}

int xm_py_work_parse(PyObject *probes, struct xm_py_builder *builder)
{
    PyObject *items = PySequence_Tuple(probes);
    int rc;

    if (items == NULL)
        return -1;
    builder->taken = calloc(builder->columns, 1);
    if (builder->taken == NULL) {
        PyErr_NoMemory();
        rc = -1;
    } else {
        rc = parse_items(items, builder);
    }
    Py_DECREF(items);
    return rc;
}
