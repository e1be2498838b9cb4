/* mixes.c - perturbed pictures and their scores: arrays in, kernels or the engine without the GIL,
 * arrays out. */
#include "arguments.h"

#include "../engine/batches.h"
#include "../kernels/kernels.h"
#include "methods.h"
#include "progress.h"

typedef struct {
    PyArrayObject *pictures, *orders, *each;
    ig_mixes mixes;
    npy_intp count;
} mix_arguments;

static void release(mix_arguments *given)
{
    Py_CLEAR(given->pictures);
    Py_CLEAR(given->orders);
    Py_CLEAR(given->each);
}

static int is_index(int64_t value, npy_intp length)
{
    return value >= 0 && value < length;
}

static int check_each(const mix_arguments *given)
{
    const npy_intp pictures = PyArray_DIM(given->pictures, 0),
                   orders = PyArray_DIM(given->orders, 0);
    for (npy_intp k = 0; k < given->count; k++) {
        const ig_mix_of mix = given->mixes.each[k];
        if (is_index(mix.picture, pictures) && is_index(mix.other, pictures) &&
            is_index(mix.order, orders))
            continue;
        PyErr_Format(PyExc_IndexError,
                     "mix %zd is of pictures %lld and %lld and order %lld, and there are %zd and "
                     "%zd of them",
                     (Py_ssize_t)k, (long long)mix.picture, (long long)mix.other,
                     (long long)mix.order, (Py_ssize_t)pictures, (Py_ssize_t)orders);
        return 0;
    }
    return 1;
}

/* 0 with an exception set and everything released on failure. */
static int to_mixes(PyObject *pictures, PyObject *orders, PyObject *each, mix_arguments *ret_given)
{
    mix_arguments given = {ig_to_array(pictures, NPY_FLOAT32, 4), NULL, NULL, {0}, 0};
    given.orders = given.pictures ? ig_to_array(orders, NPY_INT32, 3) : NULL;
    /* Copied, because it is read without the GIL once it was checked. */
    given.each = given.orders
                     ? (PyArrayObject *)PyArray_FROMANY(each, NPY_INT64, 2, 2,
                                                        NPY_ARRAY_IN_ARRAY | NPY_ARRAY_ENSURECOPY)
                     : NULL;
    if (!given.each || !ig_check_pictures(given.pictures, "pictures"))
        goto fail;
    const npy_intp *shape = PyArray_DIMS(given.pictures) + 1;
    if (PyArray_DIM(given.orders, 1) != shape[0] || PyArray_DIM(given.orders, 2) != shape[1] ||
        PyArray_DIM(given.each, 1) != 4) {
        PyErr_Format(
            PyExc_ValueError,
            "orders must be (R, %zd, %zd) and each (N, 4), got (%zd, %zd, %zd) and "
            "(%zd, %zd)",
            (Py_ssize_t)shape[0], (Py_ssize_t)shape[1], (Py_ssize_t)PyArray_DIM(given.orders, 0),
            (Py_ssize_t)PyArray_DIM(given.orders, 1), (Py_ssize_t)PyArray_DIM(given.orders, 2),
            (Py_ssize_t)PyArray_DIM(given.each, 0), (Py_ssize_t)PyArray_DIM(given.each, 1));
        goto fail;
    }
    given.mixes = (ig_mixes){PyArray_DATA(given.pictures), PyArray_DATA(given.orders),
                             PyArray_DATA(given.each)};
    given.count = PyArray_DIM(given.each, 0);
    if (!check_each(&given))
        goto fail;
    *ret_given = given;
    return 1;

fail:
    release(&given);
    return 0;
}

PyDoc_STRVAR(
    mixed_scores_doc,
    "mixed_scores(model, pictures, orders, each, output, batch_size, progress, /)\n--\n\n"
    "F of every class, (N, K) float32, of pictures that are mixed a batch at a time: each (N, 4)\n"
    "int64 is (picture, other, order, taken), the indices of two of pictures (P, H, W, C) and of\n"
    "one of orders (R, H, W) int32, and is other where its order is less than taken, picture\n"
    "elsewhere.");

