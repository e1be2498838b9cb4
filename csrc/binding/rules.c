/* rules.c - where quadrature rules put their nodes, for plans and tests to read. */
#include "arguments.h"

#include "../engine/rule.h"
#include "methods.h"

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
    if (!PyArg_ParseTuple(args, "sn", &name, &steps) || !ig_to_rule(name, &rule) ||
        !ig_check_positive(steps, "steps") || !ig_check_size((size_t)steps, 4, 1))
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
    PyArrayObject *alphas = ig_to_array(argument, NPY_DOUBLE, 1);
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

PyMethodDef ig_rule_methods[] = {
    {"nodes", core_nodes, METH_VARARGS, nodes_doc},
    {"trapezoid_weights", core_trapezoid_weights, METH_O, trapezoid_weights_doc},
    {NULL, NULL, 0, NULL},
};
