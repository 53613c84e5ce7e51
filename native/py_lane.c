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

/* What a Lane is made of. */
struct wanted {
    PyObject *ring;
    long long index;
    long long period_ns;
    PyObject *probes;
    int priority;
    PyObject *gate;
    PyObject *groups; /* NULL: none given */
};

static int check_wanted(const struct wanted *wanted, const struct xm_py_state *state,
                        const struct xm_ring *ring)
{
    if (check_lane(ring, wanted->index) != 0 || check_period(wanted->period_ns) != 0)
        return -1;
    if (wanted->priority < 0 || wanted->priority > 99) {
        PyErr_Format(PyExc_ValueError, "fifo_priority %d is not 0 to 99", wanted->priority);
        return -1;
    }
    if (wanted->gate != Py_None && !PyObject_TypeCheck(wanted->gate, state->gate)) {
        PyErr_Format(PyExc_TypeError, "gate is a Gate or None, not %R", wanted->gate);
        return -1;
    }
    return 0;
}

static int create(struct xm_py_lane *self, struct xm_ring *ring, const struct wanted *wanted)
{
    struct xm_py_builder builder = {.columns = ring->lane[wanted->index].geometry.columns};
    int rc = xm_py_work_parse(wanted->probes, wanted->groups, &builder);

    /* Again: iterating over the probes ran foreign code. */
    if (rc == 0)
        rc = check_lane(ring, wanted->index);
    if (rc == 0 && wanted->gate != Py_None)
        xm_work_set_gate(builder.work, ((struct xm_py_gate *)wanted->gate)->gate);
    if (rc == 0) {
        rc = xm_lane_create(ring, (uint32_t)wanted->index, wanted->period_ns, builder.work,
                            wanted->priority, &self->lane);
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
    static char *names[] = {"ring",          "lane", "period_ns", "probes",
                            "fifo_priority", "gate", "groups",    NULL};
    struct xm_py_state *state = PyType_GetModuleState(type);
    struct wanted wanted = {.gate = Py_None};
    struct xm_ring *held;
    PyObject *self;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!LLO|iOO:Lane", names, state->ring,
                                     &wanted.ring, &wanted.index, &wanted.period_ns, &wanted.probes,
                                     &wanted.priority, &wanted.gate, &wanted.groups))
        return NULL;
    held = ((struct xm_py_ring *)wanted.ring)->ring;
    if (check_wanted(&wanted, state, held) != 0)
        return NULL;
    self = xm_py_new(type);
    if (self == NULL)
        return NULL;
    /* Held meanwhile: iterating over the arguments runs code that may close the ring. */
    xm_ring_hold(held);
    if (create((struct xm_py_lane *)self, held, &wanted) != 0)
        Py_CLEAR(self);
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

static PyObject *histogram_bytes(const struct xm_histogram *histogram)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, sizeof(*histogram));

    if (bytes != NULL) {
        uint64_t *counts = (uint64_t *)(void *)PyBytes_AsString(bytes);

        for (uint32_t i = 0; i < XM_HISTOGRAM_BUCKETS; i++)
            counts[i] = xm_histogram_read(histogram, i);
    }
    return bytes;
}

PyObject *xm_py_lane_histograms(PyObject *self, PyObject *unused)
{
    const struct xm_work *work = xm_lane_work(lane_of(self));
    PyObject *groups = PyList_New((Py_ssize_t)work->n_groups);

    (void)unused;
    for (size_t i = 0; groups != NULL && i < work->n_groups; i++) {
        PyObject *bytes = histogram_bytes(&work->groups[i]);

        if (bytes == NULL || PyList_SetItem(groups, (Py_ssize_t)i, bytes) != 0)
            Py_CLEAR(groups);
    }
    if (groups == NULL)
        return NULL;
    return Py_BuildValue("NNN", histogram_bytes(work->lateness), histogram_bytes(work->duration),
                         groups);
}

PyObject *xm_py_histogram_bounds(PyObject *module, PyObject *unused)
{
    uint64_t bounds[XM_HISTOGRAM_BUCKETS];

    (void)module;
    (void)unused;
    for (uint32_t i = 0; i < XM_HISTOGRAM_BUCKETS; i++)
        bounds[i] = xm_histogram_bound(i);
    return PyBytes_FromStringAndSize((const char *)bounds, sizeof(bounds));
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
