// PLR-G: Gaussian blur. The order of operations is that of csrc/cpu/blur_loops.inl: along x first, then along y, in the
// order of the taps, fused in float32; exact integers for uint8.
#ifndef PLR_CUDA_BLUR_H
#define PLR_CUDA_BLUR_H

#include "windows.h"

namespace plr {
namespace cuda {

enum { MAX_TAPS = 63 };

struct BlurTilesParams {
    Tiles tiles;
    i64 pixels;         // of the batch
    const void* images; // [batch][height][width]
    void* out;          // likewise; not the same
    void* along_x;      // [batch][height][width] float or u16, between the two kernels for any number of taps
    const u32* owners;  // [batch][height][width] 0 outside of all windows; null: the whole image is blurred
    i32 taps;
    i32 whole;          // 1: all rows of all arrays are aligned to groups
    float weights[MAX_TAPS];
    i32 weights_q8[MAX_TAPS];
};

// What the two passes make of a pixel.
template <typename T>
struct BlurSums;

template <>
struct BlurSums<float> {
    typedef float Sum;
    typedef float Between;  // what is stored of the pass along x
    PLR_BODY float weight(const BlurTilesParams& p, i32 t) { return p.weights[t]; }
    PLR_BODY float first(float weight, float value) { return weight * value; }
    PLR_BODY float add(float weight, float value, float sum) { return fma(weight, value, sum); }
    PLR_BODY float pixel(float sum) { return sum; }
};

template <>
struct BlurSums<u8> {
    typedef i32 Sum;
    typedef u16 Between;
    PLR_BODY i32 weight(const BlurTilesParams& p, i32 t) { return p.weights_q8[t]; }
    PLR_BODY i32 first(i32 weight, i32 value) { return weight * value; }
    PLR_BODY i32 add(i32 weight, i32 value, i32 sum) { return sum + weight * value; }
    PLR_BODY u8 pixel(i32 sum) { return round_q16(sum); }
};

// reflect_101 in 32 bits, for sides below 2^30.
PLR_BODY i32 mirrored(i32 i, i32 n) {
    if ((u32)i < (u32)n) return i;
    if (n == 1) return 0;
    const i32 period = 2 * n - 2, rest = i % period, at = rest < 0 ? rest + period : rest;
    return at < n ? at : period - at;
}

// A thread walks down a group of columns; the rows that a pixel needs, blurred along x, stay in its registers.
template <typename T, i32 TAPS>
struct BlurTiles {
    static constexpr u32 threads = 256, blocks = 3, phases = 1;
    typedef BlurTilesParams Params;
    typedef Nothing Shared;
    typedef Nothing Thread;
    typedef BlurSums<T> Sums;
    typedef typename Sums::Sum Sum;
    enum : i32 { HALF = TAPS / 2, REACH = GROUP };  // HALF <= REACH: a group to either side is enough
    static_assert(TAPS / 2 <= GROUP, "");

    struct Line {
        Sum v[GROUP];
    };

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared&, const Params& p) {
        const TileThread me = tile_thread(p.tiles, at);
        const i32 height = p.tiles.height, width = p.tiles.width;
        const i32 top = me.top + me.line * p.tiles.rows, end = min_i32(top + p.tiles.rows, height);
        if (me.column >= width || top >= height) return;
        const T* const image = (const T*)p.images + me.image * height * width;
        Line lines[TAPS];
        PLR_UNROLL
        for (i32 t = 1; t < TAPS; ++t) lines[t] = along_x(image, top - HALF + t - 1, me.column, p);
        for (i32 y = top; y < end; ++y) {
            PLR_UNROLL
            for (i32 t = 0; t < TAPS - 1; ++t) lines[t] = lines[t + 1];
            lines[TAPS - 1] = along_x(image, y + HALF, me.column, p);
            Group<T> blurred = {};
            PLR_UNROLL
            for (i32 j = 0; j < GROUP; ++j) {
                Sum sum = Sums::first(Sums::weight(p, 0), lines[0].v[j]);
                PLR_UNROLL
                for (i32 t = 1; t < TAPS; ++t) sum = Sums::add(Sums::weight(p, t), lines[t].v[j], sum);
                blurred.set(j, Sums::pixel(sum));
            }
            write(blurred, me, y, p);
        }
    }

