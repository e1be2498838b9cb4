// graph.hpp - what is done to a TorchScript module between reading it and running it.
//
//     auto module = torch::jit::load(reader, device);
//     module = prepare(module, at::kFloat, /*channels_last=*/true);
//     module.forward({pictures});
//
// The answers stay those of the module: gradients too, so that what it detaches stays detached.
#pragma once

#include <torch/csrc/jit/api/module.h>

namespace ig_torch
{

// Returns the module in evaluation mode, without gradients for its parameters, its real numbers in
// `type`, frozen: batch norms are folded into convolutions. With channels_last the weights of
// convolutions are laid out so; no others, since a graph may flatten them with `view`. `module` is
// changed. Throws what torch throws.
torch::jit::Module prepare(torch::jit::Module module, at::ScalarType type, bool channels_last);

} // namespace ig_torch
