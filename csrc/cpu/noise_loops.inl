// Noise of whole samples, row by row; the scheme and its letters are explained in core/noise.h.

// E, F: what one lattice row (in space: the pair of lattice rows around the plane) contributes along the columns.
struct LatticeRow {
    float* e;
    float* f;
};

// One octave of the sample in hand: where the rows stand, and the per-column terms that hold between two lattice rows.
struct OctaveState {
    i32 slot;            // entry of the y lattice that `lower` belongs to, -1 before the first row
    LatticeRow lower, upper;
    float* d0;
    float* d1;
    i32* column_hash;    // [x.lattice_count] first hash step of each lattice column
    LatticeOffset offset;
};

// Gradients at the lattice points of one row, then A and B (and C) of every column.
void row_parts(const Octave& octave, const OctaveState& state, const u8* p, i32 y, i32 z, bool spatial, float* lattice,
               float* __restrict a, float* __restrict b, float* __restrict c) {
    const Axis& x = octave.x;
    float* __restrict gx = lattice;
    float* __restrict gy = lattice + x.lattice_count;
    float* __restrict gz = lattice + 2 * (i64)x.lattice_count;
    for (i32 i = 0; i < x.lattice_count; ++i) {
        i32 g = hash_step(p, state.column_hash[i] + y);
        if (spatial) {
            g = hash_step(p, g + z);
            gz[i] = octave.gz[g];
        }
        gx[i] = octave.gx[g];
        gy[i] = octave.gy[g];
    }
    for (i32 i = 0; i < x.n; ++i) {
        const i32 k = x.slot[i];
        a[i] = row_x_part(gx[k], gx[k + 1], x.d[i], x.dm[i], x.s[i]);
        b[i] = lerp(gy[k], gy[k + 1], x.s[i]);
    }
    if (!spatial) return;
    for (i32 i = 0; i < x.n; ++i) {
        const i32 k = x.slot[i];
        c[i] = lerp(gz[k], gz[k + 1], x.s[i]);
    }
}

void lattice_row(const Octave& octave, const OctaveState& state, const u8* p, i32 entry, i64 plane, i32 dims,
                 float* lattice, float* parts, LatticeRow out) {
    const i32 y = octave.y.lattice[entry] + state.offset.y;
    const i32 n = octave.x.n;
    if (dims == 2) {
        row_parts(octave, state, p, y, 0, false, lattice, out.e, out.f, nullptr);
        return;
    }
    const Axis& z = octave.z;
    const i32 before = z.lattice[z.slot[plane]] + state.offset.z;
    const i32 after = z.lattice[z.slot[plane] + 1] + state.offset.z;
    float* __restrict a1 = parts;
    float* __restrict b1 = parts + n;
    float* __restrict c = parts + 2 * (i64)n;
    float* __restrict e = out.e;
    float* __restrict f = out.f;
    const float d = z.d[plane], dm = z.dm[plane], s = z.s[plane];
    row_parts(octave, state, p, y, before, true, lattice, e, f, c);
    for (i32 i = 0; i < n; ++i) e[i] = fma(d, c[i], e[i]);
    row_parts(octave, state, p, y, after, true, lattice, a1, b1, c);
    for (i32 i = 0; i < n; ++i) {
        e[i] = lerp(e[i], fma(dm, c[i], a1[i]), s);
        f[i] = lerp(f[i], b1[i], s);
    }
}

// Bring the octave to pixel row `row`. True if its column terms changed.
bool advance(const Octave& octave, OctaveState& state, const u8* p, i64 row, i64 plane, i32 dims, float* lattice,
             float* parts) {
    const i32 slot = octave.y.slot[row];
    if (slot == state.slot) return false;
    if (state.slot >= 0 && slot == state.slot + 1) {  // the lattice row above becomes the one below
        const LatticeRow swapped = state.lower;
        state.lower = state.upper;
        state.upper = swapped;
    } else {
        lattice_row(octave, state, p, slot, plane, dims, lattice, parts, state.lower);
    }
    lattice_row(octave, state, p, slot + 1, plane, dims, lattice, parts, state.upper);
    state.slot = slot;
    const i32 n = octave.x.n;
    const float* __restrict e0 = state.lower.e;
    const float* __restrict f0 = state.lower.f;
    const float* __restrict e1 = state.upper.e;
    const float* __restrict f1 = state.upper.f;
    float* __restrict d0 = state.d0;
    float* __restrict d1 = state.d1;
    for (i32 i = 0; i < n; ++i) {
        d0[i] = (e1[i] - f1[i]) - e0[i];
        d1[i] = f1[i] - f0[i];
    }
    return true;
}

