/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

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

/* Probes under construction. */
struct builder {
    struct xm_probe_set *probes;
    uint8_t *taken; /* per column: a field fills it */
    uint32_t columns;
};

static struct xm_lane *lane_of(PyObject *self)
{
    return ((struct xm_py_lane *)self)->lane;
}

static char *copy_bytes(PyObject *object, size_t *bytes)
{
    char *from;
    char *copy;

    /* Refuses embedded zero bytes. */
    if (PyBytes_AsStringAndSize(object, &from, NULL) != 0)
        return NULL;
    *bytes = strlen(from);
    copy = strdup(from);
    if (copy == NULL)
        PyErr_NoMemory();
    return copy;
}

/* A sentinel of an unsigned counter may be written as such: cells hold it modulo 2^64. */
static int parse_sentinel(PyObject *item, int64_t *value)
{
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(item, &overflow);

    if (overflow > 0)
        number = (long long)PyLong_AsUnsignedLongLong(item);
    else if (overflow < 0)
        PyErr_SetString(PyExc_OverflowError, "a sentinel is below -2**63");
    *value = number;
    return PyErr_Occurred() ? -1 : 0;
}

static int parse_sentinels(PyObject *sequence, struct xm_parse_field *field)
{
    PyObject *items = PySequence_Tuple(sequence);
    Py_ssize_t n;
    int rc = -1;

    if (items == NULL)
        return -1;
    n = PyTuple_Size(items);
    field->sentinels = calloc((size_t)n + 1, sizeof(*field->sentinels));
    if (field->sentinels == NULL) {
        PyErr_NoMemory();
        goto out;
    }
    field->n_sentinels = (size_t)n;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (parse_sentinel(PyTuple_GetItem(items, i), &field->sentinels[i]) != 0)
            goto out;
    }
    rc = 0;
out:
    Py_DECREF(items);
    return rc;
}

static int parse_key(PyObject *key, struct xm_parse_field *field)
{
    size_t bytes;

    if (key == Py_None)
        return 0;
    field->key = copy_bytes(key, &bytes);
    if (field->key == NULL)
        return -1;
    field->key_bytes = (uint32_t)bytes;
    if (bytes == 0 || bytes > XM_PROBE_TEXT_BYTES || strpbrk(field->key, " \t\n\v\f\r") != NULL) {
        PyErr_Format(PyExc_ValueError, "key %R is not one word", key);
        return -1;
    }
    return 0;
}

static int check_field(struct builder *builder, const struct xm_parse_field *field,
                       long long column, long long index, long long decimals)
{
    const char *problem = NULL;

    if (column < 0 || column >= builder->columns)
        problem = "is not in the ring's lane";
    else if (builder->taken[column])
        problem = "has two fields";
    else if (index < 0 || index > XM_PROBE_TEXT_BYTES)
        problem = "has an index out of range";
    else if (decimals < 0 || decimals > XM_PARSE_MAX_DECIMALS)
        problem = "has decimals that are not 0 to 18";
    else if (field->low > field->high)
        problem = "has an empty range";
    if (problem != NULL) {
        PyErr_Format(PyExc_ValueError, "column %lld %s", column, problem);
        return -1;
    }
    builder->taken[column] = 1;
    return 0;
}

static int parse_field(PyObject *item, struct builder *builder, struct xm_parse_field *field)
{
    long long column, index, decimals, low, high;
    PyObject *key, *sentinels;

    if (!PyTuple_Check(item)) {
        PyErr_Format(PyExc_TypeError, "a field is a tuple of seven, not %R", item);
        return -1;
    }
    if (!PyArg_ParseTuple(item, "LOLLOLL:field", &column, &key, &index, &decimals, &sentinels, &low,
                          &high))
        return -1;
    field->low = low;
    field->high = high;
    if (check_field(builder, field, column, index, decimals) != 0)
        return -1;
    field->column = (uint32_t)column;
    field->index = (uint32_t)index;
    field->decimals = (uint32_t)decimals;
    if (parse_key(key, field) != 0)
        return -1;
    return parse_sentinels(sentinels, field);
}

