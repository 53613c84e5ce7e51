/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "rollup.h"
#include "rows.h"

#include <errno.h>
#include <string.h>

struct xm_py_reader {
    PyObject ob_base;
    struct xm_reader *reader;
    unsigned busy; /* calls that scan without the GIL */
    int is_closed;
};

static struct xm_py_reader *cast(PyObject *self)
{
    return (struct xm_py_reader *)self;
}

static PyObject *new (PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"fd", NULL};
    struct xm_py_state *state = PyType_GetModuleState(type);
    const char *why;
    PyObject *self;
    int fd;
    int rc;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i:RingReader", names, &fd))
        return NULL;
    self = xm_py_new(type);
    if (self == NULL)
        return NULL;
    rc = xm_reader_open(fd, &cast(self)->reader, &why);
    if (rc == 0)
        return self;
    Py_DECREF(self);
    if (rc == -EPROTO) {
        PyErr_SetString(state->error, why);
        return NULL;
    }
    errno = -rc;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static void release(struct xm_py_reader *self)
{
    if (self->reader != NULL && self->busy == 0) {
        xm_reader_close(self->reader);
        self->reader = NULL;
    }
}

static void dealloc(PyObject *self)
{
    release(cast(self));
    xm_py_free(self);
}

PyObject *xm_py_reader_close(PyObject *self, PyObject *unused)
{
    (void)unused;
    cast(self)->is_closed = 1;
    release(cast(self));
    Py_RETURN_NONE;
}

static const struct xm_reader *open_reader(PyObject *self)
{
    if (!cast(self)->is_closed)
        return cast(self)->reader;
    PyErr_SetString(PyExc_ValueError, "the reader is closed");
    return NULL;
}

static void enter(PyObject *self)
{
    cast(self)->busy++;
}

static void leave(PyObject *self)
{
    cast(self)->busy--;
    if (cast(self)->is_closed)
        release(cast(self));
}

/* A lane of a kind (0: any), or NULL with an exception set. */
static const struct xm_reader_lane *lane_at(PyObject *self, long long index, uint32_t kind)
{
    const struct xm_reader *reader = open_reader(self);

    if (reader == NULL)
        return NULL;
    if (index < 0 || index >= reader->lanes) {
        PyErr_Format(PyExc_ValueError, "lane %lld is not in the ring", index);
        return NULL;
    }
    if (kind != 0 && reader->lane[index].geometry.kind != kind) {
        PyErr_Format(PyExc_ValueError, "lane %lld is of the other kind", index);
        return NULL;
    }
    return &reader->lane[index];
}

static int check_range(long long position, long long limit)
{
    if (position >= 0 && limit >= 1)
        return 0;
    PyErr_SetString(PyExc_ValueError, "position must not be negative, limit must be at least 1");
    return -1;
}

static void raise(PyObject *self, int rc)
{
    if (rc == -ENOMEM)
        PyErr_NoMemory();
    else
        PyErr_SetString(xm_py_state_of(self)->error,
                        "the producer's position went backwards or made an absurd jump");
}

static PyObject *get_id(PyObject *self, void *unused)
{
    const struct xm_reader *reader = open_reader(self);

    (void)unused;
    if (reader == NULL)
        return NULL;
    return PyBytes_FromStringAndSize((const char *)reader->id, sizeof(reader->id));
}

static PyObject *get_pid(PyObject *self, void *unused)
{
    const struct xm_reader *reader = open_reader(self);

    (void)unused;
    return reader != NULL ? PyLong_FromUnsignedLong(reader->pid) : NULL;
}

static PyObject *get_lanes(PyObject *self, void *unused)
{
    const struct xm_reader *reader = open_reader(self);
    PyObject *result;

    (void)unused;
    if (reader == NULL)
        return NULL;
    result = PyTuple_New((Py_ssize_t)reader->lanes);
    for (uint32_t i = 0; result != NULL && i < reader->lanes; i++) {
        const struct xm_ring_geometry *geometry = &reader->lane[i].geometry;
        PyObject *item =
            Py_BuildValue("IIIK", geometry->kind, geometry->columns, geometry->payload_bytes,
                          (unsigned long long)geometry->slots);

        if (item == NULL || PyTuple_SetItem(result, (Py_ssize_t)i, item) != 0)
            Py_CLEAR(result);
    }
    return result;
}

/* Call a type with the members of a tuple that is given away. */
static PyObject *make(PyObject *type, PyObject *members)
{
    PyObject *result;

    if (members == NULL)
        return NULL;
    result = PyObject_CallObject(type, members);
    Py_DECREF(members);
    return result;
}

