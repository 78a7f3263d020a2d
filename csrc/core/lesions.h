// Lesion patches: candidates for the bank, the choice of lung pixels, pasting (paper III.B). Decisions are integer
// arithmetic, hence the same on every backend.
#ifndef PLR_CORE_LESIONS_H
#define PLR_CORE_LESIONS_H

#include "philox.h"

namespace plr {

enum Blend : i32 {
    BLEND_REPLACE = 0,  // the patch stands instead of the pixel: the paper's way
    BLEND_MAX = 1,      // the brighter of the two
    BLEND_ALPHA = 2,    // pixel + weight * (patch - pixel)
    BLEND_ADD = 3,      // pixel + weight * patch, held at white
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

struct PasteParams {
    u64 seed;
    i64 height, width;               // of a slice
    const u8* pixels;                // all patches of the bank, one after the other, row by row
    const i64* offsets;              // [patches] first byte of each patch
    const i32* heights;              // [patches]
    const i32* widths;               // [patches]
    i32 patches;
    i32 low_count, high_count;       // patches per slice, both ends included
    i32 blend;                       // Blend
    i32 low_weight, high_weight;     // opacity in 1/256, both ends included; for BLEND_ALPHA and BLEND_ADD
    i32 feather;                     // pixels over which a patch fades in from its edge; 0 = hard edge
};

PLR_HD i32 paste_count(const PasteParams& p, u64 sample) {
    const u32 word = philox(p.seed, sample, STREAM_PASTE, 0).w[0];
    return p.low_count + (i32)below(word, (u32)(p.high_count - p.low_count + 1));
}

struct Placement {
    i32 patch;   // index in the bank
    u32 pixel;   // the centre is this lung pixel, counted in row-major order
    i32 weight;  // opacity in 1/256
};

PLR_HD Placement placement(const PasteParams& p, u64 sample, i32 number, u32 lung_pixels) {
    const Words words = philox(p.seed, sample, STREAM_PASTE, 1u + (u32)number);
    Placement place;
    place.patch = (i32)below(words.w[0], (u32)p.patches);
    place.pixel = below(words.w[1], lung_pixels);
    place.weight = p.low_weight + (i32)below(words.w[2], (u32)(p.high_weight - p.low_weight + 1));
    return place;
}

// Weight at a pixel of a patch, in 1/256: full inside, falling linearly over `feather` pixels towards the edge.
PLR_HD i32 feathered(i32 weight, i32 feather, i32 y, i32 x, i32 height, i32 width) {
    const i32 to_edge = min_i32(min_i32(y, height - 1 - y), min_i32(x, width - 1 - x)) + 1;
    return to_edge > feather ? weight : weight * to_edge / (feather + 1);
}

PLR_HD u8 blend_u8(i32 blend, u8 pixel, u8 patch, i32 weight) {
    if (blend == BLEND_REPLACE) return patch;
    if (blend == BLEND_MAX) return patch > pixel ? patch : pixel;
    if (blend == BLEND_ALPHA) return (u8)(((i32)pixel * (256 - weight) + (i32)patch * weight + 128) >> 8);
    return (u8)min_i32(255, (i32)pixel + (((i32)patch * weight + 128) >> 8));
}

PLR_HD float grey_to_float(u8 grey) { return (float)grey / 255.0f; }

PLR_HD float blend_float(i32 blend, float pixel, float patch, i32 weight) {
    if (blend == BLEND_REPLACE) return patch;
    if (blend == BLEND_MAX) return patch > pixel ? patch : pixel;
    const float w = (float)weight * (1.0f / 256.0f);
    if (blend == BLEND_ALPHA) return fma(w, patch - pixel, pixel);
    const float sum = fma(w, patch, pixel);
    return sum < 1.0f ? sum : 1.0f;
}

// The k-th set pixel of a mask: `before[row]` counts the set pixels of all earlier rows, so a binary search finds the
// row and a scan of that row finds the column.
PLR_HD void kth_set_pixel(const u8* mask, const u32* before, i32 rows, i32 columns, u32 k, i32* row, i32* column) {
    i32 low = 0, high = rows - 1;
    while (low < high) {  // the last row with before[row] <= k
        const i32 middle = (low + high + 1) >> 1;
        if (before[middle] <= k)
            low = middle;
        else
            high = middle - 1;
    }
    u32 left = k - before[low];
    const u8* line = mask + (i64)low * columns;
    i32 x = 0;
    for (;; ++x) {
        if (line[x] != 0) {
            if (left == 0) break;
            --left;
        }
    }
    *row = low;
    *column = x;
}

}  // namespace plr

#endif
