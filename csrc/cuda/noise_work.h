// Who works at which pixels of noise, and what all kernels of rows do before and after them.
#ifndef PLR_CUDA_NOISE_WORK_H
#define PLR_CUDA_NOISE_WORK_H

#include "noise_pixels.h"
#include "noise_setup.h"

namespace plr {
namespace cuda {

struct NoiseRowsParams {
    NoiseTables tables;
    void* out;
    i64 stride_sample, stride_plane, stride_row;  // of `out`, in bytes; columns are contiguous
    i64 depth, height, width;
    i32 octaves;
    i32 output;         // NoiseFormat, or FIND_EXTREMES
    i32 aligned;        // 1: a thread's columns are neighbours, stored at once; 0: they are `groups` apart
    i32 groups;         // threads that a row of pixels takes
    i32 group_shift;    // threads of a block that go along a row: 1 << group_shift; the others take other strips
    i32 strip;          // rows of a strip
    u32 row_blocks;     // blocks along a row of pixels
    u32 strip_blocks;   // blocks along the rows of a plane
    const u8* chosen;   // [samples] 1 where noise is to be made, or null: everywhere
};

// What a thread works at.
struct NoiseWork {
    i64 sample, plane;
    i32 group;
    i32 first, last;  // rows; none: first == last
};

// In 32 bits, as all that is done for each row: a division in 64 bits takes a GPU a hundred instructions.
PLR_BODY i64 noise_sample(const At& at, const NoiseRowsParams& p) {
    return at.x / p.row_blocks / p.strip_blocks / (u32)p.depth;
}

// Whether there is nothing to do for the whole block.
PLR_BODY bool left_out(const At& at, const NoiseRowsParams& p) {
    return p.chosen != nullptr && read_only(p.chosen + noise_sample(at, p)) == 0;
}

PLR_BODY NoiseWork noise_work(const At& at, u32 threads, const NoiseRowsParams& p) {
    const u32 along = at.x % p.row_blocks, rest = at.x / p.row_blocks;
    const u32 planes = rest / p.strip_blocks, depth = (u32)p.depth;
    const u32 strip = (rest % p.strip_blocks) * (threads >> p.group_shift) + (at.thread >> p.group_shift);
    NoiseWork work;
    work.sample = planes / depth;
    work.plane = planes % depth;
    work.group = (i32)((along << p.group_shift) + (at.thread & ((1u << p.group_shift) - 1u)));
    const i64 first = (i64)strip * p.strip, last = first + p.strip;
    work.last = (i32)(last < p.height ? last : p.height);
    work.first = first < work.last && work.group < p.groups ? (i32)first : work.last;
    return work;
}

// The permutation twice over, so that a sum of two bytes needs no wrapping.
struct SharedPermutation {
    u32 words[2 * LATTICE_PERIOD / 4];

    PLR_MEMBER const u8* bytes() const { return (const u8*)words; }
};

PLR_BODY void load_permutation(u32 thread, u32 threads, const u8* from, SharedPermutation& to) {
    for (u32 i = thread; i < 2 * LATTICE_PERIOD / 4; i += threads)
        to.words[i] = read_only((const u32*)from + (i & (LATTICE_PERIOD / 4 - 1)));
}

// A thread's part of the extremes.
struct Extremes {
    float low, high;
};

PLR_BODY void join_extremes(const Extremes& mine, u32* shared) {
    atomic_max(&shared[0], float_bits(mine.low));  // at most -0: the larger the bits, the lower the value
    atomic_max(&shared[1], float_bits(mine.high));
}

// What is the same in the two kernels before and after the rows.
template <typename Shared>
PLR_BODY void begin_block(const At& at, u32 threads, Shared& shared, const NoiseRowsParams& p) {
    load_permutation(at.thread, threads, p.tables.permutation + noise_sample(at, p) * LATTICE_PERIOD, shared.permutation);
    if (at.thread < 2) shared.extremes[at.thread] = at.thread == 0 ? 0x80000000u : 0u;
}

template <typename Shared>
PLR_BODY void end_block(const At& at, const Shared& shared, const NoiseRowsParams& p) {
    if (p.output == FIND_EXTREMES && at.thread < 2)
        atomic_max(p.tables.extremes + 2 * noise_sample(at, p) + at.thread, shared.extremes[at.thread]);
}

}  // namespace cuda
}  // namespace plr

#endif
