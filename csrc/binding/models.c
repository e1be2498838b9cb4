/* models.c - what a model is asked beside integrals: classes, scores, gradients, batch sizes. */
#include "arguments.h"

#include "../engine/batches.h"
#include "callable_backend.h"
#include "methods.h"
#include "progress.h"
#include "state.h"

PyDoc_STRVAR(
    callable_model_doc,
    "callable_model(function, takes_output=False, takes_many_targets=False, /)\n--\n\n"
    "A model handle over function(batch, targets) -> (scores, gradients), or\n"
    "function(batch, targets, output). Targets are (n,), or with takes_many_targets (n, T),\n"
    "gradients (n, T, H, W, C) then, and T is 0 where only scores are wanted.");

static PyObject *core_callable_model(PyObject *module, PyObject *args)
{
    PyObject *function;
    ig_callable_options options = {0, 0};
    if (!PyArg_ParseTuple(args, "O|pp:callable_model", &function, &options.takes_output,
                          &options.takes_many_targets))
        return NULL;
    const ig_core_state *state = ig_state_of(module);
    return ig_callable_new(state->callable_type, function, options, state->model_error);
}

PyDoc_STRVAR(describe_doc, "describe(model, height, width, channels, /)\n--\n\n"
                           "(number of classes, device), from one black picture.");

static PyObject *core_describe(PyObject *module, PyObject *args)
{
    PyObject *model;
    Py_ssize_t height, width, channels;
    if (!PyArg_ParseTuple(args, "Onnn", &model, &height, &width, &channels) ||
        !ig_check_positive(height, "height") || !ig_check_positive(width, "width") ||
        !ig_check_positive(channels, "channels") ||
        !ig_check_size((size_t)height, (size_t)width, (size_t)channels))
        return NULL;
    const ig_handle *handle = ig_to_handle(module, model);
    if (!handle)
        return NULL;
    const ig_shape shape = {(size_t)height, (size_t)width, (size_t)channels};
    ig_description about;
    if (!ig_describe(module, handle, shape, &about))
        return NULL;
    return Py_BuildValue("ns", (Py_ssize_t)about.num_classes, about.device);
}

PyDoc_STRVAR(scores_doc,
             "scores(model, images, output, batch_size, progress, first_image=0, /)\n--\n\n"
             "F of every class, (N, K) float32, of images (N, H, W, C) float32; messages count\n"
             "the images from first_image.");

static PyObject *core_scores(PyObject *module, PyObject *args)
{
    PyObject *model, *images_object, *progress;
    const char *output_name;
    Py_ssize_t batch_size, first_image = 0;
    ig_output output;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "OOsnO|n", &model, &images_object, &output_name, &batch_size,
                          &progress, &first_image) ||
        !ig_to_output(output_name, &output) || !ig_check_positive(batch_size, "batch_size"))
        return NULL;
    const ig_handle *handle = ig_to_handle(module, model);
    PyArrayObject *images = handle ? ig_to_array(images_object, NPY_FLOAT32, 4) : NULL;
    if (!images || !ig_check_pictures(images, "images"))
        goto done;
    ig_description about;
    if (!ig_describe(module, handle, ig_shape_of(images), &about))
        goto done;
    const npy_intp dims[2] = {PyArray_DIM(images, 0), (npy_intp)about.num_classes};
    result = PyArray_SimpleNew(2, dims, NPY_FLOAT32);
    if (!result)
        goto done;
    const ig_batches work = {.backend = handle->backend,
                             .model = handle->model,
                             .shape = ig_shape_of(images),
                             .output = output,
                             .between = ig_between_batches,
                             .context = ig_progress_context(progress),
                             .what = "image",
                             .first = (size_t)first_image};
    size_t batch = (size_t)batch_size;
    ig_error error = {IG_OK, ""};
    ig_status status;
    Py_BEGIN_ALLOW_THREADS
    status = ig_scores(&work, PyArray_DATA(images), (size_t)dims[0], about.num_classes, &batch,
                       PyArray_DATA((PyArrayObject *)result), &error);
    Py_END_ALLOW_THREADS
    result = ig_unless_failed(result, status, &error, module);

done:
    Py_XDECREF(images);
    return result;
}

PyDoc_STRVAR(gradients_doc,
             "gradients(model, images, targets, output, batch_size, progress, /)\n--\n\n"
             "Gradients (N, T, H, W, C) of F[target] at images (N, H, W, C), targets (N, T).");