    PLR_BODY Line along_x(const T* image, i32 y, i32 column, const Params& p) {
        const i32 width = p.tiles.width;
        const T* const row = image + (i64)mirrored(y, p.tiles.height) * width;
        Sum values[3 * GROUP];
        if (p.whole != 0 && column >= REACH && column + GROUP + REACH <= width) {
            PLR_UNROLL
            for (i32 k = 0; k < 3; ++k) {
                const Group<T> group = load_group(row + column + (k - 1) * GROUP, GROUP, true);
                PLR_UNROLL
                for (i32 j = 0; j < GROUP; ++j) values[k * GROUP + j] = (Sum)group.get(j);
            }
        } else {
            PLR_UNROLL
            for (i32 k = GROUP - HALF; k < 2 * GROUP + HALF; ++k)
                values[k] = (Sum)row[mirrored(column + k - GROUP, width)];
        }
        Line line;
        PLR_UNROLL
        for (i32 j = 0; j < GROUP; ++j) {
            Sum sum = Sums::first(Sums::weight(p, 0), values[GROUP - HALF + j]);
            PLR_UNROLL
            for (i32 t = 1; t < TAPS; ++t) sum = Sums::add(Sums::weight(p, t), values[GROUP - HALF + j + t], sum);
            line.v[j] = sum;
        }
        return line;
    }

    PLR_BODY void write(Group<T> blurred, const TileThread& me, i32 y, const Params& p) {
        const i32 count = min_i32(GROUP, p.tiles.width - me.column);
        const i64 at = (me.image * p.tiles.height + y) * p.tiles.width + me.column;
        if (p.owners != nullptr) {
            const Group<T> before = load_group((const T*)p.images + at, count, p.whole != 0);
            PLR_UNROLL
            for (i32 j = 0; j < GROUP; ++j)
                if (j < count && read_only(p.owners + at + j) == 0) blurred.set(j, before.get(j));
        }
        store_group((T*)p.out + at, blurred, count, p.whole != 0);
    }
};

// Any number of taps, a pixel by each thread: along x into memory, then along y.
template <typename T, bool ALONG_X>
struct BlurAny {
    static constexpr u32 threads = 256, blocks = 5, phases = 1;
    typedef BlurTilesParams Params;
    typedef Nothing Shared;
    typedef Nothing Thread;
    typedef BlurSums<T> Sums;
    typedef typename Sums::Between Between;

    template <int phase>
    PLR_BODY void run(const At& at, Thread&, Shared&, const Params& p) {
        const i64 pixel = (i64)at.x * threads + at.thread;
        if (pixel >= p.pixels) return;
        const i32 width = p.tiles.width, height = p.tiles.height;
        const i32 x = (i32)(pixel % width), y = (i32)(pixel / width % height);
        if constexpr (ALONG_X) {
            ((Between*)p.along_x)[pixel] = (Between)sum((const T*)p.images + (pixel - x), x, width, 1, p);
        } else {
            const bool keep = p.owners != nullptr && p.owners[pixel] == 0;
            ((T*)p.out)[pixel] = keep ? ((const T*)p.images)[pixel]
                                      : Sums::pixel(sum((const Between*)p.along_x + (pixel - (i64)y * width), y, height, width, p));
        }
    }

    // Over n values `step` apart, of which the one in the middle is number `at`.
    template <typename V>
    PLR_BODY typename Sums::Sum sum(const V* values, i32 at, i32 n, i64 step, const Params& p) {
        const i32 half = p.taps / 2;
        typename Sums::Sum sum = Sums::first(Sums::weight(p, 0), values[mirrored(at - half, n) * step]);
        for (i32 t = 1; t < p.taps; ++t) sum = Sums::add(Sums::weight(p, t), values[mirrored(at - half + t, n) * step], sum);
        return sum;
    }
};

}  // namespace cuda
}  // namespace plr

#endif
