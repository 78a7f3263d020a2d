// The second launch behind noise: the pixels. The scheme and its letters are those of core/noise.h, the order of operations
// that of csrc/cpu/noise_bands.inl.
//
// A thread owns four columns and goes down a strip of rows. In a band, where no octave passes a lattice row, the column
// terms B0, D0 and D1 of all octaves and the base stay in registers, and a pixel costs three fused multiply-adds per
// octave. What only the next lattice row needs (E of the lower one, E and F of the upper one) waits in shared memory.
// NoiseManyRows, for more octaves than registers hold, keeps the terms in shared memory as well, for one column a thread.
#ifndef PLR_CUDA_NOISE_ROWS_H
#define PLR_CUDA_NOISE_ROWS_H

#include "noise_pixels.h"
#include "noise_setup.h"

namespace plr {
namespace cuda {

struct NoiseRowsParams {
    NoiseTables tables;
    void* out;
    i64 stride_sample, stride_plane, stride_row;  // of `out`, in bytes; columns are contiguous
    i64 depth, height, width;
    i32 octaves;
    i32 output;         // NoiseFormat, or FIND_EXTREMES
    i32 aligned;        // 1: a thread's columns are neighbours, stored at once; 0: they are `groups` apart
    i32 groups;         // threads that a row of pixels takes
    i32 group_shift;    // threads of a block that go along a row: 1 << group_shift; the others take other strips
    i32 strip;          // rows of a strip
    u32 row_blocks;     // blocks along a row of pixels
    u32 strip_blocks;   // blocks along the rows of a plane
};

// What a thread works at.
struct NoiseWork {
    i64 sample, plane;
    i32 group;
    i32 first, last;  // rows; none: first == last
};

// In 32 bits, as all that is done for each row: a division in 64 bits takes a GPU a hundred instructions.
PLR_BODY i64 noise_sample(const At& at, const NoiseRowsParams& p) {
    return at.x / p.row_blocks / p.strip_blocks / (u32)p.depth;
}

PLR_BODY NoiseWork noise_work(const At& at, u32 threads, const NoiseRowsParams& p) {
    const u32 along = at.x % p.row_blocks, rest = at.x / p.row_blocks;
    const u32 planes = rest / p.strip_blocks, depth = (u32)p.depth;
    const u32 strip = (rest % p.strip_blocks) * (threads >> p.group_shift) + (at.thread >> p.group_shift);
    NoiseWork work;
    work.sample = planes / depth;
    work.plane = planes % depth;
    work.group = (i32)((along << p.group_shift) + (at.thread & ((1u << p.group_shift) - 1u)));
    const i64 first = (i64)strip * p.strip, last = first + p.strip;
    work.last = (i32)(last < p.height ? last : p.height);
    work.first = first < work.last && work.group < p.groups ? (i32)first : work.last;
    return work;
}

// The permutation twice over, so that a sum of two bytes needs no wrapping.
struct SharedPermutation {
    u32 words[2 * LATTICE_PERIOD / 4];

    PLR_MEMBER const u8* bytes() const { return (const u8*)words; }
};

PLR_BODY void load_permutation(u32 thread, u32 threads, const u8* from, SharedPermutation& to) {
    for (u32 i = thread; i < 2 * LATTICE_PERIOD / 4; i += threads)
        to.words[i] = read_only((const u32*)from + (i & (LATTICE_PERIOD / 4 - 1)));
}

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

// A thread's part of the extremes.
struct Extremes {
    float low, high;
};

PLR_BODY void join_extremes(const Extremes& mine, u32* shared) {
    atomic_max(&shared[0], float_bits(mine.low));  // at most -0: the larger the bits, the lower the value
    atomic_max(&shared[1], float_bits(mine.high));
}

// What is the same in the two kernels before and after the rows.
template <typename Shared>
PLR_BODY void begin_block(const At& at, u32 threads, Shared& shared, const NoiseRowsParams& p) {
    load_permutation(at.thread, threads, p.tables.permutation + noise_sample(at, p) * LATTICE_PERIOD, shared.permutation);
    if (at.thread < 2) shared.extremes[at.thread] = at.thread == 0 ? 0x80000000u : 0u;
}

template <typename Shared>
PLR_BODY void end_block(const At& at, const Shared& shared, const NoiseRowsParams& p) {
    if (p.output == FIND_EXTREMES && at.thread < 2)
        atomic_max(p.tables.extremes + 2 * noise_sample(at, p) + at.thread, shared.extremes[at.thread]);
}

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

template <bool SPATIAL>
struct NoiseManyRows {
    static constexpr u32 threads = 64, blocks = 4, phases = 3;
    enum : i32 { ROWS = 4 };  // that share a load of the terms
    typedef NoiseRowsParams Params;
    typedef Nothing Thread;
    typedef typename GradientOf<SPATIAL>::type Gradient;

    struct Shared {
        float term[3 * MAX_OCTAVES][threads];
        float lower_e[MAX_OCTAVES][threads], upper_e[MAX_OCTAVES][threads], upper_f[MAX_OCTAVES][threads];
        u16 lines[MAX_OCTAVES][threads];  // the lattice rows before and after the band
        u16 hash[MAX_OCTAVES][threads];   // first hash steps, before | after << 8
        SharedPermutation permutation;
        u32 extremes[2];
    };

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared& shared, const Params& p) {
        if (phase == 0) {
            begin_block(at, threads, shared, p);
        } else if (phase == 1) {
            const NoiseWork work = noise_work(at, threads, p);
            if (work.first < work.last) rows(at.thread, work, shared, p);
        } else {
            end_block(at, shared, p);
        }
    }

