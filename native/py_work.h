/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XM_PY_WORK_H
#define XM_PY_WORK_H

#include "py.h"

#include "work.h"

/* A lane's work under construction. */
struct xm_py_builder {
    struct xm_work *work;
    uint8_t *taken; /* per column: something fills it */
    uint32_t columns;
    size_t scratch_bytes;
};

/* Both leave a Python exception and return -1 where an argument is wrong. */

/* Fill work, which is the caller's also after a failure, as is taken. */
int xm_py_work_parse(PyObject *probes, struct xm_py_builder *builder);

int xm_py_file_parse(PyObject *item, struct xm_py_builder *builder, struct xm_probe *probe);

/* Probe `at` among the calls, `index` among all, which messages name. */
int xm_py_call_parse(PyObject *item, struct xm_py_builder *builder, size_t at, Py_ssize_t index);

#endif
