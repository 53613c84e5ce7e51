/* SPDX-License-Identifier: Apache-2.0 */
#include "py.h"

#include "column.h"

#include <stdlib.h>
#include <string.h>

#define MAX_VALUES (UINT64_C(1) << 24)
/* Smaller jobs are over before another thread could take the GIL. */
#define RELEASE_VALUES 4096

struct job {
    Py_buffer data;
    Py_buffer lengths;
    uint64_t columns;
    uint64_t values; /* of all columns */
};

static uint32_t length_of(const struct job *job, uint64_t column)
{
    uint32_t length;

    memcpy(&length, (const uint8_t *)job->lengths.buf + 4 * column, sizeof(length));
    return length;
}

static int begin(struct job *job)
{
    job->columns = (uint64_t)job->lengths.len / 4;
    job->values = 0;
    if (job->lengths.len % 4 != 0) {
        PyErr_SetString(PyExc_ValueError, "lengths are no array of uint32");
        return -1;
    }
    for (uint64_t c = 0; c < job->columns; c++)
        job->values += length_of(job, c);
    return 0;
}

static void end(struct job *job)
{
    PyBuffer_Release(&job->data);
    PyBuffer_Release(&job->lengths);
}

/*
 * Lengths are read again below, from memory that a thread may be changing: each is checked
 * against what is left, so that a change makes nonsense but no harm.
 */
static size_t pack_all(const struct job *job, uint8_t *out)
{
    const uint8_t *values = job->data.buf;
    uint64_t left = job->values;
    size_t used = 0;

    for (uint64_t c = 0; c < job->columns; c++) {
        uint32_t n = length_of(job, c);

        if (n > left)
            break;
        left -= n;
        used += xm_column_pack(values, n, out + used);
        values += 8 * (size_t)n;
    }
    return used;
}

static PyObject *pack_job(const struct job *job)
{
    uint8_t *out = malloc(job->columns + 8 * job->values + XM_COLUMN_SLACK);
    PyThreadState *thread = NULL;
    PyObject *result;
    size_t used;

    if (out == NULL)
        return PyErr_NoMemory();
    if (job->values >= RELEASE_VALUES)
        thread = PyEval_SaveThread();
    used = pack_all(job, out);
    if (thread != NULL)
        PyEval_RestoreThread(thread);
    result = PyBytes_FromStringAndSize((const char *)out, (Py_ssize_t)used);
    free(out);
    return result;
}

PyObject *xm_py_column_pack(PyObject *module, PyObject *args)
{
    struct job job;
    PyObject *result = NULL;

    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*:pack", &job.data, &job.lengths))
        return NULL;
    if (begin(&job) == 0) {
        if ((uint64_t)job.data.len == 8 * job.values)
            result = pack_job(&job);
        else
            PyErr_SetString(PyExc_ValueError, "the lengths do not add up to the number of values");
    }
    end(&job);
    return result;
}

static const char *unpack_all(const struct job *job, uint8_t *out)
{
    const uint8_t *data = job->data.buf;
    size_t bytes = (size_t)job->data.len;
    uint64_t left = job->values;

    for (uint64_t c = 0; c < job->columns; c++) {
        uint32_t n = length_of(job, c);
        size_t used;

        if (n > left || xm_column_unpack(data, bytes, n, out, &used) != 0)
            return "a column has an unknown codec, is damaged (a varint over 64 bits, say) or has "
                   "too few "
                   "bytes";
        left -= n;
        data += used;
        bytes -= used;
        out += 8 * (size_t)n;
    }
    if (left > 0)
        return "the lengths changed meanwhile";
    return bytes > 0 ? "bytes are left over behind the last column" : NULL;
}

static PyObject *unpack_job(const struct job *job)
{
    PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(8 * job->values));
    PyThreadState *thread = NULL;
    const char *problem;
    uint8_t *out;

    if (result == NULL)
        return NULL;
    out = (uint8_t *)PyBytes_AsString(result);
    if (job->values >= RELEASE_VALUES)
        thread = PyEval_SaveThread();
    problem = unpack_all(job, out);
    if (thread != NULL)
        PyEval_RestoreThread(thread);
    if (problem != NULL) {
        Py_CLEAR(result);
        PyErr_SetString(PyExc_ValueError, problem);
    }
    return result;
}

PyObject *xm_py_column_unpack(PyObject *module, PyObject *args)
{
    struct job job;
    PyObject *result = NULL;

    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*:unpack", &job.data, &job.lengths))
        return NULL;
    if (begin(&job) == 0) {
        /* A short text cannot make us allocate much. */
        if (job.values > MAX_VALUES)
            PyErr_SetString(PyExc_ValueError, "more than 2**24 values asked for");
        else if (job.values > XM_COLUMN_MOST_PER_BYTE * (uint64_t)job.data.len)
            PyErr_SetString(PyExc_ValueError, "fewer bytes than values asked for");
        else
            result = unpack_job(&job);
    }
    end(&job);
    return result;
}
