// torch_backend.cpp - the only file that includes torch: a TorchScript archive behind backend.h.
//
// Speed comes from four things (benchmarks/compare.py measures them): the graph is frozen, which
// folds every batch norm into its convolution; parameters carry no gradients; pictures stay NHWC,
// which is torch's channels-last layout, so that nothing is transposed; and the JIT's profiling
// executor is off, so that the first call is as fast as the last.
#include "torch_backend.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

struct ig_model {
    torch::jit::Module module;
    at::Device device = at::kCPU;
    at::ScalarType precision = at::kFloat;
    at::Tensor scale, offset; // (1, C, 1, 1) or (1), undefined where the graph preprocesses
    bool gives_probabilities = false;
    std::atomic<int64_t> num_classes{0}; // 0 until it has run once
};

namespace
{

// ---- Errors ------------------------------------------------------------------------------------

// What went wrong without the interpreter's traceback: the last line that says something.
std::string last_line(const std::string &text)
{
    const auto end = text.find_last_not_of(" \n");
    if (end == std::string::npos)
        return "no message";
    const auto start = text.find_last_of('\n', end);
    return text.substr(start == std::string::npos ? 0 : start + 1, end - start);
}

bool is_memory_message(const std::string &text)
{
    // The CPU allocator raises a plain c10::Error, and the interpreter rewraps what it catches.
    return text.find("can't allocate memory") != std::string::npos ||
           text.find("out of memory") != std::string::npos;
}

ig_status fail(ig_error *error, const std::string &text)
{
    if (is_memory_message(text))
        return ig_fail(error, IG_NO_MEMORY, "%s", last_line(text).c_str());
    return ig_fail(error, IG_MODEL_FAILED, "the model failed: %s", last_line(text).c_str());
}

// Runs `body`, which returns an ig_status, and lets no exception out.
template <typename Body>
ig_status guarded(ig_error *error, const Body &body) noexcept
{
    try {
        return body();
    } catch (const c10::OutOfMemoryError &e) {
        return ig_fail(error, IG_NO_MEMORY, "%s", last_line(e.what_without_backtrace()).c_str());
    } catch (const std::bad_alloc &) {
        return ig_fail(error, IG_NO_MEMORY, "out of memory in the model");
    } catch (const c10::Error &e) {
        return fail(error, e.what_without_backtrace());
    } catch (const std::exception &e) {
        return fail(error, e.what());
    } catch (...) {
        return ig_fail(error, IG_MODEL_FAILED, "the model failed for an unknown reason");
    }
}

// ---- Precision ---------------------------------------------------------------------------------

// On CUDA torch computes float32 convolutions in TF32 unless told otherwise, by switches of the
// whole process. While one of our calls runs they are off, and then what they were before; calls
// that overlap share one saved state.
class IeeeGuard
{
  public:
    explicit IeeeGuard(const at::Device &device) : active_(device.is_cuda())
    {
        if (!active_)
            return;
        const std::lock_guard<std::mutex> lock(mutex());
        if (users()++ == 0) {
            saved() = {at::globalContext().allowTF32CuDNN(), at::globalContext().allowTF32CuBLAS()};
            at::globalContext().setAllowTF32CuDNN(false);
            at::globalContext().setAllowTF32CuBLAS(false);
        }
    }
    ~IeeeGuard()
    {
        if (!active_)
            return;
        const std::lock_guard<std::mutex> lock(mutex());
        if (--users() == 0) {
            at::globalContext().setAllowTF32CuDNN(saved().first);
            at::globalContext().setAllowTF32CuBLAS(saved().second);
        }
    }
    IeeeGuard(const IeeeGuard &) = delete;
    IeeeGuard &operator=(const IeeeGuard &) = delete;

