// Parameters and small arithmetic of the two other corruptions of the paper: PLR-G (Gaussian blur) and PLR-L (local
// pixel shuffling).
#ifndef PLR_CORE_FILTERS_H
#define PLR_CORE_FILTERS_H

#include "lesions.h"

namespace plr {

struct Windows {
    i32 count;                   // 0: the whole image
    i32 low_height, high_height; // both ends included
    i32 low_width, high_width;
};

PLR_HD Box window_box(const Windows& w, u64 seed, u64 sample, u32 stream, u32 number, i32 rows, i32 columns) {
    return random_box(philox(seed, sample, stream, number), w.low_height, w.high_height, w.low_width, w.high_width,
                      rows, columns);
}

struct BlurParams {
    u64 seed;
    i64 height, width;
    i32 taps;              // odd
    const float* weights;  // [taps], sum 1
    const i32* weights_q8; // [taps], none negative, sum 256: what uint8 images are blurred with
    Windows windows;
};

struct ShuffleParams {
    u64 seed;
    i64 height, width;
    i32 grid_rows, grid_columns;  // blocks; used when windows.count == 0
    Windows windows;
};

// Index mirrored at the borders without repeating the border pixel (OpenCV's BORDER_REFLECT_101).
PLR_HD i64 reflect_101(i64 i, i64 n) {
    if (n == 1) return 0;
    const i64 period = 2 * n - 2;
    i %= period;
    if (i < 0) i += period;
    return i < n ? i : period - i;
}

// Block b of a side of n pixels cut into `blocks` nearly equal parts begins here; block `blocks` is the end.
PLR_HD i64 block_start(i64 b, i64 n, i64 blocks) { return b * n / blocks; }

// Back from the two Q8 passes of a blur to grey, halves upwards.
PLR_HD u8 round_q16(i32 value) { return (u8)((value + 32768) >> 16); }

}  // namespace plr

#endif
