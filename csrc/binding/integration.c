/* integration.c - integrate: arrays in, one call of the engine without the GIL, arrays out. */
#include "arguments.h"

#include "../engine/integrate.h"
#include "../engine/refine.h"
#include "methods.h"
#include "progress.h"
#include "state.h"

#include <string.h>

/* The arrays of one integration; all owned. */
typedef struct {
    PyArrayObject *images, *baselines, *targets, *alphas, *weights, *half_weights;
    PyArrayObject *labels, *region_counts, *region_sums, *region_deviations, *region_error;
    ig_regions *regions; /* (N), of `labels` */
    PyArrayObject *attributions, *gradients, *error_map, *pixel_error_map, *refined, *node_counts;
    PyArrayObject *scores, *baseline_scores, *sums, *quadrature_error, *baseline_error;
    PyArrayObject *starts, *evaluations; /* of draws */
} integration;

static void release_integration(integration *a)
{
    Py_XDECREF(a->images);
    Py_XDECREF(a->baselines);
    Py_XDECREF(a->targets);
    Py_XDECREF(a->alphas);
    Py_XDECREF(a->weights);
    Py_XDECREF(a->half_weights);
    Py_XDECREF(a->labels);
    Py_XDECREF(a->region_counts);
    Py_XDECREF(a->region_sums);
    Py_XDECREF(a->region_deviations);
    Py_XDECREF(a->region_error);
    PyMem_Free(a->regions);
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
    Py_XDECREF(a->starts);
    Py_XDECREF(a->evaluations);
}

/* What is computed beside the attributions, and how the nodes are chosen. */
typedef struct {
    int error_map, gradient;
    ig_adaptive adaptive; /* a tolerance of 0: the nodes are given */
    ig_curve curve;
    int has_draws;
    ig_draws draws;
    PyObject *draw;      /* borrowed */
    size_t picture_size; /* values that it gives */
} wishes;

static int same_shape(ig_shape a, ig_shape b)
{
    return a.height == b.height && a.width == b.width && a.channels == b.channels;
}

static int check_nodes(const integration *a, const wishes *wanted)
{
    const npy_intp count = PyArray_DIM(a->alphas, 0);
    if (count < 1 || PyArray_DIM(a->weights, 0) != count ||
        (a->half_weights && PyArray_DIM(a->half_weights, 0) != count)) {
        PyErr_SetString(PyExc_ValueError, "alphas, weights and half_weights must be equally long");
        return 0;
    }
    if (wanted->error_map && !a->half_weights && !wanted->has_draws) {
        PyErr_SetString(PyExc_ValueError, "an error map needs half_weights");
        return 0;
    }
    if (wanted->gradient && ((const double *)PyArray_DATA(a->alphas))[count - 1] != 1.0) {
        PyErr_SetString(PyExc_ValueError, "the gradient at the image needs a node there");
        return 0;
    }
    return ig_check_size((size_t)PyArray_DIM(a->images, 0), (size_t)PyArray_DIM(a->baselines, 1),
                         (size_t)count);
}

static int check_draws(const integration *a, const wishes *wanted)
{
    const ig_draws *draws = &wanted->draws;
    const size_t count = draws->count, stratum = draws->is_stratified ? draws->per_stratum : 1;
    const size_t nodes = (size_t)PyArray_DIM(a->alphas, 0);
    if (count < 1 || stratum < 1 || count % stratum ||
        (a->starts && (size_t)PyArray_DIM(a->starts, 0) != draws->rounds * count) ||
        (draws->is_stratified && (stratum < 2 || !a->starts)) ||
        (draws->statistic != IG_MEAN && (draws->is_stratified || a->half_weights)) ||
        (draws->tolerance > 0.0 && draws->max_evaluations / nodes < count)) {
        PyErr_SetString(PyExc_ValueError, "draws do not fit together");
        return 0;
    }
    return ig_check_size((size_t)PyArray_DIM(a->images, 0), count, nodes);
}

