/* callable_backend.c - a backend over a Python callable, so that TensorFlow, JAX or a test can
 * bring its own gradients: f(batch, targets) -> (scores (n, K), gradients (n, H, W, C)), or
 * f(batch, targets, output) where it differentiates whichever output is asked for. */
#include "arrays.h"

#include <stdatomic.h>
#include <string.h>

#include "handle.h"

/* A Python object and no capsule: the collector must see a function that holds its own model. */
struct ig_model {
    PyObject base;
    ig_handle handle;          /* of the backend below and this object, not owned */
    PyObject *function;        /* owned */
    PyObject *model_error;     /* owned; intgrad.ModelError */
    int takes_output;          /* it is told the output; else Python has checked it */
    atomic_size_t num_classes; /* 0 until the callable has run once */
};

/* What `function` gave for a batch, checked; both owned. */
typedef struct {
    PyArrayObject *scores;
    PyArrayObject *gradients;
} answer;

static void release(answer *a)
{
    Py_XDECREF(a->scores);
    Py_XDECREF(a->gradients);
}

/* `value` as a float32 C array of `ndim` dimensions; NULL with an exception set otherwise. */
static PyArrayObject *take_array(ig_model *model, PyObject *value, int ndim, const char *name)
{
    PyArrayObject *given = (PyArrayObject *)PyArray_FROM_O(value);
    if (!given)
        return NULL;
    PyArrayObject *taken = NULL;
    if (!PyArray_ISFLOAT(given) && !PyArray_ISINTEGER(given))
        PyErr_Format(model->model_error, "the callable's %s must be real numbers, got dtype %S",
                     name, (PyObject *)PyArray_DESCR(given));
    else if (PyArray_NDIM(given) != ndim)
        PyErr_Format(model->model_error, "the callable's %s must have %d dimensions, got %d", name,
                     ndim, PyArray_NDIM(given));
    else
        taken = (PyArrayObject *)PyArray_FROMANY((PyObject *)given, NPY_FLOAT32, ndim, ndim,
                                                 NPY_ARRAY_IN_ARRAY | NPY_ARRAY_FORCECAST);
    Py_DECREF(given);
    return taken;
}

/* Checks shapes against the question: n pictures of `shape`. */
static int check_answer(ig_model *model, const answer *a, const npy_intp *pictures)
{
    const npy_intp *scores = PyArray_DIMS(a->scores);
    const npy_intp *gradients = PyArray_DIMS(a->gradients);
    if (scores[0] != pictures[0] || scores[1] < 1) {
        PyErr_Format(model->model_error,
                     "the callable returned scores of shape (%zd, %zd) for a batch of %zd; "
                     "expected (%zd, number of classes)",
                     scores[0], scores[1], pictures[0], pictures[0]);
        return 0;
    }
    if (memcmp(gradients, pictures, 4 * sizeof *gradients) != 0) {
        PyErr_Format(model->model_error,
                     "the callable returned gradients of shape (%zd, %zd, %zd, %zd); expected that "
                     "of its batch, (%zd, %zd, %zd, %zd)",
                     gradients[0], gradients[1], gradients[2], gradients[3], pictures[0],
                     pictures[1], pictures[2], pictures[3]);
        return 0;
    }
    size_t known = 0; /* another thread's first call may be first */
    if (!atomic_compare_exchange_strong(&model->num_classes, &known, (size_t)scores[1]) &&
        known != (size_t)scores[1]) {
        PyErr_Format(model->model_error, "the callable returned %zd classes, and %zu before",
                     scores[1], known);
        return 0;
    }
    return 1;
}

/* Calls the function with new arrays, which it may keep; 0 with an exception set on failure.
 * Picture j is that of picks[j].row, or picture j itself where picks is NULL. Needs the GIL. */
static int ask(ig_model *model, const float *pixels, size_t n, ig_shape shape, const ig_pick *picks,
               ig_output output, answer *ret_answer)
{
    static const char *const names[] = {[IG_SOFTMAX] = "softmax",
                                        [IG_LOG_SOFTMAX] = "log_softmax",
                                        [IG_LOGIT] = "logit",
                                        [IG_SIGMOID] = "sigmoid"};
    const npy_intp dims[4] = {(npy_intp)n, (npy_intp)shape.height, (npy_intp)shape.width,
                              (npy_intp)shape.channels};
    const size_t size = ig_shape_size(shape);
    PyObject *result = NULL, *name = NULL;
    int fine = 0;
    PyArrayObject *batch = (PyArrayObject *)PyArray_SimpleNew(4, dims, NPY_FLOAT32);
    PyArrayObject *targets = (PyArrayObject *)PyArray_SimpleNew(1, dims, NPY_INT64);
    *ret_answer = (answer){NULL, NULL};
    if (!batch || !targets)
        goto done;
    if (model->takes_output && !(name = PyUnicode_FromString(names[output])))
        goto done;
    for (size_t j = 0; j < n; j++) {
        memcpy((float *)PyArray_DATA(batch) + j * size, pixels + (picks ? picks[j].row : j) * size,
               size * sizeof *pixels);
        ((int64_t *)PyArray_DATA(targets))[j] = picks ? picks[j].target : 0;
    }
    /* Without a name the list of arguments ends there. */
    result = PyObject_CallFunctionObjArgs(model->function, (PyObject *)batch, (PyObject *)targets,
                                          name, NULL);
    if (!result)
        goto done;
    if (!PyTuple_Check(result) || PyTuple_Size(result) != 2) {
        PyErr_Format(model->model_error, "the callable must return (scores, gradients), got %R",
                     (PyObject *)Py_TYPE(result));
        goto done;
    }
    ret_answer->scores = take_array(model, PyTuple_GetItem(result, 0), 2, "scores");
    if (ret_answer->scores)
        ret_answer->gradients = take_array(model, PyTuple_GetItem(result, 1), 4, "gradients");
    fine = ret_answer->gradients && check_answer(model, ret_answer, dims);

done:
    if (!fine)
        release(ret_answer);
    Py_XDECREF(batch);
    Py_XDECREF(targets);
    Py_XDECREF(name);
    Py_XDECREF(result);
    return fine;
}