// What one octave adds to a row of pixels: three fused multiply-adds with scalar row factors.
struct RowTerm {
    const float* b;
    const float* d0;
    const float* d1;
    float dy, v, vdy;
};

// out = in + COUNT octaves. The count is a template argument so that the sum stays in registers.
template <i32 COUNT>
static void add_octaves(const RowTerm* terms, const float* in, float* out, i64 n) {
    RowTerm t[COUNT];
    for (i32 o = 0; o < COUNT; ++o) t[o] = terms[o];
    for (i64 i = 0; i < n; ++i) {
        float sum = in[i];
        for (i32 o = 0; o < COUNT; ++o) {
            sum = fma(t[o].dy, t[o].b[i], sum);
            sum = fma(t[o].v, t[o].d0[i], sum);
            sum = fma(t[o].vdy, t[o].d1[i], sum);
        }
        out[i] = sum;
    }
}

void noise_row(const RowTerm* terms, i32 octaves, const float* base, float* __restrict out, i64 n) {
    const float* in = base;
    while (octaves > 0) {
        const i32 step = min_i32(octaves, 6);
        switch (step) {
            case 1: add_octaves<1>(terms, in, out, n); break;
            case 2: add_octaves<2>(terms, in, out, n); break;
            case 3: add_octaves<3>(terms, in, out, n); break;
            case 4: add_octaves<4>(terms, in, out, n); break;
            case 5: add_octaves<5>(terms, in, out, n); break;
            default: add_octaves<6>(terms, in, out, n); break;
        }
        terms += step;
        octaves -= step;
        in = out;
    }
}

void store_row(i32 format, const float* __restrict row, i64 n, void* out) {
    if (format == FORMAT_FLOAT16) {
        u16* __restrict target = (u16*)out;
        for (i64 i = 0; i < n; ++i) target[i] = to_float16(row[i]);
    } else if (format == FORMAT_BFLOAT16) {
        u16* __restrict target = (u16*)out;
        for (i64 i = 0; i < n; ++i) target[i] = to_bfloat16(row[i]);
    } else {
        u8* __restrict target = (u8*)out;
        for (i64 i = 0; i < n; ++i) target[i] = grey_fixed(row[i]);
    }
}

i64 format_size(i32 format) { return format == FORMAT_FLOAT32 ? 4 : format <= FORMAT_BFLOAT16 ? 2 : 1; }

struct NoiseBuffers {
    OctaveState octave[MAX_OCTAVES];
    float* base;
    float* row;      // one row, for formats other than float32
    float* lattice;  // gradients along one lattice row
    float* parts;    // A, B, C of the second plane in space
    float* whole;    // the whole sample, for FORMAT_GREY_MINMAX
};

u64 take_noise_buffers(const NoiseParams& p, Scratch* scratch, NoiseBuffers* buffers) {
    // Called twice with the same steps: without scratch to add up what is needed, then to hand it out.
    u64 need = 0;
    const auto floats = [&](i64 count, float** piece) {
        need += Scratch::need<float>(count);
        if (scratch != nullptr) *piece = scratch->take<float>(count);
    };
    i32 lattice = 0;
    for (i32 o = 0; o < p.octaves; ++o) {
        const Axis& x = p.octave[o].x;
        OctaveState& state = buffers->octave[o];
        lattice = max_i32(lattice, x.lattice_count);
        floats(p.width, &state.lower.e);
        floats(p.width, &state.lower.f);
        floats(p.width, &state.upper.e);
        floats(p.width, &state.upper.f);
        floats(p.width, &state.d0);
        floats(p.width, &state.d1);
        need += Scratch::need<i32>(x.lattice_count);
        if (scratch != nullptr) state.column_hash = scratch->take<i32>(x.lattice_count);
    }
    floats(p.width, &buffers->base);
    floats(p.width, &buffers->row);
    floats(3 * (i64)lattice, &buffers->lattice);
    floats(p.dims == 3 ? 3 * p.width : 0, &buffers->parts);
    floats(p.format == FORMAT_GREY_MINMAX ? p.depth * p.height * p.width : 0, &buffers->whole);
    return need;
}

