// Copying, and uint8 grey to float32.
#ifndef PLR_CUDA_COPIES_H
#define PLR_CUDA_COPIES_H

#include "../core/lesions.h"
#include "groups.h"

namespace plr {
namespace cuda {

struct CopyParams {
    const void* from;
    void* to;
    i64 count;  // bytes to copy, or pixels to scale
    i32 whole;  // 1: both are aligned to what a thread reads and writes at once
};

// Each thread copies 16 bytes PIECES times.
struct CopyBytes {
    static constexpr u32 threads = 256, blocks = 8, phases = 1;
    enum : i32 { PIECES = 4, PIECE = 16 };
    typedef CopyParams Params;
    typedef Nothing Shared;
    typedef Nothing Thread;

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared&, const Params& p) {
        PLR_UNROLL
        for (i32 k = 0; k < PIECES; ++k) {
            const i64 at_byte = PIECE * ((i64)(at.x * PIECES + (u32)k) * threads + at.thread);
            const u8* const from = (const u8*)p.from + at_byte;
            u8* const to = (u8*)p.to + at_byte;
            if (p.whole != 0 && at_byte + PIECE <= p.count)
                store_group((float*)to, load_group((const float*)from, GROUP, true), GROUP, true);
            else
                for (i64 b = 0; b < PIECE && at_byte + b < p.count; ++b) to[b] = from[b];
        }
    }
};

// Each thread scales a group PIECES times.
struct ScaleGrey {
    static constexpr u32 threads = 256, blocks = 8, phases = 1;
    enum : i32 { PIECES = 4 };
    typedef CopyParams Params;
    typedef Nothing Shared;
    typedef Nothing Thread;

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared&, const Params& p) {
        PLR_UNROLL
        for (i32 k = 0; k < PIECES; ++k) {
            const i64 pixel = GROUP * ((i64)(at.x * PIECES + (u32)k) * threads + at.thread);
            if (pixel >= p.count) continue;
            const i32 count = p.count - pixel < GROUP ? (i32)(p.count - pixel) : (i32)GROUP;
            const bool whole = p.whole != 0 && count == GROUP;
            const Group<u8> grey = load_group((const u8*)p.from + pixel, count, whole);
            Group<float> scaled;
            PLR_UNROLL
            for (i32 j = 0; j < GROUP; ++j) scaled.set(j, grey_to_float(grey.get(j)));
            store_group((float*)p.to + pixel, scaled, count, whole);
        }
    }
};

}  // namespace cuda
}  // namespace plr

#endif
