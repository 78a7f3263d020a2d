// How large the lesions of clouds are: pixels of each draw, and the threshold that is lowered where no draw is large enough.
#ifndef PLR_CUDA_CLOUD_AREAS_H
#define PLR_CUDA_CLOUD_AREAS_H

#include "../core/masks.h"
#include "cloud_noise.h"
#include "groups.h"
#include "noise_pixel.h"
#include "noise_work.h"

namespace plr {
namespace cuda {

struct CloudOutlineParams {
    CloudBatchParams batch;
    Tiles tiles;      // of CloudOutlines::ROWS rows for each thread
    const u8* noise;  // [batch][outlines, texture][height][pitch]
    i64 pitch;        // a multiple of GROUP
};

PLR_BODY i32 combined(i32 combine, i32 first, i32 second) {
    return combine == CLOUD_SINGLE ? first : combine == CLOUD_UNION ? max_i32(first, second) : min_i32(first, second);
}

// A group of the noise that is compared with the threshold; at `place` in its first image.
PLR_BODY Group<u8> outline_group(const u8* place, i64 image_bytes, i32 combine) {
    Group<u8> first = load_group(place, GROUP, true);
    if (combine == CLOUD_SINGLE) return first;
    const Group<u8> second = load_group(place + image_bytes, GROUP, true);
    PLR_UNROLL
    for (i32 j = 0; j < GROUP; ++j) first.set(j, (u8)combined(combine, first.get(j), second.get(j)));
    return first;
}

// Bit j is set where pixel j of the group at (row, column) is lung.
PLR_BODY u32 lung_group(const CloudBatchParams& p, i64 image, i32 row, i32 column) {
    const i64 place = (image * p.height + row) * words_for(p.width) + (column >> 6);
    return (u32)(read_only(p.bits + place) >> (column & 63)) & 15u;
}

// Over stored outlines, tile by tile: how many lung pixels are above the threshold in the first draw; or, where all draws were
// too small, how many have each grey in the last.
template <bool LEVELS>
struct CloudOutlines {
    static constexpr u32 threads = 256, blocks = 4, phases = 3;
    enum : i32 { ROWS = 8 };
    typedef CloudOutlineParams Params;
    struct Shared {
        u32 number[LEVELS ? 256 : 1];
    };
    struct Thread {
        bool wanted;
    };

    template <int phase>
    PLR_BODY void run(const At& at, Thread& mine, Shared& shared, const Params& p) {
        const TileThread me = tile_thread(p.tiles, at);
        if (phase == 0) {
            mine.wanted = lung_pixels(p.batch, me.image) > 0 && (!LEVELS || chosen_draw(p.batch, me.image) == CLOUD_DRAWS);
            if (at.thread < (LEVELS ? 256 : 1)) shared.number[at.thread] = 0;
        } else if (!mine.wanted) {
            return;
        } else if (phase == 1) {
            if (me.column < p.tiles.width) look(me, shared, p);
        } else if (at.thread < (LEVELS ? 256 : 1)) {
            const u32 number = shared.number[at.thread];
            u32* const to = LEVELS ? p.batch.levels + me.image * 256 + at.thread : p.batch.counts + me.image * CLOUD_DRAWS;
            if (number != 0) atomic_add(to, number);
        }
    }

    PLR_BODY void look(const TileThread& me, Shared& shared, const Params& p) {
        const CloudBatchParams& b = p.batch;
        const CloudChoice choice = cloud_choice(b.clouds, sample_id(b.samples, me.image));
        const i64 image_bytes = b.height * p.pitch;
        const u8* const outline = p.noise + me.image * (b.outlines + b.textures) * image_bytes + me.column;
        u32 above = 0;
        for (i32 g = 0; g < ROWS; ++g) {
            const i32 row = me.top + me.line + g * tile_lines(p.tiles);
            if (row >= p.tiles.height) break;
            const u32 lung = lung_group(b, me.image, row, me.column);
            if (lung == 0) continue;
            const Group<u8> grey = outline_group(outline + row * p.pitch, image_bytes, choice.combine);
            PLR_UNROLL
            for (i32 j = 0; j < GROUP; ++j) {
                if ((lung >> j & 1u) == 0) continue;
                if (LEVELS)
                    atomic_add(&shared.number[grey.get(j)], 1);
                else
                    above += grey.get(j) > choice.threshold;
            }
        }
        if (!LEVELS && above != 0) atomic_add(&shared.number[0], above);
    }
};

struct CloudDrawsParams {
    CloudBatchParams batch;  // stage CLOUD_OTHERS
    i32 rows;                // of a block
    u32 row_blocks;          // of a draw
};

struct PackedOffsets {
    const u32* packed;  // [octaves] as NoiseTables has them

    PLR_MEMBER u32 x(i32 o) const { return packed[o] & 255u; }
    PLR_MEMBER u32 y(i32 o) const { return packed[o] >> 8 & 255u; }
};

// Lesion pixels of the draws after the first, for images whose first was too small. Blocks: some rows of one draw each.
struct CloudOtherDraws {
    static constexpr u32 threads = 256, blocks = 3, phases = 3;
    typedef CloudDrawsParams Params;
    struct Shared {
        SharedPermutation permutation[2];
        u32 above;
    };
    struct Thread {
        i64 image;
        u32 draw;  // 1 .. CLOUD_DRAWS - 1; 0: nothing to do
    };

