// A vector of floats as wide as this tier's instruction set has them, and the few operations that the noise needs:
// +, -, * (of the compiler), and the functions below. Everything else in the kernels is plain loops.
//
// Two things need it because compilers do not find them in loops, and each pays for itself: tiles of sums that stay in
// registers (noise_bands.inl; 4 octaves run 1.2 times as fast on AVX-512 and 19 times on AVX2, where GCC spills the
// loop's sums), and the look-up of lattice values by permuting one register (NearPick; 1.3 times, 1.6 at 6 octaves and
// 64 cells), where a loop becomes a gather.

using plr::fma;
using plr::lerp;

#if defined(__AVX512F__)

enum : i32 { LANES = 16 };
typedef __m512 Vec;
struct Pair {
    Vec before, after;
};
inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
inline Vec splat(float v) { return _mm512_set1_ps(v); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec lesser(Vec a, Vec b) { return _mm512_min_ps(a, b); }
inline Vec greater(Vec a, Vec b) { return _mm512_max_ps(a, b); }
// Whole parts of values in [0, 256).
inline void store_grey(u8* p, Vec v) { _mm_storeu_si128((__m128i*)p, _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(v))); }

// before = entries[slot[i] - origin] and after = the entry next to it, for lane i, where all of them lie within one
// vector (Axis::near).
struct NearPick {
    NearPick(const i32* slot, i32 origin)
        : first(slot[0] - origin), index(_mm512_sub_epi32(_mm512_loadu_si512(slot), _mm512_set1_epi32(slot[0]))) {}
    Pair operator()(const float* entries) const {
        const Vec near = load(entries + first);
        return {_mm512_permutexvar_ps(index, near),
                _mm512_permutexvar_ps(_mm512_add_epi32(index, _mm512_set1_epi32(1)), near)};
    }
    i32 first;
    __m512i index;
};

// The same for any slots.
struct FarPick {
    FarPick(const i32* slot, i32 origin) : index(_mm512_sub_epi32(_mm512_loadu_si512(slot), _mm512_set1_epi32(origin))) {}
    Pair operator()(const float* entries) const {
        return {_mm512_i32gather_ps(index, entries, 4), _mm512_i32gather_ps(index, entries + 1, 4)};
    }
    __m512i index;
};

#elif defined(__AVX2__)

enum : i32 { LANES = 8 };
typedef __m256 Vec;
struct Pair {
    Vec before, after;
};
inline Vec load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
inline Vec splat(float v) { return _mm256_set1_ps(v); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec lesser(Vec a, Vec b) { return _mm256_min_ps(a, b); }
inline Vec greater(Vec a, Vec b) { return _mm256_max_ps(a, b); }
inline void store_grey(u8* p, Vec v) {
    const __m256i whole = _mm256_cvttps_epi32(v);
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64((__m128i*)p, _mm_packus_epi16(words, words));
}

struct NearPick {
    NearPick(const i32* slot, i32 origin)
        : first(slot[0] - origin),
          index(_mm256_sub_epi32(_mm256_loadu_si256((const __m256i*)slot), _mm256_set1_epi32(slot[0]))) {}
    Pair operator()(const float* entries) const {
        const Vec near = load(entries + first);
        return {_mm256_permutevar8x32_ps(near, index),
                _mm256_permutevar8x32_ps(near, _mm256_add_epi32(index, _mm256_set1_epi32(1)))};
    }
    i32 first;
    __m256i index;
};

struct FarPick {
    FarPick(const i32* slot, i32 origin)
        : index(_mm256_sub_epi32(_mm256_loadu_si256((const __m256i*)slot), _mm256_set1_epi32(origin))) {}
    Pair operator()(const float* entries) const {
        return {_mm256_i32gather_ps(entries, index, 4), _mm256_i32gather_ps(entries + 1, index, 4)};
    }
    __m256i index;
};

#else

// Four lanes by the compiler's own vectors: SSE on x86-64, NEON on AArch64, anything elsewhere.
enum : i32 { LANES = 4 };
typedef float Vec __attribute__((vector_size(16)));
struct Pair {
    Vec before, after;
};
inline Vec load(const float* p) {
    Vec v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}
inline void store(float* p, Vec v) { __builtin_memcpy(p, &v, sizeof v); }
inline Vec splat(float v) { return Vec{v, v, v, v}; }
#if defined(__aarch64__)
inline Vec fma(Vec a, Vec b, Vec c) { return (Vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
#else
inline Vec fma(Vec a, Vec b, Vec c) {
    return Vec{plr::fma(a[0], b[0], c[0]), plr::fma(a[1], b[1], c[1]), plr::fma(a[2], b[2], c[2]),
               plr::fma(a[3], b[3], c[3])};
}
#endif
inline Vec lesser(Vec a, Vec b) { return a < b ? a : b; }
inline Vec greater(Vec a, Vec b) { return a > b ? a : b; }
inline void store_grey(u8* p, Vec v) {
    for (i32 i = 0; i < LANES; ++i) p[i] = (u8)(i32)v[i];
}

struct FarPick {
    FarPick(const i32* slot, i32 origin) : slot(slot), origin(origin) {}
    Pair operator()(const float* entries) const {
        const i32 a = slot[0] - origin, b = slot[1] - origin, c = slot[2] - origin, d = slot[3] - origin;
        return {Vec{entries[a], entries[b], entries[c], entries[d]},
                Vec{entries[a + 1], entries[b + 1], entries[c + 1], entries[d + 1]}};
    }
    const i32* slot;
    i32 origin;
};
typedef FarPick NearPick;

#endif

inline Vec lerp(Vec a, Vec b, Vec t) { return fma(t, b - a, a); }
