/* state.h - what intgrad._core holds beside its functions; all owned by the module. */
#ifndef INTGRAD_STATE_H
#define INTGRAD_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

typedef struct {
    PyObject *model_error;       /* intgrad.ModelError */
    PyTypeObject *callable_type; /* of models over Python callables */
} ig_core_state;

static inline ig_core_state *ig_state_of(PyObject *module)
{
    return (ig_core_state *)PyModule_GetState(module);
}

#endif