    template <int phase>
    PLR_BODY void run(const At& at, Thread& mine, Shared& shared, const Params& p) {
        const CloudBatchParams& b = p.batch;
        if (phase == 0) {
            const u32 draw = at.x / p.row_blocks;
            mine.image = draw / (CLOUD_DRAWS - 1);
            mine.draw = first_is_too_small(b, mine.image) ? 1 + draw % (CLOUD_DRAWS - 1) : 0;
            if (at.thread == 0) shared.above = 0;
            if (mine.draw == 0) return;
            for (i32 k = 0; k < b.outlines; ++k)
                load_permutation(at.thread, threads, b.tables.permutation + noise_image(mine, k, b) * LATTICE_PERIOD,
                                 shared.permutation[k]);
        } else if (mine.draw == 0) {
            return;
        } else if (phase == 1) {
            const u32 above = count(at, mine, shared, p);
            if (above != 0) atomic_add(&shared.above, above);
        } else if (at.thread == 0 && shared.above != 0) {
            atomic_add(b.counts + mine.image * CLOUD_DRAWS + mine.draw, shared.above);
        }
    }

    PLR_BODY i64 noise_image(const Thread& mine, i32 outline, const CloudBatchParams& b) {
        return (mine.image * (CLOUD_DRAWS - 1) + mine.draw - 1) * b.outlines + outline;
    }

    PLR_BODY u32 count(const At& at, const Thread& mine, const Shared& shared, const Params& p) {
        const CloudBatchParams& b = p.batch;
        const CloudChoice choice = cloud_choice(b.clouds, sample_id(b.samples, mine.image));
        const i32 first = (i32)(at.x % p.row_blocks) * p.rows, rows = min_i32(p.rows, (i32)b.height - first);
        const u32 width = (u32)b.width, pixels = (u32)rows * width;
        const i32 noises = choice.combine == CLOUD_SINGLE ? 1 : 2;
        u32 above = 0;
        for (u32 k = at.thread; k < pixels; k += threads) {
            const i32 row = first + (i32)(k / width), column = (i32)(k % width);
            const i64 word = (mine.image * b.height + row) * words_for(b.width) + (column >> 6);
            if ((read_only(b.bits + word) >> (column & 63) & 1u) == 0) continue;
            i32 grey = 0;
            PLR_NO_UNROLL
            for (i32 n = 0; n < noises; ++n) {
                const i32 here = noise_grey(noise_image(mine, n, b), shared.permutation[n].bytes(), row, column, b);
                grey = n == 0 ? here : combined(choice.combine, grey, here);
            }
            above += grey > choice.threshold;
        }
        return above;
    }

    PLR_BODY i32 noise_grey(i64 image, const u8* permutation, i32 row, i32 column, const CloudBatchParams& b) {
        const PackedOffsets offsets = {b.tables.offsets + image * b.octaves};
        const Stretch stretch = stretch_of(b.tables.extremes + 2 * image);
        return grey_minmax(noise_value(b.tables, b.height, b.octaves, permutation, offsets, row, column), stretch.low,
                           stretch.scale);
    }
};

struct CloudRecordParams {
    CloudBatchParams batch;
    i64* areas;       // [batch] pixels of the lesion
    float* shares;    // [batch] of the lung's pixels
    i32* weights;     // [batch] opacity in 1/256
    i32* thresholds;  // [batch]
    i32* combines;    // [batch] CloudCombine, -1 where the mask is empty
    i32* draws;       // [batch]
    u8* lowered;      // [batch]
    u8* empty;        // [batch]
};

// One block for each image: what its lesion is to be. Where the threshold is lowered, the highest at which enough pixels get
// the full opacity.
struct CloudRecord {
    static constexpr u32 threads = 256, blocks = 4, phases = 4;
    typedef CloudRecordParams Params;
    struct Shared {
        u32 level[256];     // lung pixels of that grey
        u32 at_least[256];  // and of brighter ones
        i32 threshold;
    };
    typedef Nothing Thread;

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared& shared, const Params& p) {
        const i64 image = at.x;
        const i32 grey = (i32)at.thread;
        const u32 draw = chosen_draw(p.batch, image);
        if (draw < CLOUD_DRAWS) {
            if (phase == 3 && grey == 0) note(image, draw, p);
        } else if (phase == 0) {
            shared.level[grey] = p.batch.levels[image * 256 + grey];
        } else if (phase == 1) {
            u32 sum = 0;
            for (i32 k = grey; k < 256; ++k) sum += shared.level[k];
            shared.at_least[grey] = sum;
        } else if (phase == 2) {
            const u32 least = least_area(p.batch, image), brighter = grey < 255 ? shared.at_least[grey + 1] : 0;
            if (shared.at_least[grey] >= least && brighter < least) shared.threshold = grey - (p.batch.clouds.softness + 1);
        } else if (grey == max_i32(shared.threshold + 1, 0)) {
            note(image, CLOUD_DRAWS - 1, p);
            p.thresholds[image] = shared.threshold;
            p.lowered[image] = 1;
            note_area(image, shared.at_least[grey], p);
        }
    }

    PLR_BODY void note(i64 image, u32 draw, const Params& p) {
        const bool empty = lung_pixels(p.batch, image) == 0;
        const CloudChoice choice = cloud_choice(p.batch.clouds, sample_id(p.batch.samples, image));
        p.weights[image] = empty ? 0 : choice.weight;
        p.thresholds[image] = empty ? 0 : choice.threshold;
        p.combines[image] = empty ? -1 : choice.combine;
        p.draws[image] = empty ? 0 : (i32)draw + 1;
        p.lowered[image] = 0;
        p.empty[image] = empty;
        note_area(image, p.batch.counts[image * CLOUD_DRAWS + draw], p);
    }

    PLR_BODY void note_area(i64 image, u32 area, const Params& p) {
        const u32 lung = lung_pixels(p.batch, image);
        p.areas[image] = area;
        p.shares[image] = lung == 0 ? 0.0f : (float)((double)area / (double)lung);
    }
};

}  // namespace cuda
}  // namespace plr

#endif
