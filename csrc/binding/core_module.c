/* core_module.c - intgrad._core: arrays in, one call of the engine without the GIL, arrays out.
 *
 * Everything that the engine and the kernels take for granted is checked here: dtype, layout,
 * shapes that agree, finite values, sizes that do not overflow. Meanings (targets, baselines,
 * names) are the business of the Python package above.
 */
#define IG_IMPORT_NUMPY
#include "arrays.h"

#include <string.h>

#include "../engine/batches.h"
#include "../engine/integrate.h"
#include "../engine/refine.h"
#include "../engine/rule.h"
#include "../kernels/kernels.h"
#include "callable_backend.h"
#include "handle.h"
#include "visual.h"

typedef struct {
    PyObject *model_error;       /* intgrad.ModelError */
    PyTypeObject *callable_type; /* of models over Python callables */
} core_state;

static core_state *get_state(PyObject *module)
{
    return (core_state *)PyModule_GetState(module);
}

/* `result`, or NULL with an exception set, and the result dropped, where the work has failed. */
static PyObject *unless_failed(PyObject *result, ig_status status, const ig_error *error,
                               PyObject *module)
{
    ig_raise(status, error, get_state(module)->model_error);
    if (status != IG_OK)
        Py_CLEAR(result);
    return result;
}

/* ---- Arguments ----------------------------------------------------------------------------- */

/* A new reference to `object` as an aligned C array in native order; NULL with an exception set. */
static PyArrayObject *to_array(PyObject *object, int type, int ndim)
{
    return (PyArrayObject *)PyArray_FROMANY(object, type, ndim, ndim, NPY_ARRAY_IN_ARRAY);
}

/* The model in `object`, a capsule or a model over a callable; NULL with an exception set. */
static const ig_handle *to_handle(PyObject *module, PyObject *object)
{
    if (Py_TYPE(object) == get_state(module)->callable_type)
        return ig_callable_handle(object);
    const ig_handle *handle = PyCapsule_GetPointer(object, IG_HANDLE_NAME);
    if (handle && (handle->backend->abi_version != IG_ABI_VERSION ||
                   handle->backend->size < sizeof(ig_backend))) {
        PyErr_SetString(PyExc_ImportError,
                        "intgrad._core and the backend were built from different versions; "
                        "reinstall intgrad");
        return NULL;
    }
    return handle;
}

static int to_output(const char *name, ig_output *ret_output)
{
    static const char *const names[] = {"softmax", "log_softmax", "logit"};
    for (int k = 0; k < 3; k++) {
        if (strcmp(name, names[k]) == 0) {
            *ret_output = (ig_output)k;
            return 1;
        }
    }
    PyErr_Format(PyExc_ValueError, "output must be 'softmax', 'log_softmax' or 'logit', got '%s'",
                 name);
    return 0;
}

static int to_rule(const char *name, ig_rule *ret_rule)
{
    static const char *const names[] = {"trapezoid", "midpoint", "left", "right", "gauss-legendre"};
    for (int k = 0; k < 5; k++) {
        if (strcmp(name, names[k]) == 0) {
            *ret_rule = (ig_rule)k;
            return 1;
        }
    }
    PyErr_Format(PyExc_ValueError,
                 "rule must be 'trapezoid', 'midpoint', 'left', 'right' or 'gauss-legendre', "
                 "got '%s'",
                 name);
    return 0;
}

static int check_positive(Py_ssize_t value, const char *name)
{
    if (value > 0)
        return 1;
    PyErr_Format(PyExc_ValueError, "%s must be at least 1, got %zd", name, value);
    return 0;
}

/* Pictures must not be empty and every value finite. `first` is the number of leading axes. */
static int check_pictures(PyArrayObject *array, const char *name)
{
    size_t at;
    if (PyArray_SIZE(array) == 0) {
        PyErr_Format(PyExc_ValueError, "%s must not be empty", name);
        return 0;
    }
    if (ig_all_finite(PyArray_DATA(array), (size_t)PyArray_SIZE(array), &at))
        return 1;
    const int ndim = PyArray_NDIM(array);
    const npy_intp *dims = PyArray_DIMS(array);
    const size_t channel = at % (size_t)dims[ndim - 1];
    const size_t column = at / (size_t)dims[ndim - 1] % (size_t)dims[ndim - 2];
    const size_t row = at / (size_t)(dims[ndim - 1] * dims[ndim - 2]) % (size_t)dims[ndim - 3];
    const size_t picture = at / (size_t)(dims[ndim - 1] * dims[ndim - 2] * dims[ndim - 3]);
    PyObject *value = PyFloat_FromDouble(((const float *)PyArray_DATA(array))[at]);
    if (value)
        PyErr_Format(PyExc_ValueError,
                     "%s must be finite in float32: picture %zu has %R at row %zu, column %zu, "
                     "channel %zu",
                     name, picture, value, row, column, channel);
    Py_XDECREF(value);
    return 0;
}

