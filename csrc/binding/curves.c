/* curves.c - pictures of paths that are not straight, for baselines and tests. */
#include "arguments.h"

#include "../kernels/kernels.h"
#include "methods.h"

PyDoc_STRVAR(blur_doc, "blur(picture, sigma, /)\n--\n\n"
                       "The picture (H, W, C) float32, blurred by a Gaussian of this standard\n"
                       "deviation in pixels, with mirrored edges.");

static PyObject *core_blur(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *object;
    double sigma;
    if (!PyArg_ParseTuple(args, "Od", &object, &sigma))
        return NULL;
    if (!(sigma >= 0.0 && sigma <= 1e4)) {
        PyErr_SetString(PyExc_ValueError, "sigma must be a number from 0 to 10000");
        return NULL;
    }
    PyArrayObject *picture = ig_to_array(object, NPY_FLOAT32, 3), *blurred = NULL;
    if (!picture || !ig_check_pictures(picture, "picture"))
        goto fail;
    const ig_shape shape = ig_shape_of(picture);
    const size_t size = ig_shape_size(shape);
    const size_t scratch = ig_blur_scratch(shape.height, shape.width, shape.channels);
    blurred = (PyArrayObject *)PyArray_SimpleNew(3, PyArray_DIMS(picture), NPY_FLOAT32);
    double *doubles = blurred ? PyMem_Malloc((scratch + size) * sizeof *doubles) : NULL;
    if (!doubles) {
        PyErr_NoMemory();
        goto fail;
    }
    Py_BEGIN_ALLOW_THREADS
    ig_blur(PyArray_DATA(picture), shape.height, shape.width, shape.channels, sigma, doubles,
            doubles + scratch);
    for (size_t i = 0; i < size; i++)
        ((float *)PyArray_DATA(blurred))[i] = (float)doubles[scratch + i];
    Py_END_ALLOW_THREADS
    PyMem_Free(doubles);
    Py_DECREF(picture);
    return (PyObject *)blurred;

fail:
    Py_XDECREF(picture);
    Py_XDECREF(blurred);
    return NULL;
}

PyMethodDef ig_curve_methods[] = {
    {"blur", core_blur, METH_VARARGS, blur_doc},
    {NULL, NULL, 0, NULL},
};
