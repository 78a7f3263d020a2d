// PLR-L: local pixel shuffling of a batch.

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
