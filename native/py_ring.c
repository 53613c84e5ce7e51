/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct xm_py_ring *cast(PyObject *self)
{
    return (struct xm_py_ring *)self;
}

static int parse_spec(PyObject *item, struct xm_ring_spec *spec)
{
    long long kind, columns, payload_bytes, slots, period_ns;

    if (!PyTuple_Check(item)) {
        PyErr_Format(PyExc_TypeError, "a lane is a tuple of five integers, not %R", item);
        return -1;
    }
    if (!PyArg_ParseTuple(item, "LLLLL:lane", &kind, &columns, &payload_bytes, &slots, &period_ns))
        return -1;
    if (kind < 0 || kind > UINT32_MAX || columns < 0 || columns > UINT32_MAX || payload_bytes < 0 ||
        payload_bytes > UINT32_MAX || slots < 1 || period_ns < 0) {
        PyErr_Format(PyExc_ValueError, "lane %R is out of range", item);
        return -1;
    }
    spec->kind = (uint32_t)kind;
    spec->columns = (uint32_t)columns;
    spec->payload_bytes = (uint32_t)payload_bytes;
    spec->slots = (uint64_t)slots;
    spec->period_ns = period_ns;
    return 0;
}

/* Parse a tuple of lanes; NULL with an exception set. */
static struct xm_ring_spec *parse_specs(PyObject *lanes, Py_ssize_t n)
{
    struct xm_ring_spec *specs = calloc((size_t)n + 1, sizeof(*specs));

    if (specs == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (parse_spec(PyTuple_GetItem(lanes, i), &specs[i]) != 0) {
            free(specs);
            return NULL;
        }
    }
    return specs;
}

static int create(struct xm_py_ring *self, PyObject *lanes)
{
    Py_ssize_t n = PyTuple_Size(lanes);
    struct xm_ring_spec *specs;
    int rc;

    if (n < 1 || n > XM_RING_MAX_LANES) {
        PyErr_Format(PyExc_ValueError, "a ring has 1 to %u lanes, not %zd", XM_RING_MAX_LANES, n);
        return -1;
    }
    specs = parse_specs(lanes, n);
    if (specs == NULL)
        return -1;
    rc = xm_ring_create(specs, (uint32_t)n, &self->ring, &self->fd);
    free(specs);
    if (rc == -EINVAL)
        PyErr_SetString(PyExc_ValueError,
                        "a lane's kind, columns, payload_bytes or slots is out of range, or the "
                        "ring would be larger than 1 GiB");
    else if (rc != 0) {
        errno = -rc;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return rc == 0 ? 0 : -1;
}

static PyObject *new (PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"lanes", NULL};
    PyObject *sequence;
    PyObject *lanes;
    PyObject *self;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Ring", names, &sequence))
        return NULL;
    lanes = PySequence_Tuple(sequence);
    if (lanes == NULL)
        return NULL;
    self = xm_py_new(type);
    if (self != NULL) {
        cast(self)->fd = -1;
        if (create(cast(self), lanes) != 0)
            Py_CLEAR(self);
    }
    Py_DECREF(lanes);
    return self;
}

static void release(struct xm_py_ring *self)
{
    if (self->ring == NULL)
        return;
    xm_ring_drop(self->ring);
    close(self->fd);
    self->ring = NULL;
    self->fd = -1;
}

static void dealloc(PyObject *self)
{
    release(cast(self));
    xm_py_free(self);
}

PyObject *xm_py_ring_close(PyObject *self, PyObject *unused)
{
    (void)unused;
    release(cast(self));
    Py_RETURN_NONE;
}

static struct xm_ring *open_ring(PyObject *self)
{
    if (cast(self)->ring == NULL)
        PyErr_SetString(PyExc_ValueError, "the ring is closed");
    return cast(self)->ring;
}

static PyObject *get_fd(PyObject *self, void *unused)
{
    (void)unused;
    return open_ring(self) != NULL ? PyLong_FromLong(cast(self)->fd) : NULL;
}

static PyObject *get_id(PyObject *self, void *unused)
{
    struct xm_ring *ring = open_ring(self);

    (void)unused;
    if (ring == NULL)
        return NULL;
    return PyBytes_FromStringAndSize((const char *)ring->id, sizeof(ring->id));
}

struct xm_ring_lane *xm_py_ring_lane(PyObject *self, long long index, uint32_t kind)
{
    struct xm_ring *ring = open_ring(self);
    const char *problem = NULL;

    if (ring == NULL)
        return NULL;
    if (index < 0 || index >= ring->lanes)
        problem = "is not in the ring";
    else if (kind != 0 && ring->lane[index].geometry.kind != kind)
        problem = "is of the other kind";
    if (problem != NULL) {
        PyErr_Format(PyExc_ValueError, "lane %lld %s", index, problem);
        return NULL;
    }
    return &ring->lane[index];
}

/* One that Python may write to. */
static struct xm_ring_lane *own_lane(PyObject *self, long long index, uint32_t kind)
{
    struct xm_ring_lane *lane = xm_py_ring_lane(self, index, kind);

