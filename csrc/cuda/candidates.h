// Candidate patches of the lesion bank: where they lie, how bright they are, and their pixels.
#ifndef PLR_CUDA_CANDIDATES_H
#define PLR_CUDA_CANDIDATES_H

#include "../core/lesions.h"
#include "groups.h"
#include "noise_setup.h"

namespace plr {
namespace cuda {

struct CandidateParams {
    u64 seed;
    SampleIds ids;     // of the images
    const u8* images;  // [images][rows][columns]
    i64 count;         // images * rounds
    i32 rows, columns;
    i32 low, high;     // sides, both ends included
    u32 first_round, rounds;
    i32 whole;         // 1: `images` begins and ends where words of 32 bits do
    i32* out;          // [images][rounds][5] sum of grey, top, left, height, width
};

// One thread for each candidate.
struct Candidates {
    static constexpr u32 threads = 128, blocks = 12, phases = 1;
    typedef CandidateParams Params;
    typedef Nothing Shared;
    typedef Nothing Thread;

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared&, const Params& p) {
        const i64 number = (i64)at.x * threads + at.thread;
        if (number >= p.count) return;
        const i64 image = number / p.rounds;
        const u32 round = (u32)(number % p.rounds);
        const Box box = candidate_box(p.seed, sample_id(p.ids, image), p.first_round + round, p.low, p.high, p.rows,
                                      p.columns);
        i32* const row = p.out + 5 * number;
        row[0] = (i32)box_sum(p, image, box);
        row[1] = box.top;
        row[2] = box.left;
        row[3] = box.height;
        row[4] = box.width;
    }

    PLR_BODY u32 box_sum(const Params& p, i64 image, const Box& box) {
        i64 start = (image * p.rows + box.top) * p.columns + box.left;
        u32 sum = 0;
        for (i32 y = 0; y < box.height; ++y, start += p.columns)
            if (p.whole != 0)
                sum = add_words((const u32*)p.images, start, box.width, sum);
            else
                for (i32 x = 0; x < box.width; ++x) sum += read_only(p.images + start + x);
        return sum;
    }

    // `width` bytes from byte `start` of `words` on, four at a time.
    PLR_BODY u32 add_words(const u32* words, i64 start, i32 width, u32 sum) {
        const u32* word = words + (start >> 2);
        const i32 skip = (i32)(start & 3);
        u32 kept = ~0u << 8 * skip;
        for (i32 left = width + skip; left > 0; left -= 4, ++word) {
            if (left < 4) kept &= (1u << 8 * left) - 1u;
            sum = add_bytes(read_only(word) & kept, sum);
            kept = ~0u;
        }
        return sum;
    }

    PLR_BODY u32 add_bytes(u32 word, u32 sum) {
#if defined(PLR_DEVICE_CODE)
        return __dp4a(word, 0x01010101u, sum);
#else
        return sum + (word & 255u) + (word >> 8 & 255u) + (word >> 16 & 255u) + (word >> 24);
#endif
    }
};

struct CutParams {
    const u8* images;    // [...][rows][columns]
    i64 rows, columns;
    const i64* boxes;    // [count][5] image, top, left, height, width
    const i64* offsets;  // [count] of their first bytes in `out`
    const i64* found;    // how many boxes there are, or null: as many as blocks
    u8* out;
};

// One block for each box.
struct CutBoxes {
    static constexpr u32 threads = 128, blocks = 12, phases = 1;
    typedef CutParams Params;
    typedef Nothing Shared;
    typedef Nothing Thread;

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared&, const Params& p) {
        if (p.found != nullptr && at.x >= (u64)*p.found) return;
        const i64* const box = p.boxes + 5 * (i64)at.x;
        const i64 pixels = box[3] * box[4];
        const u8* const from = p.images + (box[0] * p.rows + box[1]) * p.columns + box[2];
        u8* const to = p.out + p.offsets[at.x];
        if (box[3] == 1) {  // a stretch of packed pixels may be longer than 32 bits count
            for (i64 k = at.thread; k < pixels; k += threads) to[k] = from[k];
            return;
        }
        const u32 width = (u32)box[4];
        for (u32 k = at.thread; k < (u32)pixels; k += threads) to[k] = from[(i64)(k / width) * p.columns + k % width];
    }
};

}  // namespace cuda
}  // namespace plr

#endif