static ig_shape shape_of(PyArrayObject *pictures)
{
    const npy_intp *dims = PyArray_DIMS(pictures) + PyArray_NDIM(pictures) - 3;
    return (ig_shape){(size_t)dims[0], (size_t)dims[1], (size_t)dims[2]};
}

static int same_shape(ig_shape a, ig_shape b)
{
    return a.height == b.height && a.width == b.width && a.channels == b.channels;
}

/* 1 if a * b * c doubles can be addressed; sets MemoryError otherwise. */
static int check_size(size_t a, size_t b, size_t c)
{
    size_t product;
    if (!__builtin_mul_overflow(a, b, &product) && !__builtin_mul_overflow(product, c, &product) &&
        product <= (size_t)PY_SSIZE_T_MAX / sizeof(double))
        return 1;
    PyErr_NoMemory();
    return 0;
}

/* ---- Between batches ----------------------------------------------------------------------- */

/* Takes the GIL for Ctrl-C and for the caller's progress; context is a callable or NULL. */
static int between_batches(void *context, size_t done, size_t total)
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

static void *to_context(PyObject *progress)
{
    return progress == Py_None ? NULL : progress;
}

/* ---- Rules --------------------------------------------------------------------------------- */

PyDoc_STRVAR(
    nodes_doc,
    "nodes(rule, steps, /)\n--\n\n"
    "(alphas, weights, half_weights) of a quadrature rule on [0, 1]; half_weights is None\n"
    "where the rule has no error estimate.");

static PyObject *core_nodes(PyObject *module, PyObject *args)
{
    (void)module;
    const char *name;
    Py_ssize_t steps;
    ig_rule rule;
    if (!PyArg_ParseTuple(args, "sn", &name, &steps) || !to_rule(name, &rule) ||
        !check_positive(steps, "steps") || !check_size((size_t)steps, 4, 1))
        return NULL;
    npy_intp count = (npy_intp)ig_rule_count(rule, (size_t)steps);
    PyArrayObject *alphas = (PyArrayObject *)PyArray_SimpleNew(1, &count, NPY_DOUBLE);
    PyArrayObject *weights = (PyArrayObject *)PyArray_SimpleNew(1, &count, NPY_DOUBLE);
    PyObject *half = NULL;
    if (!alphas || !weights)
        goto fail;
    Py_BEGIN_ALLOW_THREADS /* Gauss-Legendre takes the square of the steps */
    ig_rule_nodes(rule, (size_t)steps, PyArray_DATA(alphas), PyArray_DATA(weights));
    Py_END_ALLOW_THREADS
    if (rule == IG_TRAPEZOID && steps >= 2) {
        half = PyArray_SimpleNew(1, &count, NPY_DOUBLE);
        if (!half)
            goto fail;
        ig_trapezoid_half_weights(PyArray_DATA(alphas), (size_t)count,
                                  PyArray_DATA((PyArrayObject *)half));
    } else {
        half = Py_NewRef(Py_None);
    }
    return Py_BuildValue("NNN", alphas, weights, half);

fail:
    Py_XDECREF(alphas);
    Py_XDECREF(weights);
    return NULL;
}

PyDoc_STRVAR(trapezoid_weights_doc,
             "trapezoid_weights(alphas, /)\n--\n\n"
             "(weights, half_weights) of the trapezoid on at least three ascending nodes.");

