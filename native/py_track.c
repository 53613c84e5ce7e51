/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "sensor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int parse_column(PyObject *item, struct xm_sensor_spec *spec)
{
    long long kind, bits, refresh_ns;

    if (!PyTuple_Check(item)) {
        PyErr_Format(PyExc_TypeError, "a column is a tuple of three integers, not %R", item);
        return -1;
    }
    if (!PyArg_ParseTuple(item, "LLL:column", &kind, &bits, &refresh_ns))
        return -1;
    if (kind < 0 || kind >= XM_TRACKS || bits < XM_SENSOR_MIN_BITS || bits > XM_SENSOR_MAX_BITS ||
        refresh_ns < 0) {
        PyErr_Format(PyExc_ValueError, "column %R is no (TRACK_*, bits 8 to 64, refresh_ns from 0)",
                     item);
        return -1;
    }
    *spec = (struct xm_sensor_spec){(uint8_t)kind, (uint8_t)bits, refresh_ns};
    return 0;
}

/* Parse a tuple of columns; NULL with an exception set. */
static struct xm_sensor *parse_columns(PyObject *columns, Py_ssize_t n)
{
    struct xm_sensor_spec *specs = calloc((size_t)n, sizeof(*specs));
    struct xm_sensor *sensor = NULL;
    Py_ssize_t i = 0;

    if (specs == NULL)
        return (struct xm_sensor *)PyErr_NoMemory();
    while (i < n && parse_column(PyTuple_GetItem(columns, i), &specs[i]) == 0)
        i++;
    if (i == n && xm_sensor_create(specs, (uint32_t)n, &sensor) != 0)
        PyErr_NoMemory();
    free(specs);
    return sensor;
}

static int track(struct xm_ring_lane *lane, long long index, PyObject *columns)
{
    Py_ssize_t n = PyTuple_Size(columns);
    struct xm_sensor *sensor;

    if (n != (Py_ssize_t)lane->geometry.columns) {
        PyErr_Format(PyExc_ValueError, "%zd columns to track in lane %lld of %lu", n, index,
                     (unsigned long)lane->geometry.columns);
        return -1;
    }
    sensor = parse_columns(columns, n);
    if (sensor == NULL)
        return -1;
    if (xm_ring_track(lane, sensor) == 0)
        return 0;
    xm_sensor_destroy(sensor);
    PyErr_Format(PyExc_ValueError,
                 "lane %lld has rows, a Lane or a tracker already: track it when the ring is made",
                 index);
    return -1;
}

PyObject *xm_py_ring_track(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"lane", "columns", NULL};
    struct xm_ring_lane *lane;
    PyObject *sequence;
    PyObject *columns;
    long long index;
    int rc;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "LO:track", names, &index, &sequence))
        return NULL;
    lane = xm_py_ring_lane(self, index, XM_RING_COLUMNS);
    if (lane == NULL)
        return NULL;
    columns = PySequence_Tuple(sequence);
    if (columns == NULL)
        return NULL;
    rc = track(lane, index, columns);
    Py_DECREF(columns);
    if (rc != 0)
        return NULL;
    Py_RETURN_NONE;
}

/* One figure of `size` bytes per column, zeros where the lane is not tracked. */
static PyObject *figures(PyObject *self, PyObject *args, PyObject *kwargs, size_t size)
{
    static char *names[] = {"lane", NULL};
    const struct xm_ring_lane *lane;
    PyObject *result;
    char *out;
    long long index;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "L", names, &index))
        return NULL;
    lane = xm_py_ring_lane(self, index, XM_RING_COLUMNS);
    if (lane == NULL)
        return NULL;
    result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(lane->geometry.columns * size));
    if (result == NULL)
        return NULL;
    out = PyBytes_AsString(result);
    for (uint32_t c = 0; c < lane->geometry.columns; c++, out += size) {
        int64_t refresh_ns = lane->sensor ? xm_sensor_refresh_ns(lane->sensor, c) : 0;
        uint32_t resets = lane->sensor ? xm_sensor_resets(lane->sensor, c) : 0;

        memcpy(out, size == sizeof(resets) ? (void *)&resets : (void *)&refresh_ns, size);
    }
    return result;
}

PyObject *xm_py_ring_refresh_ns(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return figures(self, args, kwargs, sizeof(int64_t));
}

PyObject *xm_py_ring_resets(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return figures(self, args, kwargs, sizeof(uint32_t));
}