PyObject *xm_py_reader_read_state(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"lane", NULL};
    const struct xm_reader_lane *lane;
    struct xm_reader_state s;
    long long index;
    long long call;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "L:state", names, &index))
        return NULL;
    lane = lane_at(self, index, 0);
    if (lane == NULL)
        return NULL;
    xm_reader_state(lane, &s);
    /* No host has that many probes: a number beyond is as good as none. */
    call = s.call <= UINT32_MAX ? (long long)s.call - 1 : -1;
    return make(xm_py_state_of(self)->lane_state,
                Py_BuildValue("KKLLLLLKKK", (unsigned long long)s.committed,
                              (unsigned long long)s.missed, call, (long long)s.since_ns,
                              (long long)s.scheduled_ns, (long long)s.begin_ns,
                              (long long)s.period_ns, (unsigned long long)s.busy_ns,
                              (unsigned long long)s.late_ns, (unsigned long long)s.late_max_ns));
}

static PyObject *bytes(const void *data, size_t n, size_t size)
{
    if (n == 0)
        return PyBytes_FromStringAndSize("", 0);
    return PyBytes_FromStringAndSize(data, (Py_ssize_t)(n * size));
}

/* Row-major cells of 8 or 4 bytes to a column-major bytes object. */
static PyObject *turned(const void *cells, size_t n, size_t columns, size_t size)
{
    PyObject *result = bytes(NULL, n * columns, size);

    if (result == NULL || n == 0)
        return result;
    if (size == 8)
        xm_rows_transpose64(cells, PyBytes_AsString(result), n, columns);
    else
        xm_rows_transpose32(cells, PyBytes_AsString(result), n, columns);
    return result;
}

static PyObject *row_reasons(const struct xm_rows *rows)
{
    PyObject *list = PyList_New((Py_ssize_t)rows->n_reasons);

    for (size_t i = 0; list != NULL && i < rows->n_reasons; i++) {
        const struct xm_rows_reason *r = &rows->reasons[i];
        PyObject *item =
            Py_BuildValue("IIiL", r->column, r->row, (int)r->reason, (long long)r->code);

        if (item == NULL || PyList_SetItem(list, (Py_ssize_t)i, item) != 0)
            Py_CLEAR(list);
    }
    return list;
}

/* Without rows there is no array of counts. */
static PyObject *distinct(const struct xm_rows *rows)
{
    PyObject *result;

    if (rows->distinct != NULL)
        return bytes(rows->distinct, rows->columns, 4);
    result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)rows->columns * 4);
    if (result != NULL)
        memset(PyBytes_AsString(result), 0, (size_t)rows->columns * 4);
    return result;
}

static PyObject *build_rows(PyObject *self, const struct xm_rows *rows)
{
    return make(xm_py_state_of(self)->rows,
                Py_BuildValue("KKKnNNNNNNN", (unsigned long long)rows->next,
                              (unsigned long long)rows->first, (unsigned long long)rows->overrun,
                              (Py_ssize_t)rows->n, bytes(rows->scheduled_ns, rows->n, 8),
                              bytes(rows->begin_ns, rows->n, 8),
                              bytes(rows->duration_ns, rows->n, 4), bytes(rows->missed, rows->n, 4),
                              turned(rows->values, rows->n, rows->columns, 8), row_reasons(rows),
                              distinct(rows)));
}

PyObject *xm_py_reader_rows(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"lane", "position", "limit", NULL};
    const struct xm_reader_lane *lane;
    long long index, position, limit;
    PyObject *result = NULL;
    struct xm_rows rows;
    int rc;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "LLL:rows", names, &index, &position, &limit))
        return NULL;
    lane = lane_at(self, index, XM_RING_COLUMNS);
    if (lane == NULL || check_range(position, limit) != 0)
        return NULL;
    enter(self);
    Py_BEGIN_ALLOW_THREADS rc = xm_rows_read(lane, (uint64_t)position, (uint64_t)limit, &rows);
    Py_END_ALLOW_THREADS leave(self);
    if (rc == 0)
        result = build_rows(self, &rows);
    else
        raise(self, rc);
    xm_rows_free(&rows);
    return result;
}

