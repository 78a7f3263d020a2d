// The second launch behind noise: the pixels. The scheme and its letters are those of core/noise.h, the order of operations
// that of csrc/cpu/noise_bands.inl.
//
// A thread owns four columns and goes down a strip of rows. In a band, where no octave passes a lattice row, the column
// terms B0, D0 and D1 of all octaves and the base stay in registers, and a pixel costs three fused multiply-adds per
// octave. What only the next lattice row needs (E of the lower one, E and F of the upper one) waits in shared memory.
#ifndef PLR_CUDA_NOISE_ROWS_H
#define PLR_CUDA_NOISE_ROWS_H

#include "noise_corners.h"
#include "noise_work.h"

namespace plr {
namespace cuda {

template <i32 OCTAVES, bool SPATIAL>
struct NoiseRows {
    // 128 registers a thread, or 168 where the terms of all octaves need them.
    static constexpr u32 threads = OCTAVES > 4 ? 64 : 128, blocks = OCTAVES > 4 ? 6 : OCTAVES == 4 && SPATIAL ? 3 : 4;
    static constexpr u32 phases = 3;
    enum : i32 { COLUMNS = 4, TERMS = 3 * OCTAVES, FACTORS = (TERMS + 3) / 4 * 4 };  // as in NoiseTables
    typedef NoiseRowsParams Params;
    typedef Nothing Thread;
    typedef typename GradientOf<SPATIAL>::type Gradient;

    // First hash steps of the lattice columns before and after each of a thread's columns, a byte for each.
    struct alignas(8) Hashes {
        u32 before, after;
    };

    struct Shared {
        Float4 lower_e[OCTAVES][threads], upper_e[OCTAVES][threads], upper_f[OCTAVES][threads];
        Hashes hashes[OCTAVES][threads];
        alignas(16) Gradient gradients[OCTAVES * LATTICE_PERIOD];
        SharedPermutation permutation;
        u32 extremes[2];
    };

    // The band that a thread is in.
    struct State {
        u32 lines[OCTAVES];  // the lattice rows before and after it; above them, the octave's lattice offset along y and z
        float term[TERMS][COLUMNS];
        float base[COLUMNS];
    };

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared& shared, const Params& p) {
        if (left_out(at, p)) return;
        if (phase == 0) {
            begin_block(at, threads, shared, p);
            const u32 values = (u32)OCTAVES * LATTICE_PERIOD * (SPATIAL ? 4 : 2) / 4;
            for (u32 i = at.thread; i < values; i += threads)
                ((Float4*)shared.gradients)[i] = read_only4(p.tables.gradients + 4 * i);
        } else if (phase == 1) {
            const NoiseWork work = noise_work(at, threads, p);
            if (work.first < work.last) rows(at.thread, work, shared, p);
        } else {
            end_block(at, shared, p);
        }
    }

    PLR_BODY void rows(u32 thread, const NoiseWork& work, Shared& shared, const Params& p) {
        State state;
        begin(thread, work, shared, p, state);
        const Stretch stretch =
            p.output == FORMAT_GREY_MINMAX ? stretch_of(p.tables.extremes + 2 * work.sample) : Stretch{0.0f, 0.0f};
        char* const out = (char*)p.out + work.sample * p.stride_sample + work.plane * p.stride_plane;
        Extremes extremes = {-0.0f, 0.0f};
        for (i32 y = work.first; y < work.last;) {
            const i32 end = min_i32(read_only(p.tables.band_end + y), work.last);
            advance(thread, work, y, shared, p, state);
            switch (p.output) {
                case FORMAT_FLOAT32: store_band<FORMAT_FLOAT32>(work, y, end, out, stretch, state, p); break;
                case FORMAT_FLOAT16: store_band<FORMAT_FLOAT16>(work, y, end, out, stretch, state, p); break;
                case FORMAT_BFLOAT16: store_band<FORMAT_BFLOAT16>(work, y, end, out, stretch, state, p); break;
                case FORMAT_GREY_FIXED: store_band<FORMAT_GREY_FIXED>(work, y, end, out, stretch, state, p); break;
                case FORMAT_GREY_MINMAX: store_band<FORMAT_GREY_MINMAX>(work, y, end, out, stretch, state, p); break;
                default: look_at_band(y, end, state, p, extremes); break;
            }
            y = end;
        }
        if (p.output == FIND_EXTREMES) join_extremes(extremes, shared.extremes);
    }