static PyObject *core_trapezoid_weights(PyObject *module, PyObject *argument)
{
    (void)module;
    PyObject *result = NULL;
    PyArrayObject *weights = NULL, *half = NULL;
    PyArrayObject *alphas = to_array(argument, NPY_DOUBLE, 1);
    if (!alphas)
        return NULL;
    const npy_intp count = PyArray_DIM(alphas, 0);
    if (count < 3) {
        PyErr_Format(PyExc_ValueError, "alphas must hold at least 3 nodes, got %zd", count);
        goto done;
    }
    weights = (PyArrayObject *)PyArray_SimpleNew(1, &count, NPY_DOUBLE);
    half = (PyArrayObject *)PyArray_SimpleNew(1, &count, NPY_DOUBLE);
    if (!weights || !half)
        goto done;
    ig_trapezoid_weights(PyArray_DATA(alphas), (size_t)count, PyArray_DATA(weights));
    ig_trapezoid_half_weights(PyArray_DATA(alphas), (size_t)count, PyArray_DATA(half));
    result = Py_BuildValue("OO", weights, half);

done:
    Py_DECREF(alphas);
    Py_XDECREF(weights);
    Py_XDECREF(half);
    return result;
}

/* ---- Models -------------------------------------------------------------------------------- */

PyDoc_STRVAR(callable_model_doc,
             "callable_model(function, takes_output=False, /)\n--\n\n"
             "A model handle over function(batch, targets) -> (scores, gradients), or\n"
             "function(batch, targets, output).");

static PyObject *core_callable_model(PyObject *module, PyObject *args)
{
    PyObject *function;
    int takes_output = 0;
    if (!PyArg_ParseTuple(args, "O|p:callable_model", &function, &takes_output))
        return NULL;
    const core_state *state = get_state(module);
    return ig_callable_new(state->callable_type, function, takes_output, state->model_error);
}

/* 0 with an exception set on failure. */
static int describe(PyObject *module, const ig_handle *handle, ig_shape shape,
                    ig_description *ret_description)
{
    ig_error error;
    ig_status status;
    Py_BEGIN_ALLOW_THREADS
    status = handle->backend->describe(handle->model, shape, ret_description, &error);
    Py_END_ALLOW_THREADS
    ig_raise(status, &error, get_state(module)->model_error);
    return status == IG_OK;
}

PyDoc_STRVAR(describe_doc, "describe(model, height, width, channels, /)\n--\n\n"
                           "(number of classes, device), from one black picture.");

static PyObject *core_describe(PyObject *module, PyObject *args)
{
    PyObject *model;
    Py_ssize_t height, width, channels;
    if (!PyArg_ParseTuple(args, "Onnn", &model, &height, &width, &channels) ||
        !check_positive(height, "height") || !check_positive(width, "width") ||
        !check_positive(channels, "channels") ||
        !check_size((size_t)height, (size_t)width, (size_t)channels))
        return NULL;
    const ig_handle *handle = to_handle(module, model);
    if (!handle)
        return NULL;
    const ig_shape shape = {(size_t)height, (size_t)width, (size_t)channels};
    ig_description about;
    if (!describe(module, handle, shape, &about))
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
        !to_output(output_name, &output) || !check_positive(batch_size, "batch_size"))
        return NULL;
    const ig_handle *handle = to_handle(module, model);
    PyArrayObject *images = handle ? to_array(images_object, NPY_FLOAT32, 4) : NULL;
    if (!images || !check_pictures(images, "images"))
        goto done;
    ig_description about;
    if (!describe(module, handle, shape_of(images), &about))
        goto done;
    const npy_intp dims[2] = {PyArray_DIM(images, 0), (npy_intp)about.num_classes};
    result = PyArray_SimpleNew(2, dims, NPY_FLOAT32);
    if (!result)
        goto done;
    const ig_batches work = {.backend = handle->backend,
                             .model = handle->model,
                             .shape = shape_of(images),
                             .output = output,
                             .between = between_batches,
                             .context = to_context(progress),
                             .what = "image",
                             .first = (size_t)first_image};
    size_t batch = (size_t)batch_size;
    ig_error error = {IG_OK, ""};
    ig_status status;
    Py_BEGIN_ALLOW_THREADS
    status = ig_scores(&work, PyArray_DATA(images), (size_t)dims[0], about.num_classes, &batch,
                       PyArray_DATA((PyArrayObject *)result), &error);
    Py_END_ALLOW_THREADS
    result = unless_failed(result, status, &error, module);

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
        !to_output(output_name, &output) || !check_positive(batch_size, "batch_size"))
        return NULL;
    const ig_handle *handle = to_handle(module, model);
    if (!handle)
        return NULL;
    images = to_array(images_object, NPY_FLOAT32, 4);
    targets = images ? to_array(targets_object, NPY_INT64, 2) : NULL;
    if (!targets || !check_pictures(images, "images"))
        goto done;
    const ig_shape shape = shape_of(images);
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
                             .between = between_batches,
                             .context = to_context(progress),
                             .what = "image"};
    size_t batch = (size_t)(batch_size < dims[0] ? batch_size : dims[0]);
    ig_error error = {IG_OK, ""};
    ig_status status;
    Py_BEGIN_ALLOW_THREADS
    status = ig_gradients(&work, PyArray_DATA(images), (size_t)dims[0], PyArray_DATA(targets),
                          (size_t)dims[1], &batch, PyArray_DATA((PyArrayObject *)result), &error);
    Py_END_ALLOW_THREADS
    result = unless_failed(result, status, &error, module);

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
        !check_positive(height, "height") || !check_positive(width, "width") ||
        !check_positive(channels, "channels") || !check_positive(limit, "limit") ||
        !check_size((size_t)height, (size_t)width, (size_t)channels))
        return NULL;
    const ig_handle *handle = to_handle(module, model);
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
    return unless_failed(PyLong_FromSize_t(batch_size), status, &error, module);
}

