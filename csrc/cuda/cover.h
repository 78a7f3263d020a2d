// How much of each of its pixels a patch covers.
#ifndef PLR_CUDA_COVER_H
#define PLR_CUDA_COVER_H

#include "../core/lesions.h"
#include "launch.h"

namespace plr {
namespace cuda {

struct CoverParams {
    const u8* pixels;
    const i64* offsets;
    const i32* heights;
    const i32* widths;
    u8* cover;
    i32 shape, feather;
};

// One block for each patch.
struct CoverPatches {
    static constexpr u32 threads = 128, blocks = 8, phases = 3;
    typedef CoverParams Params;
    struct Shared {
        u32 low, high;
    };
    typedef Nothing Thread;

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared& shared, const Params& p) {
        const i32 height = p.heights[at.x], width = p.widths[at.x];
        const i64 pixels = (i64)height * width;
        const u8* const patch = p.pixels + p.offsets[at.x];
        if (phase == 0) {
            shared.low = 255;
            shared.high = 0;
        } else if (phase == 1) {
            if (p.shape != SHAPE_CLOUD) return;
            u32 low = 255, high = 0;
            for (i64 k = at.thread; k < pixels; k += threads) {
                low = patch[k] < low ? patch[k] : low;
                high = patch[k] > high ? patch[k] : high;
            }
            atomic_min(&shared.low, low);
            atomic_max(&shared.high, high);
        } else if (pixels > 0) {
            const i32 reach = edge_reach(p.shape, p.feather, height, width);
            for (i32 k = (i32)at.thread; k < (i32)pixels; k += threads)
                p.cover[p.offsets[at.x] + k] =
                    patch_cover(p.shape, reach, from_middle(k / width, height), from_middle(k % width, width), patch[k],
                                (i32)shared.low, (i32)shared.high);
        }
    }
};

}  // namespace cuda
}  // namespace plr

#endif
