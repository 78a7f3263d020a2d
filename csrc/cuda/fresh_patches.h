// Fresh lesion patches: see core/fresh.h. One block makes one patch: its threads look at the centres of as many rounds at
// once, then all make the box of the first round whose centre is bright enough, and so on until a box is bright as a whole.
#ifndef PLR_CUDA_FRESH_PATCHES_H
#define PLR_CUDA_FRESH_PATCHES_H

#include "../core/fresh.h"
#include "groups.h"
#include "noise_pixel.h"
#include "noise_pixels.h"

namespace plr {
namespace cuda {

struct FreshPatchParams {
    FreshParams fresh;
    NoiseTables tables;  // of images of size x size pixels; what stands in them for samples is not looked at
    SampleIds samples;
    i32 octaves, size;
    u8* pixels;    // [batch][high_count][high_side squared] each patch row by row from the start of its slot
    i32* heights;  // [batch][high_count] 0 where there is no patch
    i32* widths;   // likewise
};

// As FreshTable has them.
struct FreshOffsets {
    const u8* bytes;  // [octaves][2]

    PLR_MEMBER u32 x(i32 o) const { return bytes[2 * o]; }
    PLR_MEMBER u32 y(i32 o) const { return bytes[2 * o + 1]; }
};

// Grey of a pixel of an image.
PLR_BODY i32 grey_at(const FreshPatchParams& p, i32 image, i32 row, i32 column) {
    const FreshTable& table = p.fresh.table;
    const FreshOffsets offsets = {table.offsets + (i64)image * p.octaves * 2};
    const u8* const permutation = table.permutation + (i64)image * 2 * LATTICE_PERIOD;
    const float value = noise_value(p.tables, p.size, p.octaves, permutation, offsets, row, column);
    return grey_minmax(value, table.low[image], table.scale[image]);
}

PLR_BODY FreshCandidate candidate_of(const FreshPatchParams& p, u64 sample, u32 number, u32 round) {
    const u32 stream = substream(STREAM_FRESH, number);
    FreshCandidate candidate;
    candidate.box = random_box(philox(p.fresh.seed, sample, stream, 2 * round), p.fresh.low_side, p.fresh.high_side,
                               p.fresh.low_side, p.fresh.high_side, p.size, p.size);
    candidate.image = (i32)below(philox(p.fresh.seed, sample, stream, 2 * round + 1).w[0], (u32)p.fresh.images);
    return candidate;
}

// One block for each slot.
struct FreshPatchMaker {
    static constexpr u32 threads = 128, blocks = 8, phases = 5, again_from = 1;
    typedef FreshPatchParams Params;
    struct Shared {
        u32 bright[threads / 32];  // a bit for each round from first_round on whose centre is bright, until it has its turn
        u32 first_round;
        u32 sum;                   // of the box's grey
        i32 turn;                  // round from first_round on whose box is made, -1 if there is none
        bool turn_pending;         // some of the bright rounds have not had their turn
        FreshCandidate candidate;
        bool done;
    };
    struct Thread {
        u64 sample;
        u32 number;
    };

    PLR_BODY bool again(const Shared& shared) { return !shared.done; }

    template <int phase>
    PLR_BODY void run(const At& at, Thread& mine, Shared& shared, const Params& p) {
        if (phase == 0) {
            mine.sample = sample_id(p.samples, at.x / (u32)p.fresh.high_count);
            mine.number = at.x % (u32)p.fresh.high_count;
            if (at.thread < threads / 32) shared.bright[at.thread] = 0;
            if (at.thread != 0) return;
            shared.first_round = 0;
            shared.turn_pending = false;
            shared.done = false;
            if (mine.number >= (u32)fresh_count(p.fresh, mine.sample)) end(at, 0, 0, shared, p);
        } else if (shared.done) {
            return;
        } else if (phase == 1) {
            look_at_centre(at, mine, shared, p);
        } else if (phase == 2) {
            if (at.thread == 0) choose(mine, shared, p);
        } else if (phase == 3) {
            if (shared.turn >= 0) make_box(at, shared, p);
        } else if (at.thread == 0) {
            judge(at, shared, p);
        }
    }

