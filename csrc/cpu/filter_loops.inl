// PLR-G and PLR-L: Gaussian blur and local pixel shuffling of a batch.

static inline float weighted(float sum, float weight, float value) { return fma(weight, value, sum); }
static inline i32 weighted(i32 sum, i32 weight, i32 value) { return sum + weight * value; }
// A finished sum as what it is stored as: sums of the first pass stay sums, those of the second become pixels.
static inline void store(float sum, float* out) { *out = sum; }
static inline void store(i32 sum, i32* out) { *out = sum; }
static inline void store(i32 sum, u8* out) { *out = round_q16(sum); }

// out[x] = sum over t of weights[t] * rows[t][x], the taps in order. With TAPS known the sum stays in registers;
// TAPS = 0 takes any number.
template <i32 TAPS, typename In, typename Out, typename S>
static void blend_rows(const S* weights, i32 taps, const In* const* rows, i64 n, S* sum, Out* __restrict out) {
    if (TAPS > 0) {
        const In* row[TAPS > 0 ? TAPS : 1];
        S weight[TAPS > 0 ? TAPS : 1];
        for (i32 t = 0; t < TAPS; ++t) {
            row[t] = rows[t];
            weight[t] = weights[t];
        }
        for (i64 x = 0; x < n; ++x) {
            S total = weight[0] * (S)row[0][x];
            for (i32 t = 1; t < TAPS; ++t) total = weighted(total, weight[t], (S)row[t][x]);
            store(total, out + x);
        }
        return;
    }
    for (i64 x = 0; x < n; ++x) sum[x] = weights[0] * (S)rows[0][x];
    for (i32 t = 1; t < taps; ++t)
        for (i64 x = 0; x < n; ++x) sum[x] = weighted(sum[x], weights[t], (S)rows[t][x]);
    for (i64 x = 0; x < n; ++x) store(sum[x], out + x);
}

template <typename In, typename Out, typename S>
static void blend_rows(const S* weights, i32 taps, const In* const* rows, i64 n, S* sum, Out* out) {
    switch (taps) {
        case 3: blend_rows<3>(weights, taps, rows, n, sum, out); break;
        case 5: blend_rows<5>(weights, taps, rows, n, sum, out); break;
        case 7: blend_rows<7>(weights, taps, rows, n, sum, out); break;
        default: blend_rows<0>(weights, taps, rows, n, sum, out); break;
    }
}

static inline const float* tap_weights(const BlurParams& p, const float*) { return p.weights; }
static inline const i32* tap_weights(const BlurParams& p, const i32*) { return p.weights_q8; }

// Columns from `left` on, `n` of them, of row y of the pass along y, over what the pass along x left in `along_x`.
template <typename T, typename S>
static void blur_along_y(const BlurParams& p, const S* along_x, i64 y, i64 left, i64 n, const S** taps, S* sum,
                         T* target) {
    for (i32 t = 0; t < p.taps; ++t)
        taps[t] = along_x + reflect_101(y + t - p.taps / 2, p.height) * p.width + left;
    blend_rows(tap_weights(p, sum), p.taps, taps, n, sum, target + y * p.width + left);
}

// T is the pixel, S the sum of weighted pixels: float and float, or uint8 and int32.
template <typename T, typename S>
static int blur_images(const BlurParams& p, const ImageBatch& batch, i64 first, i64 last) {
    const i64 pixels = p.height * p.width;
    const i32 half = p.taps / 2;
    Scratch scratch(Scratch::need<T>(p.width + 2 * half) + Scratch::need<S>(p.width) + Scratch::need<S>(pixels) +
                    Scratch::need<const T*>(p.taps) + Scratch::need<const S*>(p.taps));
    if (scratch.failed()) return STATUS_NO_MEMORY;
    T* padded = scratch.take<T>(p.width + 2 * half);
    S* sum = scratch.take<S>(p.width);
    S* along_x = scratch.take<S>(pixels);
    const T** shifted = scratch.take<const T*>(p.taps);
    const S** taps = scratch.take<const S*>(p.taps);
    for (i32 t = 0; t < p.taps; ++t) shifted[t] = padded + t;
    for (i64 n = first; n < last; ++n) {
        const T* source = (const T*)batch.source + n * pixels;
        T* target = (T*)batch.target + n * pixels;
        for (i64 y = 0; y < p.height; ++y) {
            const T* line = source + y * p.width;
            for (i32 x = 0; x < half; ++x) {
                padded[x] = line[reflect_101(x - half, p.width)];
                padded[half + p.width + x] = line[reflect_101(p.width + x, p.width)];
            }
            __builtin_memcpy(padded + half, line, (unsigned long)p.width * sizeof(T));
            blend_rows(tap_weights(p, sum), p.taps, shifted, p.width, sum, along_x + y * p.width);
        }
        if (p.windows.count == 0) {
            for (i64 y = 0; y < p.height; ++y) blur_along_y(p, along_x, y, 0, p.width, taps, sum, target);
            continue;
        }
        if (source != target) __builtin_memcpy(target, source, (unsigned long)pixels * sizeof(T));
        for (i32 w = 0; w < p.windows.count; ++w) {
            const Box box = window_box(p.windows, p.seed, (u64)batch.samples[n], STREAM_BLUR_WINDOW, (u32)w,
                                       (i32)p.height, (i32)p.width);
            for (i64 y = box.top; y < box.top + box.height; ++y)
                blur_along_y(p, along_x, y, box.left, box.width, taps, sum, target);
        }
    }
    return STATUS_OK;
}

