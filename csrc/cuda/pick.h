// The first bright candidates, in candidate order: round by round over all images. Their number before each block is
// counted first, so that each finds its place in the result by itself.
#ifndef PLR_CUDA_PICK_H
#define PLR_CUDA_PICK_H

#include "noise_setup.h"
#include "running_sum.h"

namespace plr {
namespace cuda {

struct PickParams {
    const i32* candidates;  // [images][rounds][5] as CandidateParams has it
    SampleIds ids;          // of the images, ascending
    i64 images, rounds;
    i64 first_round;
    i64 all_images;         // of the bank: a candidate's place in the order is round * all_images + image id
    i64 wanted;
    i32 threshold;          // a patch has mean grey above this
    u32 count_blocks;       // of PickCount and PickRows
    u32* counts;            // [count_blocks] bright candidates of each block, then of all before it
    u32* grey;              // [256] candidates by mean grey are added to these
    i64* found;             // [2] bright candidates picked; bright candidates in all
    i64* orders;            // [wanted] places in the order
    i64* boxes;             // [wanted][5] image (its index, not its id), top, left, height, width
    i64* offsets;           // [wanted] of their pixels, one after the other
};

enum : u32 { PICK_EACH = 4 };  // candidates of a thread, neighbours in the order

struct PickCandidate {
    const i32* row;
    i64 image, round;
    i32 mean;
    bool bright;
};

PLR_BODY PickCandidate pick_candidate(const PickParams& p, i64 number) {
    PickCandidate c = {nullptr, 0, 0, -1, false};
    if (number >= p.images * p.rounds) return c;
    c.image = number % p.images;
    c.round = number / p.images;
    c.row = p.candidates + 5 * (c.image * p.rounds + c.round);
    const i32 area = c.row[3] * c.row[4];
    c.mean = (i32)((u32)c.row[0] / (u32)area);
    c.bright = (u32)c.row[0] > (u32)p.threshold * (u32)area;
    return c;
}

PLR_BODY u32 count_bright(const At& at, const PickParams& p) {
    const i64 first = ((i64)at.x * RunningSum::threads + at.thread) * PICK_EACH;
    u32 bright = 0;
    for (u32 k = 0; k < PICK_EACH; ++k) bright += pick_candidate(p, first + k).bright;
    return bright;
}

struct PickCount {
    static constexpr u32 threads = RunningSum::threads, blocks = 4, phases = 2 + RunningSum::phases;
    typedef PickParams Params;
    struct Shared {
        RunningSum::Shared sum;
        u32 grey[256];
    };
    typedef Nothing Thread;

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared& shared, const Params& p) {
        if (phase == 0) {
            shared.grey[at.thread] = 0;
        } else if (phase == 1) {
            const i64 first = ((i64)at.x * threads + at.thread) * PICK_EACH;
            for (u32 k = 0; k < PICK_EACH; ++k) {
                const PickCandidate c = pick_candidate(p, first + k);
                if (c.mean >= 0) atomic_add(&shared.grey[c.mean], 1);
            }
            RunningSum::put(at.thread, count_bright(at, p), shared.sum);
        } else if (phase == 2) {
            RunningSum::add_groups(at.thread, shared.sum);
        } else {
            if (at.thread == 0) p.counts[at.x] = RunningSum::total(shared.sum);
            if (shared.grey[at.thread] != 0) atomic_add(p.grey + at.thread, shared.grey[at.thread]);
        }
    }
};

// One block: bright candidates of all earlier blocks.
struct PickScan {
    static constexpr u32 threads = RunningSum::threads, blocks = 4, phases = 1 + RunningSum::phases;
    typedef PickParams Params;
    typedef RunningSum::Shared Shared;
    typedef Nothing Thread;

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared& shared, const Params& p) {
        const u32 chunk = (p.count_blocks + threads - 1) / threads;
        const u32 first = at.thread * chunk < p.count_blocks ? at.thread * chunk : p.count_blocks;
        const u32 end = first + chunk < p.count_blocks ? first + chunk : p.count_blocks;
        if (phase == 0) {
            u32 bright = 0;
            for (u32 k = first; k < end; ++k) bright += p.counts[k];
            RunningSum::put(at.thread, bright, shared);
        } else if (phase == 1) {
            RunningSum::add_groups(at.thread, shared);
        } else {
            u32 before = RunningSum::before(at.thread, shared);
            for (u32 k = first; k < end; ++k) {
                const u32 here = p.counts[k];
                p.counts[k] = before;
                before += here;
            }
            if (at.thread == 0) {
                const i64 total = RunningSum::total(shared);
                p.found[0] = total < p.wanted ? total : p.wanted;
                p.found[1] = total;
            }
        }
    }
};

struct PickRows {
    static constexpr u32 threads = RunningSum::threads, blocks = 4, phases = 1 + RunningSum::phases;
    typedef PickParams Params;
    typedef RunningSum::Shared Shared;
    typedef Nothing Thread;

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared& shared, const Params& p) {
        if (phase == 0) {
            RunningSum::put(at.thread, count_bright(at, p), shared);
        } else if (phase == 1) {
            RunningSum::add_groups(at.thread, shared);
        } else {
            i64 place = (i64)p.counts[at.x] + RunningSum::before(at.thread, shared);
            const i64 first = ((i64)at.x * threads + at.thread) * PICK_EACH;
            for (u32 k = 0; k < PICK_EACH && place < p.wanted; ++k) {
                const PickCandidate c = pick_candidate(p, first + k);
                if (!c.bright) continue;
                p.orders[place] = (p.first_round + c.round) * p.all_images + (i64)sample_id(p.ids, c.image);
                i64* const box = p.boxes + 5 * place;
                box[0] = c.image;
                for (i32 i = 1; i < 5; ++i) box[i] = c.row[i];
                ++place;
            }
        }
    }
};

// One block: where the pixels of each begin. All have fewer than 2^32.
struct PickOffsets {
    static constexpr u32 threads = RunningSum::threads, blocks = 4, phases = 1 + RunningSum::phases;
    typedef PickParams Params;
    typedef RunningSum::Shared Shared;
    typedef Nothing Thread;

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared& shared, const Params& p) {
        const i64 found = p.found[0], chunk = (found + threads - 1) / threads;
        const i64 first = at.thread * chunk < found ? at.thread * chunk : found;
        const i64 end = first + chunk < found ? first + chunk : found;
        if (phase == 0) {
            u32 pixels = 0;
            for (i64 k = first; k < end; ++k) pixels += pixels_of(p, k);
            RunningSum::put(at.thread, pixels, shared);
        } else if (phase == 1) {
            RunningSum::add_groups(at.thread, shared);
        } else {
            u32 before = RunningSum::before(at.thread, shared);
            for (i64 k = first; k < end; ++k) {
                p.offsets[k] = before;
                before += pixels_of(p, k);
            }
        }
    }

    PLR_BODY u32 pixels_of(const Params& p, i64 k) { return (u32)(p.boxes[5 * k + 3] * p.boxes[5 * k + 4]); }
};

}  // namespace cuda
}  // namespace plr

#endif
