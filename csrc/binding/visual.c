/* visual.c - the transforms of GradVisualizer: arrays in, one kernel without the GIL, arrays out.
 *
 * Everything that the kernels take for granted is checked here: dtype, layout, shapes that agree,
 * finite values, sizes that do not overflow. Any real dtype is taken, and read as float64 unless a
 * kernel reads it as it is; results are new arrays.
 */
#include "arrays.h"

#include "../kernels/kernels.h"
#include "methods.h"

/* ---- Arguments ----------------------------------------------------------------------------- */

/* Sums over any array that fits in memory, times 100, stay finite below this. */
#define LARGEST 1e290

enum { ANY_NDIM = -1 };

/* Raises ValueError with the value at a flat index and its place. */
static void raise_value(PyArrayObject *array, size_t at, const char *name)
{
    PyObject *value = PyArray_TYPE(array) == NPY_FLOAT32
                          ? PyFloat_FromDouble(((const float *)PyArray_DATA(array))[at])
                          : PyFloat_FromDouble(((const double *)PyArray_DATA(array))[at]);
    PyObject *place = PyTuple_New(PyArray_NDIM(array));
    for (int axis = PyArray_NDIM(array) - 1; place && axis >= 0; axis--) {
        const size_t length = (size_t)PyArray_DIM(array, axis);
        PyObject *index = PyLong_FromSize_t(at % length);
        if (!index || PyTuple_SetItem(place, axis, index) < 0)
            Py_CLEAR(place);
        at /= length;
    }
    if (value && place)
        PyErr_Format(PyExc_ValueError,
                     "%s must be finite, and at most 1e290 in magnitude, got %R at %R", name, value,
                     place);
    Py_XDECREF(value);
    Py_XDECREF(place);
}

static int check_values(PyArrayObject *array, const char *name)
{
    const size_t count = (size_t)PyArray_SIZE(array);
    size_t at = 0;
    int good = 1;
    Py_BEGIN_ALLOW_THREADS
    if (PyArray_TYPE(array) == NPY_FLOAT32)
        good = ig_all_finite(PyArray_DATA(array), count, &at);
    else if (PyArray_TYPE(array) == NPY_DOUBLE)
        good = ig_all_within(PyArray_DATA(array), count, LARGEST, &at);
    Py_END_ALLOW_THREADS
    if (!good)
        raise_value(array, at, name);
    return good;
}

/* A new reference to `object` as an aligned C array in native order; NULL with an exception set. */
static PyArrayObject *to_unchecked(PyObject *object, int type, int ndim, const char *name)
{
    PyArrayObject *array = (PyArrayObject *)PyArray_FROMANY(object, type, 0, 0, NPY_ARRAY_IN_ARRAY);
    if (!array || ndim == ANY_NDIM || PyArray_NDIM(array) == ndim)
        return array;
    PyObject *shape = PyObject_GetAttrString((PyObject *)array, "shape");
    if (shape)
        PyErr_Format(PyExc_ValueError, "%s must have %d dimensions, got shape %R", name, ndim,
                     shape);
    Py_XDECREF(shape);
    Py_DECREF(array);
    return NULL;
}

/* As to_unchecked, every value finite. */
static PyArrayObject *to_array(PyObject *object, int type, int ndim, const char *name)
{
    PyArrayObject *array = to_unchecked(object, type, ndim, name);
    if (array && !check_values(array, name))
        Py_CLEAR(array);
    return array;
}

/* As to_array, float64; a map to be changed in place came from here and is known to be finite. */
static PyArrayObject *to_source(PyObject *object, PyObject *out, int ndim)
{
    return object == out ? to_unchecked(object, NPY_DOUBLE, ndim, "attributions")
                         : to_array(object, NPY_DOUBLE, ndim, "attributions");
}

/* As to_unchecked; what is float32, or else uint8 where `bytes` is set, stays as it is. */
static PyArrayObject *to_pixels(PyObject *object, int bytes, const char *name)
{
    PyArrayObject *array = (PyArrayObject *)PyArray_FROM_O(object), *result = NULL;
    if (!array)
        return NULL;
    int type = PyArray_TYPE(array);
    if (type != NPY_FLOAT32 && !(bytes && type == NPY_UINT8))
        type = NPY_DOUBLE;
    result = to_unchecked((PyObject *)array, type, 3, name);
    Py_DECREF(array);
    return result;
}