static int check_curve(const integration *a, const wishes *wanted)
{
    const ig_curve *curve = &wanted->curve;
    const int steps_fit = (size_t)(PyArray_DIM(a->alphas, 0) - !curve->is_left) == curve->steps;
    if (curve->sigma >= 0.0 && curve->sigma <= 1e4 && curve->fraction >= 0.0 &&
        curve->fraction <= 1.0 && curve->max_distance >= 0.0 &&
        ((curve->kind != IG_GUIDED && !curve->is_left) ||
         (curve->steps > 0 && steps_fit && wanted->adaptive.tolerance == 0.0)))
        return 1;
    PyErr_SetString(PyExc_ValueError, "sigma, fraction, max_distance or steps do not fit the path");
    return 0;
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
    return ig_check_size((size_t)PyArray_DIM(a->images, 0), adaptive->max_evaluations, 1) &&
           ig_check_size((size_t)PyArray_DIM(a->images, 0), baselines, 1);
}

/* Points into the labels, once each image's are found to be 0 .. count - 1. */
static int find_regions(integration *a)
{
    const npy_intp n = PyArray_DIM(a->images, 0);
    const npy_intp pixels = PyArray_DIM(a->images, 1) * PyArray_DIM(a->images, 2);
    if (PyArray_DIM(a->labels, 0) != n || PyArray_DIM(a->labels, 1) != PyArray_DIM(a->images, 1) ||
        PyArray_DIM(a->labels, 2) != PyArray_DIM(a->images, 2) ||
        PyArray_DIM(a->region_counts, 0) != n) {
        PyErr_SetString(PyExc_ValueError, "labels must have shape (N, H, W), region_counts (N)");
        return 0;
    }
    if (!(a->regions = PyMem_Malloc((size_t)n * sizeof *a->regions))) {
        PyErr_NoMemory();
        return 0;
    }
    const int64_t *counts = PyArray_DATA(a->region_counts);
    for (npy_intp i = 0; i < n; i++) {
        const int32_t *labels = (const int32_t *)PyArray_DATA(a->labels) + i * pixels;
        for (npy_intp p = 0; p < pixels; p++)
            if (labels[p] < 0 || labels[p] >= counts[i]) {
                PyErr_Format(PyExc_ValueError, "a label is %d, and image %zd has %lld regions",
                             (int)labels[p], i, (long long)counts[i]);
                return 0;
            }
        if (counts[i] > pixels) {
            PyErr_Format(PyExc_ValueError, "image %zd has more regions than pixels: %lld", i,
                         (long long)counts[i]);
            return 0;
        }
        a->regions[i] = (ig_regions){labels, (size_t)counts[i]};
    }
    return 1;
}

static int check_integration(const integration *a, const wishes *wanted)
{
    const npy_intp n = PyArray_DIM(a->images, 0), sets = PyArray_DIM(a->baselines, 0);
    if (!ig_check_pictures(a->images, "images") || !ig_check_pictures(a->baselines, "baseline"))
        return 0;
    if (!same_shape(ig_shape_of(a->images), ig_shape_of(a->baselines)) ||
        (sets != 1 && sets != n)) {
        PyErr_SetString(PyExc_ValueError, "baselines must have shape (1 or N, M, H, W, C)");
        return 0;
    }
    if (PyArray_DIM(a->targets, 0) != n || PyArray_DIM(a->targets, 1) < 1) {
        PyErr_Format(PyExc_ValueError, "targets must have shape (%zd, T), got (%zd, %zd)", n,
                     PyArray_DIM(a->targets, 0), PyArray_DIM(a->targets, 1));
        return 0;
    }
    const ig_shape shape = ig_shape_of(a->images);
    return ig_check_size((size_t)n, (size_t)PyArray_DIM(a->targets, 1), ig_shape_size(shape)) &&
           (wanted->adaptive.tolerance > 0.0 ? check_adaptive(a, &wanted->adaptive)
                                             : check_nodes(a, wanted)) &&
           check_curve(a, wanted) && (!wanted->has_draws || check_draws(a, wanted));
}

static int allocate_nodes(integration *a, const ig_adaptive *adaptive)
{
    const npy_intp nodes[2] = {PyArray_DIM(a->images, 0), (npy_intp)adaptive->max_evaluations};
    const npy_intp counts[2] = {nodes[0], PyArray_DIM(a->baselines, 1)};
    a->refined = (PyArrayObject *)PyArray_SimpleNew(2, nodes, NPY_DOUBLE);
    a->node_counts = (PyArrayObject *)PyArray_SimpleNew(2, counts, NPY_INT64);
    return a->refined && a->node_counts;
}

