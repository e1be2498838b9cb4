/* arrays.h - NumPy for the two C files of the binding: one import of its API, in core_module.c,
 * which defines IG_IMPORT_NUMPY; and what both need of arrays. */
#ifndef INTGRAD_ARRAYS_H
#define INTGRAD_ARRAYS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define NPY_NO_DEPRECATED_API NPY_1_22_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL intgrad_numpy
#ifndef IG_IMPORT_NUMPY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

/* A new capsule of a model that calls `function(batch, targets)`, or with takes_output
 * `function(batch, targets, output)`; borrows both objects. NULL with an exception set on failure.
 */
PyObject *ig_callable_handle(PyObject *function, int takes_output, PyObject *model_error);

#endif