/* A map (H, W) from here, hence finite; or a mask where `object` is an array of bool. */
static PyArrayObject *to_map(PyObject *object)
{
    const int is_mask = PyArray_Check(object) && PyArray_TYPE((PyArrayObject *)object) == NPY_BOOL;
    return to_unchecked(object, is_mask ? NPY_BOOL : NPY_DOUBLE, 2, "attributions");
}

static int check_not_empty(PyArrayObject *array, const char *name)
{
    if (PyArray_SIZE(array) > 0)
        return 1;
    PyObject *shape = PyObject_GetAttrString((PyObject *)array, "shape");
    if (shape)
        PyErr_Format(PyExc_ValueError, "%s must not be empty, got shape %R", name, shape);
    Py_XDECREF(shape);
    return 0;
}

/* Labels are int32. */
static int check_labels_fit(PyArrayObject *mask)
{
    if (PyArray_SIZE(mask) <= INT32_MAX)
        return 1;
    PyErr_Format(PyExc_ValueError, "attributions must have at most %d pixels, got %zd", INT32_MAX,
                 (Py_ssize_t)PyArray_SIZE(mask));
    return 0;
}

static PyArrayObject *new_like(PyArrayObject *array, int type)
{
    return (PyArrayObject *)PyArray_SimpleNew(PyArray_NDIM(array), PyArray_DIMS(array), type);
}

/* Scratch comes from NumPy too, which asks for huge pages: untouched ones cost nothing, and what a
 * kernel may need is often far more than what it does. */
static PyArrayObject *new_scratch(size_t count, int type)
{
    npy_intp length = (npy_intp)count;
    return (PyArrayObject *)PyArray_SimpleNew(1, &length, type);
}

/* Where to write a map in the shape of `map`: a new array if `out` is None, else `out`, which may
 * be the map itself. A new reference, NULL with an exception set. */
static PyArrayObject *to_result(PyObject *out, PyArrayObject *map)
{
    if (out == Py_None)
        return new_like(map, NPY_DOUBLE);
    PyArrayObject *array = (PyArrayObject *)out;
    if (PyArray_Check(out) && PyArray_TYPE(array) == NPY_DOUBLE && PyArray_ISCARRAY(array) &&
        PyArray_SAMESHAPE(array, map)) {
        Py_INCREF(out);
        return array;
    }
    PyErr_SetString(PyExc_ValueError, "out must be a C-contiguous float64 array of the same shape");
    return NULL;
}

static ig_type type_of(PyArrayObject *array)
{
    const int type = PyArray_TYPE(array);
    return type == NPY_DOUBLE ? IG_FLOAT64 : type == NPY_FLOAT32 ? IG_FLOAT32 : IG_UINT8;
}

static size_t size_of(PyArrayObject *array)
{
    return (size_t)PyArray_SIZE(array);
}

static size_t dim_of(PyArrayObject *array, int axis)
{
    return (size_t)PyArray_DIM(array, axis);
}

/* ---- Tone ---------------------------------------------------------------------------------- */

PyDoc_STRVAR(clip_doc, "clip(attributions, low, high, /)\n--\n\nfloat64, in any shape.");

static PyObject *visual_clip(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *object;
    double low, high;
    if (!PyArg_ParseTuple(args, "Odd", &object, &low, &high))
        return NULL;
    PyArrayObject *values = to_array(object, NPY_DOUBLE, ANY_NDIM, "attributions");
    PyArrayObject *result = values ? new_like(values, NPY_DOUBLE) : NULL;
    if (result) {
        const size_t count = size_of(values);
        Py_BEGIN_ALLOW_THREADS
        ig_clip(PyArray_DATA(values), count, low, high, PyArray_DATA(result));
        Py_END_ALLOW_THREADS
    }
    Py_XDECREF(values);
    return (PyObject *)result;
}

