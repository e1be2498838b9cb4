// block_pool.hpp - large blocks of memory that go from hand to hand without going back to the
// system.
//
//     BlockPool pool;
//     void *block = pool.take(size);  // at a page's start; nullptr if there is no memory
//     pool.give(block);               // idle now, and the next to fit is the same block
//     pool.release();                 // idle blocks go back to the system
//
// A block that malloc gives back has to be mapped anew, and its first touch is a page fault for
// every 4 KiB, which on a virtual machine takes longer than the convolution that fills it. Blocks
// here ask for huge pages. Any thread may call; every block must be given back before the pool is
// destroyed.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <list>
#include <mutex>
#include <unordered_map>

namespace ig_torch
{

class BlockPool
{
  public:
    BlockPool() = default;
    BlockPool(const BlockPool &) = delete;
    BlockPool &operator=(const BlockPool &) = delete;
    ~BlockPool() { release(); }

    void *take(size_t size)
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        size = (size + PAGE - 1) / PAGE * PAGE;
        Block block = take_idle(size, size / 8);
        // Forward passes have little in use at a time, of many sizes: room is better than a fault.
        if (!block.start && !may_hold(size))
            block = take_idle(size, most_in_use_ - std::min(most_in_use_, slack_));
        if (!block.start)
            block = map(size);
        if (!block.start)
            return nullptr;
        lent_[block.start] = {block.size, size};
        in_use_ += size;
        slack_ += block.size - size;
        most_in_use_ = std::max(most_in_use_, in_use_);
        return block.start;
    }

    // Returns false, and does nothing, if the block is not from here.
    bool give(void *start)
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto found = lent_.find(start);
        if (found == lent_.end())
            return false;
        idle_.push_back({start, found->second.size});
        in_use_ -= found->second.asked;
        slack_ -= found->second.size - found->second.asked;
        lent_.erase(found);
        return true;
    }

    void release()
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        while (!idle_.empty())
            unmap_oldest();
        most_in_use_ = in_use_;
    }

    // Bytes that are mapped, lent or idle.
    size_t held() const
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        return held_;
    }

  private:
    static constexpr size_t PAGE = 4096;
    struct Block {
        void *start;
        size_t size;
    };
    struct Lent {
        size_t size, asked;
    };

    // The smallest idle block that fits and is at most `waste` too large, or none.
    Block take_idle(size_t size, size_t waste)
    {
        auto best = idle_.end();
        for (auto block = idle_.begin(); block != idle_.end(); ++block)
            if (block->size >= size && block->size - size <= waste &&
                (best == idle_.end() || block->size < best->size))
                best = block;
        if (best == idle_.end())
            return {nullptr, 0};
        const Block block = *best;
        idle_.erase(best);
        return block;
    }

    // What is idle is at most half of what was in use at the most, and what is lent too large at
    // most as much again.
    bool may_hold(size_t size) const { return held_ + size <= most_in_use_ + most_in_use_ / 2; }

    // Blocks of sizes that nobody asks for any more go first. If there is no memory, every idle one
    // goes.
    Block map(size_t size)
    {
        while (!idle_.empty() && !may_hold(size))
            unmap_oldest();
        void *start = map_pages(size);
        while (!start && !idle_.empty()) {
            unmap_oldest();
            start = map_pages(size);
        }
        if (start)
            held_ += size;
        return {start, size};
    }
    static void *map_pages(size_t size)
    {
        void *start =
            mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (start == MAP_FAILED)
            return nullptr;
#ifdef MADV_HUGEPAGE
        madvise(start, size, MADV_HUGEPAGE); // a wish; where it is not granted nothing is lost
#endif
        return start;
    }
    void unmap_oldest()
    {
        munmap(idle_.front().start, idle_.front().size);
        held_ -= idle_.front().size;
        idle_.pop_front();
    }

    mutable std::mutex mutex_;
    std::list<Block> idle_; // the longest idle first
    std::unordered_map<void *, Lent> lent_;
    size_t held_ = 0, in_use_ = 0, most_in_use_ = 0, slack_ = 0;
};

} // namespace ig_torch
