// torch_module.cpp - intgrad._torch: makes model handles from TorchScript archives. It includes
// neither torch nor NumPy; torch must be imported before it, so that libtorch is there to bind to.
#include "handle.h"

#include <cstring>
#include <vector>

#include "../torch/torch_backend.h"

namespace
{

struct State {
    PyObject *model_error; // intgrad.ModelError, owned
};

// Fills `values` from a sequence of floats; false with an exception set.
bool to_floats(PyObject *sequence, std::vector<float> &values)
{
    PyObject *fast = PySequence_Fast(sequence, "expected a sequence of floats");
    if (!fast)
        return false;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(fast); i++)
        values.push_back(static_cast<float>(PyFloat_AsDouble(PySequence_Fast_GET_ITEM(fast, i))));
    Py_DECREF(fast);
    return !PyErr_Occurred();
}

// Which of the names that Python knows precisions by; false with an exception set.
bool to_precision(const char *name, ig_precision *ret_precision)
{
    const char *names[] = {"ieee", "tf32", "bfloat16"};
    for (const ig_precision each : {IG_IEEE, IG_TF32, IG_BFLOAT16}) {
        *ret_precision = each;
        if (std::strcmp(name, names[each]) == 0)
            return true;
    }
    PyErr_Format(PyExc_ValueError, "unknown precision '%s'", name);
    return false;
}

bool check_lengths(const std::vector<float> &scale, const std::vector<float> &offset)
{
    if (scale.size() != offset.size())
        PyErr_Format(PyExc_ValueError, "scale and offset must be equally long, got %zu and %zu",
                     scale.size(), offset.size());
    return scale.size() == offset.size();
}

PyDoc_STRVAR(
    load_doc,
    "load(archive, device, scale, offset, gives_probabilities, precision, device_paths,\n"
    "     channels_first=False, pairs_single=False, scores_at='', /)\n--\n\n"
    "A model handle over the bytes of a TorchScript archive; scale and offset are equally\n"
    "long sequences, empty where the graph does its own preprocessing. With device_paths,\n"
    "sums along paths stay on the device. The rest as in torch/torch_backend.h.");

PyObject *torch_load(PyObject *module, PyObject *args)
{
    Py_buffer archive;
    const char *device;
    PyObject *scale_object, *offset_object;
    int gives_probabilities, device_paths, channels_first = 0, pairs_single = 0;
    const char *precision_name, *scores_at = "";
    if (!PyArg_ParseTuple(args, "y*sOOpsp|pps", &archive, &device, &scale_object, &offset_object,
                          &gives_probabilities, &precision_name, &device_paths, &channels_first,
                          &pairs_single, &scores_at))
        return nullptr;
    PyObject *handle = nullptr;
    std::vector<float> scale, offset;
    ig_precision precision;
    if (to_floats(scale_object, scale) && to_floats(offset_object, offset) &&
        check_lengths(scale, offset) && to_precision(precision_name, &precision)) {
        const ig_torch_options options = {
            archive.buf,
            static_cast<size_t>(archive.len),
            device,
            scale.data(),
            offset.data(),
            scale.size(),
            gives_probabilities,
            precision,
            channels_first ? IG_CHANNELS_FIRST : IG_CHANNELS_LAST,
            pairs_single,
            scores_at,
        };
        ig_model *model = nullptr;
        ig_error error;
        ig_status status;
        Py_BEGIN_ALLOW_THREADS
        status = ig_torch_load(&options, &model, &error);
        Py_END_ALLOW_THREADS
        if (status == IG_OK)
            handle = ig_handle_new(ig_torch_backend(device_paths), model);
        ig_raise(status, &error, static_cast<State *>(PyModule_GetState(module))->model_error);
    }
    PyBuffer_Release(&archive);
    return handle;
}

PyMethodDef methods[] = {
    {"load", torch_load, METH_VARARGS, load_doc},
    {nullptr, nullptr, 0, nullptr},
};

int exec(PyObject *module)
{
    PyObject *core = PyImport_ImportModule("intgrad._core");
    if (!core)
        return -1;
    auto *state = static_cast<State *>(PyModule_GetState(module));
    state->model_error = PyObject_GetAttrString(core, "ModelError");
    Py_DECREF(core);
    return state->model_error ? 0 : -1;
}

int traverse(PyObject *module, visitproc visit, void *arg)
{
    Py_VISIT(static_cast<State *>(PyModule_GetState(module))->model_error);
    return 0;
}

int clear(PyObject *module)
{
    Py_CLEAR(static_cast<State *>(PyModule_GetState(module))->model_error);
    return 0;
}

PyModuleDef_Slot slots[] = {
    {Py_mod_exec, reinterpret_cast<void *>(exec)},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, nullptr},
};

PyModuleDef torch_module = {
    PyModuleDef_HEAD_INIT,
    "intgrad._torch",
    "TorchScript models for the core of intgrad.",
    sizeof(State),
    methods,
    slots,
    traverse,
    clear,
    nullptr,
};

} // namespace

PyMODINIT_FUNC PyInit__torch(void)
{
    return PyModuleDef_Init(&torch_module);
}
