// torch_backend.cpp - a TorchScript archive behind backend.h.
//
// Speed comes from five things (benchmarks/compare.py measures them): the graph is frozen, which
// folds every batch norm into its convolution; parameters carry no gradients; pictures stay NHWC,
// which is torch's channels-last layout, so that nothing is transposed; the JIT's profiling
// executor is off, so that the first call is as fast as the last; and on a CPU the memory of
// activations is kept from batch to batch.
#include "torch_model.hpp"

#include "graph.hpp"
#include "precision.hpp"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/jit/serialization/import.h>

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

namespace ig_torch
{

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

// The last is cuDNN's, when memory was too short for the workspace of every algorithm it tried.
bool is_memory_message(const std::string &text)
{
    for (const char *part :
         {"can't allocate memory", "out of memory", "std::bad_alloc", "STATUS_ALLOC_FAILED",
          "unable to find an engine to execute this computation"})
        if (text.find(part) != std::string::npos)
            return true;
    return false;
}

// ---- Precision ---------------------------------------------------------------------------------

Turnstile<Tf32Switches> &turnstile()
{
    static Turnstile<Tf32Switches> instance;
    return instance;
}

// ---- Processes ---------------------------------------------------------------------------------

// The process that loaded the first model, whose threads libtorch has started.
pid_t first_process()
{
    static const pid_t process = getpid();
    return process;
}

// Threads are not copied by a fork, and a parallel loop in the child would wait for them for ever.
// CUDA cannot be used there at all.
void check_process(const ig_model &model)
{
    const bool alone = model.device.is_cpu() && at::get_num_threads() == 1;
    TORCH_CHECK(getpid() == first_process() || alone,
                "libtorch with several threads or CUDA does not survive a fork: start processes"
                " with multiprocessing.get_context('spawn'), or on a CPU call"
                " torch.set_num_threads(1) in this one first");
}

// ---- Forward -----------------------------------------------------------------------------------

// The caller's NHWC buffer seen as the NCHW tensor that models take; on the CPU nothing is copied,
// and elsewhere the copy is made when this returns, since the buffer is not pinned.
at::Tensor view_pictures(const ig_model &model, const float *pixels, size_t n, ig_shape shape)
{
    const auto nhwc =
        at::from_blob(const_cast<float *>(pixels),
                      {static_cast<int64_t>(n), static_cast<int64_t>(shape.height),
                       static_cast<int64_t>(shape.width), static_cast<int64_t>(shape.channels)},
                      at::kFloat);
    return nhwc.to(model.device).permute({0, 3, 1, 2});
}

// What goes into the graph. The affine map is linear, so that its derivative is its scale: it is
// left out of the graph that is differentiated, and multiplied in afterwards.
at::Tensor preprocess(const ig_model &model, const at::Tensor &pictures)
{
    // Else a single channel would be spread over as many as the scale has.
    TORCH_CHECK(!model.scale.defined() || model.scale.size(1) == 1 ||
                    model.scale.size(1) == pictures.size(1),
                "preprocess is for ", model.scale.size(1), " channels, and the image has ",
                pictures.size(1));
    const auto laid_out = model.layout == IG_CHANNELS_FIRST ? pictures.contiguous() : pictures;
    const auto input =
        model.scale.defined() ? laid_out.mul(model.scale).add_(model.offset) : laid_out;
    return input.to(model.precision == IG_BFLOAT16 ? at::kBFloat16 : at::kFloat);
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
    case IG_SIGMOID:
        return at::sigmoid(values);
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

// The tensor of scores in what the graph returned.
at::Tensor find_scores(const ig_model &model, const at::IValue &result)
{
    auto found = result;
    if (result.isGenericDict())
        found = result.toGenericDict().at(model.scores_at);
    else if (result.isTuple() && !model.scores_at.empty())
        found = result.toTupleRef().elements().at(std::stoul(model.scores_at));
    else if (result.isList() && !model.scores_at.empty())
        found = result.toListRef().at(std::stoul(model.scores_at));
    TORCH_CHECK(found.isTensor(), "the model must return one tensor of scores, got ",
                found.tagKind());
    return found.toTensor();
}

at::Tensor forward(ig_model &model, const at::Tensor &input, ig_output output)
{
    const auto scores = find_scores(model, model.module.forward({input}));
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

ig_status check_targets(const ig_pick *picks, size_t m, int64_t num_classes, ig_error *error)
{
    for (size_t j = 0; j < m; j++)
        if (picks[j].target < 0 || picks[j].target >= num_classes)
            return ig_fail(
                error, IG_OUT_OF_RANGE, "target %lld is out of range: the model has %lld classes",
                static_cast<long long>(picks[j].target), static_cast<long long>(num_classes));
    return IG_OK;
}

// Writes what a round gave to the caller's buffers.
void store_round(const Round &round, ig_shape shape, float *ret_values, float *ret_gradients)
{
    const auto size = static_cast<int64_t>(ig_shape_size(shape));
    const auto values = round.values.to(at::kCPU).contiguous();
    for (size_t j = 0; j < round.rows.size(); j++) {
        const auto gradient = round.gradients[round.rows[j]];
        at::from_blob(ret_gradients + round.places[j] * size, gradient.sizes(), at::kFloat)
            .copy_(gradient);
        ret_values[round.places[j]] = values.data_ptr<float>()[j];
    }
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
    first_process();
    const PlainModes modes;
    // "cuda" is whichever is current: its index is needed, should another be current later.
    const at::Device device = at::empty({0}, at::Device(options.device)).device();
    auto module = torch::jit::load(
        std::make_shared<MemoryReader>(options.archive, options.archive_size), device);
    auto model = std::make_unique<ig_model>();
    model->module = prepare(module, options.precision == IG_BFLOAT16 ? at::kBFloat16 : at::kFloat,
                            options.layout == IG_CHANNELS_LAST);
    model->device = device;
    model->precision = options.precision;
    model->gives_probabilities = options.gives_probabilities != 0;
    model->layout = options.layout;
    model->pairs_single = options.pairs_single != 0;
    model->scores_at = options.scores_at;
    if (options.affine_count) {
        model->scale = affine_tensor(options.scale, options.affine_count, device);
        model->offset = affine_tensor(options.offset, options.affine_count, device);
    }
    return model;
}

// ---- Memory ------------------------------------------------------------------------------------

// Runs `gradients` on n black pictures and compares the allocator's books. The peak is a mark that
// torch keeps for the whole process: torch.cuda.max_memory_allocated() starts from here again.
ig_status measure_memory(ig_model &model, ig_shape shape, size_t n, size_t *ret_peak,
                         size_t *ret_free, ig_error *error)
{
    ig_status status;
    const auto aggregate = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    const auto index = model.device.index();
    auto *allocator = c10::getDeviceAllocator(model.device.type());
    allocator->resetPeakStats(index);
    const auto held = allocator->getDeviceStats(index).allocated_bytes[aggregate].current;
    {
        std::vector<ig_pick> picks;
        for (size_t row = 0; row < n; row++)
            picks.push_back({row, 0});
        const auto black =
            at::zeros({static_cast<int64_t>(n), static_cast<int64_t>(shape.height),
                       static_cast<int64_t>(shape.width), static_cast<int64_t>(shape.channels)},
                      at::TensorOptions(model.device).dtype(at::kFloat));
        std::vector<Round> rounds;
        status = differentiate(model, black.permute({0, 3, 1, 2}), picks.data(), n, IG_SOFTMAX,
                               rounds, error);
    }
    const auto stats = allocator->getDeviceStats(index);
    const auto allocated = stats.allocated_bytes[aggregate];
    const auto cached = stats.reserved_bytes[aggregate].current - allocated.current;
    *ret_peak = static_cast<size_t>(allocated.peak - held);
    *ret_free = allocator->getMemoryInfo(index).first + static_cast<size_t>(cached);
    return status;
}

// ---- The table ---------------------------------------------------------------------------------

ig_status describe(ig_model *model, ig_shape shape, ig_description *ret_description,
                   ig_error *error) noexcept
{
    return guarded(error, [&] {
        if (!model->num_classes) {
            const CallScope scope(*model);
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
        const CallScope scope(*model);
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
        const CallScope scope(*model);
        std::vector<Round> rounds;
        const ig_status status = differentiate(*model, view_pictures(*model, pixels, n, shape),
                                               picks, m, output, rounds, error);
        for (const auto &round : rounds)
            store_round(round, shape, ret_values, ret_gradients);
        return status;
    });
}

void trim(ig_model *model) noexcept
{
    ig_error ignored; // whoever retries will see for himself whether this helped
    guarded(&ignored, [&] {
        if (model->device.is_cpu())
            release_activations();
        else
            c10::getDeviceAllocator(model->device.type())->emptyCache();
        return IG_OK;
    });
}

void destroy(ig_model *model) noexcept
{
    const bool on_cpu = model->device.is_cpu();
    delete model;
    if (on_cpu)
        release_activations();
}

ig_status memory(ig_model *model, ig_shape shape, size_t n, size_t *ret_peak, size_t *ret_free,
                 ig_error *error) noexcept
{
    *ret_peak = *ret_free = 0;
    return guarded(error, [&] {
        const CallScope scope(*model);
        return model->device.is_cpu() ? IG_OK
                                      : measure_memory(*model, shape, n, ret_peak, ret_free, error);
    });
}

constexpr ig_backend table(const ig_path_store *paths)
{
    return {IG_ABI_VERSION, sizeof(ig_backend), describe, scores, gradients, trim, destroy, paths,
            memory};
}

const ig_backend on_host = table(nullptr);
const ig_backend on_device = table(&device_paths);

} // namespace

// ---- What torch_paths.cpp needs too ------------------------------------------------------------

ig_status fail(ig_error *error, const std::string &text, bool no_memory)
{
    if (no_memory || is_memory_message(text))
        return ig_fail(error, IG_NO_MEMORY, "%s", last_line(text).c_str());
    return ig_fail(error, IG_MODEL_FAILED, "the model failed: %s", last_line(text).c_str());
}

CallScope::CallScope(const ig_model &model)
    : kept_(model.device.is_cpu()), switches_(model.device.is_cuda())
{
    check_process(model);
    if (switches_)
        turnstile().enter(model.precision == IG_TF32);
}

CallScope::~CallScope()
{
    if (switches_)
        turnstile().leave();
}

ig_status differentiate(ig_model &model, const at::Tensor &pictures, const ig_pick *picks, size_t m,
                        ig_output output, std::vector<Round> &ret_rounds, ig_error *error)
{
    const at::AutoGradMode grad(true);
    auto rounds = split_into_rounds(picks, m);
    // Before the forward pass, because a copy from host memory waits for all that is queued.
    std::vector<std::pair<at::Tensor, at::Tensor>> indices;
    for (auto &round : rounds)
        indices.emplace_back(index_tensor(round.rows, model.device),
                             index_tensor(round.targets, model.device));
    auto input = preprocess(model, pictures).detach();
    const bool paired = model.pairs_single && input.size(0) == 1;
    if (paired)
        input = at::cat({input, input});
    input.requires_grad_(true);
    const auto scores = forward(model, input, output);
    TORCH_CHECK(scores.requires_grad(), "the scores have no gradient path to the image");
    const ig_status status = check_targets(picks, m, scores.size(1), error);
    if (status != IG_OK)
        return status;
    for (size_t r = 0; r < rounds.size(); r++) {
        const auto picked = scores.index({indices[r].first, indices[r].second});
        const bool more = r + 1 < rounds.size();
        auto gradients = torch::autograd::grad({picked}, {input}, {at::ones_like(picked)}, more,
                                               false, /*allow_unused=*/true)[0];
        TORCH_CHECK(gradients.defined(), "the scores have no gradient path to the image");
        gradients = (paired ? gradients.narrow(0, 0, 1) : gradients).to(at::kFloat);
        if (model.scale.defined())
            gradients = gradients.mul(model.scale);
        rounds[r].values = picked.detach();
        rounds[r].gradients = gradients.permute({0, 2, 3, 1});
    }
    ret_rounds = std::move(rounds);
    return IG_OK;
}

} // namespace ig_torch

extern "C" ig_status ig_torch_load(const ig_torch_options *options, ig_model **ret_model,
                                   ig_error *error)
{
    return ig_torch::guarded(error, [&] {
        *ret_model = ig_torch::load(*options).release();
        return IG_OK;
    });
}

extern "C" const ig_backend *ig_torch_backend(int device_paths)
{
    return device_paths ? &ig_torch::on_device : &ig_torch::on_host;
}
