// The pixels of noise with more octaves than registers hold: NoiseRows with the terms in shared memory, for one column a
// thread.
#ifndef PLR_CUDA_NOISE_MANY_ROWS_H
#define PLR_CUDA_NOISE_MANY_ROWS_H

#include "noise_corners.h"
#include "noise_work.h"

namespace plr {
namespace cuda {

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
        if (left_out(at, p)) return;
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
