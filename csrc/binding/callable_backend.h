/* callable_backend.h - a model over a Python callable, as an object that the collector knows. */
#ifndef INTGRAD_CALLABLE_BACKEND_H
#define INTGRAD_CALLABLE_BACKEND_H

#include "handle.h"

/* The type of these models: a new reference, or NULL with an exception set. */
PyTypeObject *ig_callable_type(PyObject *module);

/* How a callable is called: `function(batch, targets)`, targets (n,) and gradients (n, H, W, C). */
typedef struct {
    /* It is told the output, in a third argument; else Python has checked it. */
    int takes_output;
    /* Targets are (n, T), gradients (n, T, H, W, C), so that targets share a forward pass; T is 0
     * where only scores are wanted. */
    int takes_many_targets;
} ig_callable_options;

/* A new model; holds references of its own to both objects. NULL with an exception set on failure.
 * A MemoryError of the function makes the engine go on with smaller batches. */
PyObject *ig_callable_new(PyTypeObject *type, PyObject *function, ig_callable_options options,
                          PyObject *model_error);

/* What the engine needs of a model of that type; lives as long as the model. */
const ig_handle *ig_callable_handle(PyObject *model);

#endif