PyDoc_STRVAR(channel_mean_doc,
             "channel_mean(attributions, sign, limit, /)\n--\n\n"
             "Mean over the channels of (H, W, C), each times sign and clipped to [0, limit]:\n"
             "(H, W) float64.");

static PyObject *visual_channel_mean(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *object;
    double sign, limit;
    PyArrayObject *result = NULL;
    if (!PyArg_ParseTuple(args, "Odd", &object, &sign, &limit))
        return NULL;
    PyArrayObject *values = to_pixels(object, 0, "attributions");
    if (!values || !check_not_empty(values, "attributions"))
        goto done;
    result = (PyArrayObject *)PyArray_SimpleNew(2, PyArray_DIMS(values), NPY_DOUBLE);
    if (!result)
        goto done;
    const size_t pixels = size_of(result), channels = dim_of(values, 2);
    int good;
    Py_BEGIN_ALLOW_THREADS
    good = ig_channel_mean(PyArray_DATA(values), type_of(values), pixels, channels, sign, limit,
                           LARGEST, PyArray_DATA(result));
    Py_END_ALLOW_THREADS
    if (!good) {
        if (check_values(values, "attributions"))
            PyErr_SetString(PyExc_ValueError, "attributions were written to while they were read");
        Py_CLEAR(result);
    }

done:
    Py_XDECREF(values);
    return (PyObject *)result;
}

PyDoc_STRVAR(energy_threshold_doc,
             "energy_threshold(attributions, percentage, /)\n--\n\n"
             "The magnitude at which the largest add up to a percentage of the sum, as a float.");

static PyObject *visual_energy_threshold(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *object, *result = NULL;
    PyArrayObject *scratch = NULL;
    double percentage, threshold;
    if (!PyArg_ParseTuple(args, "Od", &object, &percentage))
        return NULL;
    PyArrayObject *map = to_array(object, NPY_DOUBLE, ANY_NDIM, "attributions");
    if (!map || !check_not_empty(map, "attributions"))
        goto done;
    const size_t count = size_of(map);
    scratch = new_scratch(ig_energy_scratch(count), NPY_DOUBLE);
    if (!scratch)
        goto done;
    Py_BEGIN_ALLOW_THREADS
    ig_energy_thresholds(PyArray_DATA(map), count, &percentage, 1, PyArray_DATA(scratch),
                         &threshold);
    Py_END_ALLOW_THREADS
    result = PyFloat_FromDouble(threshold);

done:
    Py_XDECREF(map);
    Py_XDECREF(scratch);
    return result;
}

PyDoc_STRVAR(linear_transform_doc,
             "linear_transform(attributions, high, low, lower_end, out, /)\n--\n\n"
             "The line through lower_end and 1 at the thresholds of two percentages, as float64.");

static PyObject *visual_linear_transform(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *object, *out;
    double percentages[2], thresholds[2], lower_end;
    PyArrayObject *scratch = NULL, *result = NULL;
    if (!PyArg_ParseTuple(args, "OdddO", &object, &percentages[0], &percentages[1], &lower_end,
                          &out))
        return NULL;
    PyArrayObject *map = to_source(object, out, ANY_NDIM);
    if (!map || !check_not_empty(map, "attributions"))
        goto done;
    const size_t count = size_of(map);
    scratch = new_scratch(ig_energy_scratch(count), NPY_DOUBLE);
    result = scratch ? to_result(out, map) : NULL;
    if (!result)
        goto done;
    Py_BEGIN_ALLOW_THREADS
    ig_energy_thresholds(PyArray_DATA(map), count, percentages, 2, PyArray_DATA(scratch),
                         thresholds);
    ig_linear_transform(PyArray_DATA(map), count, thresholds[0], thresholds[1], lower_end,
                        PyArray_DATA(result));
    Py_END_ALLOW_THREADS

done:
    Py_XDECREF(map);
    Py_XDECREF(scratch);
    return (PyObject *)result;
}

PyDoc_STRVAR(binarize_doc, "binarize(attributions, threshold, /)\n--\n\nbool, in any shape.");

