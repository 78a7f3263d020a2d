// Perlin octave noise, split so that a pixel costs three fused multiply-adds per octave.
//
// Textbook (paper III.B): in the lattice cell (i, j), with dx = x - i, dy = y - j, gradients g = G[P[P[i] + j]] and the
// fade s(t) = 6t^5 - 15t^4 + 10t^3, the value is the blend by s(dx), s(dy) of the four dot products
//     n_ab = gx_ab (dx - a) + gy_ab (dy - b),    a, b in {0, 1}.
//
// Blend along x first. Each of the two lattice rows b contributes
//     r_b = A_b + (dy - b) B_b,    A_b = lerp(gx_0b dx, gx_1b (dx - 1); s(dx)),    B_b = lerp(gy_0b, gy_1b; s(dx)),
// where A_b and B_b depend on the column alone. Blending r_0 and r_1 by v = s(dy) and sorting by row factors gives
//     value = A_0 + dy B_0 + v D0 + (v dy) D1,    D0 = (A_1 - B_1) - A_0,    D1 = B_1 - B_0.
// So A and B are made once per lattice row, D0 and D1 once per pair of lattice rows, and all rows of pixels between two
// lattice rows share them. The A_0 of all octaves are summed beforehand into one `base` row. Over a band of rows in
// which no octave passes a lattice row, octave noise is then a small matrix product: (dy, v, v dy of each octave, by row)
// times (B_0, D0, D1 of each octave, by column), added to the base.
//
// In space, r_bc = A + (dy - b) B + (dz - c) C in the four lattice rows (b, c) around a voxel. For a plane of fixed z,
//     E_b = lerp(A_b0 + dz C_b0, A_b1 + (dz - 1) C_b1; s(dz)),    F_b = lerp(B_b0, B_b1; s(dz))
// stand where A_b and B_b stood, and the rest is the planar case.
//
// The amplitude of an octave and the division by the bound are folded into its gradient table.
#ifndef PLR_CORE_NOISE_H
#define PLR_CORE_NOISE_H

#include "philox.h"

namespace plr {

enum { MAX_OCTAVES = 24, LATTICE_PERIOD = 256 };

enum NoiseFormat : i32 {
    FORMAT_FLOAT32 = 0,
    FORMAT_FLOAT16 = 1,   // rounded to nearest even from float32
    FORMAT_BFLOAT16 = 2,  // likewise
    FORMAT_GREY_FIXED = 3,   // uint8: -1..1 -> 0..255
    FORMAT_GREY_MINMAX = 4,  // uint8: each sample's own extremes -> 0..255
};

// Coordinates of the pixels along one axis in one octave: pixel p lies at p * frequency / n lattice units. The tables by
// pixel are padded with AXIS_PADDING more entries, so that whole vectors may be read.
enum { AXIS_PADDING = 16 };

struct Axis {
    i32 n;               // pixels along the axis
    i32 lattice_count;   // entries of `lattice`
    bool near;           // the slots of 8 neighbouring pixels differ by 6 at most: no cell is narrower than a pixel or so
    const i32* slot;     // [n] pixel -> entry of `lattice` that holds the lattice line before it; the next entry is after it
    const i32* run_end;  // [n] pixel -> the first pixel after it with another slot
    const i32* lattice;  // [lattice_count] lattice line, wrapped if tileable, modulo LATTICE_PERIOD
    const float* d;      // [n] distance from the lattice line before, in [0, 1)
    const float* dm;     // [n] d - 1
    const float* s;      // [n] fade(d)
    const float* sd;     // [n] fade(d) * d
};

struct Octave {
    Axis z, y, x;        // z.n = 1 and unused in the plane
    const float* gx;     // [256] gradients times amplitude / bound
    const float* gy;
    const float* gz;     // unused in the plane
};

struct NoiseParams {
    u64 seed;
    i32 dims;            // 2 or 3
    i32 octaves;         // 1..MAX_OCTAVES
    i32 format;          // NoiseFormat
    i64 depth, height, width;
    i64 stride_sample, stride_plane, stride_row;  // of the output, in elements; columns are contiguous
    i64 pieces;          // each sample may be made in so many pieces, of rows or planes; 1 for FORMAT_GREY_MINMAX
    const Octave* octave;
    const float* factors;  // [height][octaves][3] dy, v and v dy of each row
};

// Fade s(t) of the paper, III.B.
PLR_HD double fade(double t) { return t * t * t * (t * (t * 6.0 - 15.0) + 10.0); }

// The lattice line before pixel p of n along an axis of `frequency` cells, and the distance from it, in [0, 1).
struct LatticePosition {
    i64 line;
    double t;
};

PLR_HD LatticePosition lattice_position(i64 p, double frequency, i64 n) {
    const double at = (double)p * frequency / (double)n;
    const i64 line = (i64)at;
    return {line, at - (double)line};
}

// A lattice line modulo LATTICE_PERIOD, wrapped after `frequency` cells first if tileable.
PLR_HD i32 wrapped_line(i64 line, double frequency, bool tileable) {
    return (i32)((tileable ? line % (i64)frequency : line) % LATTICE_PERIOD);
}

// P: the sample's permutation of 0..255.
PLR_HD void fill_permutation(u64 seed, u64 sample, u8* p) {
    for (i32 i = 0; i < LATTICE_PERIOD; ++i) p[i] = (u8)i;
    fisher_yates(seed, sample, STREAM_PERMUTATION, p, LATTICE_PERIOD);
}

// Each octave looks at the permutation through its own offset, so octaves are not copies of each other.
struct LatticeOffset {
    i32 x, y, z;
};

PLR_HD LatticeOffset lattice_offset(u64 seed, u64 sample, i32 octave) {
    const Words words = philox(seed, sample, substream(STREAM_LATTICE, (u32)octave), 0);
    LatticeOffset offset = {(i32)(words.w[0] & 255u), (i32)(words.w[1] & 255u), (i32)(words.w[2] & 255u)};
    return offset;
}

PLR_HD i32 hash_step(const u8* p, i32 value) { return p[value & (LATTICE_PERIOD - 1)]; }

PLR_HD float lerp(float a, float b, float t) { return fma(t, b - a, a); }

// A of the derivation above: the x parts of two neighbouring gradients, blended along x.
PLR_HD float row_x_part(float gx0, float gx1, float dx, float dxm, float sx) { return lerp(gx0 * dx, gx1 * dxm, sx); }

// -1..1 -> 0..255, halves upwards. The bound keeps a margin, so the result needs no clamp.
PLR_HD u8 grey_fixed(float value) { return (u8)(i32)fma(value, 127.5f, 128.0f); }

// scale = 255 / (high - low), or 0 for a flat sample, which becomes 0 everywhere.
PLR_HD float minmax_scale(float low, float high) { return high - low > 1e-30f ? 255.0f / (high - low) : 0.0f; }
PLR_HD u8 grey_minmax(float value, float low, float scale) { return (u8)(i32)fma(value - low, scale, 0.5f); }

}  // namespace plr

#endif
