/* arguments.h - from Python objects to what the engine takes.
 *
 * Everything that the engine takes for granted is checked here and by the caller: dtype, layout,
 * shapes that agree, finite values, sizes that do not overflow. Meanings (targets, baselines,
 * names) are the business of the Python package above. What fails returns NULL or 0 with an
 * exception set. visual.c has checks of its own, because its arrays mean something else.
 */
#ifndef INTGRAD_ARGUMENTS_H
#define INTGRAD_ARGUMENTS_H

#include "arrays.h"

#include "../engine/rule.h"
#include "handle.h"

/* A new reference to `object` as an aligned C array in native order, of exactly `ndim` axes. */
PyArrayObject *ig_to_array(PyObject *object, int type, int ndim);

/* The model in `object`, a capsule or a model over a callable; borrowed, lives as long as it. */
const ig_handle *ig_to_handle(PyObject *module, PyObject *object);

/* What the model says of itself and of pictures of a shape; 0 with an exception set on failure. */
int ig_describe(PyObject *module, const ig_handle *handle, ig_shape shape,
                ig_description *ret_description);

/* `result`, or NULL with an exception set, and the result dropped, where the work has failed. */
PyObject *ig_unless_failed(PyObject *result, ig_status status, const ig_error *error,
                           PyObject *module);

/* The numbers behind names; ValueError lists the names that there are. */
int ig_to_output(const char *name, ig_output *ret_output);
int ig_to_rule(const char *name, ig_rule *ret_rule);

int ig_check_positive(Py_ssize_t value, const char *name);

/* Float32 pictures (..., H, W, C) must not be empty, and every value finite. */
int ig_check_pictures(PyArrayObject *array, const char *name);

/* 1 if a * b * c doubles can be addressed; MemoryError otherwise. */
int ig_check_size(size_t a, size_t b, size_t c);

/* Height, width and channels: the last three axes. */
ig_shape ig_shape_of(PyArrayObject *pictures);

#endif
