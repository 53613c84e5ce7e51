/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"
#include "py_work.h"

#include "clock.h"
#include "lane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How long the end of an object waits for its thread; a stuck one keeps its memory. */
#define DEALLOC_WAIT_NS (XM_SECOND_NS / 2)

struct xm_py_lane {
    PyObject ob_base;
    struct xm_lane *lane;
};

static struct xm_lane *lane_of(PyObject *self)
{
    return ((struct xm_py_lane *)self)->lane;
}

static int check_period(long long period_ns)
{
    if (period_ns >= XM_LANE_MIN_PERIOD_NS && period_ns <= XM_LANE_MAX_PERIOD_NS)
        return 0;
    PyErr_Format(PyExc_ValueError, "period_ns %lld is not 10 us to a day", period_ns);
    return -1;
}

static int check_lane(const struct xm_ring *ring, long long index)
{
    const char *problem = NULL;

    if (ring == NULL) {
        PyErr_SetString(PyExc_ValueError, "the ring is closed");
        return -1;
    }
    if (index < 0 || index >= ring->lanes)
        problem = "is not in the ring";
    else if (ring->lane[index].geometry.kind != XM_RING_COLUMNS)
        problem = "is no lane of columns";
    else if (ring->lane[index].claimed)
        problem = "belongs to another Lane";
    if (problem == NULL)
        return 0;
    PyErr_Format(PyExc_ValueError, "lane %lld %s", index, problem);
    return -1;
}

static int create(struct xm_py_lane *self, struct xm_ring *ring, long long index,
                  long long period_ns, PyObject *probes, PyObject *gate, int priority)
{
    struct xm_py_builder builder = {0};
    int rc;

    if (check_lane(ring, index) != 0 || check_period(period_ns) != 0)
        return -1;
    if (priority < 0 || priority > 99) {
        PyErr_Format(PyExc_ValueError, "fifo_priority %d is not 0 to 99", priority);
        return -1;
    }
    builder.columns = ring->lane[index].geometry.columns;
    rc = xm_py_work_parse(probes, &builder);
    /* Again: iterating over the probes ran foreign code. */
    if (rc == 0)
        rc = check_lane(ring, index);
    if (rc == 0 && gate != Py_None)
        xm_work_set_gate(builder.work, ((struct xm_py_gate *)gate)->gate);
    if (rc == 0) {
        rc = xm_lane_create(ring, (uint32_t)index, period_ns, builder.work, priority, &self->lane);
        if (rc != 0) {
            errno = -rc;
            PyErr_SetFromErrno(PyExc_OSError);
        }
    }
    if (rc != 0 && builder.work != NULL)
        xm_work_destroy(builder.work);
    free(builder.taken);
    return rc == 0 ? 0 : -1;
}

static PyObject *new (PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"ring", "lane", "period_ns", "probes", "fifo_priority", "gate", NULL};
    struct xm_py_state *state = PyType_GetModuleState(type);
    long long index, period_ns;
    PyObject *ring, *probes, *self;
    PyObject *gate = Py_None;
    struct xm_ring *held;
    int priority = 0;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!LLO|iO:Lane", names, state->ring, &ring,
                                     &index, &period_ns, &probes, &priority, &gate))
        return NULL;
    if (gate != Py_None && !PyObject_TypeCheck(gate, state->gate))
        return PyErr_Format(PyExc_TypeError, "gate is a Gate or None, not %R", gate);
    self = xm_py_new(type);
    if (self == NULL)
        return NULL;
    /* Held meanwhile: iterating over the arguments runs code that may close the ring. */
    held = ((struct xm_py_ring *)ring)->ring;
    if (held != NULL)
        xm_ring_hold(held);
    if (create((struct xm_py_lane *)self, held, index, period_ns, probes, gate, priority) != 0)
        Py_CLEAR(self);
    if (held != NULL)
        xm_ring_drop(held);
    return self;
}

/* Ask, wait without the GIL, join; 1 when the thread is gone. */
static int stop(struct xm_lane *lane, int64_t timeout_ns)
{
    int rc;

    if (!xm_lane_is_running(lane))
        return 1;
    xm_lane_request_stop(lane);
    Py_BEGIN_ALLOW_THREADS rc = xm_lane_wait(lane, timeout_ns);
    Py_END_ALLOW_THREADS if (rc != 0) return 0;
    xm_lane_join(lane);
    return 1;
}

static void dealloc(PyObject *self)
{
    struct xm_lane *lane = lane_of(self);

    if (lane != NULL && stop(lane, DEALLOC_WAIT_NS))
        xm_lane_destroy(lane);
    xm_py_free(self);
}

PyObject *xm_py_lane_start(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"first_ns", NULL};
    long long first_ns = 0;
    int rc;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|L:start", names, &first_ns))
        return NULL;
    if (first_ns < 0 || first_ns > XM_LANE_MAX_ORIGIN_NS)
        return PyErr_Format(PyExc_ValueError, "first_ns %lld is no time to begin", first_ns);
    rc = xm_lane_start(lane_of(self), first_ns);
    if (rc == -EALREADY)
        return PyErr_Format(PyExc_RuntimeError, "the lane runs already");
    if (rc != 0) {
        errno = -rc;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

PyObject *xm_py_lane_stop(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"timeout_ns", NULL};
    long long timeout_ns;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "L:stop", names, &timeout_ns))
        return NULL;
    return PyBool_FromLong(stop(lane_of(self), timeout_ns));
}

PyObject *xm_py_lane_set_period(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"period_ns", NULL};
    long long period_ns;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "L:set_period", names, &period_ns))
        return NULL;
    if (check_period(period_ns) != 0)
        return NULL;
    xm_lane_set_period(lane_of(self), period_ns);
    Py_RETURN_NONE;
}

PyObject *xm_py_lane_cpu_ns(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromLongLong(xm_lane_cpu_ns(lane_of(self)));
}

PyObject *xm_py_lane_trampled(PyObject *self, PyObject *unused)
{
    const struct xm_work *work = xm_lane_work(lane_of(self));
    PyObject *list = PyList_New(0);

    (void)unused;
    for (size_t i = 0; list != NULL && i < work->calls->n; i++) {
        PyObject *index;

        if (!xm_call_is_trampled(work->calls, i))
            continue;
        index = PyLong_FromUnsignedLongLong(work->call_index[i]);
        if (index == NULL || PyList_Append(list, index) != 0)
            Py_CLEAR(list);
        Py_XDECREF(index);
    }
    return list;
}

static PyType_Slot slots[] = {
    {Py_tp_doc, "One C thread that reads files and calls functions at absolute deadlines."},
    {Py_tp_new, (void *)new},
    {Py_tp_dealloc, (void *)dealloc},
    {Py_tp_methods, xm_py_lane_methods},
    {0, NULL},
};

PyType_Spec xm_py_lane_spec = {
    .name = "xinmai_native._core.Lane",
    .basicsize = sizeof(struct xm_py_lane),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};
