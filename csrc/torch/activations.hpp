// activations.hpp - the memory of a model's activations on a CPU, kept from one batch to the next.
//
//     const KeptActivations kept(model.device.is_cpu());
//     ...                     // this thread's large tensors come from a pool of blocks
//     release_activations();  // what is idle in the pool goes back to the system
//
// torch asks one allocator of the whole process for every CPU tensor. The first KeptActivations
// puts one in its place that hands every request on to it, but for those of threads which hold a
// KeptActivations just then. Tensors may outlive it and be freed by any thread.
#pragma once

namespace ig_torch
{

class KeptActivations
{
  public:
    explicit KeptActivations(bool wanted);
    ~KeptActivations();
    KeptActivations(const KeptActivations &) = delete;
    KeptActivations &operator=(const KeptActivations &) = delete;

  private:
    const bool before_;
};

void release_activations();

} // namespace ig_torch
