// The first of the two launches behind noise: the sample's permutations, and the tables of coordinates. The CPU makes the
// tables once per call on the host (csrc/cpu/noise_tables.cpp); here every entry is a thread's work, by the same float64
// operations, so that a call copies nothing from the host.
#ifndef PLR_CUDA_NOISE_SETUP_H
#define PLR_CUDA_NOISE_SETUP_H

#include "../core/gradients.h"
#include "../core/noise.h"
#include "permutation.h"

namespace plr {
namespace cuda {

// The ids of a batch's samples: in memory, or a progression.
struct SampleIds {
    const i64* ids;   // [samples], or null
    i64 first, step;  // then sample n has the id first + n * step
};

PLR_BODY u64 sample_id(const SampleIds& samples, i64 n) {
    return (u64)(samples.ids != nullptr ? read_only(samples.ids + n) : samples.first + n * samples.step);
}

// Where a plane lies between the lattice planes of an octave.
struct alignas(16) PlaneEntry {
    float d, dm, s;
    u32 lattice;  // like the others below
};

// What the rows need. Two neighbouring lattice lines, modulo 256, are packed as before | after << 8.
struct NoiseTables {
    u8* permutation;     // [samples][256]
    u32* offsets;        // [samples][octaves] lattice offset x | y << 8 | z << 16
    u32* extremes;       // [samples][2] bits of the lowest value, at most -0, and of the highest, at least 0
    float* gradients;    // [octaves][256][2, or 4 in space] x, y(, z, 0) times amplitude / bound
    float* columns;      // [octaves][3][columns] d, dm, s
    u16* column_lines;   // [octaves][columns]
    float* factors;      // [height][factors] dy, v, v dy of each octave, padded
    u16* row_lines;      // [octaves][height]
    i32* band_end;       // [height] the first row after it in which an octave passes a lattice row
    PlaneEntry* planes;  // [octaves][depth], in space
    i32 column_count;    // `width` rounded up to a multiple of 4
    i32 factor_count;    // 3 * octaves rounded up to a multiple of 4
};

PLR_BODY u32 line_pair(i64 line, double frequency, bool tileable) {
    return (u32)wrapped_line(line, frequency, tileable) | (u32)wrapped_line(line + 1, frequency, tileable) << 8;
}

// The first pixel after p that lies beyond the next lattice line; n if there is none.
PLR_BODY i64 run_end(i64 p, double frequency, i64 n) {
    const i64 line = lattice_position(p, frequency, n).line;
    const double guess = (double)(line + 1) * (double)n / frequency;
    i64 end = guess < (double)n ? (i64)guess : n;
    if (end <= p) end = p + 1;
    // The guess is off by a rounding or so.
    while (end > p + 1 && lattice_position(end - 1, frequency, n).line > line) --end;
    while (end < n && lattice_position(end, frequency, n).line == line) ++end;
    return end;
}

struct NoiseSetup {
    static constexpr u32 threads = LATTICE_PERIOD, blocks = 4, phases = 3;

    struct Params {
        u64 seed;
        SampleIds samples;
        i32 batch, octaves, dims;
        i32 tileable;  // 0 or 1
        i64 depth, height, width;
        NoiseTables tables;
        double frequency[MAX_OCTAVES][3];  // cells along z, y, x
        double amplitude[MAX_OCTAVES];     // divided by the bound
    };
    typedef PermutationMaker::Shared Shared;
    typedef Nothing Thread;

    // Blocks 0 .. batch - 1 make a permutation each; the threads of the rest one entry of the tables each.
    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared& shared, const Params& p) {
        if (at.x >= (u32)p.batch) {
            if (phase == 0) table_entry((i64)(at.x - (u32)p.batch) * threads + at.thread, p);
            return;
        }
        if (phase == 0) {
            const u64 id = sample_id(p.samples, at.x);
            PermutationMaker::draw(at.thread, p.seed, id, shared);
            if (at.thread < (u32)p.octaves) {
                const LatticeOffset o = lattice_offset(p.seed, id, (i32)at.thread);
                p.tables.offsets[(i64)at.x * p.octaves + at.thread] = (u32)(o.x | o.y << 8 | o.z << 16);
            }
            if (at.thread < 2) p.tables.extremes[2 * (i64)at.x + at.thread] = at.thread == 0 ? 0x80000000u : 0u;
        } else if (phase == 1) {
            PermutationMaker::link(at.thread, shared);
        } else {
            p.tables.permutation[(i64)at.x * LATTICE_PERIOD + at.thread] = PermutationMaker::element(at.thread, shared);
        }
    }

