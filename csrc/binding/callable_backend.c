/* callable_backend.c - a backend over a Python callable, so that TensorFlow, JAX, torch in Python
 * or a test can bring its own gradients: f(batch, targets) -> (scores (n, K), gradients (n, H, W,
 * C)). What ig_callable_options tells of it changes what it is given: many targets a picture, the
 * output.
 */
#include "arrays.h"

#include <stdatomic.h>
#include <string.h>

#include "callable_backend.h"

/* A Python object and no capsule: the collector must see a function that holds its own model. */
struct ig_model {
    PyObject base;
    ig_handle handle;      /* of the backend below and this object, not owned */
    PyObject *function;    /* owned */
    PyObject *model_error; /* owned; intgrad.ModelError */
    ig_callable_options options;
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

/* The shape of an array as a tuple; NULL with an exception set. */
static PyObject *shape_tuple(PyArrayObject *array)
{
    return PyObject_GetAttrString((PyObject *)array, "shape");
}

/* Checks shapes against the question: `expected` are the dimensions that gradients must have. */
static int check_answer(ig_model *model, const answer *a, const npy_intp *expected, int ndim)
{
    const npy_intp *scores = PyArray_DIMS(a->scores);
    if (scores[0] != expected[0] || scores[1] < 1) {
        PyErr_Format(model->model_error,
                     "the callable returned scores of shape (%zd, %zd) for a batch of %zd; "
                     "expected (%zd, number of classes)",
                     scores[0], scores[1], expected[0], expected[0]);
        return 0;
    }
    if (memcmp(PyArray_DIMS(a->gradients), expected, (size_t)ndim * sizeof *expected) != 0) {
        PyObject *found = shape_tuple(a->gradients);
        const npy_intp *last = expected + ndim - 3;
        if (found && ndim == 4)
            PyErr_Format(model->model_error,
                         "the callable returned gradients of shape %S; expected that of its "
                         "batch, (%zd, %zd, %zd, %zd)",
                         found, expected[0], last[0], last[1], last[2]);
        else if (found)
            PyErr_Format(model->model_error,
                         "the callable returned gradients of shape %S; expected (%zd, %zd, %zd, "
                         "%zd, %zd), one of each target",
                         found, expected[0], expected[1], last[0], last[1], last[2]);
        Py_XDECREF(found);
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

static PyObject *output_name(ig_output output)
{
    static const char *const names[] = {[IG_SOFTMAX] = "softmax",
                                        [IG_LOG_SOFTMAX] = "log_softmax",
                                        [IG_LOGIT] = "logit",
                                        [IG_SIGMOID] = "sigmoid"};
    return PyUnicode_FromString(names[output]);
}

/* What a callable is asked: `targets` of each of n pictures, which are those of `rows`, or the
 * first n where that is NULL. */
typedef struct {
    const float *pixels;
    ig_shape shape;
    size_t n;
    const size_t *rows;
    const int64_t *targets; /* (n, target_count) */
    size_t target_count;    /* 0, of one that takes many: only scores are wanted */
    ig_output output;
} question;

/* Calls the function with new arrays, which it may keep; 0 with an exception set on failure.
 * Needs the GIL. */
static int ask(ig_model *model, const question *q, answer *ret_answer)
{
    const int many = model->options.takes_many_targets;
    const npy_intp n = (npy_intp)q->n, height = (npy_intp)q->shape.height,
                   width = (npy_intp)q->shape.width, channels = (npy_intp)q->shape.channels;
    const npy_intp pictures[4] = {n, height, width, channels};
    const npy_intp each[5] = {n, (npy_intp)q->target_count, height, width, channels};
    const size_t size = ig_shape_size(q->shape);
    PyObject *result = NULL, *name = NULL;
    int fine = 0;
    PyArrayObject *batch = (PyArrayObject *)PyArray_SimpleNew(4, pictures, NPY_FLOAT32);
    PyArrayObject *targets = (PyArrayObject *)PyArray_SimpleNew(many ? 2 : 1, each, NPY_INT64);
    *ret_answer = (answer){NULL, NULL};
    if (!batch || !targets)
        goto done;
    if (model->options.takes_output && !(name = output_name(q->output)))
        goto done;
    for (size_t j = 0; j < q->n; j++)
        memcpy((float *)PyArray_DATA(batch) + j * size,
               q->pixels + (q->rows ? q->rows[j] : j) * size, size * sizeof *q->pixels);
    memcpy(PyArray_DATA(targets), q->targets, (size_t)PyArray_NBYTES(targets));
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
    const int ndim = many ? 5 : 4;
    ret_answer->scores = take_array(model, PyTuple_GetItem(result, 0), 2, "scores");
    if (ret_answer->scores)
        ret_answer->gradients = take_array(model, PyTuple_GetItem(result, 1), ndim, "gradients");
    fine = ret_answer->gradients && check_answer(model, ret_answer, many ? each : pictures, ndim);

done:
    if (!fine)
        release(ret_answer);
    Py_XDECREF(batch);
    Py_XDECREF(targets);
    Py_XDECREF(name);
    Py_XDECREF(result);
    return fine;
}

/* The status of an exception that is set: short memory is cleared, so that the engine can go on
 * with smaller batches, and anything else stays. */
static ig_status give_up(ig_error *error)
{
    if (!PyErr_ExceptionMatches(PyExc_MemoryError))
        return ig_fail(error, IG_PENDING, "the callable failed");
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *text = value ? PyObject_Str(value) : NULL;
    PyObject *bytes = text ? PyUnicode_AsEncodedString(text, "utf-8", "replace") : NULL;
    const char *said = bytes ? PyBytes_AsString(bytes) : NULL;
    const ig_status status =
        ig_fail(error, IG_NO_MEMORY, "%s", said && *said ? said : "out of memory in the callable");
    Py_XDECREF(bytes);
    Py_XDECREF(text);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    PyErr_Clear();
    return status;
}

/* Asks for the scores of the first n pictures; what takes one target a picture differentiates all
 * the same. */
static int ask_scores(ig_model *model, const float *pixels, size_t n, ig_shape shape,
                      ig_output output, answer *ret_answer)
{
    int64_t *zeros = PyMem_Calloc(n ? n : 1, sizeof *zeros);
    if (!zeros) {
        PyErr_NoMemory();
        return 0;
    }
    const question q = {.pixels = pixels,
                        .shape = shape,
                        .n = n,
                        .targets = zeros,
                        .target_count = model->options.takes_many_targets ? 0 : 1,
                        .output = output};
    const int fine = ask(model, &q, ret_answer);
    PyMem_Free(zeros);
    return fine;
}

static ig_status scores(ig_model *model, const float *pixels, size_t n, ig_shape shape,
                        ig_output output, float *ret_scores, ig_error *error)
{
    answer a;
    ig_status status = IG_OK;
    const PyGILState_STATE gil = PyGILState_Ensure();
    if (ask_scores(model, pixels, n, shape, output, &a)) {
        memcpy(ret_scores, PyArray_DATA(a.scores), (size_t)PyArray_NBYTES(a.scores));
        release(&a);
    } else {
        status = give_up(error);
    }
    PyGILState_Release(gil);
    return status;
}

/* How many targets each of n pictures has in m picks, where all have as many; else 0. */
static size_t count_targets(const ig_pick *picks, size_t m, size_t n)
{
    const size_t each = m / n;
    for (size_t j = 0; j < m; j++)
        if (picks[j].row != j / each)
            return 0;
    return each * n == m ? each : 0;
}

/* Writes F at the picks; IG_OUT_OF_RANGE for a class that there is not. */
static ig_status read_values(const answer *a, const ig_pick *picks, size_t m, size_t each,
                             float *ret_values, ig_error *error)
{
    const size_t num_classes = (size_t)PyArray_DIM(a->scores, 1);
    const float *given = PyArray_DATA(a->scores);
    for (size_t j = 0; j < m; j++) {
        if (picks[j].target < 0 || (uint64_t)picks[j].target >= num_classes)
            return ig_fail(error, IG_OUT_OF_RANGE,
                           "target %lld is out of range: the model has %zu classes",
                           (long long)picks[j].target, num_classes);
        ret_values[j] = given[j / each * num_classes + (size_t)picks[j].target];
    }
    return IG_OK;
}

static ig_status gradients(ig_model *model, const float *pixels, size_t n, ig_shape shape,
                           const ig_pick *picks, size_t m, ig_output output, float *ret_values,
                           float *ret_gradients, ig_error *error)
{
    const size_t shared = model->options.takes_many_targets && m ? count_targets(picks, m, n) : 0;
    const size_t each = shared ? shared : 1; /* else every pick has a picture of its own */
    answer a;
    ig_status status = IG_OK;
    const PyGILState_STATE gil = PyGILState_Ensure();
    int64_t *targets = PyMem_Calloc(m ? m : 1, sizeof *targets);
    size_t *rows = PyMem_Calloc(m ? m : 1, sizeof *rows);
    for (size_t j = 0; targets && rows && j < m; j++) {
        targets[j] = picks[j].target;
        rows[j / each] = picks[j].row;
    }
    const question q = {.pixels = pixels,
                        .shape = shape,
                        .n = m / each,
                        .rows = rows,
                        .targets = targets,
                        .target_count = each,
                        .output = output};
    if (!targets || !rows)
        PyErr_NoMemory();
    if (targets && rows && ask(model, &q, &a)) {
        status = read_values(&a, picks, m, each, ret_values, error);
        memcpy(ret_gradients, PyArray_DATA(a.gradients), (size_t)PyArray_NBYTES(a.gradients));
        release(&a);
    } else {
        status = give_up(error);
    }
    PyMem_Free(targets);
    PyMem_Free(rows);
    PyGILState_Release(gil);
    return status;
}

static ig_status describe(ig_model *model, ig_shape shape, ig_description *ret_description,
                          ig_error *error)
{
    ig_status status = IG_OK;
    if (!atomic_load(&model->num_classes)) {
        const PyGILState_STATE gil = PyGILState_Ensure();
        float *black = PyMem_Calloc(ig_shape_size(shape), sizeof *black);
        answer a;
        if (!black)
            PyErr_NoMemory();
        if (black && ask_scores(model, black, 1, shape, IG_SOFTMAX, &a))
            release(&a);
        else
            status = give_up(error);
        PyMem_Free(black);
        PyGILState_Release(gil);
    }
    *ret_description = (ig_description){atomic_load(&model->num_classes), "callable"};
    return status;
}

/* Asks function.measure_memory(n, height, width, channels) -> (peak, free), of one that has it. */
static ig_status memory(ig_model *model, ig_shape shape, size_t n, size_t *ret_peak,
                        size_t *ret_free, ig_error *error)
{
    ig_status status = IG_OK;
    Py_ssize_t peak = 0, free_bytes = 0;
    const PyGILState_STATE gil = PyGILState_Ensure();
    if (PyObject_HasAttrString(model->function, "measure_memory")) {
        PyObject *found = PyObject_CallMethod(model->function, "measure_memory", "nnnn",
                                              (Py_ssize_t)n, (Py_ssize_t)shape.height,
                                              (Py_ssize_t)shape.width, (Py_ssize_t)shape.channels);
        if (!found || !PyArg_ParseTuple(found, "nn", &peak, &free_bytes))
            status = give_up(error);
        Py_XDECREF(found);
    }
    PyGILState_Release(gil);
    *ret_peak = (size_t)peak;
    *ret_free = (size_t)free_bytes;
    return status;
}

static void trim(ig_model *model)
{
    (void)model; /* what a callable caches is its own affair */
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
    .memory = memory,
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

PyObject *ig_callable_new(PyTypeObject *type, PyObject *function, ig_callable_options options,
                          PyObject *model_error)
{
    ig_model *model = (ig_model *)PyType_GenericAlloc(type, 0);
    if (!model)
        return NULL;
    model->handle = (ig_handle){&callable_backend, model};
    model->function = Py_NewRef(function);
    model->model_error = Py_NewRef(model_error);
    model->options = options;
    atomic_init(&model->num_classes, 0);
    return (PyObject *)model;
}

const ig_handle *ig_callable_handle(PyObject *object)
{
    return &((ig_model *)object)->handle;
}
