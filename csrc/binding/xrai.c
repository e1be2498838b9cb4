/* xrai.c - regions ranked by density: arrays in, one kernel without the GIL, arrays out. */
#include "arguments.h"

#include <float.h>

#include "../kernels/kernels.h"
#include "methods.h"

static int check_attributions(PyArrayObject *map)
{
    const size_t count = (size_t)PyArray_SIZE(map);
    const double *values = PyArray_DATA(map);
    size_t at;
    if (count == 0 || count > INT32_MAX) {
        PyErr_Format(PyExc_ValueError, "attributions must have 1 to %d pixels, got %zd", INT32_MAX,
                     (Py_ssize_t)count);
        return 0;
    }
    /* So that a mean is a float32 too. */
    if (ig_all_within(values, count, FLT_MAX, &at))
        return 1;
    const size_t width = (size_t)PyArray_DIM(map, 1);
    PyObject *value = PyFloat_FromDouble(values[at]);
    if (value)
        PyErr_Format(PyExc_ValueError,
                     "attributions must be finite, and at most 3.4e38 in magnitude, got %R at row "
                     "%zu, column %zu",
                     value, at / width, at % width);
    Py_XDECREF(value);
    return 0;
}

/* The runs of each segment must ascend within the picture. */
static int check_segments(PyArrayObject *starts, PyArrayObject *runs, size_t pixels)
{
    const npy_intp segments = PyArray_SIZE(starts) - 1, count = PyArray_DIM(runs, 0);
    const int64_t *start = PyArray_DATA(starts);
    const ig_run *run = PyArray_DATA(runs);
    int good = PyArray_DIM(runs, 1) == 2 && segments > 0 && segments <= INT32_MAX &&
               start[0] == 0 && start[segments] == count;
    for (npy_intp k = 0; good && k < segments; k++) {
        good = start[k] <= start[k + 1] && start[k + 1] <= count;
        for (int64_t i = start[k]; good && i < start[k + 1]; i++)
            good = run[i].begin >= (i > start[k] ? run[i - 1].end : 0) &&
                   run[i].begin < run[i].end && (size_t)run[i].end <= pixels;
    }
    if (!good)
        PyErr_SetString(
            PyExc_ValueError,
            "starts must begin with 0, not fall, and end with the number of runs, "
            "which must be (begin, end), ascend in each segment and lie in the picture");
    return good;
}

static PyArrayObject *new_array(npy_intp length, int type)
{
    return (PyArrayObject *)PyArray_SimpleNew(1, &length, type);
}

PyDoc_STRVAR(
    xrai_doc,
    "xrai(attributions, starts, runs, least, most_covered, is_fast, /)\n--\n\n"
    "(labels (H, W) int32, segments (R,) int32, densities (R,) float64) of the regions in\n"
    "the order in which they are taken, for attributions (H, W) and segments of the flat\n"
    "indices within runs[starts[k]:starts[k + 1]]; a label is -1 where there is no region.");

static PyObject *core_xrai(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *objects[3], *result = NULL;
    Py_ssize_t least;
    double most_covered;
    int is_fast;
    void *scratch = NULL;
    PyArrayObject *starts = NULL, *runs = NULL, *labels = NULL, *order = NULL, *densities = NULL;
    if (!PyArg_ParseTuple(args, "OOOndp", &objects[0], &objects[1], &objects[2], &least,
                          &most_covered, &is_fast) ||
        !ig_check_positive(least, "least"))
        return NULL;
    PyArrayObject *map = ig_to_array(objects[0], NPY_DOUBLE, 2);
    if (map && check_attributions(map))
        starts = ig_to_array(objects[1], NPY_INT64, 1);
    runs = starts ? ig_to_array(objects[2], NPY_INT32, 2) : NULL;
    if (!runs || !check_segments(starts, runs, (size_t)PyArray_SIZE(map)))
        goto done;
    const size_t pixels = (size_t)PyArray_SIZE(map);
    const ig_segments segments = {PyArray_DATA(starts), PyArray_DATA(runs),
                                  (size_t)PyArray_SIZE(starts) - 1};
    labels = (PyArrayObject *)PyArray_SimpleNew(2, PyArray_DIMS(map), NPY_INT32);
    order = labels ? new_array((npy_intp)segments.count, NPY_INT32) : NULL;
    densities = order ? new_array((npy_intp)segments.count, NPY_DOUBLE) : NULL;
    if (!densities)
        goto done;
    scratch = PyMem_Malloc(ig_xrai_scratch(pixels, segments));
    if (!scratch) {
        PyErr_NoMemory();
        goto done;
    }
    Py_ssize_t count;
    Py_BEGIN_ALLOW_THREADS
    count = (Py_ssize_t)ig_xrai(PyArray_DATA(map), pixels, segments, (size_t)least, most_covered,
                                is_fast, scratch, PyArray_DATA(labels), PyArray_DATA(order),
                                PyArray_DATA(densities));
    Py_END_ALLOW_THREADS
    result = Py_BuildValue("ONN", labels, PySequence_GetSlice((PyObject *)order, 0, count),
                           PySequence_GetSlice((PyObject *)densities, 0, count));

done:
    PyMem_Free(scratch);
    Py_XDECREF(map);
    Py_XDECREF(starts);
    Py_XDECREF(runs);
    Py_XDECREF(labels);
    Py_XDECREF(order);
    Py_XDECREF(densities);
    return result;
}

PyMethodDef ig_xrai_methods[] = {
    {"xrai", core_xrai, METH_VARARGS, xrai_doc},
    {NULL, NULL, 0, NULL},
};