static int allocate_regions(integration *a, const wishes *wanted)
{
    const npy_intp n = PyArray_DIM(a->images, 0), t = PyArray_DIM(a->targets, 1);
    const npy_intp cells[2] = {n, t};
    npy_intp count = 0;
    for (npy_intp i = 0; i < n; i++)
        count += (npy_intp)a->regions[i].count * t;
    a->region_sums = (PyArrayObject *)PyArray_SimpleNew(1, &count, NPY_DOUBLE);
    a->region_error = (PyArrayObject *)PyArray_SimpleNew(2, cells, NPY_DOUBLE);
    if (!a->region_sums || !a->region_error)
        return 0;
    if (!a->half_weights && !wanted->has_draws)
        return 1;
    a->region_deviations = (PyArrayObject *)PyArray_SimpleNew(1, &count, NPY_FLOAT32);
    return a->region_deviations != NULL;
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
    if (a->regions && !allocate_regions(a, wanted))
        return 0;
    if (wanted->has_draws &&
        !(a->evaluations = (PyArrayObject *)PyArray_SimpleNew(1, maps, NPY_INT64)))
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
                             Py_ssize_t batch_size, int apart, const wishes *wanted)
{
    const size_t n = (size_t)PyArray_DIM(a->images, 0), m = (size_t)PyArray_DIM(a->baselines, 1);
    const size_t count = (size_t)PyArray_DIM(a->alphas, 0);
    const int adaptive = wanted->adaptive.tolerance > 0.0;
    const size_t paths = wanted->has_draws ? wanted->draws.count : m;
    const size_t points =
        (apart ? 1 : n) * (adaptive ? wanted->adaptive.max_evaluations : paths * count);
    return (ig_request){
        .shape = ig_shape_of(a->images),
        .output = output,
        .curve = wanted->curve,
        .draws = wanted->has_draws ? &wanted->draws : NULL,
        .image_count = n,
        .baseline_count = m,
        .target_count = (size_t)PyArray_DIM(a->targets, 1),
        .images = PyArray_DATA(a->images),
        /* A gradient has none, and where they are drawn nobody knows their scores. */
        .baselines = wanted->curve.kind == IG_STAY || wanted->draws.starts
                         ? NULL
                         : PyArray_DATA(a->baselines),
        .baselines_are_shared = PyArray_DIM(a->baselines, 0) == 1,
        .baselines_are_a_sample = sample,
        .targets = PyArray_DATA(a->targets),
        .regions = a->regions,
        .nodes = {.count = count,
                  .alphas = PyArray_DATA(a->alphas),
                  .weights = PyArray_DATA(a->weights),
                  .half_weights = a->half_weights ? PyArray_DATA(a->half_weights) : NULL},
        .adaptive = adaptive ? &wanted->adaptive : NULL,
        .batch_size = (size_t)batch_size < points ? (size_t)batch_size : points,
        .apart = apart,
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
        .region_sums = data_of(a->region_sums),
        .region_deviations = data_of(a->region_deviations),
        .region_error = data_of(a->region_error),
        .alphas = data_of(a->refined),
        .evaluations = data_of(a->evaluations),
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
        put(answer, "node_counts", a->node_counts) && put(answer, "region_sums", a->region_sums) &&
        put(answer, "region_deviations", a->region_deviations) &&
        put(answer, "evaluations", a->evaluations) && put(answer, "region_error", a->region_error))
        return answer;
    Py_XDECREF(answer);
    return NULL;
}

/* The picture that the callable in `context` gives, checked. */
static ig_status draw_picture(void *context, size_t image, size_t number, float *ret_picture,
                              ig_error *error)
{
    const wishes *wanted = context;
    const size_t size = wanted->picture_size;
    const PyGILState_STATE gil = PyGILState_Ensure();
    ig_status status = IG_PENDING;
    (void)error;
    PyObject *given =
        PyObject_CallFunction(wanted->draw, "nn", (Py_ssize_t)image, (Py_ssize_t)number);
    PyArrayObject *picture = given ? ig_to_array(given, NPY_FLOAT32, 3) : NULL;
    if (picture && (size_t)PyArray_SIZE(picture) != size)
        PyErr_SetString(PyExc_ValueError, "a drawn picture must have the images' shape");
    else if (picture && ig_check_pictures(picture, "a drawn picture")) {
        memcpy(ret_picture, PyArray_DATA(picture), size * sizeof *ret_picture);
        status = IG_OK;
    }
    Py_XDECREF(picture);
    Py_XDECREF(given);
    PyGILState_Release(gil);
    return status;
}

