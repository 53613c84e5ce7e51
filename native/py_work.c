/* SPDX-License-Identifier: Apache-2.0 */
#include "py_work.h"

#include <stdlib.h>

/* The first of a call is its function's address, of a file its path. */
static int is_call(PyObject *item)
{
    return PyTuple_Check(item) && PyTuple_Size(item) > 0 && PyLong_Check(PyTuple_GetItem(item, 0));
}

/* Group numbers of n probes into their kinds; no groups at all are group 0. */
static int parse_groups(PyObject *groups, struct xm_work_probe *probes, Py_ssize_t n)
{
    PyObject *items = PySequence_Tuple(groups);
    Py_ssize_t given;
    int rc = 0;

    if (items == NULL)
        return -1;
    given = PyTuple_Size(items);
    if (given != 0 && given != n) {
        PyErr_Format(PyExc_ValueError, "%zd groups of %zd probes", given, n);
        rc = -1;
    }
    for (Py_ssize_t i = 0; i < given && rc == 0; i++) {
        long group = PyLong_AsLong(PyTuple_GetItem(items, i));

        if (PyErr_Occurred() || group < 0 || group >= XM_WORK_GROUPS) {
            if (!PyErr_Occurred())
                PyErr_Format(PyExc_ValueError, "group %ld is not 0 to %d", group,
                             XM_WORK_GROUPS - 1);
            rc = -1;
        }
        probes[i].group = (uint8_t)group;
    }
    Py_DECREF(items);
    return rc;
}

static struct xm_work *make_work(PyObject *items, PyObject *groups)
{
    Py_ssize_t n = PyTuple_Size(items);
    struct xm_work_probe *probes = calloc((size_t)n + 1, sizeof(*probes));
    struct xm_work *work = NULL;

    if (probes == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < n; i++)
        probes[i].is_call = is_call(PyTuple_GetItem(items, i)) != 0;
    if (groups == NULL || parse_groups(groups, probes, n) == 0) {
        work = xm_work_create((size_t)n, probes);
        if (work == NULL)
            PyErr_NoMemory();
    }
    free(probes);
    return work;
}

static int parse_items(PyObject *items, PyObject *groups, struct xm_py_builder *builder)
{
    size_t files = 0;
    size_t calls = 0;
    int rc = 0;

    builder->work = make_work(items, groups);
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

int xm_py_work_parse(PyObject *probes, PyObject *groups, struct xm_py_builder *builder)
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
        rc = parse_items(items, groups, builder);
    }
    Py_DECREF(items);
    return rc;
}