    if (lane == NULL || !lane->claimed)
        return lane;
    PyErr_Format(PyExc_ValueError, "lane %lld belongs to a Lane", index);
    return NULL;
}

/* Copy a row of cells to the stage; a reason stands without a value, but for a vendor's code. */
static int stage_cells(struct xm_ring_lane *lane, const Py_buffer *values, const Py_buffer *reasons)
{
    uint32_t columns = lane->geometry.columns;
    const uint8_t *from = reasons->buf;
    int64_t *cells = xm_ring_values(lane);

    if ((size_t)values->len != columns * sizeof(int64_t) || (size_t)reasons->len != columns) {
        PyErr_Format(PyExc_ValueError,
                     "%zd bytes of values and %zd of reasons are no row of %lu columns",
                     values->len, reasons->len, (unsigned long)columns);
        return -1;
    }
    for (uint32_t c = 0; c < columns; c++) {
        if (from[c] >= XM_REASONS) {
            PyErr_Format(PyExc_ValueError, "reason %d of column %lu is not 0 to 11", from[c],
                         (unsigned long)c);
            return -1;
        }
    }
    memcpy(cells, values->buf, (size_t)values->len);
    memcpy(xm_ring_reasons(lane), from, columns);
    for (uint32_t c = 0; c < columns; c++) {
        if (from[c] != XM_REASON_VALUE && from[c] != XM_REASON_VENDOR_ERROR)
            cells[c] = 0;
    }
    return 0;
}

PyObject *xm_py_ring_commit(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"lane",   "scheduled_ns", "begin_ns", "duration_ns",
                            "missed", "values",       "reasons",  NULL};
    long long index, scheduled_ns, begin_ns, duration_ns, missed;
    Py_buffer values, reasons;
    struct xm_ring_lane *lane;
    PyObject *result = NULL;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "LLLLLy*y*:commit", names, &index, &scheduled_ns,
                                     &begin_ns, &duration_ns, &missed, &values, &reasons))
        return NULL;
    lane = own_lane(self, index, XM_RING_COLUMNS);
    if (lane == NULL)
        goto out;
    if (duration_ns < 0 || missed < 0) {
        PyErr_SetString(PyExc_ValueError, "duration_ns and missed must not be negative");
        goto out;
    }
    if (stage_cells(lane, &values, &reasons) == 0) {
        struct xm_ring_row row = {scheduled_ns, begin_ns, (uint64_t)duration_ns, (uint64_t)missed,
                                  xm_ring_columns_bytes(lane->geometry.columns)};

        result = PyLong_FromUnsignedLongLong(xm_ring_commit(lane, &row));
    }
out:
    PyBuffer_Release(&values);
    PyBuffer_Release(&reasons);
    return result;
}

PyObject *xm_py_ring_append(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"lane", "time_ns", "payload", NULL};
    long long index, time_ns;
    struct xm_ring_lane *lane;
    PyObject *result = NULL;
    Py_buffer payload;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "LLy*:append", names, &index, &time_ns,
                                     &payload))
        return NULL;
    lane = own_lane(self, index, XM_RING_RECORDS);
    if (lane == NULL)
        goto out;
    if (payload.len > (Py_ssize_t)lane->geometry.payload_bytes) {
        PyErr_Format(PyExc_ValueError, "a record of %zd bytes is longer than the lane's %lu",
                     payload.len, (unsigned long)lane->geometry.payload_bytes);
        goto out;
    }
    memcpy(xm_ring_payload(lane), payload.buf, (size_t)payload.len);
    {
        struct xm_ring_row row = {time_ns, time_ns, 0, 0, (uint32_t)payload.len};

        result = PyLong_FromUnsignedLongLong(xm_ring_commit(lane, &row));
    }
out:
    PyBuffer_Release(&payload);
    return result;
}

PyObject *xm_py_ring_enter(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"lane", "call", "since_ns", NULL};
    long long index, call, since_ns;
    struct xm_ring_lane *lane;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "LLL:enter", names, &index, &call, &since_ns))
        return NULL;
    lane = own_lane(self, index, 0);
    if (lane == NULL)
        return NULL;
    if (call < -1 || call > UINT32_MAX)
        return PyErr_Format(PyExc_ValueError, "call %lld is neither an index nor -1", call);
    xm_ring_enter_since(lane, (uint64_t)(call + 1), call < 0 ? 0 : since_ns);
    Py_RETURN_NONE;
}

static PyGetSetDef properties[] = {
    {"fd", get_fd, NULL, "The sealed descriptor.", NULL},
    {"id", get_id, NULL, "8 random bytes that name this ring.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Producer's side of one sealed memfd."},
    {Py_tp_new, (void *)new},
    {Py_tp_dealloc, (void *)dealloc},
    {Py_tp_methods, xm_py_ring_methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

PyType_Spec xm_py_ring_spec = {
    .name = "xinmai_native._core.Ring",
    .basicsize = sizeof(struct xm_py_ring),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};