/* What is None is left as it is; 0 with an exception set on failure. */
static int to_curve(PyObject *object, ig_curve *ret_curve)
{
    static const char *const names[] = {"straight", "blur", "guided", "stay"};
    const char *name;
    Py_ssize_t steps;
    if (object == Py_None)
        return 1;
    if (!PyArg_ParseTuple(object,
                          "spnddd;curve must be (kind, left, steps, sigma, fraction, "
                          "max_distance)",
                          &name, &ret_curve->is_left, &steps, &ret_curve->sigma,
                          &ret_curve->fraction, &ret_curve->max_distance))
        return 0;
    ret_curve->steps = (size_t)steps;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (strcmp(name, names[k]) == 0) {
            ret_curve->kind = (ig_curve_kind)k;
            return 1;
        }
    PyErr_Format(PyExc_ValueError, "curve must be straight, blur, guided or stay, got %s", name);
    return 0;
}

/* The same of draws; `a` gets the starts, an array. */
static int to_draws(PyObject *object, integration *a, wishes *wanted)
{
    static const char *const names[] = {"mean", "square", "variance"};
    ig_draws *draws = &wanted->draws;
    const char *statistic;
    PyObject *starts;
    Py_ssize_t count, per_stratum, max_evaluations;
    if (object == Py_None)
        return 1;
    if (!PyArg_ParseTuple(object,
                          "nnOOsdpn;draws must be (count, per_stratum, draw, "
                          "starts, statistic, tolerance, by_region, max_evaluations)",
                          &count, &per_stratum, &wanted->draw, &starts, &statistic,
                          &draws->tolerance, &draws->by_region, &max_evaluations) ||
        !ig_check_positive(count, "draws") ||
        (starts != Py_None && !(a->starts = ig_to_array(starts, NPY_DOUBLE, 1))))
        return 0;
    wanted->has_draws = 1;
    draws->count = (size_t)count;
    draws->is_stratified = per_stratum > 0;
    draws->per_stratum = (size_t)per_stratum;
    draws->max_evaluations = (size_t)max_evaluations;
    draws->draw = draw_picture;
    draws->context = wanted;
    draws->starts = a->starts ? PyArray_DATA(a->starts) : NULL;
    draws->rounds = a->starts ? (size_t)PyArray_DIM(a->starts, 0) / draws->count : 1;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (strcmp(statistic, names[k]) == 0) {
            draws->statistic = (ig_statistic)k;
            return 1;
        }
    PyErr_Format(PyExc_ValueError, "statistic must be mean, square or variance, got %s", statistic);
    return 0;
}

PyDoc_STRVAR(
    integrate_doc,
    "integrate(model, images, baselines, targets, alphas, weights, half_weights, output,\n"
    "          batch_size, sample=False, error_map=False, gradient=False, tolerance=0,\n"
    "          max_evaluations=0, most_retained=0, first_image=0, progress=None, labels=None,\n"
    "          region_counts=None, by_region=False, curve=None, draws=None,\n"
    "          per_image=1, apart=False)\n--\n\n"
    "Integrated Gradients of images (N, H, W, C) from baselines (1 or N, M, H, W, C) for\n"
    "targets (N, T), on the given nodes, or to a tolerance other than 0. Returns a dict:\n"
    "attributions, gradients and error_map (N, T, H, W, C) and pixel_error_map (N, T, H, W)\n"
    "float32; scores, baseline_scores, sums, quadrature_error and baseline_error (N, T)\n"
    "float64; batch_size; with a tolerance, alphas (N, max_evaluations), the nodes of an\n"
    "image's paths one after the other, and node_counts (N, M). With labels (N, H, W) int32 of\n"
    "region_counts (N) regions: region_error (N, T), and region_sums and region_deviations, of\n"
    "each image (T, regions) one after the other; by_region makes the tolerance theirs. What was\n"
    "not asked for is None.\n\n"
    "curve is (kind, left, steps, sigma, fraction, max_distance) with a kind of straight, blur,\n"
    "guided or stay; draws are (count, per_stratum, draw, starts, statistic,\n"
    "tolerance, by_region, max_evaluations), where draw(image, number) returns a picture: see\n"
    "backend.h and integrate.h. evaluations (N) are theirs.\n"
    "Messages count per_image images as one. apart keeps images out of each other's batches.");