int blur(const BlurParams& p, const ImageBatch& batch, i64 first, i64 last) {
    if (batch.pixel == PIXEL_UINT8) return blur_images<u8, i32>(p, batch, first, last);
    return blur_images<float, float>(p, batch, first, last);
}

// Shuffle the pixels of `box`: read from `source`, written to `target`.
template <typename T>
static void shuffle_box(const Box& box, i64 width, u64 seed, u64 sample, u32 stream, const T* source, T* target, T* held) {
    const i64 row_bytes = (i64)(box.width * sizeof(T));
    for (i32 y = 0; y < box.height; ++y)
        __builtin_memcpy(held + (i64)y * box.width, source + (box.top + y) * width + box.left, (unsigned long)row_bytes);
    fisher_yates(seed, sample, stream, held, (u32)box.height * (u32)box.width);
    for (i32 y = 0; y < box.height; ++y)
        __builtin_memcpy(target + (box.top + y) * width + box.left, held + (i64)y * box.width, (unsigned long)row_bytes);
}

template <typename T>
static int shuffle_images(const ShuffleParams& p, const ImageBatch& batch, i64 first, i64 last) {
    const i64 pixels = p.height * p.width;
    const bool windowed = p.windows.count > 0;
    // Windows always take the original pixels, as Models Genesis does; a copy keeps them when working in place.
    const bool keep = windowed && batch.source == batch.target;
    Scratch scratch(Scratch::need<T>(pixels) + Scratch::need<T>(keep ? pixels : 0));
    if (scratch.failed()) return STATUS_NO_MEMORY;
    T* held = scratch.take<T>(pixels);
    T* original = scratch.take<T>(keep ? pixels : 0);
    for (i64 n = first; n < last; ++n) {
        const u64 sample = (u64)batch.samples[n];
        const T* source = (const T*)batch.source + n * pixels;
        T* target = (T*)batch.target + n * pixels;
        if (keep) {
            __builtin_memcpy(original, source, (unsigned long)pixels * sizeof(T));
            source = original;
        } else if (windowed) {
            __builtin_memcpy(target, source, (unsigned long)pixels * sizeof(T));
        }
        for (i32 w = 0; w < p.windows.count; ++w) {
            const Box box = window_box(p.windows, p.seed, sample, STREAM_SHUFFLE_WINDOW, (u32)w, (i32)p.height,
                                       (i32)p.width);
            const u32 stream = substream(STREAM_SHUFFLE_INSIDE, (u32)w);
            shuffle_box(box, p.width, p.seed, sample, stream, source, target, held);
        }
        if (windowed) continue;
        for (i32 by = 0; by < p.grid_rows; ++by)
            for (i32 bx = 0; bx < p.grid_columns; ++bx) {
                Box box;
                box.top = (i32)block_start(by, p.height, p.grid_rows);
                box.left = (i32)block_start(bx, p.width, p.grid_columns);
                box.height = (i32)block_start(by + 1, p.height, p.grid_rows) - box.top;
                box.width = (i32)block_start(bx + 1, p.width, p.grid_columns) - box.left;
                const u32 stream = substream(STREAM_SHUFFLE_BLOCK, (u32)(by * p.grid_columns + bx));
                shuffle_box(box, p.width, p.seed, sample, stream, source, target, held);
            }
    }
    return STATUS_OK;
}

int shuffle(const ShuffleParams& p, const ImageBatch& batch, i64 first, i64 last) {
    if (batch.pixel == PIXEL_UINT8) return shuffle_images<u8>(p, batch, first, last);
    return shuffle_images<float>(p, batch, first, last);
}