    PLR_BODY void rows(u32 thread, const NoiseWork& work, Shared& shared, const Params& p) {
        const u8* const permutation = shared.permutation.bytes();
        PLR_NO_UNROLL for (i32 o = 0; o < p.octaves; ++o) {
            const u32 offset = read_only(p.tables.offsets + work.sample * p.octaves + o);
            const u32 line = read_only(p.tables.column_lines + (i64)o * p.tables.column_count + work.group);
            shared.hash[o][thread] =
                (u16)(permutation[(line + offset) & 255u] | permutation[((line >> 8) + offset) & 255u] << 8);
        }
        const Stretch stretch =
            p.output == FORMAT_GREY_MINMAX ? stretch_of(p.tables.extremes + 2 * work.sample) : Stretch{0.0f, 0.0f};
        char* const out = (char*)p.out + work.sample * p.stride_sample + work.plane * p.stride_plane;
        Extremes extremes = {-0.0f, 0.0f};
        for (i32 y = work.first; y < work.last;) {
            const i32 end = min_i32(read_only(p.tables.band_end + y), work.last);
            const float base = advance(thread, work, y, shared, p);
            for (; y < end; y += ROWS) {
                float sum[ROWS];
                sum_rows(thread, y, end, base, shared, p, sum);
                PLR_UNROLL for (i32 r = 0; r < ROWS; ++r)
                    if (y + r < end) put(out + (y + r) * p.stride_row, work.group, sum[r], stretch, p, extremes);
            }
            y = end;
        }
        if (p.output == FIND_EXTREMES) join_extremes(extremes, shared.extremes);
    }

    PLR_BODY float advance(u32 thread, const NoiseWork& work, i32 y, Shared& shared, const Params& p) {
        const u8* const permutation = shared.permutation.bytes();
        const bool begins = y == work.first;
        float base = 0.0f;
        PLR_NO_UNROLL for (i32 o = 0; o < p.octaves; ++o) {
            const u32 lines = read_only(p.tables.row_lines + o * p.height + y);
            const u32 earlier = shared.lines[o][thread];
            if (begins || lines != earlier) {
                const i64 columns = p.tables.column_count;
                const float* const table = p.tables.columns + 3 * o * columns + work.group;
                const float d = read_only(table), dm = read_only(table + columns), s = read_only(table + 2 * columns);
                const u32 offset = read_only(p.tables.offsets + work.sample * p.octaves + o) >> 8;
                const Gradient* const gradients = (const Gradient*)p.tables.gradients + o * LATTICE_PERIOD;
                const u32 hash = shared.hash[o][thread];
                PlaneLines plane = {};
                if (SPATIAL) plane = plane_lines(p.tables.planes + o * p.depth + work.plane, offset >> 8);
                const bool next = !begins && (lines & 255u) == earlier >> 8;
                float e = shared.upper_e[o][thread], f = shared.upper_f[o][thread];
                Corners<SPATIAL> corners;
                if (!next) {
                    find_corners(permutation, gradients, hash & 255u, hash >> 8, (lines + offset) & 255u, plane, corners);
                    blend_column(corners, d, dm, s, plane, &e, &f);
                }
                float upper_e, upper_f;
                find_corners(permutation, gradients, hash & 255u, hash >> 8, ((lines >> 8) + offset) & 255u, plane, corners);
                blend_column(corners, d, dm, s, plane, &upper_e, &upper_f);
                shared.term[3 * o][thread] = f;
                shared.term[3 * o + 1][thread] = (upper_e - upper_f) - e;
                shared.term[3 * o + 2][thread] = upper_f - f;
                shared.lower_e[o][thread] = e;
                shared.upper_e[o][thread] = upper_e;
                shared.upper_f[o][thread] = upper_f;
                shared.lines[o][thread] = (u16)lines;
            }
            const float e = shared.lower_e[o][thread];
            base = o == 0 ? e : base + e;
        }
        return base;
    }

    PLR_BODY void sum_rows(u32 thread, i32 y, i32 end, float base, const Shared& shared, const Params& p, float* sum) {
        const float* factors[ROWS];
        PLR_UNROLL for (i32 r = 0; r < ROWS; ++r) {
            const i32 row = min_i32(y + r, end - 1);
            factors[r] = p.tables.factors + (i64)row * p.tables.factor_count;
            sum[r] = base;
        }
        PLR_NO_UNROLL for (i32 o = 0; o < p.octaves; ++o) {
            PLR_UNROLL for (i32 i = 0; i < 3; ++i) {
                const i32 k = 3 * o + i;
                const float term = shared.term[k][thread];
                PLR_UNROLL for (i32 r = 0; r < ROWS; ++r) sum[r] = fma(read_only(factors[r] + k), term, sum[r]);
            }
        }
    }

    PLR_BODY void put(char* row, i64 column, float value, const Stretch& stretch, const Params& p, Extremes& extremes) {
        switch (p.output) {
            case FORMAT_FLOAT32: return store_one<FORMAT_FLOAT32>(row + 4 * column, value, stretch);
            case FORMAT_FLOAT16: return store_one<FORMAT_FLOAT16>(row + 2 * column, value, stretch);
            case FORMAT_BFLOAT16: return store_one<FORMAT_BFLOAT16>(row + 2 * column, value, stretch);
            case FORMAT_GREY_FIXED: return store_one<FORMAT_GREY_FIXED>(row + column, value, stretch);
            case FORMAT_GREY_MINMAX: return store_one<FORMAT_GREY_MINMAX>(row + column, value, stretch);
            default: break;
        }
        extremes.low = lesser(value, extremes.low);
        extremes.high = greater(value, extremes.high);
    }
};

}  // namespace cuda
}  // namespace plr

#endif