static PyObject *core_mixed_scores(PyObject *module, PyObject *args)
{
    PyObject *model, *pictures, *orders, *each, *progress, *result = NULL;
    const char *output_name;
    Py_ssize_t batch_size;
    ig_output output;
    mix_arguments given;
    if (!PyArg_ParseTuple(args, "OOOOsnO", &model, &pictures, &orders, &each, &output_name,
                          &batch_size, &progress) ||
        !ig_to_output(output_name, &output) || !ig_check_positive(batch_size, "batch_size"))
        return NULL;
    const ig_handle *handle = ig_to_handle(module, model);
    if (!handle || !to_mixes(pictures, orders, each, &given))
        return NULL;
    const ig_shape shape = ig_shape_of(given.pictures);
    ig_description about;
    if (!ig_describe(module, handle, shape, &about))
        goto done;
    const npy_intp dims[2] = {given.count, (npy_intp)about.num_classes};
    result = PyArray_SimpleNew(2, dims, NPY_FLOAT32);
    if (!result)
        goto done;
    const ig_batches work = {.backend = handle->backend,
                             .model = handle->model,
                             .shape = shape,
                             .output = output,
                             .between = ig_between_batches,
                             .context = ig_progress_context(progress),
                             .what = "perturbed picture"};
    size_t batch = (size_t)batch_size;
    ig_error error = {IG_OK, ""};
    ig_status status;
    Py_BEGIN_ALLOW_THREADS
    status = ig_mixed_scores(&work, &given.mixes, (size_t)given.count, about.num_classes, &batch,
                             PyArray_DATA((PyArrayObject *)result), &error);
    Py_END_ALLOW_THREADS
    result = ig_unless_failed(result, status, &error, module);

done:
    release(&given);
    return result;
}

/* The least that a picture's missing pixels can be imputed from is one that is not missing. */
static int check_missing(PyArrayObject *missing, ig_shape shape)
{
    if ((size_t)PyArray_DIM(missing, 0) != shape.height ||
        (size_t)PyArray_DIM(missing, 1) != shape.width) {
        PyErr_Format(PyExc_ValueError, "missing must be (%zu, %zu), got (%zd, %zd)", shape.height,
                     shape.width, (Py_ssize_t)PyArray_DIM(missing, 0),
                     (Py_ssize_t)PyArray_DIM(missing, 1));
        return 0;
    }
    const unsigned char *is_missing = PyArray_DATA(missing);
    for (size_t i = 0; i < shape.height * shape.width; i++)
        if (!is_missing[i])
            return 1;
    PyErr_SetString(PyExc_ValueError, "all pixels are missing: there is nothing to impute from");
    return 0;
}

PyDoc_STRVAR(impute_doc,
             "impute(picture, missing, /)\n--\n\n"
             "The picture (H, W, C) float32 with the pixels that are missing (H, W) bool as the\n"
             "weighted means of their 8 neighbours, as ROAD has it, but without its noise.");

static PyObject *core_impute(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *picture_object, *missing_object;
    PyArrayObject *missing = NULL, *imputed = NULL;
    double *scratch = NULL;
    if (!PyArg_ParseTuple(args, "OO", &picture_object, &missing_object))
        return NULL;
    PyArrayObject *picture = ig_to_array(picture_object, NPY_FLOAT32, 3);
    if (!picture || !ig_check_pictures(picture, "picture"))
        goto done;
    const ig_shape shape = ig_shape_of(picture);
    missing = ig_to_array(missing_object, NPY_BOOL, 2);
    if (!missing || !check_missing(missing, shape))
        goto done;
    scratch = PyMem_Malloc(ig_impute_scratch(shape.height, shape.width) * sizeof *scratch);
    if (!scratch) {
        PyErr_NoMemory();
        goto done;
    }
    imputed = (PyArrayObject *)PyArray_SimpleNew(3, PyArray_DIMS(picture), NPY_FLOAT32);
    if (!imputed)
        goto done;
    for (size_t c = 0; c < shape.channels; c++) {
        Py_BEGIN_ALLOW_THREADS
        ig_impute(PyArray_DATA(picture), PyArray_DATA(missing), shape.height, shape.width,
                  shape.channels, c, scratch, PyArray_DATA(imputed));
        Py_END_ALLOW_THREADS
        if (PyErr_CheckSignals() < 0) {
            Py_CLEAR(imputed);
            goto done;
        }
    }

done:
    PyMem_Free(scratch);
    Py_XDECREF(picture);
    Py_XDECREF(missing);
    return (PyObject *)imputed;
}

PyMethodDef ig_mix_methods[] = {
    {"mixed_scores", core_mixed_scores, METH_VARARGS, mixed_scores_doc},
    {"impute", core_impute, METH_VARARGS, impute_doc},
    {NULL, NULL, 0, NULL},
};