    PLR_BODY i64 column_of(const NoiseWork& work, i32 j, const Params& p) {
        return p.aligned ? (i64)4 * work.group + j : (i64)j * p.groups + work.group;
    }

    // Four entries of a table by columns.
    PLR_BODY Float4 take(const float* table, const NoiseWork& work, const Params& p) {
        if (p.aligned) return read_only4(table + 4 * work.group);
        Float4 four;
        PLR_UNROLL for (i32 j = 0; j < COLUMNS; ++j) four.v[j] = read_only(table + column_of(work, j, p));
        return four;
    }

    PLR_BODY void begin(u32 thread, const NoiseWork& work, Shared& shared, const Params& p, State& state) {
        const u8* const permutation = shared.permutation.bytes();
        PLR_UNROLL for (i32 o = 0; o < OCTAVES; ++o) {
            const u32 offset = read_only(p.tables.offsets + work.sample * OCTAVES + o);
            const u16* const lines = p.tables.column_lines + (i64)o * p.tables.column_count;
            u32 before = 0, after = 0;
            PLR_UNROLL for (i32 j = 0; j < COLUMNS; ++j) {
                const u32 line = read_only(lines + column_of(work, j, p));
                before |= (u32)permutation[(line + offset) & 255u] << (8 * j);
                after |= (u32)permutation[((line >> 8) + offset) & 255u] << (8 * j);
            }
            shared.hashes[o][thread] = {before, after};
            state.lines[o] = offset << 8;  // no lines yet
        }
    }

    // Bring the octaves that pass a lattice row to the one of pixel row y, and sum up the base.
    PLR_BODY void advance(u32 thread, const NoiseWork& work, i32 y, Shared& shared, const Params& p, State& state) {
        const bool begins = y == work.first;
        PLR_UNROLL for (i32 o = 0; o < OCTAVES; ++o) {
            const u32 lines = read_only(p.tables.row_lines + o * p.height + y);
            const u32 offset = state.lines[o] >> 16;
            if (begins || lines != (state.lines[o] & 0xFFFFu)) {
                // Most often the lattice row after the last band is the one before this.
                const bool next = !begins && (lines & 255u) == (state.lines[o] >> 8 & 255u);
                const i64 columns = p.tables.column_count;
                const float* const table = p.tables.columns + 3 * o * columns;
                const Float4 d = take(table, work, p), dm = take(table + columns, work, p);
                const Float4 s = take(table + 2 * columns, work, p);
                PlaneLines plane = {};
                if (SPATIAL) plane = plane_lines(p.tables.planes + o * p.depth + work.plane, offset >> 8);
                PLR_NO_UNROLL for (u32 side = next ? 1 : 0; side < 2; ++side) {
                    const u32 line = ((lines >> (8 * side)) + offset) & 255u;
                    Float4 e, f;
                    lattice_row(shared, o, shared.hashes[o][thread], line, plane, d, dm, s, e, f);
                    if (side == 1) {
                        const Float4 e0 = shared.upper_e[o][thread], f0 = shared.upper_f[o][thread];
                        PLR_UNROLL for (i32 j = 0; j < COLUMNS; ++j) {
                            state.term[3 * o][j] = f0.v[j];
                            state.term[3 * o + 1][j] = (e.v[j] - f.v[j]) - e0.v[j];
                            state.term[3 * o + 2][j] = f.v[j] - f0.v[j];
                        }
                        shared.lower_e[o][thread] = e0;
                    }
                    shared.upper_e[o][thread] = e;
                    shared.upper_f[o][thread] = f;
                }
                state.lines[o] = offset << 16 | lines;
            }
        }
        PLR_UNROLL for (i32 o = 0; o < OCTAVES; ++o) {
            const Float4 e = shared.lower_e[o][thread];
            PLR_UNROLL for (i32 j = 0; j < COLUMNS; ++j) state.base[j] = o == 0 ? e.v[j] : state.base[j] + e.v[j];
        }
    }

