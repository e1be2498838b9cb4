// block_pool.cpp - the pool of blocks, alone, under sanitizers.
//
// Prints what went wrong and returns 1, or returns 0.
#include "torch/block_pool.hpp"

#include "check.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

namespace
{

int failures = 0;

using ig_torch::BlockPool;
constexpr size_t MIB = size_t{1} << 20;

void test_a_block_goes_from_hand_to_hand()
{
    BlockPool pool;
    void *first = pool.take(3 * MIB);
    CHECK(first && reinterpret_cast<std::uintptr_t>(first) % 64 == 0);
    std::memset(first, 1, 3 * MIB);
    CHECK(pool.give(first));
    CHECK(pool.take(3 * MIB) == first);
    void *second = pool.take(3 * MIB);
    CHECK(second != first);
    CHECK(pool.held() == 6 * MIB);
    CHECK(pool.give(first) && pool.give(second));
    pool.release();
    CHECK(pool.held() == 0);
}

void test_the_best_fit_is_taken_and_no_bad_one()
{
    BlockPool pool;
    void *exact = pool.take(16 * MIB), *larger = pool.take(17 * MIB), *huge = pool.take(64 * MIB);
    pool.give(larger), pool.give(huge), pool.give(exact);
    CHECK(pool.take(16 * MIB) == exact);
    CHECK(pool.take(16 * MIB) == larger);
    void *fresh = pool.take(16 * MIB);
    CHECK(fresh != huge);
    pool.give(exact), pool.give(larger), pool.give(fresh);
}

// As forward passes do: each tensor is freed when the next is there, and no size comes twice.
void test_sizes_that_differ_take_what_has_room()
{
    BlockPool pool;
    const size_t sizes[] = {10, 2, 6, 3, 8, 1, 5};
    std::vector<void *> known;
    size_t fresh = 0;
    for (size_t round = 0; round < 4; round++) {
        void *before = nullptr;
        for (const size_t size : sizes) {
            void *block = pool.take(size * MIB);
            if (std::find(known.begin(), known.end(), block) == known.end()) {
                known.push_back(block);
                fresh += round > 1;
            }
            pool.give(before);
            before = block;
        }
        pool.give(before);
    }
    CHECK(fresh == 0);
    CHECK(pool.held() <= 12 * MIB * 3 / 2);
}

// Small blocks that outlive a pass may not keep the large ones of ever more passes.
void test_what_is_lent_too_large_is_bounded()
{
    BlockPool pool;
    std::vector<void *> kept;
    for (size_t round = 0; round < 200; round++) {
        void *before = nullptr;
        for (const size_t size : {50, 30, 70, 30}) {
            void *block = pool.take(size * MIB);
            pool.give(before);
            before = block;
        }
        if (round % 3 == 0)
            kept.push_back(pool.take(MIB / 4));
        pool.give(before);
    }
    CHECK(pool.held() <= 130 * MIB * 5 / 2);
    for (void *block : kept)
        pool.give(block);
}

void test_blocks_of_others_are_left_alone()
{
    BlockPool pool;
    int other = 0;
    CHECK(!pool.give(&other) && !pool.give(nullptr));
    void *block = pool.take(1);
    CHECK(pool.give(block));
    CHECK(!pool.give(block)); // it is no longer lent
}

void test_idle_blocks_are_bounded()
{
    BlockPool pool;
    for (size_t k = 1; k <= 100; k++) { // no two fit each other
        void *a = pool.take(10 * k * MIB), *b = pool.take(10 * k * MIB);
        CHECK(a && b && pool.held() <= 30 * k * MIB);
        pool.give(a), pool.give(b);
    }
    void *lent = pool.take(MIB);
    pool.release();
    CHECK(pool.held() == MIB);
    pool.give(lent);
}

[[maybe_unused]] void test_memory_that_runs_out()
{
    struct rlimit before, tight;
    getrlimit(RLIMIT_AS, &before);
    BlockPool pool;
    CHECK(!pool.take(SIZE_MAX / 2));
    CHECK(pool.held() == 0);
    void *idle = pool.take(512 * MIB), *lent = pool.take(512 * MIB);
    pool.give(idle);
    tight = before;
    tight.rlim_cur = 0; // whatever is asked for beyond what is held is refused
    setrlimit(RLIMIT_AS, &tight);
    void *refused = pool.take(400 * MIB); // does not fit the idle one, which is given up first
    const size_t held = pool.held();
    setrlimit(RLIMIT_AS, &before);
    CHECK(!refused && held == 512 * MIB);
    pool.give(lent);
}

void test_threads()
{
    BlockPool pool;
    std::vector<std::thread> threads;
    for (int k = 0; k < 4; k++)
        threads.emplace_back([&pool, k] {
            for (size_t i = 1; i < 500; i++) {
                const size_t size = (i % 7 + 1) << 14;
                auto *block = static_cast<unsigned char *>(pool.take(size));
                std::memset(block, k, size);
                bool whole = true;
                for (size_t j = 0; j < size; j += 997)
                    whole = whole && block[j] == k;
                if (!whole || !pool.give(block))
                    std::printf("two threads have had one block\n"), std::abort();
            }
        });
    for (auto &thread : threads)
        thread.join();
}

} // namespace

int main()
{
    test_a_block_goes_from_hand_to_hand();
    test_sizes_that_differ_take_what_has_room();
    test_what_is_lent_too_large_is_bounded();
    test_the_best_fit_is_taken_and_no_bad_one();
    test_blocks_of_others_are_left_alone();
    test_idle_blocks_are_bounded();
#ifndef __SANITIZE_THREAD__ // which needs memory itself
    test_memory_that_runs_out();
#endif
    test_threads();
    return failures != 0;
}
