/* arrays.h - NumPy for the C files of the binding: one import of its API, in core_module.c, which
 * defines IG_IMPORT_NUMPY. */
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

#endif
