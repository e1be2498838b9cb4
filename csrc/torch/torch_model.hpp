// torch_model.hpp - a loaded model and how it is run; shared by the files of this folder only.
//
//     return guarded(error, [&] {
//         const CallScope scope(*model);
//         std::vector<Round> rounds;
//         return differentiate(*model, pictures, picks, m, IG_LOGIT, rounds, error);
//     });
//
// Functions here throw; `guarded` turns what they throw into a status at the door (backend.h).
#pragma once

#include "torch_backend.h"

#include "activations.hpp"

#include <ATen/core/Tensor.h>
#include <c10/core/DispatchKeySet.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/util/Exception.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <atomic>
#include <exception>
#include <new>
#include <string>
#include <vector>

struct ig_model {
    torch::jit::Module module;
    at::Device device = at::kCPU; // with its index
    ig_precision precision = IG_IEEE;
    at::Tensor scale, offset; // (1, C, 1, 1), undefined where the graph preprocesses
    bool gives_probabilities = false;
    ig_layout layout = IG_CHANNELS_LAST;
    bool pairs_single = false;
    std::string scores_at;               // both as in ig_torch_options
    std::atomic<int64_t> num_classes{0}; // 0 until it has run once
};

namespace ig_torch
{

// ---- Errors ------------------------------------------------------------------------------------

// Says in one line what went wrong. A text that tells of short memory is IG_NO_MEMORY: the CPU
// allocator raises a plain c10::Error, and the interpreter rewraps whatever it catches.
ig_status fail(ig_error *error, const std::string &text, bool no_memory = false);

// Runs `body`, which returns an ig_status, and lets no exception out.
template <typename Body>
ig_status guarded(ig_error *error, const Body &body) noexcept
{
    try {
        return body();
    } catch (const c10::OutOfMemoryError &e) {
        return fail(error, e.what_without_backtrace(), true);
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

// ---- Running -----------------------------------------------------------------------------------

// The modes that the caller's thread may be in, `torch.inference_mode()` and `torch.autocast()`, do
// not hold: the first records no gradients, the second computes in less than the model's precision.
struct PlainModes {
    const c10::InferenceMode normal{false};
    const c10::impl::ExcludeDispatchKeyGuard no_autocast{c10::autocast_dispatch_keyset};
};

// What holds while a call runs the model, and never longer: torch's modes are plain, the JIT's
// profiling executor is off for this thread, on a CPU its activations come from memory that is
// kept, and on CUDA torch's TF32 switches, which are the process's, are as the model's precision
// wants them. Waits while calls that want them otherwise run. One a call, never nested. Throws in a
// forked process, where libtorch would hang.
class CallScope
{
  public:
    explicit CallScope(const ig_model &model);
    ~CallScope();
    CallScope(const CallScope &) = delete;
    CallScope &operator=(const CallScope &) = delete;

  private:
    const PlainModes modes_;
    const torch::jit::GraphOptimizerEnabledGuard no_profiling_{false};
    const KeptActivations kept_;
    const bool switches_;
};

// One backward pass: at most one pick a picture, since gradients of a batch's rows add up.
struct Round {
    std::vector<int64_t> rows, targets, places; // places: where in the caller's list of picks
    at::Tensor values;                          // (rows), float32 on the model's device
    at::Tensor gradients; // (n, H, W, C) float32 there, of all pictures, dense in no certain order
};

// F at the picks and its gradients, for pictures (n, C, H, W) on the model's device. Picks are in
// ascending order of row; the k-th pick of a picture is in round k. IG_OUT_OF_RANGE is returned,
// anything else thrown.
ig_status differentiate(ig_model &model, const at::Tensor &pictures, const ig_pick *picks, size_t m,
                        ig_output output, std::vector<Round> &ret_rounds, ig_error *error);

// The path store on the model's device (torch_paths.cpp).
extern const ig_path_store device_paths;

} // namespace ig_torch