static PyObject *visual_binarize(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *object;
    double threshold;
    if (!PyArg_ParseTuple(args, "Od", &object, &threshold))
        return NULL;
    PyArrayObject *map = to_array(object, NPY_DOUBLE, ANY_NDIM, "attributions");
    PyArrayObject *result = map ? new_like(map, NPY_BOOL) : NULL;
    if (result) {
        const size_t count = size_of(map);
        Py_BEGIN_ALLOW_THREADS
        ig_binarize(PyArray_DATA(map), count, threshold, PyArray_DATA(result));
        Py_END_ALLOW_THREADS
    }
    Py_XDECREF(map);
    return (PyObject *)result;
}

/* ---- Morphology ---------------------------------------------------------------------------- */

PyDoc_STRVAR(cleanup_doc,
             "cleanup(attributions, structure, out, /)\n--\n\n"
             "Grey closing and then grey opening of (H, W) by a structure, as float64.");

static PyObject *visual_cleanup(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *object, *structure_object, *out;
    PyArrayObject *structure = NULL, *scratch = NULL, *spare = NULL, *result = NULL;
    if (!PyArg_ParseTuple(args, "OOO", &object, &structure_object, &out))
        return NULL;
    PyArrayObject *map = to_source(object, out, 2);
    structure = map ? to_array(structure_object, NPY_DOUBLE, 2, "structure") : NULL;
    if (!structure || !check_not_empty(map, "attributions") ||
        !check_not_empty(structure, "structure"))
        goto done;
    const size_t height = dim_of(map, 0), width = dim_of(map, 1);
    const ig_structure brush = {PyArray_DATA(structure), dim_of(structure, 0),
                                dim_of(structure, 1)};
    scratch = new_scratch(ig_morphology_scratch(height, width, brush), NPY_DOUBLE);
    spare = scratch ? new_like(map, NPY_DOUBLE) : NULL;
    result = spare ? to_result(out, map) : NULL;
    if (!result)
        goto done;
    double *lines = PyArray_DATA(scratch), *a = PyArray_DATA(spare), *b = PyArray_DATA(result);
    Py_BEGIN_ALLOW_THREADS
    ig_dilate(PyArray_DATA(map), height, width, brush, lines, a);
    ig_erode(a, height, width, brush, lines, b);
    ig_erode(b, height, width, brush, lines, a);
    ig_dilate(a, height, width, brush, lines, b);
    Py_END_ALLOW_THREADS

done:
    Py_XDECREF(map);
    Py_XDECREF(structure);
    Py_XDECREF(scratch);
    Py_XDECREF(spare);
    return (PyObject *)result;
}

/* ---- Components ---------------------------------------------------------------------------- */

PyDoc_STRVAR(fill_holes_doc, "fill_holes(mask, /)\n--\n\n(H, W) bool with its holes filled.");

static PyObject *visual_fill_holes(PyObject *module, PyObject *object)
{
    (void)module;
    PyArrayObject *scratch = NULL, *result = NULL;
    PyArrayObject *mask = to_array(object, NPY_BOOL, 2, "mask");
    if (!mask || !check_not_empty(mask, "mask") || !check_labels_fit(mask))
        goto done;
    scratch = new_like(mask, NPY_INT32);
    result = scratch ? new_like(mask, NPY_BOOL) : NULL;
    if (!result)
        goto done;
    const size_t height = dim_of(result, 0), width = dim_of(result, 1);
    Py_BEGIN_ALLOW_THREADS
    ig_fill_holes(PyArray_DATA(mask), height, width, PyArray_DATA(scratch), PyArray_DATA(result));
    Py_END_ALLOW_THREADS

done:
    Py_XDECREF(mask);
    Py_XDECREF(scratch);
    return (PyObject *)result;
}

PyDoc_STRVAR(components_doc,
             "components(mask, links, weights, /)\n--\n\n"
             "(labels (H, W) int32, sum of the weights of each component (K,) float64); the sums\n"
             "count pixels where weights is None. links adds 1 for west, 2 for north-west, 4 for\n"
             "north and 8 for north-east.");