/* ---- Integration --------------------------------------------------------------------------- */

/* The arrays of one integration; all owned. */
typedef struct {
    PyArrayObject *images, *baselines, *targets, *alphas, *weights, *half_weights;
    PyArrayObject *attributions, *gradients, *error_map, *pixel_error_map, *refined, *node_counts;
    PyArrayObject *scores, *baseline_scores, *sums, *quadrature_error, *baseline_error;
} integration;

static void release_integration(integration *a)
{
    Py_XDECREF(a->images);
    Py_XDECREF(a->baselines);
    Py_XDECREF(a->targets);
    Py_XDECREF(a->alphas);
    Py_XDECREF(a->weights);
    Py_XDECREF(a->half_weights);
    Py_XDECREF(a->attributions);
    Py_XDECREF(a->gradients);
    Py_XDECREF(a->error_map);
    Py_XDECREF(a->pixel_error_map);
    Py_XDECREF(a->refined);
    Py_XDECREF(a->node_counts);
    Py_XDECREF(a->scores);
    Py_XDECREF(a->baseline_scores);
    Py_XDECREF(a->sums);
    Py_XDECREF(a->quadrature_error);
    Py_XDECREF(a->baseline_error);
}

/* What is computed beside the attributions, and how the nodes are chosen. */
typedef struct {
    int error_map, gradient;
    ig_adaptive adaptive; /* a tolerance of 0: the nodes are given */
} wishes;

static int check_nodes(const integration *a, const wishes *wanted)
{
    const npy_intp count = PyArray_DIM(a->alphas, 0);
    if (count < 1 || PyArray_DIM(a->weights, 0) != count ||
        (a->half_weights && PyArray_DIM(a->half_weights, 0) != count)) {
        PyErr_SetString(PyExc_ValueError, "alphas, weights and half_weights must be equally long");
        return 0;
    }
    if (wanted->error_map && !a->half_weights) {
        PyErr_SetString(PyExc_ValueError, "an error map needs half_weights");
        return 0;
    }
    if (wanted->gradient && ((const double *)PyArray_DATA(a->alphas))[count - 1] != 1.0) {
        PyErr_SetString(PyExc_ValueError, "the gradient at the image needs a node there");
        return 0;
    }
    return check_size((size_t)PyArray_DIM(a->images, 0), (size_t)PyArray_DIM(a->baselines, 1),
                      (size_t)count);
}

static int check_adaptive(const integration *a, const ig_adaptive *adaptive)
{
    const size_t baselines = (size_t)PyArray_DIM(a->baselines, 1);
    if (adaptive->max_evaluations / IG_FIRST_NODES < baselines ||
        adaptive->max_evaluations > adaptive->most_retained) {
        PyErr_Format(PyExc_ValueError,
                     "max_evaluations must be between %d for each of %zu baselines and %zu, which "
                     "may be retained, got %zu",
                     (int)IG_FIRST_NODES, baselines, adaptive->most_retained,
                     adaptive->max_evaluations);
        return 0;
    }
    return check_size((size_t)PyArray_DIM(a->images, 0), adaptive->max_evaluations, 1) &&
           check_size((size_t)PyArray_DIM(a->images, 0), baselines, 1);
}

