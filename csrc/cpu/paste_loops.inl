// Pasting patches into the lungs of a batch of slices.

static inline u8 patch_value(u8 grey, const u8*) { return grey; }
static inline float patch_value(u8 grey, const float*) { return grey_to_float(grey); }
static inline u8 blend(i32 mode, u8 pixel, u8 patch, i32 weight) { return blend_u8(mode, pixel, patch, weight); }
static inline float blend(i32 mode, float pixel, float patch, i32 weight) {
    return blend_float(mode, pixel, patch, weight);
}

// The blend is a template argument, so that the loop over a row is free of choices; weights exist where it has any.
template <i32 BLEND, typename T>
static void paste_patch(const PasteParams& p, const Placement& place, i32 row, i32 column, const u8* mask, T* image) {
    const u8* patch = p.pixels + p.offsets[place.patch];
    const i32 height = p.heights[place.patch], width = p.widths[place.patch];
    const i32 top = row - height / 2, left = column - width / 2;
    const i32 y0 = max_i32(0, -top), y1 = min_i32(height, (i32)p.height - top);
    const i32 x0 = max_i32(0, -left), x1 = min_i32(width, (i32)p.width - left);
    for (i32 y = y0; y < y1; ++y) {
        const i64 line = (top + y) * p.width + left;
        const u8* __restrict inside = mask + line;
        const u8* __restrict from = patch + (i64)y * width;
        T* __restrict to = image + line;
        for (i32 x = x0; x < x1; ++x) {
            i32 weight = 256;
            if (BLEND == BLEND_ALPHA || BLEND == BLEND_ADD)
                weight = feathered(place.weight, p.feather, y, x, height, width);
            const T value = patch_value(from[x], (const T*)nullptr);
            to[x] = inside[x] != 0 ? blend(BLEND, to[x], value, weight) : to[x];
        }
    }
}

template <i32 BLEND, typename T>
static void paste_patches(const PasteParams& p, u64 sample, const u8* mask, const u32* before, u32 lung, i32 count,
                          T* image) {
    for (i32 n = 0; n < count; ++n) {
        const Placement place = placement(p, sample, n, lung);
        i32 row, column;
        kth_set_pixel(mask, before, (i32)p.height, (i32)p.width, place.pixel, &row, &column);
        paste_patch<BLEND>(p, place, row, column, mask, image);
    }
}

template <typename T>
static void paste_image(const PasteParams& p, u64 sample, const u8* mask, u32* before, T* image, i32* count) {
    u32 lung = 0;
    for (i64 y = 0; y < p.height; ++y) {
        before[y] = lung;
        u32 set = 0;
        for (i64 x = 0; x < p.width; ++x) set += mask[y * p.width + x] != 0;
        lung += set;
    }
    *count = lung == 0 ? 0 : paste_count(p, sample);
    switch (p.blend) {
        case BLEND_REPLACE: paste_patches<BLEND_REPLACE>(p, sample, mask, before, lung, *count, image); break;
        case BLEND_MAX: paste_patches<BLEND_MAX>(p, sample, mask, before, lung, *count, image); break;
        case BLEND_ALPHA: paste_patches<BLEND_ALPHA>(p, sample, mask, before, lung, *count, image); break;
        default: paste_patches<BLEND_ADD>(p, sample, mask, before, lung, *count, image); break;
    }
}

int paste(const PasteParams& p, const ImageBatch& batch, const u8* masks, i32* counts, i64 first, i64 last) {
    Scratch scratch(Scratch::need<u32>(p.height));
    if (scratch.failed()) return STATUS_NO_MEMORY;
    u32* before = scratch.take<u32>(p.height);
    const i64 pixels = p.height * p.width;
    const i64 bytes = pixels * (batch.pixel == PIXEL_UINT8 ? 1 : 4);
    for (i64 n = first; n < last; ++n) {
        const u64 sample = (u64)batch.samples[n];
        char* target = (char*)batch.target + n * bytes;
        if (batch.source != batch.target)
            __builtin_memcpy(target, (const char*)batch.source + n * bytes, (unsigned long)bytes);
        if (batch.pixel == PIXEL_UINT8)
            paste_image(p, sample, masks + n * pixels, before, (u8*)target, counts + n);
        else
            paste_image(p, sample, masks + n * pixels, before, (float*)target, counts + n);
    }
    return STATUS_OK;
}
