// E and F of a lattice row at a column (letters of core/noise.h), from the gradients on the lattice columns beside it.
#ifndef PLR_CUDA_NOISE_CORNERS_H
#define PLR_CUDA_NOISE_CORNERS_H

#include "../core/half.h"
#include "noise_setup.h"

namespace plr {
namespace cuda {

struct Gradient2 {
    float x, y;
};

struct alignas(16) Gradient3 {
    float x, y, z, unused;
};

template <bool SPATIAL>
struct GradientOf {
    typedef Gradient2 type;
};
template <>
struct GradientOf<true> {
    typedef Gradient3 type;
};

// Lattice lines of the plane that a thread works in, already shifted by the octave's offset.
struct PlaneLines {
    float d, dm, s;
    u32 before, after;
};

PLR_BODY PlaneLines plane_lines(const PlaneEntry* place, u32 offset) {
    const Float4 four = read_only4((const float*)place);
    const u32 lattice = float_bits(four.v[3]);
    return {four.v[0], four.v[1], four.v[2], (lattice + offset) & 255u, ((lattice >> 8) + offset) & 255u};
}

// The gradients on the two lattice columns beside a pixel, in the plane before it and the one after it.
template <bool SPATIAL>
struct Corners {
    typename GradientOf<SPATIAL>::type before[SPATIAL ? 2 : 1], after[SPATIAL ? 2 : 1];
};

// `hash_before` and `hash_after` are the first hash steps of the lattice columns, `line` is the lattice row with its offset.
template <bool SPATIAL, typename Gradient>
PLR_BODY void find_corners(const u8* permutation, const Gradient* gradients, u32 hash_before, u32 hash_after, u32 line,
                           const PlaneLines& plane, Corners<SPATIAL>& corners) {
    const u32 before = permutation[hash_before + line], after = permutation[hash_after + line];
    if constexpr (SPATIAL) {
        corners.before[0] = gradients[permutation[before + plane.before]];
        corners.before[1] = gradients[permutation[before + plane.after]];
        corners.after[0] = gradients[permutation[after + plane.before]];
        corners.after[1] = gradients[permutation[after + plane.after]];
    } else {
        corners.before[0] = gradients[before];
        corners.after[0] = gradients[after];
    }
}

// E and F of a lattice row at a column: blend_columns of the CPU.
template <bool SPATIAL>
PLR_BODY void blend_column(const Corners<SPATIAL>& c, float d, float dm, float s, const PlaneLines& plane, float* e,
                           float* f) {
    *e = row_x_part(c.before[0].x, c.after[0].x, d, dm, s);
    *f = lerp(c.before[0].y, c.after[0].y, s);
    if constexpr (SPATIAL) {
        const float before = fma(plane.d, lerp(c.before[0].z, c.after[0].z, s), *e);
        const float after =
            fma(plane.dm, lerp(c.before[1].z, c.after[1].z, s), row_x_part(c.before[1].x, c.after[1].x, d, dm, s));
        *e = lerp(before, after, plane.s);
        *f = lerp(*f, lerp(c.before[1].y, c.after[1].y, s), plane.s);
    }
}

}  // namespace cuda
}  // namespace plr

#endif