    // Entries are numbered through: gradients, columns, rows, planes.
    PLR_BODY void table_entry(i64 entry, const Params& p) {
        if (entry < LATTICE_PERIOD) return gradient((i32)entry, p);
        entry -= LATTICE_PERIOD;
        const i64 columns = p.tables.column_count;
        if (entry < p.octaves * columns) return column((i32)(entry / columns), entry % columns, p);
        entry -= p.octaves * columns;
        if (entry < p.height) return row(entry, p);
        entry -= p.height;
        if (p.dims == 3 && entry < p.octaves * p.depth) plane((i32)(entry / p.depth), entry % p.depth, p);
    }

    PLR_BODY void gradient(i32 k, const Params& p) {
        double x, y, z = 0.0;
        if (p.dims == 2) {
            gradient_2d(k, &x, &y);
        } else {
            const double height = gradient_height(k);
            gradient_3d(k, square_root(1.0 - height * height), &x, &y, &z);
        }
        for (i32 o = 0; o < p.octaves; ++o) {
            const double scale = p.amplitude[o];
            float* to = p.tables.gradients + ((i64)o * LATTICE_PERIOD + k) * (p.dims == 2 ? 2 : 4);
            to[0] = (float)(x * scale);
            to[1] = (float)(y * scale);
            if (p.dims == 2) continue;
            to[2] = (float)(z * scale);
            to[3] = 0.0f;
        }
    }

    PLR_BODY void column(i32 octave, i64 at, const Params& p) {
        const i64 columns = p.tables.column_count;
        const i64 x = at < p.width ? at : p.width - 1;  // padding repeats the last column
        const double frequency = p.frequency[octave][2];
        const LatticePosition here = lattice_position(x, frequency, p.width);
        float* to = p.tables.columns + 3 * octave * columns + at;
        to[0] = (float)here.t;
        to[columns] = (float)(here.t - 1.0);
        to[2 * columns] = (float)fade(here.t);
        p.tables.column_lines[octave * columns + at] = (u16)line_pair(here.line, frequency, p.tileable != 0);
    }

    PLR_BODY void row(i64 y, const Params& p) {
        float* const to = p.tables.factors + y * p.tables.factor_count;
        i64 end = p.height;
        for (i32 o = 0; o < p.octaves; ++o) {
            const double frequency = p.frequency[o][1];
            const LatticePosition here = lattice_position(y, frequency, p.height);
            to[3 * o] = (float)here.t;
            to[3 * o + 1] = (float)fade(here.t);
            to[3 * o + 2] = (float)(fade(here.t) * here.t);
            p.tables.row_lines[o * p.height + y] = (u16)line_pair(here.line, frequency, p.tileable != 0);
            const i64 passes = run_end(y, frequency, p.height);
            end = passes < end ? passes : end;
        }
        for (i32 k = 3 * p.octaves; k < p.tables.factor_count; ++k) to[k] = 0.0f;
        p.tables.band_end[y] = (i32)end;
    }

    PLR_BODY void plane(i32 octave, i64 z, const Params& p) {
        const double frequency = p.frequency[octave][0];
        const LatticePosition here = lattice_position(z, frequency, p.depth);
        p.tables.planes[octave * p.depth + z] = {(float)here.t, (float)(here.t - 1.0), (float)fade(here.t),
                                                 line_pair(here.line, frequency, p.tileable != 0)};
    }
};

}  // namespace cuda
}  // namespace plr

#endif
