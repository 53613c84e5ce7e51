/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "bench/call_reference.h"
#include "bench/call_target.h"
#include "bench/lane_reference.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_TICKS (10 * 1000 * 1000)

static int check_ticks(long long period_ns, long long ticks)
{
    if (period_ns >= 1 && ticks >= 1 && ticks <= MAX_TICKS)
        return 0;
    PyErr_Format(PyExc_ValueError, "period_ns must be at least 1, ticks 1 to %d", MAX_TICKS);
    return -1;
}

static PyObject *failed(int rc)
{
    errno = -rc;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static int run_reference(PyObject *paths, long long period_ns, long long ticks,
                         struct xm_reference_result *result)
{
    Py_ssize_t n = PySequence_Size(paths);
    const char **names = calloc((size_t)n + 1, sizeof(*names));
    int rc = 0;

    if (names == NULL)
        return -ENOMEM;
    for (Py_ssize_t i = 0; i < n && rc == 0; i++) {
        char *name = NULL;

        if (PyBytes_AsStringAndSize(PyTuple_GetItem(paths, i), &name, NULL) != 0)
            rc = -EFAULT;
        names[i] = name;
    }
    if (rc == 0) {
        Py_BEGIN_ALLOW_THREADS rc = xm_reference_loop(names, (size_t)n, period_ns, ticks, result);
        Py_END_ALLOW_THREADS
    }
    free(names);
    return rc;
}

PyObject *xm_py_reference_loop(PyObject *module, PyObject *args)
{
    struct xm_reference_result r;
    PyObject *sequence;
    PyObject *paths;
    long long period_ns;
    long long ticks;
    int rc;

    (void)module;
    if (!PyArg_ParseTuple(args, "OLL:reference_loop", &sequence, &period_ns, &ticks))
        return NULL;
    if (check_ticks(period_ns, ticks) != 0)
        return NULL;
    paths = PySequence_Tuple(sequence);
    if (paths == NULL)
        return NULL;
    rc = run_reference(paths, period_ns, ticks, &r);
    Py_DECREF(paths);
    if (PyErr_Occurred())
        return NULL;
    if (rc != 0)
        return failed(rc);
    return Py_BuildValue("LLLL", (long long)r.cpu_ns, (long long)r.missed, (long long)r.late_p50_ns,
                         (long long)r.late_p99_ns);
}

PyObject *xm_py_call_reference_loop(PyObject *module, PyObject *args)
{
    int64_t cpu_ns = 0;
    int64_t missed = 0;
    long long period_ns;
    long long ticks;
    int fields;
    int n;
    int rc;

    (void)module;
    if (!PyArg_ParseTuple(args, "piLL:call_reference_loop", &fields, &n, &period_ns, &ticks))
        return NULL;
    if (check_ticks(period_ns, ticks) != 0)
        return NULL;
    if (n < 0 || n > XM_TARGET_DEVICES)
        return PyErr_Format(PyExc_ValueError, "calls must be 0 to %d", XM_TARGET_DEVICES);
    Py_BEGIN_ALLOW_THREADS rc =
        xm_call_reference_loop(fields, (uint32_t)n, period_ns, ticks, &cpu_ns, &missed);
    Py_END_ALLOW_THREADS if (rc != 0) return failed(rc);
    return Py_BuildValue("LL", (long long)cpu_ns, (long long)missed);
}

static PyObject *handles(void)
{
    PyObject *tuple = PyTuple_New(XM_TARGET_DEVICES);

    for (uint32_t i = 0; tuple != NULL && i < XM_TARGET_DEVICES; i++) {
        PyObject *handle = PyLong_FromUnsignedLongLong(xm_target_handle(i));

        if (handle == NULL || PyTuple_SetItem(tuple, (Py_ssize_t)i, handle) != 0)
            Py_CLEAR(tuple);
    }
    return tuple;
}

PyObject *xm_py_call_targets(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return Py_BuildValue("KKN", (unsigned long long)(uintptr_t)xm_target_read,
                         (unsigned long long)(uintptr_t)xm_target_fields, handles());
}
