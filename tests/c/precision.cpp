// precision.cpp - the turnstile with a setting that watches itself, and torch's own switches.
//
// Needs no GPU: torch built for a CPU has the switches too. Prints what went wrong and returns 1,
// or returns 0.
#include "torch/precision.hpp"

#include "check.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

namespace
{

std::atomic<int> failures{0};

std::atomic<int> setting{-1}; // -1: as the user has it
std::atomic<int> changes{0};

struct Watched {
    void set(bool wish)
    {
        CHECK(setting == -1);
        setting = wish;
        changes++;
    }
    void restore()
    {
        CHECK(setting != -1);
        setting = -1;
    }
};

void test_everyone_gets_what_he_wants()
{
    ig_torch::Turnstile<Watched> turnstile;
    std::vector<std::thread> threads;
    for (int k = 0; k < 8; k++)
        threads.emplace_back([&turnstile, k] {
            for (int i = 0; i < 2000; i++) {
                const bool wish = (k + i / 100) % 2;
                turnstile.enter(wish);
                CHECK(setting == static_cast<int>(wish));
                turnstile.leave();
            }
        });
    for (auto &thread : threads)
        thread.join();
    CHECK(setting == -1);
}

void wait_for(const std::atomic<bool> &flag)
{
    while (!flag)
        std::this_thread::yield();
}

void test_the_same_wish_runs_side_by_side_and_the_other_has_its_turn()
{
    ig_torch::Turnstile<Watched> turnstile;
    std::atomic<bool> other_waits{false}, other_entered{false}, late_entered{false};
    turnstile.enter(false);
    turnstile.enter(false); // a second call beside the first; from one thread, as nobody waits
    changes = 0;
    std::thread other([&] {
        other_waits = true;
        turnstile.enter(true);
        other_entered = true;
        CHECK(!late_entered);
        turnstile.leave();
    });
    wait_for(other_waits);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    std::thread late([&] {
        turnstile.enter(false);
        late_entered = true;
        turnstile.leave();
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    CHECK(!other_entered && !late_entered);
    turnstile.leave();
    CHECK(!other_entered && setting == 0 && changes == 0);
    turnstile.leave();
    other.join();
    late.join();
    CHECK(setting == -1);
}

using Operator = at::Float32Op;
using Precision = at::Float32Precision;

void write(Operator of, Precision precision)
{
    at::globalContext().setFloat32Precision(at::Float32Backend::CUDA, of, precision);
}

bool is_tf32(Operator of)
{
    return at::globalContext().float32Precision(at::Float32Backend::CUDA, of) == Precision::TF32;
}

void set_and_restore(bool conv, bool rnn, bool matmul)
{
    for (const bool wish : {false, true}) {
        ig_torch::Tf32Switches switches;
        switches.set(wish);
        for (const Operator of : {Operator::CONV, Operator::RNN, Operator::MATMUL})
            CHECK(is_tf32(of) == wish);
        switches.restore();
        CHECK(is_tf32(Operator::CONV) == conv);
        CHECK(is_tf32(Operator::RNN) == rnn);
        CHECK(is_tf32(Operator::MATMUL) == matmul);
    }
}

void test_switches()
{
    set_and_restore(true, true, false); // as torch has them
    CHECK(at::globalContext().allowTF32CuDNN() && !at::globalContext().allowTF32CuBLAS());
    at::globalContext().setAllowTF32CuDNN(false); // the older API
    at::globalContext().setAllowTF32CuBLAS(true);
    set_and_restore(false, false, true);
    CHECK(!at::globalContext().allowTF32CuDNN() && at::globalContext().allowTF32CuBLAS());
    write(Operator::CONV, Precision::TF32); // and the newer, which makes the older one throw
    set_and_restore(true, false, true);
    write(Operator::MATMUL, Precision::IEEE);
    set_and_restore(true, false, false);
}

// A switch that nobody set follows the one above it, after us as before.
void test_inheritance()
{
    const auto all = [](Precision precision) {
        at::globalContext().setFloat32Precision(at::Float32Backend::GENERIC, Operator::ALL,
                                                precision);
    };
    bool before[3], after[3];
    const Operator operators[3] = {Operator::CONV, Operator::RNN, Operator::MATMUL};
    all(Precision::IEEE);
    for (int k = 0; k < 3; k++)
        before[k] = is_tf32(operators[k]);
    all(Precision::NONE);
    set_and_restore(true, true, false);
    all(Precision::IEEE);
    for (int k = 0; k < 3; k++)
        after[k] = is_tf32(operators[k]);
    for (int k = 0; k < 3; k++)
        CHECK(before[k] == after[k]);
    all(Precision::NONE);
}

} // namespace

int main()
{
    test_everyone_gets_what_he_wants();
    test_the_same_wish_runs_side_by_side_and_the_other_has_its_turn();
    test_inheritance(); // first of these, while torch's switches are untouched
    test_switches();
    return failures != 0;
}
