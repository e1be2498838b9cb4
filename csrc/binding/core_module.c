/* core_module.c - the module intgrad._core: its state, its exception, and the functions that the
 * files beside it bring (methods.h). */
#define IG_IMPORT_NUMPY
#include "arrays.h"

#include "../engine/refine.h"
#include "callable_backend.h"
#include "methods.h"
#include "state.h"

PyDoc_STRVAR(model_error_doc,
             "A model that cannot be used or explained.\n\n"
             "Raised for archives that are damaged, for models that the probe on loading finds\n"
             "unfit (still in training mode, mixing the images of a batch, without a gradient),\n"
             "and for scores and gradients that are NaN, infinite or of the wrong shape.");

static int core_exec(PyObject *module)
{
    if (PyArray_ImportNumPyAPI() < 0 || PyModule_AddFunctions(module, ig_rule_methods) < 0 ||
        PyModule_AddFunctions(module, ig_model_methods) < 0 ||
        PyModule_AddFunctions(module, ig_curve_methods) < 0 ||
        PyModule_AddFunctions(module, ig_integration_methods) < 0 ||
        PyModule_AddFunctions(module, ig_visual_methods) < 0 ||
        PyModule_AddFunctions(module, ig_xrai_methods) < 0 ||
        PyModule_AddFunctions(module, ig_mix_methods) < 0 ||
        PyModule_AddIntConstant(module, "FIRST_NODES", IG_FIRST_NODES) < 0)
        return -1;
    ig_core_state *state = ig_state_of(module);
    state->model_error =
        PyErr_NewExceptionWithDoc("intgrad.ModelError", model_error_doc, PyExc_ValueError, NULL);
    if (PyModule_AddObjectRef(module, "ModelError", state->model_error) < 0)
        return -1;
    state->callable_type = ig_callable_type(module);
    return state->callable_type ? 0 : -1;
}

static int core_traverse(PyObject *module, visitproc visit, void *arg)
{
    Py_VISIT(ig_state_of(module)->model_error);
    Py_VISIT(ig_state_of(module)->callable_type);
    return 0;
}

static int core_clear(PyObject *module)
{
    Py_CLEAR(ig_state_of(module)->model_error);
    Py_CLEAR(ig_state_of(module)->callable_type);
    return 0;
}

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, (void *)core_exec},
/* The limited API of 3.10 knows neither. Without the first, interpreters that share the GIL with
 * the main one may try, and NumPy says no; the second matters only where there is no limited API.
 */
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef core_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "intgrad._core",
    .m_doc = "The C core of intgrad: kernels and the integration engine.",
    .m_size = sizeof(ig_core_state),
    .m_slots = core_slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&core_module);
}