static PyObject *core_integrate(PyObject *module, PyObject *args, PyObject *keywords)
{
    static char *names[] = {
        "model",       "images",       "baselines", "targets",         "alphas",
        "weights",     "half_weights", "output",    "batch_size",      "sample",
        "error_map",   "gradient",     "tolerance", "max_evaluations", "most_retained",
        "first_image", "progress",     "labels",    "region_counts",   "by_region",
        "curve",       "draws",        "per_image", "apart",           NULL};
    PyObject *model, *images, *baselines, *targets, *alphas, *weights, *half;
    PyObject *progress = Py_None, *labels = Py_None, *region_counts = Py_None;
    PyObject *curve = Py_None, *draws = Py_None;
    const char *output_name;
    Py_ssize_t batch_size, max_evaluations = 0, most_retained = 0, first_image = 0, per_image = 1;
    int sample = 0, apart = 0;
    ig_output output;
    PyObject *answer = NULL;
    integration a = {0};
    wishes wanted = {0};
    if (!PyArg_ParseTupleAndKeywords(
            args, keywords, "OOOOOOOsn|pppdnnnOOOpOOnp", names, &model, &images, &baselines,
            &targets, &alphas, &weights, &half, &output_name, &batch_size, &sample,
            &wanted.error_map, &wanted.gradient, &wanted.adaptive.tolerance, &max_evaluations,
            &most_retained, &first_image, &progress, &labels, &region_counts,
            &wanted.adaptive.by_region, &curve, &draws, &per_image, &apart) ||
        !ig_check_positive(per_image, "per_image") || !ig_to_output(output_name, &output) ||
        !ig_check_positive(batch_size, "batch_size"))
        return NULL;
    wanted.adaptive.max_evaluations = (size_t)max_evaluations;
    wanted.adaptive.most_retained = (size_t)most_retained;
    const ig_handle *handle = ig_to_handle(module, model);
    if (!handle || !(a.images = ig_to_array(images, NPY_FLOAT32, 4)) ||
        !(a.baselines = ig_to_array(baselines, NPY_FLOAT32, 5)) ||
        !(a.targets = ig_to_array(targets, NPY_INT64, 2)) ||
        !(a.alphas = ig_to_array(alphas, NPY_DOUBLE, 1)) ||
        !(a.weights = ig_to_array(weights, NPY_DOUBLE, 1)) ||
        (half != Py_None && !(a.half_weights = ig_to_array(half, NPY_DOUBLE, 1))) ||
        (labels != Py_None && (!(a.labels = ig_to_array(labels, NPY_INT32, 3)) ||
                               !(a.region_counts = ig_to_array(region_counts, NPY_INT64, 1)))) ||
        !to_curve(curve, &wanted.curve) || !to_draws(draws, &a, &wanted) ||
        !check_integration(&a, &wanted) || (a.labels && !find_regions(&a)) ||
        !allocate_results(&a, &wanted))
        goto done;
    wanted.picture_size = ig_shape_size(ig_shape_of(a.images));
    ig_request request = to_request(&a, output, sample, batch_size, apart, &wanted);
    request.first_image = (size_t)first_image;
    request.per_image = (size_t)per_image;
    ig_result result = to_result(&a);
    ig_error error;
    ig_status status;
    Py_BEGIN_ALLOW_THREADS
    status = ig_integrate(handle->backend, handle->model, &request, ig_between_batches,
                          ig_progress_context(progress), &result, &error);
    Py_END_ALLOW_THREADS
    ig_raise(status, &error, ig_state_of(module)->model_error);
    if (status == IG_OK)
        answer = to_answer(&a, result.batch_size);

done:
    release_integration(&a);
    return answer;
}

PyMethodDef ig_integration_methods[] = {
    {"integrate", (PyCFunction)(void (*)(void))core_integrate, METH_VARARGS | METH_KEYWORDS,
     integrate_doc},
    {NULL, NULL, 0, NULL},
};