static PyObject *core_gradients(PyObject *module, PyObject *args)
{
    PyObject *model, *images_object, *targets_object, *progress;
    const char *output_name;
    Py_ssize_t batch_size;
    ig_output output;
    PyObject *result = NULL;
    PyArrayObject *images = NULL, *targets = NULL;
    if (!PyArg_ParseTuple(args, "OOOsnO", &model, &images_object, &targets_object, &output_name,
                          &batch_size, &progress) ||
        !ig_to_output(output_name, &output) || !ig_check_positive(batch_size, "batch_size"))
        return NULL;
    const ig_handle *handle = ig_to_handle(module, model);
    if (!handle)
        return NULL;
    images = ig_to_array(images_object, NPY_FLOAT32, 4);
    targets = images ? ig_to_array(targets_object, NPY_INT64, 2) : NULL;
    if (!targets || !ig_check_pictures(images, "images"))
        goto done;
    const ig_shape shape = ig_shape_of(images);
    const npy_intp dims[5] = {PyArray_DIM(images, 0), PyArray_DIM(targets, 1),
                              PyArray_DIM(images, 1), PyArray_DIM(images, 2),
                              PyArray_DIM(images, 3)};
    if (PyArray_DIM(targets, 0) != dims[0] || dims[1] < 1) {
        PyErr_Format(PyExc_ValueError, "targets must have shape (%zd, T), got (%zd, %zd)", dims[0],
                     PyArray_DIM(targets, 0), dims[1]);
        goto done;
    }
    result = PyArray_SimpleNew(5, dims, NPY_FLOAT32);
    if (!result)
        goto done;
    const ig_batches work = {.backend = handle->backend,
                             .model = handle->model,
                             .shape = shape,
                             .output = output,
                             .between = ig_between_batches,
                             .context = ig_progress_context(progress),
                             .what = "image"};
    size_t batch = (size_t)(batch_size < dims[0] ? batch_size : dims[0]);
    ig_error error = {IG_OK, ""};
    ig_status status;
    Py_BEGIN_ALLOW_THREADS
    status = ig_gradients(&work, PyArray_DATA(images), (size_t)dims[0], PyArray_DATA(targets),
                          (size_t)dims[1], &batch, PyArray_DATA((PyArrayObject *)result), &error);
    Py_END_ALLOW_THREADS
    result = ig_unless_failed(result, status, &error, module);

done:
    Py_XDECREF(images);
    Py_XDECREF(targets);
    return result;
}

PyDoc_STRVAR(fitting_batch_doc,
             "fitting_batch(model, height, width, channels, limit, /)\n--\n\n"
             "How many pictures fit into the device's free memory, at most limit; 0 where the\n"
             "device does not tell.");

static PyObject *core_fitting_batch(PyObject *module, PyObject *args)
{
    PyObject *model;
    Py_ssize_t height, width, channels, limit;
    if (!PyArg_ParseTuple(args, "Onnnn", &model, &height, &width, &channels, &limit) ||
        !ig_check_positive(height, "height") || !ig_check_positive(width, "width") ||
        !ig_check_positive(channels, "channels") || !ig_check_positive(limit, "limit") ||
        !ig_check_size((size_t)height, (size_t)width, (size_t)channels))
        return NULL;
    const ig_handle *handle = ig_to_handle(module, model);
    if (!handle)
        return NULL;
    const ig_shape shape = {(size_t)height, (size_t)width, (size_t)channels};
    size_t batch_size = 0;
    ig_error error = {IG_OK, ""};
    ig_status status;
    Py_BEGIN_ALLOW_THREADS
    status =
        ig_fitting_batch(handle->backend, handle->model, shape, (size_t)limit, &batch_size, &error);
    Py_END_ALLOW_THREADS
    return ig_unless_failed(PyLong_FromSize_t(batch_size), status, &error, module);
}

PyMethodDef ig_model_methods[] = {
    {"callable_model", core_callable_model, METH_VARARGS, callable_model_doc},
    {"describe", core_describe, METH_VARARGS, describe_doc},
    {"scores", core_scores, METH_VARARGS, scores_doc},
    {"gradients", core_gradients, METH_VARARGS, gradients_doc},
    {"fitting_batch", core_fitting_batch, METH_VARARGS, fitting_batch_doc},
    {NULL, NULL, 0, NULL},
};
