/* arguments.c - from Python objects to what the engine takes, and the checks that it leaves out. */
#include "arguments.h"

#include <string.h>

#include "../kernels/kernels.h"
#include "callable_backend.h"
#include "state.h"

PyArrayObject *ig_to_array(PyObject *object, int type, int ndim)
{
    return (PyArrayObject *)PyArray_FROMANY(object, type, ndim, ndim, NPY_ARRAY_IN_ARRAY);
}

const ig_handle *ig_to_handle(PyObject *module, PyObject *object)
{
    if (Py_TYPE(object) == ig_state_of(module)->callable_type)
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

int ig_describe(PyObject *module, const ig_handle *handle, ig_shape shape,
                ig_description *ret_description)
{
    ig_error error;
    ig_status status;
    Py_BEGIN_ALLOW_THREADS
    status = handle->backend->describe(handle->model, shape, ret_description, &error);
    Py_END_ALLOW_THREADS
    ig_raise(status, &error, ig_state_of(module)->model_error);
    return status == IG_OK;
}

PyObject *ig_unless_failed(PyObject *result, ig_status status, const ig_error *error,
                           PyObject *module)
{
    ig_raise(status, error, ig_state_of(module)->model_error);
    if (status != IG_OK)
        Py_CLEAR(result);
    return result;
}

int ig_to_output(const char *name, ig_output *ret_output)
{
    static const char *const names[] = {"softmax", "log_softmax", "logit", "sigmoid"};
    for (int k = 0; k < 4; k++) {
        if (strcmp(name, names[k]) == 0) {
            *ret_output = (ig_output)k;
            return 1;
        }
    }
    PyErr_Format(PyExc_ValueError,
                 "output must be 'softmax', 'log_softmax', 'logit' or 'sigmoid', got '%s'", name);
    return 0;
}

int ig_to_rule(const char *name, ig_rule *ret_rule)
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

int ig_check_positive(Py_ssize_t value, const char *name)
{
    if (value > 0)
        return 1;
    PyErr_Format(PyExc_ValueError, "%s must be at least 1, got %zd", name, value);
    return 0;
}

int ig_check_pictures(PyArrayObject *array, const char *name)
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

ig_shape ig_shape_of(PyArrayObject *pictures)
{
    const npy_intp *dims = PyArray_DIMS(pictures) + PyArray_NDIM(pictures) - 3;
    return (ig_shape){(size_t)dims[0], (size_t)dims[1], (size_t)dims[2]};
}

int ig_check_size(size_t a, size_t b, size_t c)
{
    size_t product;
    if (!__builtin_mul_overflow(a, b, &product) && !__builtin_mul_overflow(product, c, &product) &&
        product <= (size_t)PY_SSIZE_T_MAX / sizeof(double))
        return 1;
    PyErr_NoMemory();
    return 0;
}
