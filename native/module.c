/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "call.h"
#include "clock.h"
#include "crc32c.h"
#include "histogram.h"
#include "rollup.h"
#include "sensor.h"

#define KEYWORDS(function) (PyCFunction)(void (*)(void))(function), METH_VARARGS | METH_KEYWORDS

PyMethodDef xm_py_ring_methods[] = {
    {"commit", KEYWORDS(xm_py_ring_commit), "Commit one row; returns its position."},
    {"append", KEYWORDS(xm_py_ring_append), "Commit one opaque record; returns its position."},
    {"track", KEYWORDS(xm_py_ring_track), "Mark repeats, extend counters, hold back drops."},
    {"refresh_ns", KEYWORDS(xm_py_ring_refresh_ns), "Measured refresh period per column."},
    {"resets", KEYWORDS(xm_py_ring_resets), "Accepted resets per column."},
    {"enter", KEYWORDS(xm_py_ring_enter), "Say which poll runs since when; -1 for none."},
    {"close", xm_py_ring_close, METH_NOARGS, "Unmap and close the descriptor."},
    {NULL, NULL, 0, NULL},
};

PyMethodDef xm_py_lane_methods[] = {
    {"start", KEYWORDS(xm_py_lane_start), "Start the thread."},
    {"stop", KEYWORDS(xm_py_lane_stop), "End and join the thread; False if it is stuck."},
    {"set_period", KEYWORDS(xm_py_lane_set_period), "Change the period from the next tick on."},
    {"trampled", xm_py_lane_trampled, METH_NOARGS, "Probes that wrote over a canary."},
    {"histograms", xm_py_lane_histograms, METH_NOARGS, "(lateness, duration, [group])."},
    {"cpu_ns", xm_py_lane_cpu_ns, METH_NOARGS, "CPU time of the lane's thread."},
    {NULL, NULL, 0, NULL},
};

PyMethodDef xm_py_reader_methods[] = {
    {"state", KEYWORDS(xm_py_reader_read_state), "What a lane's header says now."},
    {"rows", KEYWORDS(xm_py_reader_rows), "Rows at full rate."},
    {"windows", KEYWORDS(xm_py_reader_windows), "Rows rolled up into closed windows."},
    {"records", KEYWORDS(xm_py_reader_records), "Opaque records."},
    {"close", xm_py_reader_close, METH_NOARGS, "Unmap."},
    {NULL, NULL, 0, NULL},
};

PyMethodDef xm_py_gate_methods[] = {
    {"enter", KEYWORDS(xm_py_gate_enter), "Wait until nobody else is inside."},
    {"leave", xm_py_gate_leave, METH_NOARGS, "Let the next one in."},
    {NULL, NULL, 0, NULL},
};

static PyObject *clock_read(PyObject *module, PyObject *unused)
{
    struct xm_clock_reading r;

    (void)module;
    (void)unused;
    xm_clock_read(&r);
    return Py_BuildValue("LLLL", (long long)r.monotonic_ns, (long long)r.boottime_ns,
                         (long long)r.realtime_ns, (long long)r.error_ns);
}

static PyObject *crc32c(PyObject *module, PyObject *args)
{
    Py_buffer data;
    long long value = 0;
    uint32_t crc;

    (void)module;
    if (!PyArg_ParseTuple(args, "y*|L:crc32c", &data, &value))
        return NULL;
    if (value < 0 || value > UINT32_MAX) {
        PyBuffer_Release(&data);
        return PyErr_Format(PyExc_ValueError, "value %lld is no 32-bit checksum", value);
    }
    crc = xm_crc32c_update((uint32_t)value, data.buf, (size_t)data.len);
    PyBuffer_Release(&data);
    return PyLong_FromUnsignedLong(crc);
}

static PyMethodDef methods[] = {
    {"clock", clock_read, METH_NOARGS, "(monotonic_ns, boottime_ns, realtime_ns, error_ns)."},
    {"crc32c", crc32c, METH_VARARGS, "CRC-32C, continued from a value."},
    {"pack", xm_py_column_pack, METH_VARARGS, "Pack int64 columns."},
    {"unpack", xm_py_column_unpack, METH_VARARGS, "Unpack int64 columns."},
    {"histogram_bounds", xm_py_histogram_bounds, METH_NOARGS, "Upper bounds of the buckets, ns."},
    {"reference_loop", xm_py_reference_loop, METH_VARARGS, "The yardstick of a lane's cost."},
    {"call_reference_loop", xm_py_call_reference_loop, METH_VARARGS, "That of a call probe's."},
    {"call_targets", xm_py_call_targets, METH_NOARGS, "What a call probe's cost is measured on."},
    {NULL, NULL, 0, NULL},
};

struct xm_py_state *xm_py_state_of(PyObject *object)
{
    return PyType_GetModuleState(Py_TYPE(object));
}

