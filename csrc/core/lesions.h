// Lesion patches: candidates for the bank, places in the lung, pasting (paper III.B). Decisions are integer arithmetic,
// hence the same on every backend.
#ifndef PLR_CORE_LESIONS_H
#define PLR_CORE_LESIONS_H

#include "masks.h"
#include "philox.h"

namespace plr {

enum Blend : i32 {
    BLEND_REPLACE = 0,  // the patch stands instead of the pixel: the paper's way
    BLEND_MAX = 1,      // the brighter of the two
    BLEND_ALPHA = 2,    // pixel + weight * (patch - pixel)
    BLEND_ADD = 3,      // pixel + weight * patch, held at white
};

enum Shape : i32 {
    SHAPE_RECTANGLE = 0,  // the whole patch: the paper's way
    SHAPE_ELLIPSE = 1,    // the ellipse that touches the patch's four sides
    SHAPE_CLOUD = 2,      // soft all over: the brighter a pixel of the patch and the nearer its middle, the denser
};

struct Box {
    i32 top, left, height, width;
};

// A box drawn from four words: height and width each uniform between their ends, anywhere in an image of that size.
PLR_HD Box random_box(const Words& words, i32 low_height, i32 high_height, i32 low_width, i32 high_width, i32 rows,
                      i32 columns) {
    Box box;
    box.height = low_height + (i32)below(words.w[0], (u32)(high_height - low_height + 1));
    box.width = low_width + (i32)below(words.w[1], (u32)(high_width - low_width + 1));
    box.top = (i32)below(words.w[2], (u32)(rows - box.height + 1));
    box.left = (i32)below(words.w[3], (u32)(columns - box.width + 1));
    return box;
}

// Candidate number `round` of a noise image.
PLR_HD Box candidate_box(u64 seed, u64 image, u32 round, i32 low, i32 high, i32 rows, i32 columns) {
    return random_box(philox(seed, image, STREAM_CANDIDATE, round), low, high, low, high, rows, columns);
}

// What pasting does, the same for all slices of a batch.
struct PasteParams {
    u64 seed;
    i64 height, width;               // of a slice
    const u8* pixels;                // all patches of the bank, one after the other, row by row
    i64 bytes;                       // of `pixels`
    const i64* offsets;              // [patches] first byte of each patch
    const i32* heights;              // [patches]
    const i32* widths;               // [patches]
    i32 patches;
    bool own;                        // image n has patches of its own: high_count entries, from n * high_count on
    i32 low_count, high_count;       // patches per slice, both ends included
    i32 blend;                       // Blend
    i32 low_weight, high_weight;     // opacity in 1/256, both ends included; for BLEND_ALPHA and BLEND_ADD
    i32 feather;                     // pixels over which a patch fades in from its edge; 0 = hard edge
    const u8* cover;                 // [as pixels] how much of each pixel its patch covers; null: rectangles
    bool whole;                      // the whole patch, not just its centre, must lie in the lung
    bool stream;                     // copy past the caches: the batch is larger than they are
};

PLR_HD i32 paste_count(const PasteParams& p, u64 sample) {
    const u32 word = philox(p.seed, sample, STREAM_PASTE, 0).w[0];
    return p.low_count + (i32)below(word, (u32)(p.high_count - p.low_count + 1));
}

struct Placement {
    i32 patch;   // index in the bank, or among the image's own patches
    u32 pixel;   // the centre is this lung pixel, counted in row-major order
    i32 weight;  // opacity in 1/256
};

// The words of a patch's own counter value decide.
PLR_HD Words placement_words(const PasteParams& p, u64 sample, i32 number) {
    return philox(p.seed, sample, STREAM_PASTE, 1u + (u32)number);
}

PLR_HD Placement placement(const PasteParams& p, i32 number, const Words& words, u32 lung_pixels) {
    Placement place;
    place.patch = p.own ? number : (i32)below(words.w[0], (u32)p.patches);
    place.pixel = below(words.w[1], lung_pixels);
    place.weight = p.low_weight + (i32)below(words.w[2], (u32)(p.high_weight - p.low_weight + 1));
    return place;
}

enum { PLACE_TRIES = 8 };  // centres tried for a patch that must lie in the lung as a whole, before all are counted

// The word that decides another centre for a patch: try 1..PLACE_TRIES - 1, or PLACE_TRIES for the choice among all.
PLR_HD u32 place_word(u64 seed, u64 sample, i32 number, i32 attempt) {
    const u32 word = (u32)attempt - 1u;
    const Words words = philox(seed, sample, substream(STREAM_PLACE, word >> 2), (u32)number);
    // Chosen, not indexed: a GPU has no registers with numbers.
    const u32 even = (word & 2u) != 0 ? words.w[2] : words.w[0], odd = (word & 2u) != 0 ? words.w[3] : words.w[1];
    return (word & 1u) != 0 ? odd : even;
}

// Weight `to_edge` pixels from an edge (1 at the edge itself), in 1/256: full inside, falling linearly over `feather`
// pixels. It never falls with the distance, so the weight at a pixel is the smaller of those of its row and its column.
PLR_HD i32 feathered(i32 weight, i32 feather, i32 to_edge) {
    return to_edge > feather ? weight : weight * to_edge / (feather + 1);
}

PLR_HD i32 to_edge(i32 at, i32 size) { return min_i32(at, size - 1 - at) + 1; }

// 0..256 to 0..256, level at both ends: 3 t^2 - 2 t^3.
PLR_HD i32 smooth_step(i32 t) { return (t * t * (768 - 2 * t)) >> 16; }

// The square of how far a pixel's middle lies from the middle of the patch, 65536 = at the edge, along one side.
PLR_HD i32 from_middle(i32 at, i32 size) {
    const i64 twice = 2 * (i64)at + 1 - size;
    return (i32)(twice * twice * 65536 / ((i64)size * size));
}

// How far, in the same unit, the edge of a shape reaches inwards. Near its edge an ellipse rises by this much over
// `feather` + 1 pixels of its shorter axis; a cloud rises all the way to its middle.
PLR_HD i32 edge_reach(i32 shape, i32 feather, i32 height, i32 width) {
    const i64 reach = 4 * 65536 * ((i64)feather + 1) / min_i32(height, width);
    return shape == SHAPE_CLOUD || reach > 65536 ? 65536 : (i32)reach;
}

// How much of a pixel a patch covers, 0..255. `y`, `x` are from_middle of its row and column; `low`, `high` the
// extremes of the patch's grey.
PLR_HD u8 patch_cover(i32 shape, i32 reach, i32 y, i32 x, i32 grey, i32 low, i32 high) {
    const i64 depth = 65536 - (i64)y - x;
    if (depth <= 0) return 0;
    i32 cover = smooth_step(depth >= reach ? 256 : (i32)(depth * 256 / reach));
    if (shape == SHAPE_CLOUD && high > low) {
        const i32 density = smooth_step((grey - low) * 256 / (high - low));
        cover = (cover * density + 128) >> 8;
    }
    return (u8)min_i32(cover, 255);
}

// Opacity of a pixel covered so, in 1/256; 255 covers it whole.
PLR_HD i32 covered(i32 weight, u8 cover) { return (weight * (cover + (cover >> 7)) + 128) >> 8; }

PLR_HD u8 blend_u8(i32 blend, u8 pixel, u8 patch, i32 weight) {
    if (blend == BLEND_REPLACE) return patch;
    if (blend == BLEND_MAX) return patch > pixel ? patch : pixel;
    if (blend == BLEND_ALPHA) return (u8)(((i32)pixel * (256 - weight) + (i32)patch * weight + 128) >> 8);
    return (u8)min_i32(255, (i32)pixel + (((i32)patch * weight + 128) >> 8));
}

// 1/255 in two parts: float32, and what it lacks.
constexpr float GREY_UNIT = 1.0f / 255.0f;
constexpr float GREY_UNIT_REST = (float)(1.0 / 255.0 - (double)GREY_UNIT);

// grey / 255, rounded once. Where fused multiply-adds are cheap, multiplying by the two parts gives the same 256 values
// without a division; a test goes through all of them.
PLR_HD float grey_to_float(u8 grey) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__CUDA_ARCH__)
    return fma((float)grey, GREY_UNIT, (float)grey * GREY_UNIT_REST);
#else
    return (float)grey / 255.0f;
#endif
}

PLR_HD float blend_float(i32 blend, float pixel, float patch, i32 weight) {
    if (blend == BLEND_REPLACE) return patch;
    if (blend == BLEND_MAX) return patch > pixel ? patch : pixel;
    const float w = (float)weight * (1.0f / 256.0f);
    if (blend == BLEND_ALPHA) return fma(w, patch - pixel, pixel);
    const float sum = fma(w, patch, pixel);
    return sum < 1.0f ? sum : 1.0f;
}

}  // namespace plr

#endif