void noise_plane(const NoiseParams& p, NoiseBuffers& b, const u8* permutation, i64 plane, char* out) {
    RowTerm terms[MAX_OCTAVES];
    for (i32 o = 0; o < p.octaves; ++o) b.octave[o].slot = -1;
    for (i64 y = 0; y < p.height; ++y) {
        bool changed = false;
        for (i32 o = 0; o < p.octaves; ++o) {
            OctaveState& state = b.octave[o];
            const Octave& octave = p.octave[o];
            if (advance(octave, state, permutation, y, plane, p.dims, b.lattice, b.parts)) changed = true;
            const RowTerm term = {state.lower.f, state.d0, state.d1, octave.y.d[y], octave.y.s[y], octave.y.sd[y]};
            terms[o] = term;
        }
        if (changed) {
            for (i64 i = 0; i < p.width; ++i) b.base[i] = b.octave[0].lower.e[i];
            for (i32 o = 1; o < p.octaves; ++o) {
                const float* __restrict e = b.octave[o].lower.e;
                for (i64 i = 0; i < p.width; ++i) b.base[i] += e[i];
            }
        }
        if (p.format == FORMAT_FLOAT32) {
            noise_row(terms, p.octaves, b.base, (float*)out + y * p.stride_row, p.width);
        } else if (p.format == FORMAT_GREY_MINMAX) {
            noise_row(terms, p.octaves, b.base, b.whole + (plane * p.height + y) * p.width, p.width);
        } else {
            noise_row(terms, p.octaves, b.base, b.row, p.width);
            store_row(p.format, b.row, p.width, out + y * p.stride_row * format_size(p.format));
        }
    }
}

void stretch_to_grey(const NoiseParams& p, const float* whole, u8* out) {
    const i64 count = p.depth * p.height * p.width;
    float low = whole[0], high = whole[0];
    for (i64 i = 0; i < count; ++i) {
        low = whole[i] < low ? whole[i] : low;
        high = whole[i] > high ? whole[i] : high;
    }
    const float scale = minmax_scale(low, high);
    const float offset = scale > 0.0f ? low : 0.0f;
    for (i64 z = 0; z < p.depth; ++z)
        for (i64 y = 0; y < p.height; ++y) {
            const float* __restrict from = whole + (z * p.height + y) * p.width;
            u8* __restrict to = out + z * p.stride_plane + y * p.stride_row;
            for (i64 x = 0; x < p.width; ++x) to[x] = grey_minmax(from[x], offset, scale);
        }
}

int noise(const NoiseParams& p, void* out, const i64* samples, i64 first, i64 last) {
    NoiseBuffers buffers;
    Scratch scratch(take_noise_buffers(p, nullptr, &buffers));
    if (scratch.failed()) return STATUS_NO_MEMORY;
    take_noise_buffers(p, &scratch, &buffers);
    const i64 bytes = format_size(p.format);
    u8 permutation[LATTICE_PERIOD];
    for (i64 n = first; n < last; ++n) {
        const u64 sample = (u64)samples[n];
        fill_permutation(p.seed, sample, permutation);
        for (i32 o = 0; o < p.octaves; ++o) {
            OctaveState& state = buffers.octave[o];
            const Axis& x = p.octave[o].x;
            state.offset = lattice_offset(p.seed, sample, o);
            for (i32 i = 0; i < x.lattice_count; ++i)
                state.column_hash[i] = hash_step(permutation, x.lattice[i] + state.offset.x);
        }
        char* target = (char*)out + n * p.stride_sample * bytes;
        for (i64 z = 0; z < p.depth; ++z)
            noise_plane(p, buffers, permutation, z, target + z * p.stride_plane * bytes);
        if (p.format == FORMAT_GREY_MINMAX) stretch_to_grey(p, buffers.whole, (u8*)target);
    }
    return STATUS_OK;
}