static int check_integration(const integration *a, const wishes *wanted)
{
    const npy_intp n = PyArray_DIM(a->images, 0), sets = PyArray_DIM(a->baselines, 0);
    if (!check_pictures(a->images, "images") || !check_pictures(a->baselines, "baseline"))
        return 0;
    if (!same_shape(shape_of(a->images), shape_of(a->baselines)) || (sets != 1 && sets != n)) {
        PyErr_SetString(PyExc_ValueError, "baselines must have shape (1 or N, M, H, W, C)");
        return 0;
    }
    if (PyArray_DIM(a->targets, 0) != n || PyArray_DIM(a->targets, 1) < 1) {
        PyErr_Format(PyExc_ValueError, "targets must have shape (%zd, T), got (%zd, %zd)", n,
                     PyArray_DIM(a->targets, 0), PyArray_DIM(a->targets, 1));
        return 0;
    }
    const ig_shape shape = shape_of(a->images);
    return check_size((size_t)n, (size_t)PyArray_DIM(a->targets, 1), ig_shape_size(shape)) &&
           (wanted->adaptive.tolerance > 0.0 ? check_adaptive(a, &wanted->adaptive)
                                             : check_nodes(a, wanted));
}

static int allocate_nodes(integration *a, const ig_adaptive *adaptive)
{
    const npy_intp nodes[2] = {PyArray_DIM(a->images, 0), (npy_intp)adaptive->max_evaluations};
    const npy_intp counts[2] = {nodes[0], PyArray_DIM(a->baselines, 1)};
    a->refined = (PyArrayObject *)PyArray_SimpleNew(2, nodes, NPY_DOUBLE);
    a->node_counts = (PyArrayObject *)PyArray_SimpleNew(2, counts, NPY_INT64);
    return a->refined && a->node_counts;
}

static int allocate_results(integration *a, const wishes *wanted)
{
    const npy_intp n = PyArray_DIM(a->images, 0), t = PyArray_DIM(a->targets, 1);
    const npy_intp maps[5] = {n, t, PyArray_DIM(a->images, 1), PyArray_DIM(a->images, 2),
                              PyArray_DIM(a->images, 3)};
    PyArrayObject **numbers[] = {&a->scores, &a->baseline_scores, &a->sums, &a->quadrature_error,
                                 &a->baseline_error};
    a->attributions = (PyArrayObject *)PyArray_SimpleNew(5, maps, NPY_FLOAT32);
    if (!a->attributions)
        return 0;
    if (wanted->gradient &&
        !(a->gradients = (PyArrayObject *)PyArray_SimpleNew(5, maps, NPY_FLOAT32)))
        return 0;
    if (wanted->adaptive.tolerance > 0.0 && !allocate_nodes(a, &wanted->adaptive))
        return 0;
    if (wanted->error_map &&
        (!(a->error_map = (PyArrayObject *)PyArray_SimpleNew(5, maps, NPY_FLOAT32)) ||
         !(a->pixel_error_map = (PyArrayObject *)PyArray_SimpleNew(4, maps, NPY_FLOAT32))))
        return 0;
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
        if (!(*numbers[k] = (PyArrayObject *)PyArray_SimpleNew(2, maps, NPY_DOUBLE)))
            return 0;
    return 1;
}

