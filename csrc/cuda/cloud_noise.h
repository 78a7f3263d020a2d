// The noise behind clouds: which images of it are made, from which seeds. See core/clouds.h.
//
// No thread block can wait for another one's count of pixels, and the host is not to wait at all. So all draws after the first
// are looked at together, for those images alone whose first draw was too small: their pixels are counted without being stored,
// and then the noise of the draw that is taken is made in the place of the first.
#ifndef PLR_CUDA_CLOUD_NOISE_H
#define PLR_CUDA_CLOUD_NOISE_H

#include "../core/clouds.h"
#include "noise_setup.h"

namespace plr {
namespace cuda {

enum CloudStage : i32 {
    CLOUD_FIRST = 0,   // noise of the first draw, for all images
    CLOUD_OTHERS = 1,  // of the other draws, for images whose first was too small; outlines alone
    CLOUD_CHOSEN = 2,  // of the draw that such images end with, instead of the first
};

// Of all kernels of clouds.
struct CloudBatchParams {
    CloudParams clouds;
    SampleIds samples;
    NoiseTables tables;  // their `permutation`, `offsets` and `extremes` are those of the noise images of a stage
    const u64* bits;     // [batch][height][words] lungs
    const u32* before;   // [batch][height + 1]
    u8* wanted;          // [noise images of a stage] 1 where one is to be made, else 0
    u32* counts;         // [batch][CLOUD_DRAWS] pixels that the lesion of each draw has
    u32* levels;         // [batch][256] lung pixels by the grey of their outline, where the threshold is lowered
    i64 height, width;
    i32 octaves;
    i32 outlines;        // noise images behind an outline: 2, or 1 if nothing is ever combined
    i32 textures;        // 1, or 0 if the texture is an even grey
    i32 stage;           // CloudStage
};

// Noise images of an image of the batch, in a stage: its outlines, one or two for each draw, then the texture.
PLR_BODY u32 noise_images(const CloudBatchParams& p) {
    return p.stage == CLOUD_OTHERS ? (u32)p.outlines * (CLOUD_DRAWS - 1) : (u32)(p.outlines + p.textures);
}

PLR_BODY u32 lung_pixels(const CloudBatchParams& p, i64 image) { return p.before[image * (p.height + 1) + p.height]; }

PLR_BODY u32 least_area(const CloudBatchParams& p, i64 image) {
    const u32 lung = lung_pixels(p, image), least = (u32)p.clouds.min_area;
    return least < lung ? least : lung;
}

PLR_BODY bool first_is_too_small(const CloudBatchParams& p, i64 image) {
    return p.counts[image * CLOUD_DRAWS] < least_area(p, image);
}

// The first draw that is large enough; CLOUD_DRAWS if none is.
PLR_BODY u32 chosen_draw(const CloudBatchParams& p, i64 image) {
    const u32 least = least_area(p, image);
    u32 draw = 0;
    while (draw < CLOUD_DRAWS && p.counts[image * CLOUD_DRAWS + draw] < least) ++draw;
    return draw;
}

// One block for each noise image makes what NoiseSetup makes for a sample, but from a seed of the image's own.
struct CloudNoise {
    static constexpr u32 threads = LATTICE_PERIOD, blocks = 4, phases = 3;
    typedef CloudBatchParams Params;
    typedef PermutationMaker::Shared Shared;
    struct Thread {
        bool wanted;
    };

    template <int phase>
    PLR_BODY void run(const At& at, Thread& mine, Shared& shared, const Params& p) {
        if (phase == 0) {
            const i64 image = at.x / noise_images(p);
            const u32 number = at.x % noise_images(p);
            if (p.stage == CLOUD_FIRST && number == 0) clear(at.thread, image, p);
            mine.wanted = is_wanted(image, number, p);
            if (at.thread == 0) p.wanted[at.x] = mine.wanted;
            if (mine.wanted) begin(at, image, number, shared, p);
        } else if (!mine.wanted) {
            return;
        } else if (phase == 1) {
            PermutationMaker::link(at.thread, shared);
        } else {
            p.tables.permutation[(i64)at.x * LATTICE_PERIOD + at.thread] = PermutationMaker::element(at.thread, shared);
        }
    }

    PLR_BODY void clear(u32 thread, i64 image, const Params& p) {
        p.levels[image * 256 + thread] = 0;
        if (thread < CLOUD_DRAWS) p.counts[image * CLOUD_DRAWS + thread] = 0;
    }

    PLR_BODY bool is_second_outline(u32 number, const Params& p) {
        return p.outlines == 2 && (p.stage == CLOUD_OTHERS ? number % 2 == 1 : number == 1);
    }

    PLR_BODY bool is_wanted(i64 image, u32 number, const Params& p) {
        if (lung_pixels(p, image) == 0) return false;
        if (p.stage != CLOUD_FIRST && !first_is_too_small(p, image)) return false;
        if (!is_second_outline(number, p)) return true;
        return cloud_choice(p.clouds, sample_id(p.samples, image)).combine != CLOUD_SINGLE;
    }

    PLR_BODY void begin(const At& at, i64 image, u32 number, Shared& shared, const Params& p) {
        const u64 sample = sample_id(p.samples, image);
        u32 draw = 0;
        u64 id = is_second_outline(number, p) ? 1 : 0;
        if (p.stage == CLOUD_OTHERS)
            draw = 1 + number / (u32)p.outlines;
        else if (number >= (u32)p.outlines)
            id = CLOUD_TEXTURE;
        if (p.stage == CLOUD_CHOSEN) draw = (u32)min_i32((i32)chosen_draw(p, image), CLOUD_DRAWS - 1);
        const u64 seed = cloud_noise_seed(p.clouds, sample, draw);
        PermutationMaker::draw(at.thread, seed, id, shared);
        if (at.thread < (u32)p.octaves) {
            const LatticeOffset o = lattice_offset(seed, id, (i32)at.thread);
            p.tables.offsets[(i64)at.x * p.octaves + at.thread] = (u32)(o.x | o.y << 8 | o.z << 16);
        }
        if (at.thread < 2) p.tables.extremes[2 * (i64)at.x + at.thread] = at.thread == 0 ? 0x80000000u : 0u;
    }
};

}  // namespace cuda
}  // namespace plr

#endif
