/* progress.c - what the engine calls after every batch, without the GIL. */
#include "progress.h"

int ig_between_batches(void *context, size_t done, size_t total)
{
    const PyGILState_STATE gil = PyGILState_Ensure();
    int stop = PyErr_CheckSignals();
    if (!stop && context) {
        PyObject *result =
            PyObject_CallFunction(context, "nn", (Py_ssize_t)done, (Py_ssize_t)total);
        stop = result == NULL;
        Py_XDECREF(result);
    }
    PyGILState_Release(gil);
    return stop;
}

void *ig_progress_context(PyObject *progress)
{
    return progress == Py_None ? NULL : progress;
}
