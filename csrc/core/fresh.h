// Fresh lesion patches: boxes of noise images, drawn and judged without making the images. An image of the supply is the
// noise sample of its number, stretched to its own extremes; a small table keeps what a pixel of it needs.
//
// Patch `number` of a sample is the first candidate, in order of rounds, whose mean grey is above the threshold. A look
// at its centre comes first: at most settings, bright patches have no dark centre, and most candidates end there.
#ifndef PLR_CORE_FRESH_H
#define PLR_CORE_FRESH_H

#include "lesions.h"
#include "noise.h"

namespace plr {

enum { FRESH_ROUNDS = 4096 };  // candidates for one patch, before it is left out

// What is kept of the noise images.
struct FreshTable {
    const float* low;       // [images] darkest value, 0 for a flat image
    const float* scale;     // [images] minmax_scale
    const u8* permutation;  // [images][2 * LATTICE_PERIOD] twice over, so that a sum of two bytes needs no wrapping
    const u8* offsets;      // [images][octaves][2] lattice offsets along x, y
};

struct FreshParams {
    u64 seed;                      // of the draws, not of the noise
    i32 images;
    i32 low_side, high_side;       // of a patch, both ends included
    i32 threshold;                 // a patch has mean grey above this
    i32 centre;                    // and its centre has grey above this
    i32 low_count, high_count;     // patches per sample, both ends included: drawn as for pasting
    FreshTable table;
};

struct FreshCandidate {
    Box box;
    i32 image;
};

// The words of some rounds, made ahead lane by lane, so that compilers make many at once.
enum { FRESH_AHEAD = 8 };

struct FreshWords {
    u32 w[4][2 * FRESH_AHEAD];
};

PLR_HD void fresh_words(const FreshParams& p, u64 sample, u32 number, u32 first_round, FreshWords* words) {
    for (u32 k = 0; k < 2 * FRESH_AHEAD; ++k) {
        const Words block = philox(p.seed, sample, substream(STREAM_FRESH, number), 2 * first_round + k);
        for (i32 i = 0; i < 4; ++i) words->w[i][k] = block.w[i];
    }
}

// The candidate of round first_round + k, in images of size x size pixels.
PLR_HD FreshCandidate fresh_candidate(const FreshParams& p, const FreshWords& words, i32 k, i32 size) {
    const Words box = {{words.w[0][2 * k], words.w[1][2 * k], words.w[2][2 * k], words.w[3][2 * k]}};
    FreshCandidate candidate;
    candidate.box = random_box(box, p.low_side, p.high_side, p.low_side, p.high_side, size, size);
    candidate.image = (i32)below(words.w[0][2 * k + 1], (u32)p.images);
    return candidate;
}

// As many as paste_count says for the same seed.
PLR_HD i32 fresh_count(const FreshParams& p, u64 sample) {
    const u32 word = philox(p.seed, sample, STREAM_PASTE, 0).w[0];
    return p.low_count + (i32)below(word, (u32)(p.high_count - p.low_count + 1));
}

// One pixel of plane noise: the operations of the kernels that make whole rows, in the same order.
PLR_HD float noise_at(const NoiseParams& p, const u8* permutation, const u8* offsets, i32 row, i32 column) {
    const float* factor = p.factors + (i64)row * 3 * p.octaves;
    float base = 0.0f, terms[3 * MAX_OCTAVES];
    for (i32 o = 0; o < p.octaves; ++o) {
        const Octave& octave = p.octave[o];
        const i32* const at_x = octave.x.lattice + octave.x.slot[column];
        const i32* const at_y = octave.y.lattice + octave.y.slot[row];
        const u8* const lower = permutation + ((at_y[0] + offsets[2 * o + 1]) & (LATTICE_PERIOD - 1));
        const u8* const upper = permutation + ((at_y[1] + offsets[2 * o + 1]) & (LATTICE_PERIOD - 1));
        const i32 before = hash_step(permutation, at_x[0] + offsets[2 * o]);
        const i32 after = hash_step(permutation, at_x[1] + offsets[2 * o]);
        const float d = octave.x.d[column], dm = octave.x.dm[column], s = octave.x.s[column];
        const float e0 = row_x_part(octave.gx[lower[before]], octave.gx[lower[after]], d, dm, s);
        const float f0 = lerp(octave.gy[lower[before]], octave.gy[lower[after]], s);
        const float e1 = row_x_part(octave.gx[upper[before]], octave.gx[upper[after]], d, dm, s);
        const float f1 = lerp(octave.gy[upper[before]], octave.gy[upper[after]], s);
        base = o == 0 ? e0 : base + e0;
        terms[3 * o] = f0;
        terms[3 * o + 1] = (e1 - f1) - e0;
        terms[3 * o + 2] = f1 - f0;
    }
    for (i32 k = 0; k < 3 * p.octaves; ++k) base = fma(factor[k], terms[k], base);
    return base;
}

}  // namespace plr

#endif