PyObject *xm_py_new(PyTypeObject *type)
{
    return PyType_GenericAlloc(type, 0);
}

void xm_py_free(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

    release(object);
    Py_DECREF(type);
}

static int add_constants(PyObject *module)
{
    if (PyModule_AddIntConstant(module, "LANE_COLUMNS", XM_RING_COLUMNS) != 0 ||
        PyModule_AddIntConstant(module, "LANE_RECORDS", XM_RING_RECORDS) != 0 ||
        PyModule_AddIntConstant(module, "KIND_GAUGE", XM_ROLLUP_GAUGE) != 0 ||
        PyModule_AddIntConstant(module, "KIND_FLOAT", XM_ROLLUP_FLOAT) != 0 ||
        PyModule_AddIntConstant(module, "KIND_LAST", XM_ROLLUP_LAST) != 0 ||
        PyModule_AddIntConstant(module, "CANARY_CODE", XM_CALL_CANARY_CODE) != 0 ||
        PyModule_AddIntConstant(module, "HISTOGRAM_BUCKETS", XM_HISTOGRAM_BUCKETS) != 0 ||
        PyModule_AddIntConstant(module, "TRACK_NONE", XM_TRACK_NONE) != 0 ||
        PyModule_AddIntConstant(module, "TRACK_GAUGE", XM_TRACK_GAUGE) != 0 ||
        PyModule_AddIntConstant(module, "TRACK_COUNTER", XM_TRACK_COUNTER) != 0)
        return -1;
    return 0;
}

static PyObject *add_tuple(PyObject *module, const char *name, const char *fields)
{
    PyObject *collections = PyImport_ImportModule("collections");
    PyObject *type = NULL;

    if (collections == NULL)
        return NULL;
    type = PyObject_CallMethod(collections, "namedtuple", "ss", name, fields);
    Py_DECREF(collections);
    if (type != NULL) {
        PyObject *where = PyObject_GetAttrString(module, "__name__");

        if (where == NULL || PyObject_SetAttrString(type, "__module__", where) != 0 ||
            PyModule_AddObjectRef(module, name, type) != 0)
            Py_CLEAR(type);
        Py_XDECREF(where);
    }
    return type;
}

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);

    if (type != NULL && PyModule_AddType(module, (PyTypeObject *)type) != 0)
        Py_CLEAR(type);
    return (PyTypeObject *)type;
}

static int add_all(PyObject *module)
{
    struct xm_py_state *state = PyModule_GetState(module);

    state->error = PyErr_NewException("xinmai_native._core.RingError", NULL, NULL);
    if (state->error == NULL || PyModule_AddObjectRef(module, "RingError", state->error) != 0)
        return -1;
    state->lane_state = add_tuple(module, "LaneState",
                                  "committed missed call since_ns scheduled_ns begin_ns period_ns "
                                  "busy_ns late_ns late_max_ns");
    state->rows = add_tuple(module, "Rows",
                            "next_position first_position overrun n scheduled_ns begin_ns "
                            "duration_ns missed values reasons distinct");
    state->windows = add_tuple(module, "Windows",
                               "next_position overrun n start_ns ticks missed counts last min max "
                               "sum reasons");
    state->ring = add_type(module, &xm_py_ring_spec);
    state->lane = add_type(module, &xm_py_lane_spec);
    state->reader = add_type(module, &xm_py_reader_spec);
    state->gate = add_type(module, &xm_py_gate_spec);
    if (state->lane_state == NULL || state->rows == NULL || state->windows == NULL ||
        state->ring == NULL || state->lane == NULL || state->reader == NULL || state->gate == NULL)
        return -1;
    return add_constants(module);
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
    struct xm_py_state *state = PyModule_GetState(module);

    Py_VISIT(state->error);
    Py_VISIT(state->lane_state);
    Py_VISIT(state->rows);
    Py_VISIT(state->windows);
    Py_VISIT(state->ring);
    Py_VISIT(state->lane);
    Py_VISIT(state->reader);
    Py_VISIT(state->gate);
    return 0;
}

static int clear(PyObject *module)
{
    struct xm_py_state *state = PyModule_GetState(module);

    Py_CLEAR(state->error);
    Py_CLEAR(state->lane_state);
    Py_CLEAR(state->rows);
    Py_CLEAR(state->windows);
    Py_CLEAR(state->ring);
    Py_CLEAR(state->lane);
    Py_CLEAR(state->reader);
    Py_CLEAR(state->gate);
    return 0;
}

static void release(void *module)
{
    clear(module);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)add_all},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "xinmai_native._core",
    .m_doc = "Lanes, ring, rollup and column packing. Types: _core.pyi.",
    .m_size = sizeof(struct xm_py_state),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
    .m_free = release,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
