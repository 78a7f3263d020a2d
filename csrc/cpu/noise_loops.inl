// Noise of whole samples; the scheme and its letters are explained in core/noise.h.

// Low..high -> 0..255.
void stretch_row(const float* row, i64 n, float low, float scale, u8* out) {
    i64 i = 0;
    for (; i + LANES <= n; i += LANES)
        store_grey(out + i, fma(load(row + i) - splat(low), splat(scale), splat(0.5f)));  // grey_minmax
    for (; i < n; ++i) out[i] = grey_minmax(row[i], low, scale);
}

void store_half(i32 format, const float* __restrict row, i64 n, u16* __restrict out) {
    if (format == FORMAT_FLOAT16)
        for (i64 i = 0; i < n; ++i) out[i] = to_float16(row[i]);
    else
        for (i64 i = 0; i < n; ++i) out[i] = to_bfloat16(row[i]);
}

i64 format_size(i32 format) { return format == FORMAT_FLOAT32 ? 4 : format <= FORMAT_BFLOAT16 ? 2 : 1; }

// Wide planes are made in strips, so that what a strip needs (ten rows of floats for each octave) about fits the L1 cache.
i64 strip_width(i32 octaves) {
    enum : i64 { CACHE_BYTES = 48 * 1024, BYTES = 40 };
    const i64 columns = CACHE_BYTES / (BYTES * octaves) / TILE * TILE;
    return columns < 2 * TILE ? 2 * TILE : columns;
}

// What one thread needs for a sample. Rows are padded to whole vectors.
struct NoiseBuffers {
    OctaveState octave[MAX_OCTAVES];
    float* rows;         // BAND_ROWS rows, for the half formats
    float* whole;        // the whole sample, for FORMAT_GREY_MINMAX
    Extremes extremes;   // of `whole`
};

u64 take_noise_buffers(const NoiseParams& p, Scratch* scratch, NoiseBuffers* buffers) {
    // Called twice with the same steps: without scratch to add up what is needed, then to hand it out.
    u64 need = 0;
    const auto floats = [&](i64 count, float** piece) {
        need += Scratch::need<float>(count);
        if (scratch != nullptr) *piece = scratch->take<float>(count);
    };
    const i64 strip = strip_width(p.octaves), padded = (p.width + TILE - 1) / TILE * TILE;
    const i64 width = padded < strip ? padded : strip;
    for (i32 o = 0; o < p.octaves; ++o) {
        const Axis& x = p.octave[o].x;
        OctaveState& state = buffers->octave[o];
        float** const rows[] = {&state.lower.e, &state.lower.f, &state.upper.e, &state.upper.f,
                                &state.d0,      &state.d1,      &state.base};
        for (float** row : rows) floats(width, row);
        for (i32 side = 0; side < p.dims - 1; ++side) {
            float** const gradients[] = {&state.ahead.x[side], &state.ahead.y[side], &state.ahead.z[side]};
            for (float** row : gradients) floats(x.lattice_count + LANES, row);  // whole vectors are loaded
        }
        need += Scratch::need<u8>(x.lattice_count);
        if (scratch != nullptr) state.column_hash = scratch->take<u8>(x.lattice_count);
    }
    floats(BAND_ROWS * width, &buffers->rows);
    floats(p.format == FORMAT_GREY_MINMAX ? p.depth * p.height * p.width : 0, &buffers->whole);
    return need;
}

// Some rows of a strip, in the wanted format. `out` and `whole` stand at the first of their pixels.
void store_band(const NoiseParams& p, NoiseBuffers& b, const Band& band, i32 rows, char* out, float* whole) {
    if (p.format == FORMAT_FLOAT32) {
        sum_band(band, rows, (float*)out, p.stride_row);
    } else if (p.format == FORMAT_GREY_FIXED) {
        sum_band(band, rows, (u8*)out, p.stride_row);
    } else if (p.format == FORMAT_GREY_MINMAX) {
        sum_band(band, rows, whole, p.width);
        for (i32 r = 0; r < rows; ++r) b.extremes.include(whole + r * p.width, band.width);
    } else {
        sum_band(band, rows, b.rows, band.width);
        for (i32 r = 0; r < rows; ++r)
            store_half(p.format, b.rows + r * band.width, band.width, (u16*)out + r * p.stride_row);
    }
}

