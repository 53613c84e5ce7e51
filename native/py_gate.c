/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "clock.h"

#include <errno.h>

static PyObject *new (PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    struct xm_py_gate *self;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":Gate", names))
        return NULL;
    self = (struct xm_py_gate *)xm_py_new(type);
    if (self == NULL)
        return NULL;
    self->gate = xm_gate_create();
    if (self->gate == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void dealloc(PyObject *self)
{
    struct xm_gate *gate = ((struct xm_py_gate *)self)->gate;

    if (gate != NULL)
        xm_gate_drop(gate);
    xm_py_free(self);
}

static int wait(struct xm_gate *gate, int64_t timeout_ns)
{
    int64_t now = xm_clock_mono();
    int64_t until = timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
    int rc;

    Py_BEGIN_ALLOW_THREADS rc = xm_gate_enter(gate, until, NULL);
    Py_END_ALLOW_THREADS return rc;
}

PyObject *xm_py_gate_enter(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"timeout_ns", NULL};
    struct xm_gate *gate = ((struct xm_py_gate *)self)->gate;
    long long timeout_ns;
    int rc;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "L:enter", names, &timeout_ns))
        return NULL;
    rc = xm_gate_try(gate);
    if (rc == -EBUSY)
        rc = wait(gate, timeout_ns);
    if (rc == -EDEADLK)
        return PyErr_Format(PyExc_RuntimeError, "this thread is inside the gate already");
    return PyBool_FromLong(rc == 0);
}

PyObject *xm_py_gate_leave(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (xm_gate_leave(((struct xm_py_gate *)self)->gate) != 0)
        return PyErr_Format(PyExc_RuntimeError,
                            "this thread is not inside the gate: leave in the thread that entered");
    Py_RETURN_NONE;
}

static PyType_Slot slots[] = {
    {Py_tp_doc, "One at a time for whatever calls a library that is not thread-safe."},
    {Py_tp_new, (void *)new},
    {Py_tp_dealloc, (void *)dealloc},
    {Py_tp_methods, xm_py_gate_methods},
    {0, NULL},
};

PyType_Spec xm_py_gate_spec = {
    .name = "xinmai_native._core.Gate",
    .basicsize = sizeof(struct xm_py_gate),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};