  private:
    static std::mutex &mutex()
    {
        static std::mutex instance;
        return instance;
    }
    static int &users()
    {
        static int count = 0;
        return count;
    }
    static std::pair<bool, bool> &saved()
    {
        static std::pair<bool, bool> flags;
        return flags;
    }
    bool active_;
};

// ---- Forward -----------------------------------------------------------------------------------

// The caller's NHWC buffer seen as the NCHW tensor that models take; on the CPU nothing is copied.
at::Tensor view_pictures(const ig_model &model, const float *pixels, size_t n, ig_shape shape)
{
    const auto nhwc =
        at::from_blob(const_cast<float *>(pixels),
                      {static_cast<int64_t>(n), static_cast<int64_t>(shape.height),
                       static_cast<int64_t>(shape.width), static_cast<int64_t>(shape.channels)},
                      at::kFloat);
    return nhwc.permute({0, 3, 1, 2}).to(model.device);
}

// What goes into the graph. The affine map is linear, so that its derivative is its scale: it is
// left out of the graph that is differentiated, and multiplied in afterwards.
at::Tensor preprocess(const ig_model &model, const at::Tensor &pictures)
{
    const auto input =
        model.scale.defined() ? pictures.mul(model.scale).add_(model.offset) : pictures;
    return input.to(model.precision);
}

// The graph's scores as F, (n, K) float32.
at::Tensor apply_output(const ig_model &model, const at::Tensor &scores, ig_output output)
{
    const auto values = scores.to(at::kFloat);
    if (model.gives_probabilities) {
        TORCH_CHECK(output != IG_LOGIT, "a model that gives probabilities has no logits");
        return output == IG_LOG_SOFTMAX ? at::log(values) : values;
    }
    switch (output) {
    case IG_SOFTMAX:
        return at::softmax(values, 1);
    case IG_LOG_SOFTMAX:
        return at::log_softmax(values, 1);
    case IG_LOGIT:
        break;
    }
    return values;
}

// Callers size their buffers by what the first run gave.
void check_num_classes(ig_model &model, int64_t found)
{
    int64_t known = 0;
    if (!model.num_classes.compare_exchange_strong(known, found))
        TORCH_CHECK(known == found, "the model returned ", found, " classes, and ", known,
                    " before");
}

at::Tensor forward(ig_model &model, const at::Tensor &input, ig_output output)
{
    const auto result = model.module.forward({input});
    TORCH_CHECK(result.isTensor(), "the model must return one tensor of scores, got ",
                result.tagKind());
    const auto scores = result.toTensor();
    TORCH_CHECK(scores.dim() == 2 && scores.size(0) == input.size(0) && scores.size(1) > 0,
                "the model must return scores of shape (", input.size(0),
                ", number of classes), got ", scores.sizes());
    TORCH_CHECK(scores.is_floating_point(), "the model must return real scores, got ",
                scores.scalar_type());
    check_num_classes(model, scores.size(1));
    return apply_output(model, scores, output);
}

at::Tensor forward_only(ig_model &model, const float *pixels, size_t n, ig_shape shape,
                        ig_output output)
{
    const at::NoGradGuard no_grad;
    return forward(model, preprocess(model, view_pictures(model, pixels, n, shape)), output);
}

// ---- Backward ----------------------------------------------------------------------------------

// Picks of one backward pass: at most one a picture, since gradients of a batch's rows add up.
struct Round {
    std::vector<int64_t> rows, targets, places; // places: where in the caller's list
};

std::vector<Round> split_into_rounds(const ig_pick *picks, size_t m)
{
    std::vector<Round> rounds;
    size_t round = 0;
    for (size_t j = 0; j < m; j++) {
        round = j > 0 && picks[j].row == picks[j - 1].row ? round + 1 : 0;
        if (round == rounds.size())
            rounds.emplace_back();
        rounds[round].rows.push_back(static_cast<int64_t>(picks[j].row));
        rounds[round].targets.push_back(picks[j].target);
        rounds[round].places.push_back(static_cast<int64_t>(j));
    }
    return rounds;
}

// A long tensor over `values`, which must outlive it unless the device copies it.
at::Tensor index_tensor(std::vector<int64_t> &values, const at::Device &device)
{
    return at::from_blob(values.data(), {static_cast<int64_t>(values.size())}, at::kLong)
        .to(device);
}

// Writes the gradient of one round, an NCHW tensor in channels-last layout, straight into the
// caller's NHWC pictures.
void store_gradient(const ig_model &model, const Round &round, at::Tensor gradient, ig_shape shape,
                    float *ret_gradients)
{
    const auto size = static_cast<int64_t>(ig_shape_size(shape));
    if (model.scale.defined())
        gradient = gradient.to(at::kFloat).mul(model.scale);
    for (size_t j = 0; j < round.rows.size(); j++) {
        auto place =
            at::from_blob(ret_gradients + round.places[j] * size,
                          {static_cast<int64_t>(shape.height), static_cast<int64_t>(shape.width),
                           static_cast<int64_t>(shape.channels)},
                          at::kFloat);
        place.copy_(gradient[round.rows[j]].permute({1, 2, 0}));
    }
}

ig_status check_targets(const ig_pick *picks, size_t m, int64_t num_classes, ig_error *error)
{
    for (size_t j = 0; j < m; j++)
        if (picks[j].target < 0 || picks[j].target >= num_classes)
            return ig_fail(
                error, IG_OUT_OF_RANGE, "target %lld is out of range: the model has %lld classes",
                static_cast<long long>(picks[j].target), static_cast<long long>(num_classes));
    return IG_OK;
}

ig_status run_gradients(ig_model &model, const float *pixels, size_t n, ig_shape shape,
                        const ig_pick *picks, size_t m, ig_output output, float *ret_values,
                        float *ret_gradients, ig_error *error)
{
    const at::AutoGradMode grad(true);
    auto input = preprocess(model, view_pictures(model, pixels, n, shape)).detach();
    input.requires_grad_(true);
    const auto scores = forward(model, input, output);
    TORCH_CHECK(scores.requires_grad(), "the scores have no gradient path to the image");
    const ig_status status = check_targets(picks, m, scores.size(1), error);
    if (status != IG_OK)
        return status;
    auto rounds = split_into_rounds(picks, m);
    for (size_t r = 0; r < rounds.size(); r++) {
        auto &round = rounds[r];
        const auto picked = scores.index({index_tensor(round.rows, scores.device()),
                                          index_tensor(round.targets, scores.device())});
        const bool more = r + 1 < rounds.size();
        const auto gradient = torch::autograd::grad({picked}, {input}, {at::ones_like(picked)},
                                                    more, false, /*allow_unused=*/true)[0];
        TORCH_CHECK(gradient.defined(), "the scores have no gradient path to the image");
        const auto values = picked.detach().to(at::kCPU).contiguous();
        for (size_t j = 0; j < round.places.size(); j++)
            ret_values[round.places[j]] = values.data_ptr<float>()[j];
        store_gradient(model, round, gradient, shape, ret_gradients);
    }
    return IG_OK;
}

// ---- Loading -----------------------------------------------------------------------------------

// Lets libtorch read the caller's bytes without a copy.
class MemoryReader final : public caffe2::serialize::ReadAdapterInterface
{
  public:
    MemoryReader(const void *data, size_t size)
        : data_(static_cast<const char *>(data)), size_(size)
    {
    }
    size_t size() const override { return size_; }
    size_t read(uint64_t pos, void *buf, size_t n, const char *) const override
    {
        if (pos >= size_)
            return 0;
        const size_t count = std::min<size_t>(n, size_ - pos);
        std::memcpy(buf, data_ + pos, count);
        return count;
    }