static int continues(const struct xm_parse_field *field, const struct xm_parse_field *before)
{
    return field->key_bytes == before->key_bytes && field->index > before->index &&
           (field->key_bytes == 0 || memcmp(field->key, before->key, field->key_bytes) == 0);
}

static int parse_fields(PyObject *sequence, struct builder *builder, struct xm_probe *probe)
{
    PyObject *items = PySequence_Tuple(sequence);
    Py_ssize_t n;
    int rc = -1;

    if (items == NULL)
        return -1;
    n = PyTuple_Size(items);
    probe->fields = calloc((size_t)n + 1, sizeof(*probe->fields));
    if (probe->fields == NULL) {
        PyErr_NoMemory();
        goto out;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        struct xm_parse_field *field = &probe->fields[i];

        probe->n_fields++;
        if (parse_field(PyTuple_GetItem(items, i), builder, field) != 0)
            goto out;
        field->continues = i > 0 && continues(field, field - 1);
    }
    rc = 0;
out:
    Py_DECREF(items);
    return rc;
}

static int parse_probe(PyObject *item, struct builder *builder, struct xm_probe *probe)
{
    PyObject *path, *fields;
    size_t bytes;

    if (!PyTuple_Check(item)) {
        PyErr_Format(PyExc_TypeError, "a probe is a tuple (path, fields), not %R", item);
        return -1;
    }
    if (!PyArg_ParseTuple(item, "OO:probe", &path, &fields))
        return -1;
    probe->path = copy_bytes(path, &bytes);
    if (probe->path == NULL)
        return -1;
    return parse_fields(fields, builder, probe);
}

static int parse_probes(PyObject *sequence, struct builder *builder)
{
    PyObject *items = PySequence_Tuple(sequence);
    Py_ssize_t n;
    int rc = -1;

    if (items == NULL)
        return -1;
    n = PyTuple_Size(items);
    builder->probes = xm_probe_create((size_t)n);
    builder->taken = calloc(builder->columns, 1);
    if (builder->probes == NULL || builder->taken == NULL) {
        PyErr_NoMemory();
        goto out;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (parse_probe(PyTuple_GetItem(items, i), builder, &builder->probes->probe[i]) != 0)
            goto out;
    }
    rc = 0;
out:
    Py_DECREF(items);
    return rc;
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
                  long long period_ns, PyObject *probes, int priority)
{
    struct builder builder = {0};
    int rc;

    if (check_lane(ring, index) != 0 || check_period(period_ns) != 0)
        return -1;
    if (priority < 0 || priority > 99) {
        PyErr_Format(PyExc_ValueError, "fifo_priority %d is not 0 to 99", priority);
        return -1;
    }
    builder.columns = ring->lane[index].geometry.columns;
    rc = parse_probes(probes, &builder);
    /* Again: iterating over the probes ran foreign code. */
    if (rc == 0)
        rc = check_lane(ring, index);
    if (rc == 0) {
        rc =
            xm_lane_create(ring, (uint32_t)index, period_ns, builder.probes, priority, &self->lane);
        if (rc != 0) {
            errno = -rc;
            PyErr_SetFromErrno(PyExc_OSError);
        }
    }
    if (rc != 0 && builder.probes != NULL)
        xm_probe_destroy(builder.probes);
    free(builder.taken);
    return rc == 0 ? 0 : -1;
}

static PyObject *new (PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"ring", "lane", "period_ns", "probes", "fifo_priority", NULL};
    struct xm_py_state *state = PyType_GetModuleState(type);
    long long index, period_ns;
    PyObject *ring, *probes, *self;
    struct xm_ring *held;
    int priority = 0;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!LLO|i:Lane", names, state->ring, &ring,
                                     &index, &period_ns, &probes, &priority))
        return NULL;
    self = xm_py_new(type);
    if (self == NULL)
        return NULL;
    /* Held meanwhile: iterating over the arguments runs code that may close the ring. */
    held = ((struct xm_py_ring *)ring)->ring;
    if (held != NULL)
        xm_ring_hold(held);
    if (create((struct xm_py_lane *)self, held, index, period_ns, probes, priority) != 0)
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

static PyType_Slot slots[] = {
    {Py_tp_doc, "One C thread that reads file probes at absolute deadlines into a ring lane."},
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
