// Lesions outlined by noise over a whole slice: what is drawn for each, and how a pixel comes out. On the CPU, NumPy does the
// same (plr_fast/ops/clouds_host.py); this is for the kernels of csrc/cuda.
//
// A lesion is the lung where one noise image, or two combined, is above a threshold; a third one is its texture. Noise images
// are stretched to 0..255. If the lesion is too small, noise is drawn again, and in the end the threshold is lowered.
#ifndef PLR_CORE_CLOUDS_H
#define PLR_CORE_CLOUDS_H

#include "lesions.h"

namespace plr {

enum CloudCombine : i32 {
    CLOUD_SINGLE = 0,
    CLOUD_UNION = 1,
    CLOUD_INTERSECTION = 2,
    CLOUD_ANY = 3,  // one of the others, drawn for each image
};

enum : i32 { CLOUD_DRAWS = 10 };  // of the noise, before the threshold is lowered
enum : u64 { CLOUD_TEXTURE = 2 };  // number of the texture among a draw's noise images; the outline's are 0 and 1

// Ranges include both ends.
struct CloudParams {
    u64 seed;
    i32 combine;                        // CloudCombine
    i32 low_threshold, high_threshold;  // noise above it belongs to the lesion
    i32 softness;                       // grey levels of noise over which a lesion fades in
    i32 darkest, brightest;             // grey of the lesion
    i32 blend;                          // BLEND_ALPHA or BLEND_ADD
    i32 low_weight, high_weight;        // opacity in 1/256
    i32 min_area;                       // pixels that a lesion must have, or all of the lung's
};

// What is drawn once for each image.
struct CloudChoice {
    i32 combine, threshold, weight;
};

PLR_HD CloudChoice cloud_choice(const CloudParams& p, u64 sample) {
    const Words words = philox(p.seed, sample, STREAM_CLOUD, 0);
    CloudChoice choice;
    choice.combine = p.combine == CLOUD_ANY ? (i32)below(words.w[0], 3) : p.combine;
    choice.threshold = p.low_threshold + (i32)below(words.w[1], (u32)(p.high_threshold - p.low_threshold + 1));
    choice.weight = p.low_weight + (i32)below(words.w[2], (u32)(p.high_weight - p.low_weight + 1));
    return choice;
}

// The seed of the noise images of a draw.
PLR_HD u64 cloud_noise_seed(const CloudParams& p, u64 sample, u32 draw) {
    const Words words = philox(p.seed, sample, STREAM_CLOUD, 1u + draw);
    return (u64)words.w[0] | (u64)words.w[1] << 32;
}

// Opacity of a pixel in 1/256; `above` is how far its noise lies above the threshold.
PLR_HD i32 cloud_opacity(i32 softness, i32 weight, i32 above) {
    const i32 rise = above <= 0 ? 0 : min_i32(above * 256 / (softness + 1), 256);
    return (smooth_step(rise) * weight + 128) >> 8;
}

PLR_HD u8 cloud_grey(const CloudParams& p, i32 noise) {
    return (u8)(p.darkest + (noise * (p.brightest - p.darkest) + 127) / 255);
}

// In double precision, rounded once. `grey` is 0..1. NaN stays NaN.
PLR_HD float cloud_blend_float(i32 blend, float pixel, double grey, i32 weight) {
    const double before = (double)pixel, share = (double)weight / 256.0;
    if (blend == BLEND_ALPHA) return (float)(before + share * (grey - before));
    const double sum = before + share * grey;
    return (float)(sum > 1.0 ? 1.0 : sum);
}

}  // namespace plr

#endif