// A strip of the pixel rows first..last of a plane. `out` stands at the first of its pixels.
template <bool SPATIAL>
void noise_strip(const NoiseParams& p, NoiseBuffers& b, const u8* permutation, const Strip& strip, i64 plane, i64 first,
                 i64 last, char* out) {
    PlanePosition position[MAX_OCTAVES];
    const float* terms[3 * MAX_OCTAVES];
    for (i32 o = 0; o < p.octaves; ++o) {
        b.octave[o].slot = b.octave[o].ahead_entry = -1;
        b.octave[o].until = first;
        const Axis& z = p.octave[o].z;
        const i32* lattice = z.lattice + z.slot[plane];
        position[o] = {{lattice[0], lattice[1]}, z.d[plane], z.dm[plane], z.s[plane]};
    }
    const i64 bytes = format_size(p.format);
    for (i64 y = first; y < last;) {
        i64 end = last;
        bool changed = false;  // this octave or one before it
        const float* base = nullptr;
        for (i32 o = 0; o < p.octaves; ++o) {
            OctaveState& state = b.octave[o];
            if (state.until == y) {
                changed = true;
                advance<SPATIAL>(p.octave[o], state, strip, permutation, y, &position[o]);
                terms[3 * o] = state.lower.f;
                terms[3 * o + 1] = state.d0;
                terms[3 * o + 2] = state.d1;
            }
            if (o > 0 && changed) add_rows(base, state.lower.e, strip.width(), state.base);
            base = o == 0 ? state.lower.e : state.base;
            end = state.until < end ? state.until : end;
        }
        while (y < end) {
            const i32 rows = end - y < BAND_ROWS ? (i32)(end - y) : (i32)BAND_ROWS;
            const Band band = {3 * p.octaves, base, terms, p.factors + y * 3 * p.octaves, strip.width()};
            store_band(p, b, band, rows, out + (y - first) * p.stride_row * bytes,
                       b.whole + (plane * p.height + y) * p.width + strip.first);
            y += rows;
        }
    }
}

// The pixel rows first..last and columns left..right of a plane. `out` stands at the first of them.
void noise_box(const NoiseParams& p, NoiseBuffers& b, const u8* permutation, i64 plane, i64 first, i64 last, i64 left,
               i64 right, char* out) {
    const i64 step = strip_width(p.octaves), bytes = format_size(p.format);
    for (i64 at = left; at < right; at += step) {
        const Strip strip = {at, at + step < right ? at + step : right};
        (p.dims == 3 ? noise_strip<true> : noise_strip<false>)(p, b, permutation, strip, plane, first, last,
                                                               out + (at - left) * bytes);
    }
}

// The pixel rows first..last of a plane. `out` stands at the plane's first row.
void noise_plane(const NoiseParams& p, NoiseBuffers& b, const u8* permutation, i64 plane, i64 first, i64 last, char* out) {
    noise_box(p, b, permutation, plane, first, last, 0, p.width, out + first * p.stride_row * format_size(p.format));
}

// First hash steps of an octave's lattice columns, entries first..last.
void hash_columns(const Axis& x, const u8* permutation, i32 first, i32 last, OctaveState& state) {
    for (i32 i = first; i < last; ++i) state.column_hash[i] = (u8)hash_step(permutation, x.lattice[i] + state.offset.x);
}

void fill_permutation_twice(u64 seed, u64 sample, u8* permutation) {
    fill_permutation(seed, sample, permutation);
    __builtin_memcpy(permutation + LATTICE_PERIOD, permutation, LATTICE_PERIOD);
}

// Begin a sample: offsets, column hashes, extremes.
void begin_sample(const NoiseParams& p, u64 sample, const u8* permutation, NoiseBuffers& b) {
    for (i32 o = 0; o < p.octaves; ++o) {
        const Axis& x = p.octave[o].x;
        b.octave[o].offset = lattice_offset(p.seed, sample, o);
        hash_columns(x, permutation, 0, x.lattice_count, b.octave[o]);
    }
    b.extremes.begin(0.0f);  // the first pixel: a lattice point of every octave
}

void stretch_to_grey(const NoiseParams& p, const NoiseBuffers& b, u8* out) {
    float low, high;
    b.extremes.end(&low, &high);
    const float scale = minmax_scale(low, high);
    const float offset = scale > 0.0f ? low : 0.0f;
    for (i64 z = 0; z < p.depth; ++z)
        for (i64 y = 0; y < p.height; ++y)
            stretch_row(b.whole + (z * p.height + y) * p.width, p.width, offset, scale,
                        out + z * p.stride_plane + y * p.stride_row);
}

int noise(const NoiseParams& p, void* out, const i64* samples, i64 first, i64 last) {
    NoiseBuffers buffers;
    Scratch scratch(take_noise_buffers(p, nullptr, &buffers));
    if (scratch.failed()) return STATUS_NO_MEMORY;
    take_noise_buffers(p, &scratch, &buffers);
    const i64 bytes = format_size(p.format);
    u8 permutation[2 * LATTICE_PERIOD];
    for (i64 n = first; n < last; ++n) {
        const i64 image = n / p.pieces, piece = n % p.pieces;
        const u64 sample = (u64)samples[image];
        fill_permutation_twice(p.seed, sample, permutation);
        begin_sample(p, sample, permutation, buffers);
        char* target = (char*)out + image * p.stride_sample * bytes;
        if (p.dims == 2) {
            noise_plane(p, buffers, permutation, 0, p.height * piece / p.pieces, p.height * (piece + 1) / p.pieces, target);
        } else {
            for (i64 z = p.depth * piece / p.pieces; z < p.depth * (piece + 1) / p.pieces; ++z)
                noise_plane(p, buffers, permutation, z, 0, p.height, target + z * p.stride_plane * bytes);
        }
        if (p.format == FORMAT_GREY_MINMAX) stretch_to_grey(p, buffers, (u8*)target);
    }
    return STATUS_OK;
}