static ig_status scores(ig_model *model, const float *pixels, size_t n, ig_shape shape,
                        ig_output output, float *ret_scores, ig_error *error)
{
    answer a;
    const PyGILState_STATE gil = PyGILState_Ensure();
    const int fine = ask(model, pixels, n, shape, NULL, output, &a);
    if (fine) {
        memcpy(ret_scores, PyArray_DATA(a.scores), (size_t)PyArray_NBYTES(a.scores));
        release(&a);
    }
    PyGILState_Release(gil);
    return fine ? IG_OK : ig_fail(error, IG_PENDING, "the callable failed");
}

static ig_status gradients(ig_model *model, const float *pixels, size_t n, ig_shape shape,
                           const ig_pick *picks, size_t m, ig_output output, float *ret_values,
                           float *ret_gradients, ig_error *error)
{
    (void)n; /* a callable takes one target a picture, so that it gets m pictures */
    answer a;
    ig_status status = IG_OK;
    const PyGILState_STATE gil = PyGILState_Ensure();
    if (ask(model, pixels, m, shape, picks, output, &a)) {
        const size_t num_classes = (size_t)PyArray_DIM(a.scores, 1);
        const float *given = PyArray_DATA(a.scores);
        for (size_t j = 0; j < m && status == IG_OK; j++) {
            if (picks[j].target < 0 || (uint64_t)picks[j].target >= num_classes)
                status = ig_fail(error, IG_OUT_OF_RANGE,
                                 "target %lld is out of range: the model has %zu classes",
                                 (long long)picks[j].target, num_classes);
            else
                ret_values[j] = given[j * num_classes + (size_t)picks[j].target];
        }
        memcpy(ret_gradients, PyArray_DATA(a.gradients), (size_t)PyArray_NBYTES(a.gradients));
        release(&a);
    } else {
        status = ig_fail(error, IG_PENDING, "the callable failed");
    }
    PyGILState_Release(gil);
    return status;
}

static ig_status describe(ig_model *model, ig_shape shape, ig_description *ret_description,
                          ig_error *error)
{
    int fine = 1;
    if (!atomic_load(&model->num_classes)) {
        const PyGILState_STATE gil = PyGILState_Ensure();
        float *black = PyMem_Calloc(ig_shape_size(shape), sizeof *black);
        answer a;
        if (!black)
            PyErr_NoMemory();
        fine = black && ask(model, black, 1, shape, NULL, IG_SOFTMAX, &a);
        if (fine)
            release(&a);
        PyMem_Free(black);
        PyGILState_Release(gil);
    }
    *ret_description = (ig_description){atomic_load(&model->num_classes), "callable"};
    return fine ? IG_OK : ig_fail(error, IG_PENDING, "the callable failed");
}

static void trim(ig_model *model)
{
    (void)model; /* nothing is cached */
}

static const ig_backend callable_backend = {
    .abi_version = IG_ABI_VERSION,
    .size = sizeof(ig_backend),
    .describe = describe,
    .scores = scores,
    .gradients = gradients,
    .trim = trim,
    .destroy = NULL, /* Python does */
    .paths = NULL,
};

/* ---- The type ------------------------------------------------------------------------------ */

static int traverse(PyObject *self, visitproc visit, void *arg)
{
    const ig_model *model = (ig_model *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(model->function);
    Py_VISIT(model->model_error);
    return 0;
}

static int clear(PyObject *self)
{
    ig_model *model = (ig_model *)self;
    Py_CLEAR(model->function);
    Py_CLEAR(model->model_error);
    return 0;
}

static void deallocate(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    clear(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

PyTypeObject *ig_callable_type(PyObject *module)
{
    static PyType_Slot slots[] = {
        {Py_tp_doc, "A model over a Python callable, as _core.callable_model makes it."},
        {Py_tp_traverse, (void *)traverse},
        {Py_tp_clear, (void *)clear},
        {Py_tp_dealloc, (void *)deallocate},
        {0, NULL},
    };
    static PyType_Spec spec = {
        .name = "intgrad._core.CallableModel",
        .basicsize = sizeof(ig_model),
        .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
                 Py_TPFLAGS_IMMUTABLETYPE,
        .slots = slots,
    };
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
}

PyObject *ig_callable_new(PyTypeObject *type, PyObject *function, int takes_output,
                          PyObject *model_error)
{
    ig_model *model = (ig_model *)PyType_GenericAlloc(type, 0);
    if (!model)
        return NULL;
    model->handle = (ig_handle){&callable_backend, model};
    model->function = Py_NewRef(function);
    model->model_error = Py_NewRef(model_error);
    model->takes_output = takes_output;
    atomic_init(&model->num_classes, 0);
    return (PyObject *)model;
}

const ig_handle *ig_callable_handle(PyObject *object)
{
    return &((ig_model *)object)->handle;
}