    PLR_BODY void lattice_row(const Shared& shared, i32 octave, const Hashes& hashes, u32 line, const PlaneLines& plane,
                              const Float4& d, const Float4& dm, const Float4& s, Float4& e, Float4& f) {
        const u8* const permutation = shared.permutation.bytes();
        const Gradient* const gradients = shared.gradients + octave * LATTICE_PERIOD;
        const u32 before = hashes.before, after = hashes.after;
        Corners<SPATIAL> corners;
        find_corners(permutation, gradients, before & 255u, after & 255u, line, plane, corners);
        blend_column(corners, d.v[0], dm.v[0], s.v[0], plane, &e.v[0], &f.v[0]);
        // Where all columns lie in one cell, as in most octaves of most images, they share its corners.
        const bool same = before == (before & 255u) * 0x01010101u && after == (after & 255u) * 0x01010101u;
        PLR_UNROLL for (i32 j = 1; j < COLUMNS; ++j) {
            if (!same)
                find_corners(permutation, gradients, before >> (8 * j) & 255u, after >> (8 * j) & 255u, line, plane,
                             corners);
            blend_column(corners, d.v[j], dm.v[j], s.v[j], plane, &e.v[j], &f.v[j]);
        }
    }

    PLR_BODY void sum_row(const float* factors, const State& state, float* sum) {
        PLR_UNROLL for (i32 j = 0; j < COLUMNS; ++j) sum[j] = state.base[j];
        PLR_UNROLL for (i32 k = 0; k < TERMS; k += 4) {
            const Float4 four = read_only4(factors + k);
            PLR_UNROLL for (i32 i = 0; i < 4; ++i) {
                if (k + i >= TERMS) break;
                PLR_UNROLL for (i32 j = 0; j < COLUMNS; ++j) sum[j] = fma(four.v[i], state.term[k + i][j], sum[j]);
            }
        }
    }

    template <i32 FORMAT>
    PLR_BODY void store_band(const NoiseWork& work, i32 y, i32 end, char* out, const Stretch& stretch,
                             const State& state, const Params& p) {
        const i64 bytes = element_bytes<FORMAT>();
        char* place = out + y * p.stride_row + column_of(work, 0, p) * bytes;
        const float* factors = p.tables.factors + (i64)y * FACTORS;
        if (p.aligned && 4 * (i64)work.group + 4 <= p.width) {
            PLR_UNROLL_TWICE for (i32 rows = end - y; rows > 0; --rows, place += p.stride_row, factors += FACTORS) {
                float sum[COLUMNS];
                sum_row(factors, state, sum);
                store_four<FORMAT>(place, sum, stretch);
            }
            return;
        }
        const i64 step = (p.aligned ? 1 : p.groups) * bytes;
        PLR_NO_UNROLL for (i32 rows = end - y; rows > 0; --rows, place += p.stride_row, factors += FACTORS) {
            float sum[COLUMNS];
            sum_row(factors, state, sum);
            PLR_UNROLL for (i32 j = 0; j < COLUMNS; ++j)
                if (column_of(work, j, p) < p.width) store_one<FORMAT>(place + j * step, sum[j], stretch);
        }
    }

    PLR_BODY void look_at_band(i32 y, i32 end, const State& state, const Params& p, Extremes& extremes) {
        const float* factors = p.tables.factors + (i64)y * FACTORS;
        PLR_UNROLL_TWICE for (i32 rows = end - y; rows > 0; --rows, factors += FACTORS) {
            float sum[COLUMNS];
            sum_row(factors, state, sum);
            // Columns beyond the width repeat the last one.
            PLR_UNROLL for (i32 j = 0; j < COLUMNS; ++j) {
                extremes.low = lesser(sum[j], extremes.low);
                extremes.high = greater(sum[j], extremes.high);
            }
        }
    }
};

}  // namespace cuda
}  // namespace plr

#endif