static ig_request to_request(const integration *a, ig_output output, int sample,
                             Py_ssize_t batch_size, const wishes *wanted)
{
    const size_t n = (size_t)PyArray_DIM(a->images, 0), m = (size_t)PyArray_DIM(a->baselines, 1);
    const size_t count = (size_t)PyArray_DIM(a->alphas, 0);
    const int adaptive = wanted->adaptive.tolerance > 0.0;
    const size_t points = n * (adaptive ? wanted->adaptive.max_evaluations : m * count);
    return (ig_request){
        .shape = shape_of(a->images),
        .output = output,
        .image_count = n,
        .baseline_count = m,
        .target_count = (size_t)PyArray_DIM(a->targets, 1),
        .images = PyArray_DATA(a->images),
        .baselines = PyArray_DATA(a->baselines),
        .baselines_are_shared = PyArray_DIM(a->baselines, 0) == 1,
        .baselines_are_a_sample = sample,
        .targets = PyArray_DATA(a->targets),
        .nodes = {.count = count,
                  .alphas = PyArray_DATA(a->alphas),
                  .weights = PyArray_DATA(a->weights),
                  .half_weights = a->half_weights ? PyArray_DATA(a->half_weights) : NULL},
        .adaptive = adaptive ? &wanted->adaptive : NULL,
        .batch_size = (size_t)batch_size < points ? (size_t)batch_size : points,
    };
}

static void *data_of(PyArrayObject *array)
{
    return array ? PyArray_DATA(array) : NULL;
}

static ig_result to_result(const integration *a)
{
    return (ig_result){
        .attributions = PyArray_DATA(a->attributions),
        .gradients = data_of(a->gradients),
        .error_map = data_of(a->error_map),
        .pixel_error_map = data_of(a->pixel_error_map),
        .scores = PyArray_DATA(a->scores),
        .baseline_scores = PyArray_DATA(a->baseline_scores),
        .sums = PyArray_DATA(a->sums),
        .quadrature_error = PyArray_DATA(a->quadrature_error),
        .baseline_error = PyArray_DATA(a->baseline_error),
        .alphas = data_of(a->refined),
        .node_counts = data_of(a->node_counts),
    };
}

/* Sets answer[name], to None where there is no such array. */
static int put(PyObject *answer, const char *name, PyArrayObject *array)
{
    return PyDict_SetItemString(answer, name, array ? (PyObject *)array : Py_None) == 0;
}

static PyObject *to_answer(const integration *a, size_t batch_size)
{
    PyObject *answer = Py_BuildValue("{sn}", "batch_size", (Py_ssize_t)batch_size);
    if (answer && put(answer, "attributions", a->attributions) &&
        put(answer, "gradients", a->gradients) && put(answer, "error_map", a->error_map) &&
        put(answer, "pixel_error_map", a->pixel_error_map) && put(answer, "scores", a->scores) &&
        put(answer, "baseline_scores", a->baseline_scores) && put(answer, "sums", a->sums) &&
        put(answer, "quadrature_error", a->quadrature_error) &&
        put(answer, "baseline_error", a->baseline_error) && put(answer, "alphas", a->refined) &&
        put(answer, "node_counts", a->node_counts))
        return answer;
    Py_XDECREF(answer);
    return NULL;
}

PyDoc_STRVAR(
    integrate_doc,
    "integrate(model, images, baselines, targets, alphas, weights, half_weights, output,\n"
    "          batch_size, sample=False, error_map=False, gradient=False, tolerance=0,\n"
    "          max_evaluations=0, most_retained=0, first_image=0, progress=None)\n--\n\n"
    "Integrated Gradients of images (N, H, W, C) from baselines (1 or N, M, H, W, C) for\n"
    "targets (N, T), on the given nodes, or to a tolerance other than 0. Returns a dict:\n"
    "attributions, gradients and error_map (N, T, H, W, C) and pixel_error_map (N, T, H, W)\n"
    "float32; scores, baseline_scores, sums, quadrature_error and baseline_error (N, T)\n"
    "float64; batch_size; with a tolerance, alphas (N, max_evaluations), the nodes of an\n"
    "image's paths one after the other, and node_counts (N, M). What was not asked for is None.");

