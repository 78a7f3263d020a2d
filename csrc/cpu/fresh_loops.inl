// Fresh lesion patches: the table of their noise images, and patches made from it.

// Format FORMAT_GREY_MINMAX, so that each image is made in scratch memory and its extremes are found on the way.
int fresh_table(const NoiseParams& p, float* low, float* scale, u8* permutations, u8* offsets, i64 first, i64 last) {
    NoiseBuffers buffers;
    Scratch scratch(take_noise_buffers(p, nullptr, &buffers));
    if (scratch.failed()) return STATUS_NO_MEMORY;
    take_noise_buffers(p, &scratch, &buffers);
    for (i64 image = first; image < last; ++image) {
        u8* const permutation = permutations + image * 2 * LATTICE_PERIOD;
        fill_permutation_twice(p.seed, (u64)image, permutation);
        begin_sample(p, (u64)image, permutation, buffers);
        noise_plane(p, buffers, permutation, 0, 0, p.height, (char*)buffers.whole);  // as output it is not touched
        float lowest, highest;
        buffers.extremes.end(&lowest, &highest);
        scale[image] = minmax_scale(lowest, highest);
        low[image] = scale[image] > 0.0f ? lowest : 0.0f;
        for (i32 o = 0; o < p.octaves; ++o) {
            u8* const offset = offsets + (image * p.octaves + o) * 2;
            offset[0] = (u8)buffers.octave[o].offset.x;
            offset[1] = (u8)buffers.octave[o].offset.y;
        }
    }
    return STATUS_OK;
}

// Rows of a patch are padded to whole vectors.
struct FreshBuffers {
    NoiseBuffers noise;
    float* values;
    u8* grey;
    i32* column_sum;
    i64 stride;
};

u64 take_fresh_buffers(const NoiseParams& p, i32 side, Scratch* scratch, FreshBuffers* b) {
    b->stride = (side + LANES - 1) / LANES * LANES;
    const u64 need = take_noise_buffers(p, scratch, &b->noise);
    if (scratch != nullptr) {
        b->values = scratch->take<float>(side * b->stride);
        b->grey = scratch->take<u8>(side * b->stride);
        b->column_sum = scratch->take<i32>(b->stride);
    }
    return need + Scratch::need<float>(side * b->stride) + Scratch::need<u8>(side * b->stride) +
           Scratch::need<i32>(b->stride);
}

// Grey of a box, as its image has it, into b.grey. Returns the sum.
i32 fresh_grey(const NoiseParams& p, const FreshTable& table, const FreshCandidate& candidate, FreshBuffers& b) {
    const Box& box = candidate.box;
    const u8* const permutation = table.permutation + (i64)candidate.image * 2 * LATTICE_PERIOD;
    const u8* const offsets = table.offsets + (i64)candidate.image * p.octaves * 2;
    // Whole vectors, also in the last columns: the tables of the axes are padded for it.
    const i32 width = (box.width + LANES - 1) / LANES * LANES;
    for (i32 o = 0; o < p.octaves; ++o) {
        const Axis& x = p.octave[o].x;
        b.noise.octave[o].offset = {offsets[2 * o], offsets[2 * o + 1], 0};
        hash_columns(x, permutation, x.slot[box.left], x.slot[box.left + width - 1] + 2, b.noise.octave[o]);
    }
    noise_box(p, b.noise, permutation, 0, box.top, box.top + box.height, box.left, box.left + width, (char*)b.values);

    const Vec low = splat(table.low[candidate.image]), scale = splat(table.scale[candidate.image]);
    i32* const sums = b.column_sum;
    for (i32 x = 0; x < width; ++x) sums[x] = 0;
    for (i32 y = 0; y < box.height; ++y) {
        const float* const row = b.values + y * b.stride;
        u8* const grey = b.grey + y * b.stride;
        for (i32 x = 0; x < width; x += LANES) {
            store_grey(grey + x, fma(load(row + x) - low, scale, splat(0.5f)));  // grey_minmax
            for (i32 i = x; i < x + LANES; ++i) sums[i] += grey[i];
        }
    }
    i32 sum = 0;
    for (i32 x = 0; x < box.width; ++x) sum += sums[x];
    return sum;
}

bool bright_centre(const NoiseParams& p, const FreshParams& f, const FreshCandidate& candidate) {
    const FreshTable& table = f.table;
    const i64 image = candidate.image;
    const Box& box = candidate.box;
    const float value = noise_at(p, table.permutation + image * 2 * LATTICE_PERIOD, table.offsets + image * p.octaves * 2,
                                 box.top + box.height / 2, box.left + box.width / 2);
    return grey_minmax(value, table.low[image], table.scale[image]) > f.centre;
}

// The patch of that number, or false where there is none. It lies in b.grey.
bool find_fresh(const NoiseParams& p, const FreshParams& f, u64 sample, u32 number, FreshBuffers& b, Box* box) {
    FreshWords words;
    for (u32 round = 0; round < FRESH_ROUNDS; ++round) {
        const i32 ahead = (i32)(round % FRESH_AHEAD);
        if (ahead == 0) fresh_words(f, sample, number, round, &words);
        const FreshCandidate candidate = fresh_candidate(f, words, ahead, (i32)p.height);
        *box = candidate.box;
        if (!bright_centre(p, f, candidate)) continue;
        if (fresh_grey(p, f.table, candidate, b) > f.threshold * box->height * box->width) return true;
    }
    return false;
}

int fresh(const NoiseParams& params, const FreshParams& f, const FreshPatches& out, i64 first, i64 last) {
    FreshBuffers b;
    NoiseParams p = params;
    p.format = FORMAT_FLOAT32;
    Scratch scratch(take_fresh_buffers(p, f.high_side, nullptr, &b));
    if (scratch.failed()) return STATUS_NO_MEMORY;
    take_fresh_buffers(p, f.high_side, &scratch, &b);
    p.stride_row = b.stride;
    const i64 slot = (i64)f.high_side * f.high_side;
    for (i64 i = first; i < last; ++i) {
        const u64 sample = (u64)out.samples[i / f.high_count];
        const i32 number = (i32)(i % f.high_count);
        Box box;
        const bool found = number < fresh_count(f, sample) && find_fresh(p, f, sample, (u32)number, b, &box);
        out.heights[i] = found ? box.height : 0;
        out.widths[i] = found ? box.width : 0;
        for (i32 y = 0; found && y < box.height; ++y)
            __builtin_memcpy(out.pixels + i * slot + (i64)y * box.width, b.grey + y * b.stride, (unsigned long)box.width);
    }
    return STATUS_OK;
}