  private:
    const char *data_;
    size_t size_;
};

at::Tensor affine_tensor(const float *values, size_t count, const at::Device &device)
{
    const auto tensor =
        at::from_blob(const_cast<float *>(values), {static_cast<int64_t>(count)}, at::kFloat)
            .clone();
    return tensor.view({1, static_cast<int64_t>(count), 1, 1}).to(device);
}

std::unique_ptr<ig_model> load(const ig_torch_options &options)
{
    const at::Device device(options.device);
    const auto precision = options.bfloat16 ? at::kBFloat16 : at::kFloat;
    auto module = torch::jit::load(
        std::make_shared<MemoryReader>(options.archive, options.archive_size), device);
    module.eval();
    for (auto parameter : module.parameters()) {
        parameter.requires_grad_(false);
        if (parameter.dim() == 4)
            parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
    }
    if (options.bfloat16)
        module.to(device, precision);
    auto model = std::make_unique<ig_model>();
    model->module = torch::jit::freeze(module);
    model->device = device;
    model->precision = precision;
    model->gives_probabilities = options.gives_probabilities != 0;
    if (options.affine_count) {
        model->scale = affine_tensor(options.scale, options.affine_count, device);
        model->offset = affine_tensor(options.offset, options.affine_count, device);
    }
    return model;
}

// ---- The table ---------------------------------------------------------------------------------

ig_status describe(ig_model *model, ig_shape shape, ig_description *ret_description,
                   ig_error *error) noexcept
{
    return guarded(error, [&] {
        const torch::jit::GraphOptimizerEnabledGuard no_profiling(false);
        if (!model->num_classes) {
            const std::vector<float> black(ig_shape_size(shape), 0.0F);
            forward_only(*model, black.data(), 1, shape, IG_SOFTMAX);
        }
        ret_description->num_classes = static_cast<size_t>(model->num_classes);
        std::snprintf(ret_description->device, sizeof ret_description->device, "%s",
                      model->device.str().c_str());
        return IG_OK;
    });
}

ig_status scores(ig_model *model, const float *pixels, size_t n, ig_shape shape, ig_output output,
                 float *ret_scores, ig_error *error) noexcept
{
    return guarded(error, [&] {
        const torch::jit::GraphOptimizerEnabledGuard no_profiling(false);
        const IeeeGuard ieee(model->device);
        const auto values =
            forward_only(*model, pixels, n, shape, output).to(at::kCPU).contiguous();
        std::memcpy(ret_scores, values.data_ptr<float>(), values.nbytes());
        return IG_OK;
    });
}

ig_status gradients(ig_model *model, const float *pixels, size_t n, ig_shape shape,
                    const ig_pick *picks, size_t m, ig_output output, float *ret_values,
                    float *ret_gradients, ig_error *error) noexcept
{
    return guarded(error, [&] {
        const torch::jit::GraphOptimizerEnabledGuard no_profiling(false);
        const IeeeGuard ieee(model->device);
        return run_gradients(*model, pixels, n, shape, picks, m, output, ret_values, ret_gradients,
                             error);
    });
}

void trim(ig_model *model) noexcept
{
    (void)model;
}

void destroy(ig_model *model) noexcept
{
    delete model;
}

const ig_backend torch_backend = {
    IG_ABI_VERSION, sizeof(ig_backend), describe, scores, gradients, trim, destroy, nullptr, nullptr,
};

} // namespace

extern "C" ig_status ig_torch_load(const ig_torch_options *options, ig_model **ret_model,
                                   ig_error *error)
{
    return guarded(error, [&] {
        *ret_model = load(*options).release();
        return IG_OK;
    });
}

extern "C" const ig_backend *ig_torch_backend(void)
{
    return &torch_backend;
}
