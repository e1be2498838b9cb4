// precision.hpp - torch's TF32 switches, which are the whole process's, for as long as our calls
// run.
//
//     Turnstile<Tf32Switches> turnstile;
//     turnstile.enter(false);  // float32 is computed in IEEE from here on
//     ...                      // other calls that want IEEE run beside this one
//     turnstile.leave();       // the last to leave puts the switches back
#pragma once

#include <ATen/Context.h>

#include <condition_variable>
#include <mutex>

namespace ig_torch
{

// Lets calls that want the same setting run side by side, and makes calls that want the other wait
// until they have left. Setting has `void set(bool wish)` and `void restore()`, which are called by
// the first to enter and the last to leave. A call must not enter twice: a waiting call of the
// other wish would block it for ever.
template <typename Setting>
class Turnstile
{
  public:
    void enter(bool wish)
    {
        std::unique_lock<std::mutex> lock(mutex_);
        waiting_[wish]++;
        // Who wants it as it is leaves the turn to a call of the other wish, which might else wait
        // for ever.
        changed_.wait(lock, [&] { return wish == wish_ ? !waiting_[!wish] : !inside_; });
        waiting_[wish]--;
        if (!inside_)
            setting_.set(wish_ = wish);
        inside_++;
    }
    void leave()
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (--inside_ == 0) {
            setting_.restore();
            changed_.notify_all();
        }
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    Setting setting_;
    bool wish_ = false;
    int inside_ = 0;
    int waiting_[2] = {0, 0};
};

// TF32 in convolutions, recurrent layers and matrix products of CUDA. Through torch's newer API
// only: its older one (allowTF32CuDNN, ...) throws where a user has mixed the two.
class Tf32Switches
{
  public:
    void set(bool tf32)
    {
        for (auto &each : operators_)
            each.changed = false;
        all_.changed = !agree(tf32);
        if (!all_.changed)
            return;
        // First the one that all follow whose own is not set, since torch 2.13 cannot unset theirs.
        change(all_, tf32);
        for (auto &each : operators_)
            if (is_tf32(each) != tf32)
                change(each, tf32);
    }
    void restore()
    {
        for (const auto &each : operators_)
            if (each.changed)
                write(each, each.before);
        if (!all_.changed)
            return;
        // It too may have followed another, and is to go on so where that gives the same.
        write(all_, Precision::NONE);
        if (read(all_) != all_.before)
            write(all_, all_.before);
    }

  private:
    using Operator = at::Float32Op;
    using Precision = at::Float32Precision;
    struct Switch {
        Operator of;
        Precision before = Precision::NONE;
        bool changed = false;
    };

    static Precision read(const Switch &of)
    {
        return at::globalContext().float32Precision(at::Float32Backend::CUDA, of.of);
    }
    static bool is_tf32(const Switch &of) { return read(of) == Precision::TF32; }
    static void write(const Switch &of, Precision precision)
    {
        at::globalContext().setFloat32Precision(at::Float32Backend::CUDA, of.of, precision);
    }
    static void change(Switch &of, bool tf32)
    {
        of.before = read(of);
        of.changed = true;
        write(of, tf32 ? Precision::TF32 : Precision::IEEE);
    }
    bool agree(bool tf32) const
    {
        for (const auto &each : operators_)
            if (is_tf32(each) != tf32)
                return false;
        return true;
    }

    Switch all_{Operator::ALL};
    Switch operators_[3] = {{Operator::CONV}, {Operator::RNN}, {Operator::MATMUL}};
};

} // namespace ig_torch