static PyObject *window_reasons(const struct xm_rollup *rollup)
{
    PyObject *list = PyList_New((Py_ssize_t)rollup->n_reasons);

    for (size_t i = 0; list != NULL && i < rollup->n_reasons; i++) {
        const struct xm_rollup_reason *r = &rollup->reasons[i];
        PyObject *item = Py_BuildValue("IIiLI", r->column, r->window, (int)r->reason,
                                       (long long)r->code, r->readings);

        if (item == NULL || PyList_SetItem(list, (Py_ssize_t)i, item) != 0)
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *build_windows(PyObject *self, const struct xm_rollup *w)
{
    return make(
        xm_py_state_of(self)->windows,
        Py_BuildValue("KKnNNNNNNNNN", (unsigned long long)w->next, (unsigned long long)w->overrun,
                      (Py_ssize_t)w->n, bytes(w->start_ns, w->n, 8), bytes(w->ticks, w->n, 4),
                      bytes(w->missed, w->n, 4), turned(w->counts, w->n, w->columns, 4),
                      turned(w->last, w->n, w->columns, 8), turned(w->min, w->n, w->columns, 8),
                      turned(w->max, w->n, w->columns, 8), turned(w->sum, w->n, w->columns, 8),
                      window_reasons(w)));
}

static int check_kinds(const Py_buffer *kinds, uint32_t columns)
{
    const uint8_t *kind = kinds->buf;

    if ((size_t)kinds->len != columns) {
        PyErr_Format(PyExc_ValueError, "%zd kinds for %lu columns", kinds->len,
                     (unsigned long)columns);
        return -1;
    }
    for (uint32_t c = 0; c < columns; c++) {
        if (kind[c] >= XM_ROLLUP_KINDS) {
            PyErr_Format(PyExc_ValueError, "kind %d of column %lu is not 0 to 2", kind[c],
                         (unsigned long)c);
            return -1;
        }
    }
    return 0;
}

static PyObject *read_windows(PyObject *self, const struct xm_reader_lane *lane, uint64_t position,
                              const struct xm_rollup_options *options)
{
    struct xm_rollup rollup;
    PyObject *result = NULL;
    int rc;

    enter(self);
    Py_BEGIN_ALLOW_THREADS rc = xm_rollup_read(lane, position, options, &rollup);
    Py_END_ALLOW_THREADS leave(self);
    if (rc == 0)
        result = build_windows(self, &rollup);
    else
        raise(self, rc);
    xm_rollup_free(&rollup);
    return result;
}

PyObject *xm_py_reader_windows(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"lane",  "position", "width_ns", "close_before_ns",
                            "limit", "kinds",    NULL};
    long long index, position, width_ns, close_before_ns, limit;
    const struct xm_reader_lane *lane;
    PyObject *result = NULL;
    Py_buffer kinds;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "LLLLLy*:windows", names, &index, &position,
                                     &width_ns, &close_before_ns, &limit, &kinds))
        return NULL;
    lane = lane_at(self, index, XM_RING_COLUMNS);
    if (lane == NULL || check_range(position, limit) != 0)
        goto out;
    if (width_ns < 1) {
        PyErr_SetString(PyExc_ValueError, "width_ns must be at least 1");
        goto out;
    }
    if (check_kinds(&kinds, lane->geometry.columns) == 0) {
        struct xm_rollup_options options = {width_ns, close_before_ns, (uint64_t)limit, kinds.buf};

        result = read_windows(self, lane, (uint64_t)position, &options);
    }
out:
    PyBuffer_Release(&kinds);
    return result;
}

static PyObject *build_records(const struct xm_rows_records *records)
{
    PyObject *list = PyList_New((Py_ssize_t)records->n);

    for (size_t i = 0; list != NULL && i < records->n; i++) {
        const struct xm_rows_record *r = &records->record[i];
        PyObject *item = Py_BuildValue("Ly#", (long long)r->time_ns, (const char *)r->payload,
                                       (Py_ssize_t)r->bytes);

        if (item == NULL || PyList_SetItem(list, (Py_ssize_t)i, item) != 0)
            Py_CLEAR(list);
    }
    return Py_BuildValue("KKN", (unsigned long long)records->next,
                         (unsigned long long)records->overrun, list);
}

PyObject *xm_py_reader_records(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"lane", "position", "limit", NULL};
    const struct xm_reader_lane *lane;
    long long index, position, limit;
    struct xm_rows_records records;
    PyObject *result = NULL;
    int rc;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "LLL:records", names, &index, &position, &limit))
        return NULL;
    lane = lane_at(self, index, XM_RING_RECORDS);
    if (lane == NULL || check_range(position, limit) != 0)
        return NULL;
    enter(self);
    Py_BEGIN_ALLOW_THREADS rc =
        xm_rows_read_records(lane, (uint64_t)position, (uint64_t)limit, &records);
    Py_END_ALLOW_THREADS leave(self);
    if (rc == 0)
        result = build_records(&records);
    else
        raise(self, rc);
    xm_rows_free_records(&records);
    return result;
}

static PyGetSetDef properties[] = {
    {"id", get_id, NULL, "The ring's id.", NULL},
    {"pid", get_pid, NULL, "Producer's process id, as it wrote it.", NULL},
    {"lanes", get_lanes, NULL, "Per lane (kind, columns, payload_bytes, slots).", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Consumer's side: maps read-only, trusts nothing, copies before it parses."},
    {Py_tp_new, (void *)new},
    {Py_tp_dealloc, (void *)dealloc},
    {Py_tp_methods, xm_py_reader_methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

PyType_Spec xm_py_reader_spec = {
    .name = "xinmai_native._core.RingReader",
    .basicsize = sizeof(struct xm_py_reader),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};
