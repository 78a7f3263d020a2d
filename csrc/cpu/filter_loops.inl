// PLR-G and PLR-L: Gaussian blur and local pixel shuffling of a batch.

// A pass along x of one row whose ends are already mirrored: in[0] is `taps / 2` pixels left of the row.
static inline void blur_x(const BlurParams& p, const float* __restrict in, float* __restrict out) {
    for (i64 x = 0; x < p.width; ++x) out[x] = p.weights[0] * in[x];
    for (i32 t = 1; t < p.taps; ++t)
        for (i64 x = 0; x < p.width; ++x) out[x] = fma(p.weights[t], in[x + t], out[x]);
}
static inline void blur_x(const BlurParams& p, const u8* __restrict in, i32* __restrict out) {
    for (i64 x = 0; x < p.width; ++x) out[x] = p.weights_q8[0] * in[x];
    for (i32 t = 1; t < p.taps; ++t)
        for (i64 x = 0; x < p.width; ++x) out[x] += p.weights_q8[t] * in[x + t];
}

// Columns [x0, x1) of row y of the pass along y, over the rows that the pass along x left in `rows`.
static inline void blur_y(const BlurParams& p, const float* rows, i64 y, i64 x0, i64 x1, float* __restrict sum,
                          float* __restrict out) {
    const i32 half = p.taps / 2;
    for (i32 t = 0; t < p.taps; ++t) {
        const float* __restrict row = rows + reflect_101(y + t - half, p.height) * p.width;
        const float weight = p.weights[t];
        if (t == 0)
            for (i64 x = x0; x < x1; ++x) sum[x] = weight * row[x];
        else
            for (i64 x = x0; x < x1; ++x) sum[x] = fma(weight, row[x], sum[x]);
    }
    for (i64 x = x0; x < x1; ++x) out[x] = sum[x];
}
static inline void blur_y(const BlurParams& p, const i32* rows, i64 y, i64 x0, i64 x1, i32* __restrict sum,
                          u8* __restrict out) {
    const i32 half = p.taps / 2;
    for (i32 t = 0; t < p.taps; ++t) {
        const i32* __restrict row = rows + reflect_101(y + t - half, p.height) * p.width;
        const i32 weight = p.weights_q8[t];
        if (t == 0)
            for (i64 x = x0; x < x1; ++x) sum[x] = weight * row[x];
        else
            for (i64 x = x0; x < x1; ++x) sum[x] += weight * row[x];
    }
    for (i64 x = x0; x < x1; ++x) out[x] = round_q16(sum[x]);
}

// T is the pixel, S the sum of weighted pixels: float and float, or uint8 and int32.
template <typename T, typename S>
static int blur_images(const BlurParams& p, const ImageBatch& batch, i64 first, i64 last) {
    const i64 pixels = p.height * p.width;
    const i32 half = p.taps / 2;
    Scratch scratch(Scratch::need<T>(p.width + 2 * half) + Scratch::need<S>(p.width) + Scratch::need<S>(pixels));
    if (scratch.failed()) return STATUS_NO_MEMORY;
    T* padded = scratch.take<T>(p.width + 2 * half);
    S* sum = scratch.take<S>(p.width);
    S* rows = scratch.take<S>(pixels);
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
            blur_x(p, padded, rows + y * p.width);
        }
        if (p.windows.count == 0) {
            for (i64 y = 0; y < p.height; ++y) blur_y(p, rows, y, 0, p.width, sum, target + y * p.width);
            continue;
        }
        if (source != target) __builtin_memcpy(target, source, (unsigned long)pixels * sizeof(T));
        for (i32 w = 0; w < p.windows.count; ++w) {
            const Box box = window_box(p.windows, p.seed, (u64)batch.samples[n], STREAM_BLUR_WINDOW, (u32)w,
                                       (i32)p.height, (i32)p.width);
            for (i64 y = box.top; y < box.top + box.height; ++y)
                blur_y(p, rows, y, box.left, box.left + box.width, sum, target + y * p.width);
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
static void shuffle_box(const Box& box, i64 width, const WordSequence& words, const T* source, T* target, T* held) {
    const i64 row_bytes = (i64)(box.width * sizeof(T));
    for (i32 y = 0; y < box.height; ++y)
        __builtin_memcpy(held + (i64)y * box.width, source + (box.top + y) * width + box.left, (unsigned long)row_bytes);
    fisher_yates(words, held, (u32)box.height * (u32)box.width);
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
            shuffle_box(box, p.width, word_sequence(p.seed, sample, stream), source, target, held);
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
                shuffle_box(box, p.width, word_sequence(p.seed, sample, stream), source, target, held);
            }
    }
    return STATUS_OK;
}

int shuffle(const ShuffleParams& p, const ImageBatch& batch, i64 first, i64 last) {
    if (batch.pixel == PIXEL_UINT8) return shuffle_images<u8>(p, batch, first, last);
    return shuffle_images<float>(p, batch, first, last);
}