    PLR_BODY i32 first_bright(const Shared& shared) {
        for (u32 k = 0; k < threads / 32; ++k)
            if (shared.bright[k] != 0) return (i32)(32 * k) + lowest_bit(shared.bright[k]);
        return -1;
    }

    // Once all bright ones before are done with.
    PLR_BODY void look_at_centre(const At& at, const Thread& mine, Shared& shared, const Params& p) {
        if (shared.turn_pending) return;
        const u32 round = shared.first_round + at.thread;
        const FreshCandidate c = candidate_of(p, mine.sample, mine.number, round);
        if (grey_at(p, c.image, c.box.top + c.box.height / 2, c.box.left + c.box.width / 2) > p.fresh.centre)
            atomic_or(&shared.bright[at.thread / 32], 1u << (at.thread % 32));
    }

    PLR_BODY void choose(const Thread& mine, Shared& shared, const Params& p) {
        shared.turn = first_bright(shared);
        shared.sum = 0;
        if (shared.turn >= 0)
            shared.candidate = candidate_of(p, mine.sample, mine.number, shared.first_round + (u32)shared.turn);
    }

    PLR_BODY void make_box(const At& at, Shared& shared, const Params& p) {
        const FreshCandidate c = shared.candidate;
        u8* const to = p.pixels + (i64)at.x * p.fresh.high_side * p.fresh.high_side;
        const u32 pixels = (u32)c.box.height * (u32)c.box.width;
        u32 sum = 0;
        for (u32 k = at.thread; k < pixels; k += threads) {
            const u32 y = k / (u32)c.box.width, x = k % (u32)c.box.width;
            const i32 grey = grey_at(p, c.image, c.box.top + (i32)y, c.box.left + (i32)x);
            to[k] = (u8)grey;
            sum += (u32)grey;
        }
        if (sum != 0) atomic_add(&shared.sum, sum);
    }

    PLR_BODY void judge(const At& at, Shared& shared, const Params& p) {
        if (shared.turn >= 0) {
            const Box& box = shared.candidate.box;
            if ((i32)shared.sum > p.fresh.threshold * box.height * box.width) return end(at, box.height, box.width, shared, p);
            shared.bright[shared.turn / 32] &= ~(1u << (shared.turn % 32));
        }
        shared.turn_pending = first_bright(shared) >= 0;
        if (shared.turn_pending) return;
        shared.first_round += threads;
        if (shared.first_round >= FRESH_ROUNDS) end(at, 0, 0, shared, p);
    }

    PLR_BODY void end(const At& at, i32 height, i32 width, Shared& shared, const Params& p) {
        p.heights[at.x] = height;
        p.widths[at.x] = width;
        shared.done = true;
    }
};
static_assert(FRESH_ROUNDS % FreshPatchMaker::threads == 0, "a block looks at as many rounds at once as it has threads");

struct FreshTableParams {
    NoiseTables tables;  // permutations, offsets and extremes of all images
    i32 octaves;
    float* low;          // the arrays of FreshTable
    float* scale;
    u8* permutation;
    u8* offsets;
};

// One block for each image.
struct FreshTableMaker {
    static constexpr u32 threads = LATTICE_PERIOD, blocks = 8, phases = 1;
    typedef FreshTableParams Params;
    typedef Nothing Shared;
    typedef Nothing Thread;

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared&, const Params& p) {
        const i64 image = at.x;
        const u8 element = p.tables.permutation[image * LATTICE_PERIOD + at.thread];
        u8* const permutation = p.permutation + image * 2 * LATTICE_PERIOD;
        permutation[at.thread] = permutation[LATTICE_PERIOD + at.thread] = element;
        if (at.thread < (u32)p.octaves) {
            const u32 offset = p.tables.offsets[image * p.octaves + at.thread];
            u8* const to = p.offsets + (image * p.octaves + at.thread) * 2;
            to[0] = (u8)offset;
            to[1] = (u8)(offset >> 8);
        }
        if (at.thread == 0) {
            const Stretch stretch = stretch_of(p.tables.extremes + 2 * image);
            p.low[image] = stretch.low;
            p.scale[image] = stretch.scale;
        }
    }
};

}  // namespace cuda
}  // namespace plr

#endif
