// Random windows of an image, as a map: for each pixel the last window that covers it.
#ifndef PLR_CUDA_WINDOWS_H
#define PLR_CUDA_WINDOWS_H

#include "../core/filters.h"
#include "groups.h"
#include "noise_setup.h"

namespace plr {
namespace cuda {

struct WindowMapParams {
    u64 seed;
    SampleIds samples;
    Windows windows;
    i32 height, width;
    u32 stream;   // of the draws
    u32* owners;  // [batch][height][width], padded to whole groups: 1 + the last window over the pixel, or 0
    i64 groups;   // in `owners`
};

struct alignas(16) FourOwners {
    u32 v[4];
};

// A group by each thread.
struct ClearWindows {
    static constexpr u32 threads = 256, blocks = 8, phases = 1;
    typedef WindowMapParams Params;
    typedef Nothing Shared;
    typedef Nothing Thread;

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared&, const Params& p) {
        const i64 group = (i64)at.x * threads + at.thread;
        if (group < p.groups) ((FourOwners*)p.owners)[group] = {{0, 0, 0, 0}};
    }
};

// One block for each window of each image.
struct MapWindows {
    static constexpr u32 threads = 256, blocks = 8, phases = 1;
    typedef WindowMapParams Params;
    typedef Nothing Shared;
    typedef Nothing Thread;

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared&, const Params& p) {
        const i64 image = at.x / (u32)p.windows.count;
        const u32 number = at.x % (u32)p.windows.count;
        const Box box = window_box(p.windows, p.seed, sample_id(p.samples, image), p.stream, number, p.height, p.width);
        u32* const owners = p.owners + image * p.height * p.width;
        const u32 pixels = (u32)box.height * (u32)box.width;
        for (u32 k = at.thread; k < pixels; k += threads) {
            const u32 y = k / (u32)box.width, x = k % (u32)box.width;
            atomic_max(owners + (i64)(box.top + (i32)y) * p.width + box.left + (i32)x, number + 1);
        }
    }
};

}  // namespace cuda
}  // namespace plr

#endif
