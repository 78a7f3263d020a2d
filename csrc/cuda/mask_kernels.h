// Masks as bits, with the set pixels counted: see core/masks.h.
#ifndef PLR_CUDA_MASK_KERNELS_H
#define PLR_CUDA_MASK_KERNELS_H

#include "../core/masks.h"
#include "running_sum.h"

namespace plr {
namespace cuda {

struct PackMasksParams {
    const u8* masks;  // [batch][height][width] non-zero = set
    u16* bits;        // [batch][height][4 * words]
    u32* before;      // [batch][height + 1]
    i64 height, width;
    i32 words;
    i32 whole;        // 1: rows are aligned to 16 bytes
    u32 row_blocks;   // of an image, PackRows::rows rows each
};

// A warp's worth of threads packs a row, 16 pixels each at a time, and counts it: before[y + 1] receives the row's.
struct PackRows {
    static constexpr u32 threads = 256, blocks = 8, phases = 3, lanes = 32, rows = threads / lanes;
    typedef PackMasksParams Params;
    struct Shared {
        u32 set[rows];
    };
    typedef Nothing Thread;

    struct alignas(16) Sixteen {
        u32 word[4];
    };

    // Bit i is set where byte i of four is not 0.
    PLR_BODY u32 nonzero_bytes(u32 four) {
        const u32 low7 = 0x7F7F7F7Fu;
        const u32 flags = ((((four & low7) + low7) | four) & ~low7) >> 7;
        return flags * 0x01020408u >> 24 & 15u;
    }

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared& shared, const Params& p) {
        const u32 line = at.thread / lanes, lane = at.thread % lanes;
        if (phase == 0) {
            if (at.thread < rows) shared.set[at.thread] = 0;
            return;
        }
        const i64 image = at.x / p.row_blocks, y = at.x % p.row_blocks * rows + line;
        if (y >= p.height) return;
        if (phase == 1) {
            const u8* const row = p.masks + (image * p.height + y) * p.width;
            u16* const to = p.bits + (image * p.height + y) * 4 * p.words;
            u32 set = 0;
            for (i32 k = (i32)lane; k < 4 * p.words; k += lanes) {
                const u32 bits = pack(row + 16 * (i64)k, p.width - 16 * (i64)k, p.whole != 0);
                to[k] = (u16)bits;
                set += (u32)bit_count(bits);
            }
            if (set != 0) atomic_add(&shared.set[line], set);
        } else if (lane == 0) {
            p.before[image * (p.height + 1) + y + 1] = shared.set[line];
        }
    }

    PLR_BODY u32 pack(const u8* from, i64 count, bool whole) {
        u32 bits = 0;
        if (whole && count >= 16) {
            const Sixteen bytes = *(const Sixteen*)from;
            PLR_UNROLL
            for (i32 k = 0; k < 4; ++k) bits |= nonzero_bytes(bytes.word[k]) << 4 * k;
            return bits;
        }
        for (i32 k = 0; k < 16 && k < count; ++k) bits |= (u32)(from[k] != 0) << k;
        return bits;
    }
};

// One block adds up the rows of an image.
struct CountRows {
    static constexpr u32 threads = RunningSum::threads, blocks = 4, phases = 1 + RunningSum::phases;
    typedef PackMasksParams Params;
    typedef RunningSum::Shared Shared;
    typedef Nothing Thread;

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared& shared, const Params& p) {
        u32* const before = p.before + (i64)at.x * (p.height + 1);
        const i64 chunk = (p.height + threads - 1) / threads;
        const i64 first = 1 + at.thread * chunk, end = first + chunk < p.height + 1 ? first + chunk : p.height + 1;
        if (phase == 0) {
            u32 set = 0;
            for (i64 y = first; y < end; ++y) set += before[y];
            RunningSum::put(at.thread, set, shared);
        } else if (phase == 1) {
            RunningSum::add_groups(at.thread, shared);
        } else {
            u32 set = RunningSum::before(at.thread, shared);
            if (at.thread == 0) before[0] = 0;
            for (i64 y = first; y < end; ++y) {
                set += before[y];
                before[y] = set;
            }
        }
    }
};

}  // namespace cuda
}  // namespace plr

#define PLR_KERNELS_mask(X)           \
    X(pack_rows, plr::cuda::PackRows) \
    X(count_rows, plr::cuda::CountRows)

#endif
