/* progress.h - between two batches: Ctrl-C, and the caller's progress. */
#ifndef INTGRAD_PROGRESS_H
#define INTGRAD_PROGRESS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The context for ig_between_batches: a borrowed progress(done, total), or NULL for None. */
void *ig_progress_context(PyObject *progress);

/* For the engine to call without the GIL, which it takes. Nonzero, with an exception set, if the
 * work is to stop: a signal's handler or `context` raised. */
int ig_between_batches(void *context, size_t done, size_t total);

#endif
