// Scratch memory of one thread for the length of one call: one allocation, handed out in aligned pieces.
#ifndef PLR_CPU_SCRATCH_H
#define PLR_CPU_SCRATCH_H

#include <stdlib.h>

#include "../core/platform.h"

namespace plr {
namespace {

class Scratch {
  public:
    explicit Scratch(u64 bytes) {
        if (posix_memalign(&memory_, ALIGNMENT, bytes == 0 ? ALIGNMENT : bytes) != 0) memory_ = nullptr;
    }
    ~Scratch() { free(memory_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    bool failed() const { return memory_ == nullptr; }

    // Bytes that a piece of `count` elements takes; the sum over all pieces is what the constructor must be given.
    template <typename T>
    static u64 need(i64 count) {
        return ((u64)count * sizeof(T) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }

    template <typename T>
    T* take(i64 count) {
        T* piece = (T*)((char*)memory_ + used_);
        used_ += need<T>(count);
        return piece;
    }

  private:
    static constexpr u64 ALIGNMENT = 64;
    void* memory_ = nullptr;
    u64 used_ = 0;
};

}  // namespace
}  // namespace plr

#endif
