// activations.cpp - torch's CPU allocator, with a pool in front of it for our own threads.
#include "activations.hpp"

#include "block_pool.hpp"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

#include <cstring>

namespace ig_torch
{

namespace
{

// Smaller blocks malloc keeps by itself.
constexpr size_t LEAST = size_t{1} << 18;

thread_local bool is_kept = false;

// Never destroyed: tensors may outlive every static object.
BlockPool &pool()
{
    static auto *const instance = new BlockPool;
    return *instance;
}

class Allocator final : public c10::Allocator
{
  public:
    explicit Allocator(c10::Allocator *others) : others_(others) {}
    at::DataPtr allocate(size_t size) override
    {
        if (!is_kept || size < LEAST)
            return others_->allocate(size);
        void *block = pool().take(size);
        TORCH_CHECK_WITH(OutOfMemoryError, block, "out of memory: ", size, " bytes were asked for");
        return {block, block, free_any, at::Device(at::kCPU)};
    }
    // oneDNN's scratch is asked for and freed through bare pointers.
    at::DeleterFnPtr raw_deleter() const override { return free_any; }
    void copy_data(void *to, const void *from, size_t size) const override
    {
        std::memcpy(to, from, size);
    }

    // Takes torch's place on the first call, for good.
    static const Allocator &install()
    {
        static auto *const instance = [] {
            auto *made = new Allocator(c10::GetCPUAllocator());
            c10::SetCPUAllocator(made);
            return made;
        }();
        return *instance;
    }

  private:
    static void free_any(void *block)
    {
        if (!pool().give(block))
            install().others_->raw_deleter()(block);
    }
    c10::Allocator *const others_;
};

} // namespace

KeptActivations::KeptActivations(bool wanted) : before_(is_kept)
{
    if (wanted)
        Allocator::install();
    is_kept = wanted;
}

KeptActivations::~KeptActivations()
{
    is_kept = before_;
}

void release_activations()
{
    pool().release();
}

} // namespace ig_torch
