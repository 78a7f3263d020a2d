// One pixel of plane noise, for kernels that need some pixels of many samples: noise_at of core/fresh.h on the tables of
// noise_setup.h.
#ifndef PLR_CUDA_NOISE_PIXEL_H
#define PLR_CUDA_NOISE_PIXEL_H

#include "noise_setup.h"

namespace plr {
namespace cuda {

// One octave at a pixel, before the rows' factors.
struct OctaveTerms {
    float base, first, second, third;
};

// `permutation` is twice over; `offset_x`, `offset_y` are the octave's lattice offsets.
PLR_BODY OctaveTerms octave_terms(const NoiseTables& t, i64 height, const u8* permutation, u32 offset_x, u32 offset_y, i32 o,
                                  i32 row, i32 column) {
    const i64 at = 3 * (i64)o * t.column_count + column;
    const float d = t.columns[at], dm = t.columns[at + t.column_count], s = t.columns[at + 2 * t.column_count];
    const u32 x = t.column_lines[(i64)o * t.column_count + column], y = t.row_lines[(i64)o * height + row];
    const u8* const lower = permutation + (((y & 255u) + offset_y) & 255u);
    const u8* const upper = permutation + (((y >> 8) + offset_y) & 255u);
    const i32 before = hash_step(permutation, (i32)((x & 255u) + offset_x));
    const i32 after = hash_step(permutation, (i32)((x >> 8) + offset_x));
    const float* const gradients = t.gradients + 2 * LATTICE_PERIOD * (i64)o;
    const float* const g00 = gradients + 2 * lower[before];
    const float* const g01 = gradients + 2 * lower[after];
    const float* const g10 = gradients + 2 * upper[before];
    const float* const g11 = gradients + 2 * upper[after];
    const float e0 = row_x_part(g00[0], g01[0], d, dm, s), f0 = lerp(g00[1], g01[1], s);
    const float e1 = row_x_part(g10[0], g11[0], d, dm, s), f1 = lerp(g10[1], g11[1], s);
    return {e0, f0, (e1 - f1) - e0, f1 - f0};
}

// `offsets` has x(octave) and y(octave). The terms of all octaves come after all bases, so each octave is looked at twice:
// cheaper than keeping the terms, whose number varies, in memory.
template <typename Offsets>
PLR_BODY float noise_value(const NoiseTables& t, i64 height, i32 octaves, const u8* permutation, const Offsets& offsets,
                           i32 row, i32 column) {
    float value = 0.0f;
    PLR_NO_UNROLL
    for (i32 o = 0; o < octaves; ++o) {
        const float base = octave_terms(t, height, permutation, offsets.x(o), offsets.y(o), o, row, column).base;
        value = o == 0 ? base : value + base;
    }
    const float* factor = t.factors + (i64)row * t.factor_count;
    PLR_NO_UNROLL
    for (i32 o = 0; o < octaves; ++o, factor += 3) {
        const OctaveTerms terms = octave_terms(t, height, permutation, offsets.x(o), offsets.y(o), o, row, column);
        value = fma(factor[0], terms.first, value);
        value = fma(factor[1], terms.second, value);
        value = fma(factor[2], terms.third, value);
    }
    return value;
}

}  // namespace cuda
}  // namespace plr

#endif
