/* callable_backend.h - a model over a Python callable, as an object that the collector knows. */
#ifndef INTGRAD_CALLABLE_BACKEND_H
#define INTGRAD_CALLABLE_BACKEND_H

#include "handle.h"

/* The type of these models: a new reference, or NULL with an exception set. */
PyTypeObject *ig_callable_type(PyObject *module);

/* A new model that calls `function(batch, targets)`, or with takes_output
 * `function(batch, targets, output)`; holds references of its own to both objects. NULL with an
 * exception set on failure. */
PyObject *ig_callable_new(PyTypeObject *type, PyObject *function, int takes_output,
                          PyObject *model_error);

/* What the engine needs of a model of that type; lives as long as the model. */
const ig_handle *ig_callable_handle(PyObject *model);

#endif