static PyObject *core_integrate(PyObject *module, PyObject *args, PyObject *keywords)
{
    static char *names[] = {
        "model",        "images",          "baselines",     "targets",     "alphas",    "weights",
        "half_weights", "output",          "batch_size",    "sample",      "error_map", "gradient",
        "tolerance",    "max_evaluations", "most_retained", "first_image", "progress",  NULL};
    PyObject *model, *images, *baselines, *targets, *alphas, *weights, *half;
    PyObject *progress = Py_None;
    const char *output_name;
    Py_ssize_t batch_size, max_evaluations = 0, most_retained = 0, first_image = 0;
    int sample = 0;
    ig_output output;
    PyObject *answer = NULL;
    integration a = {0};
    wishes wanted = {0};
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOOOOOOsn|pppdnnnO", names, &model, &images,
                                     &baselines, &targets, &alphas, &weights, &half, &output_name,
                                     &batch_size, &sample, &wanted.error_map, &wanted.gradient,
                                     &wanted.adaptive.tolerance, &max_evaluations, &most_retained,
                                     &first_image, &progress) ||
        !to_output(output_name, &output) || !check_positive(batch_size, "batch_size"))
        return NULL;
    wanted.adaptive.max_evaluations = (size_t)max_evaluations;
    wanted.adaptive.most_retained = (size_t)most_retained;
    const ig_handle *handle = to_handle(module, model);
    if (!handle || !(a.images = to_array(images, NPY_FLOAT32, 4)) ||
        !(a.baselines = to_array(baselines, NPY_FLOAT32, 5)) ||
        !(a.targets = to_array(targets, NPY_INT64, 2)) ||
        !(a.alphas = to_array(alphas, NPY_DOUBLE, 1)) ||
        !(a.weights = to_array(weights, NPY_DOUBLE, 1)) ||
        (half != Py_None && !(a.half_weights = to_array(half, NPY_DOUBLE, 1))) ||
        !check_integration(&a, &wanted) || !allocate_results(&a, &wanted))
        goto done;
    ig_request request = to_request(&a, output, sample, batch_size, &wanted);
    request.first_image = (size_t)first_image;
    ig_result result = to_result(&a);
    ig_error error;
    ig_status status;
    Py_BEGIN_ALLOW_THREADS
    status = ig_integrate(handle->backend, handle->model, &request, between_batches,
                          to_context(progress), &result, &error);
    Py_END_ALLOW_THREADS
    ig_raise(status, &error, get_state(module)->model_error);
    if (status == IG_OK)
        answer = to_answer(&a, result.batch_size);

done:
    release_integration(&a);
    return answer;
}

/* ---- Module -------------------------------------------------------------------------------- */

static PyMethodDef core_methods[] = {
    {"nodes", core_nodes, METH_VARARGS, nodes_doc},
    {"trapezoid_weights", core_trapezoid_weights, METH_O, trapezoid_weights_doc},
    {"callable_model", core_callable_model, METH_VARARGS, callable_model_doc},
    {"describe", core_describe, METH_VARARGS, describe_doc},
    {"scores", core_scores, METH_VARARGS, scores_doc},
    {"gradients", core_gradients, METH_VARARGS, gradients_doc},
    {"fitting_batch", core_fitting_batch, METH_VARARGS, fitting_batch_doc},
    {"integrate", (PyCFunction)(void (*)(void))core_integrate, METH_VARARGS | METH_KEYWORDS,
     integrate_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(model_error_doc,
             "A model that cannot be used or explained.\n\n"
             "Raised for archives that are damaged, for models that the probe on loading finds\n"
             "unfit (still in training mode, mixing the images of a batch, without a gradient),\n"
             "and for scores and gradients that are NaN, infinite or of the wrong shape.");

static int core_exec(PyObject *module)
{
    if (PyArray_ImportNumPyAPI() < 0 || PyModule_AddFunctions(module, ig_visual_methods) < 0 ||
        PyModule_AddIntConstant(module, "FIRST_NODES", IG_FIRST_NODES) < 0)
        return -1;
    core_state *state = get_state(module);
    state->model_error =
        PyErr_NewExceptionWithDoc("intgrad.ModelError", model_error_doc, PyExc_ValueError, NULL);
    if (PyModule_AddObjectRef(module, "ModelError", state->model_error) < 0)
        return -1;
    state->callable_type = ig_callable_type(module);
    return state->callable_type ? 0 : -1;
}

static int core_traverse(PyObject *module, visitproc visit, void *arg)
{
    Py_VISIT(get_state(module)->model_error);
    Py_VISIT(get_state(module)->callable_type);
    return 0;
}

static int core_clear(PyObject *module)
{
    Py_CLEAR(get_state(module)->model_error);
    Py_CLEAR(get_state(module)->callable_type);
    return 0;
}

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, (void *)core_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef core_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "intgrad._core",
    .m_doc = "The C core of intgrad: kernels and the integration engine.",
    .m_size = sizeof(core_state),
    .m_methods = core_methods,
    .m_slots = core_slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&core_module);
}
