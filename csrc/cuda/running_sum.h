// The sum of one number of each thread over all threads before it, for blocks of 256 threads.
#ifndef PLR_CUDA_RUNNING_SUM_H
#define PLR_CUDA_RUNNING_SUM_H

#include "groups.h"

namespace plr {
namespace cuda {

// Three phases, in the middle of which add_groups() stands: put(), then add_groups(), then before() and total().
struct RunningSum {
    static constexpr u32 threads = 256, width = 16, phases = 2;  // further phases after that of put()

    struct Shared {
        u32 number[threads];
        u32 group[threads / width];
    };

    PLR_BODY void put(u32 thread, u32 number, Shared& s) { s.number[thread] = number; }

    PLR_BODY void add_groups(u32 thread, Shared& s) {
        if (thread >= threads / width) return;
        u32 sum = 0;
        PLR_UNROLL
        for (u32 k = 0; k < width; ++k) sum += s.number[thread * width + k];
        s.group[thread] = sum;
    }

    PLR_BODY u32 before(u32 thread, const Shared& s) {
        const u32 group = thread / width, lane = thread % width;
        u32 sum = 0;
        PLR_UNROLL
        for (u32 k = 0; k < width; ++k) sum += (k < group ? s.group[k] : 0) + (k < lane ? s.number[group * width + k] : 0);
        return sum;
    }

    PLR_BODY u32 total(const Shared& s) {
        u32 sum = 0;
        PLR_UNROLL
        for (u32 k = 0; k < threads / width; ++k) sum += s.group[k];
        return sum;
    }
};

}  // namespace cuda
}  // namespace plr

#endif