static PyObject *visual_components(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *mask_object, *weights_object, *result = NULL;
    unsigned int links;
    PyArrayObject *mask = NULL, *weights = NULL, *labels = NULL, *sums = NULL;
    if (!PyArg_ParseTuple(args, "OIO", &mask_object, &links, &weights_object))
        return NULL;
    mask = to_array(mask_object, NPY_BOOL, 2, "mask");
    if (!mask || !check_not_empty(mask, "mask") || !check_labels_fit(mask))
        goto done;
    if (weights_object != Py_None) {
        weights = to_array(weights_object, NPY_DOUBLE, 2, "weights");
        if (!weights)
            goto done;
        if (!PyArray_SAMESHAPE(mask, weights)) {
            PyErr_SetString(PyExc_ValueError, "mask and weights must have the same shape");
            goto done;
        }
    }
    labels = new_like(mask, NPY_INT32);
    if (!labels)
        goto done;
    const size_t height = dim_of(labels, 0), width = dim_of(labels, 1);
    npy_intp count;
    Py_BEGIN_ALLOW_THREADS
    count = (npy_intp)ig_label(PyArray_DATA(mask), height, width, links, PyArray_DATA(labels));
    Py_END_ALLOW_THREADS
    sums = (PyArrayObject *)PyArray_SimpleNew(1, &count, NPY_DOUBLE);
    if (!sums)
        goto done;
    Py_BEGIN_ALLOW_THREADS
    ig_component_sums(PyArray_DATA(labels), weights ? PyArray_DATA(weights) : NULL, height * width,
                      (size_t)count, PyArray_DATA(sums));
    Py_END_ALLOW_THREADS
    result = Py_BuildValue("OO", labels, sums);

done:
    Py_XDECREF(mask);
    Py_XDECREF(weights);
    Py_XDECREF(labels);
    Py_XDECREF(sums);
    return result;
}

PyDoc_STRVAR(
    outline_doc,
    "outline(labels, sums, percentage, /)\n--\n\n"
    "Border (H, W) bool of the largest components, at most three, that reach a percentage\n"
    "of all sums.");

static PyObject *visual_outline(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *labels_object, *sums_object;
    double percentage;
    PyArrayObject *labels = NULL, *sums = NULL, *scratch = NULL, *result = NULL;
    if (!PyArg_ParseTuple(args, "OOd", &labels_object, &sums_object, &percentage))
        return NULL;
    labels = to_array(labels_object, NPY_INT32, 2, "labels");
    sums = labels ? to_array(sums_object, NPY_DOUBLE, 1, "sums") : NULL;
    if (!sums || !check_not_empty(labels, "labels"))
        goto done;
    const size_t height = dim_of(labels, 0), width = dim_of(labels, 1);
    scratch = new_scratch(2 * width, NPY_UINT8);
    result = scratch ? new_like(labels, NPY_BOOL) : NULL;
    if (!result)
        goto done;
    int32_t kept[IG_MOST_COMPONENTS];
    Py_BEGIN_ALLOW_THREADS
    const size_t n = ig_largest_components(PyArray_DATA(sums), size_of(sums), percentage, kept);
    ig_outline(PyArray_DATA(labels), height, width, kept, n, PyArray_DATA(scratch),
               PyArray_DATA(result));
    Py_END_ALLOW_THREADS

done:
    Py_XDECREF(labels);
    Py_XDECREF(sums);
    Py_XDECREF(scratch);
    return (PyObject *)result;
}

/* ---- Colour -------------------------------------------------------------------------------- */

/* A new (H, W, channels) array for a map (H, W). */
static PyArrayObject *new_picture(PyArrayObject *map, PyArrayObject *colour, int type)
{
    const npy_intp dims[3] = {PyArray_DIM(map, 0), PyArray_DIM(map, 1), PyArray_DIM(colour, 0)};
    return (PyArrayObject *)PyArray_SimpleNew(3, dims, type);
}

PyDoc_STRVAR(colour_doc, "colour(attributions, colour, /)\n--\n\n"
                         "(H, W, K): (H, W) times (K,), as float64, or as int64 of a bool map.");

