/* handle.h - how a model travels through Python: a capsule that owns it and knows its backend.
 *
 * _torch and _core are separate extension modules, so that _core never links libtorch. Whoever
 * makes a model wraps it here; _core unwraps it. The model dies with the capsule. One over a Python
 * callable is a Python object instead: callable_backend.h.
 */
#ifndef INTGRAD_HANDLE_H
#define INTGRAD_HANDLE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

#include "../engine/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The version in the name keeps a stale _torch from talking to a newer _core. */
#define IG_HANDLE_NAME "intgrad.model/3"

typedef struct {
    const ig_backend *backend;
    ig_model *model;
} ig_handle;

static inline void ig_handle_free(PyObject *capsule)
{
    ig_handle *handle = (ig_handle *)PyCapsule_GetPointer(capsule, IG_HANDLE_NAME);
    handle->backend->destroy(handle->model);
    PyMem_Free(handle);
}

/* A new capsule, which owns `model` from here on: on failure the model is destroyed, NULL is
 * returned and a Python exception set. */
static inline PyObject *ig_handle_new(const ig_backend *backend, ig_model *model)
{
    PyObject *capsule = NULL;
    ig_handle *handle = (ig_handle *)PyMem_Malloc(sizeof *handle);
    if (handle) {
        handle->backend = backend;
        handle->model = model;
        capsule = PyCapsule_New(handle, IG_HANDLE_NAME, ig_handle_free);
    } else {
        PyErr_NoMemory();
    }
    if (!capsule) {
        backend->destroy(model);
        PyMem_Free(handle);
    }
    return capsule;
}

/* The Python exception that a failure stands for; `model_error` is intgrad.ModelError. The status
 * decides, because the error may still hold what was mended since, as memory that was short. */
static inline void ig_raise(ig_status status, const ig_error *error, PyObject *model_error)
{
    PyObject *type = NULL, *text;
    switch (status) {
    case IG_NO_MEMORY:
        type = PyExc_MemoryError;
        break;
    case IG_OUT_OF_RANGE:
        type = PyExc_IndexError;
        break;
    case IG_INVALID:
        type = PyExc_ValueError;
        break;
    case IG_MODEL_FAILED:
        type = model_error;
        break;
    case IG_OK:
    case IG_PENDING:
        return;
    }
    /* A text that was cut to fit may end within a character. */
    text = PyUnicode_DecodeUTF8(error->message, (Py_ssize_t)strlen(error->message), "replace");
    if (text) {
        PyErr_SetObject(type, text);
        Py_DECREF(text);
    }
}

#ifdef __cplusplus
}
#endif

#endif
