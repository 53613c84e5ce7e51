/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_PY_H
#define XM_PY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "gate.h"
#include "reader.h"
#include "ring.h"

struct xm_py_state {
    PyObject *error;      /* RingError */
    PyObject *lane_state; /* named tuples */
    PyObject *rows;
    PyObject *windows;
    PyTypeObject *ring;
    PyTypeObject *lane;
    PyTypeObject *reader;
    PyTypeObject *gate;
};

struct xm_py_ring {
    PyObject ob_base;
    struct xm_ring *ring; /* NULL once closed */
    int fd;
};

struct xm_py_gate {
    PyObject ob_base;
    struct xm_gate *gate;
};

extern PyType_Spec xm_py_ring_spec;
extern PyType_Spec xm_py_lane_spec;
extern PyType_Spec xm_py_reader_spec;
extern PyType_Spec xm_py_gate_spec;

/* Method tables stand in module.c. */
extern PyMethodDef xm_py_ring_methods[];
extern PyMethodDef xm_py_lane_methods[];
extern PyMethodDef xm_py_reader_methods[];
extern PyMethodDef xm_py_gate_methods[];

struct xm_py_state *xm_py_state_of(PyObject *object);

/* Allocate / free an instance of a heap type. */
PyObject *xm_py_new(PyTypeObject *type);
void xm_py_free(PyObject *object);

/* A lane of a kind (0: any), or NULL with an exception set. */
struct xm_ring_lane *xm_py_ring_lane(PyObject *self, long long index, uint32_t kind);

PyObject *xm_py_ring_commit(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *xm_py_ring_append(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *xm_py_ring_track(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *xm_py_ring_refresh_ns(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *xm_py_ring_resets(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *xm_py_ring_enter(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *xm_py_ring_close(PyObject *self, PyObject *unused);

PyObject *xm_py_lane_start(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *xm_py_lane_stop(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *xm_py_lane_set_period(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *xm_py_lane_cpu_ns(PyObject *self, PyObject *unused);
PyObject *xm_py_lane_trampled(PyObject *self, PyObject *unused);
PyObject *xm_py_lane_histograms(PyObject *self, PyObject *unused);
PyObject *xm_py_histogram_bounds(PyObject *module, PyObject *unused);

PyObject *xm_py_reader_read_state(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *xm_py_reader_rows(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *xm_py_reader_windows(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *xm_py_reader_records(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *xm_py_reader_close(PyObject *self, PyObject *unused);

PyObject *xm_py_gate_enter(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *xm_py_gate_leave(PyObject *self, PyObject *unused);

PyObject *xm_py_column_pack(PyObject *module, PyObject *args);
PyObject *xm_py_column_unpack(PyObject *module, PyObject *args);

PyObject *xm_py_reference_loop(PyObject *module, PyObject *args);
PyObject *xm_py_call_reference_loop(PyObject *module, PyObject *args);
PyObject *xm_py_call_targets(PyObject *module, PyObject *unused);

#endif