static PyObject *visual_colour(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *map_object, *colour_object;
    PyArrayObject *map = NULL, *colour = NULL, *result = NULL;
    if (!PyArg_ParseTuple(args, "OO", &map_object, &colour_object))
        return NULL;
    map = to_map(map_object);
    const int is_mask = map && PyArray_TYPE(map) == NPY_BOOL;
    colour = map ? to_array(colour_object, is_mask ? NPY_INT64 : NPY_DOUBLE, 1, "colour") : NULL;
    result = colour ? new_picture(map, colour, is_mask ? NPY_INT64 : NPY_DOUBLE) : NULL;
    if (!result)
        goto done;
    const size_t pixels = size_of(map), channels = dim_of(colour, 0);
    Py_BEGIN_ALLOW_THREADS
    if (is_mask)
        ig_colour_mask(PyArray_DATA(map), pixels, PyArray_DATA(colour), channels,
                       PyArray_DATA(result));
    else
        ig_colour(PyArray_DATA(map), pixels, PyArray_DATA(colour), channels, PyArray_DATA(result));
    Py_END_ALLOW_THREADS

done:
    Py_XDECREF(map);
    Py_XDECREF(colour);
    return (PyObject *)result;
}

/* The image must have the map's size, and the colour's channels or one. */
static int check_overlay(PyArrayObject *image, PyArrayObject *map, PyArrayObject *colour)
{
    const npy_intp *a = PyArray_DIMS(image), *b = PyArray_DIMS(map), k = PyArray_DIM(colour, 0);
    if (a[0] == b[0] && a[1] == b[1] && (a[2] == k || a[2] == 1))
        return 1;
    PyErr_Format(PyExc_ValueError,
                 "image must have shape (%zd, %zd, %zd) to match the attributions and the colour, "
                 "got (%zd, %zd, %zd)",
                 b[0], b[1], k, a[0], a[1], a[2]);
    return 0;
}

PyDoc_STRVAR(overlay_doc, "overlay(image, attributions, colour, /)\n--\n\n"
                          "0.8 * map * colour + image, clipped to [0, 255]: (H, W, K) float64.");

static PyObject *visual_overlay(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *image_object, *map_object, *colour_object;
    PyArrayObject *image = NULL, *map = NULL, *colour = NULL, *result = NULL;
    if (!PyArg_ParseTuple(args, "OOO", &image_object, &map_object, &colour_object))
        return NULL;
    image = to_pixels(image_object, 1, "image");
    map = image ? to_map(map_object) : NULL;
    colour = map ? to_array(colour_object, NPY_DOUBLE, 1, "colour") : NULL;
    if (!colour || !check_overlay(image, map, colour) || !check_values(image, "image"))
        goto done;
    result = new_picture(map, colour, NPY_DOUBLE);
    if (!result)
        goto done;
    const size_t count = size_of(map), depth = dim_of(image, 2), channels = dim_of(colour, 0);
    Py_BEGIN_ALLOW_THREADS
    ig_overlay(PyArray_DATA(image), type_of(image), depth, PyArray_DATA(map), type_of(map), count,
               PyArray_DATA(colour), channels, PyArray_DATA(result));
    Py_END_ALLOW_THREADS

done:
    Py_XDECREF(image);
    Py_XDECREF(map);
    Py_XDECREF(colour);
    return (PyObject *)result;
}

PyMethodDef ig_visual_methods[] = {
    {"clip", visual_clip, METH_VARARGS, clip_doc},
    {"channel_mean", visual_channel_mean, METH_VARARGS, channel_mean_doc},
    {"energy_threshold", visual_energy_threshold, METH_VARARGS, energy_threshold_doc},
    {"linear_transform", visual_linear_transform, METH_VARARGS, linear_transform_doc},
    {"binarize", visual_binarize, METH_VARARGS, binarize_doc},
    {"cleanup", visual_cleanup, METH_VARARGS, cleanup_doc},
    {"fill_holes", visual_fill_holes, METH_O, fill_holes_doc},
    {"components", visual_components, METH_VARARGS, components_doc},
    {"outline", visual_outline, METH_VARARGS, outline_doc},
    {"colour", visual_colour, METH_VARARGS, colour_doc},
    {"overlay", visual_overlay, METH_VARARGS, overlay_doc},
    {NULL, NULL, 0, NULL},
};
