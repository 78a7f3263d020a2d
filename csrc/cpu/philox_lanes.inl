// Philox4x32-10 for several counter values at once, one in each 64-bit lane: two multiplications, two shifts and two
// exclusive ors a round, and nothing is ever moved between lanes. Upper halves hold leftovers that the multiplication
// ignores. Compilers do not find this form in the plain loop over philox(): they pack and unpack around each
// multiplication, which takes two to three times as long. Hence the one intrinsic.

#if defined(__AVX512F__)
typedef u64 Lanes __attribute__((vector_size(64)));
// (The unmasked intrinsic of GCC 12 warns of a variable without a value.)
static inline Lanes multiply_low(Lanes a, Lanes b) {
    return (Lanes)_mm512_maskz_mul_epu32(0xFF, (__m512i)a, (__m512i)b);
}
#elif defined(__AVX2__)
typedef u64 Lanes __attribute__((vector_size(32)));
static inline Lanes multiply_low(Lanes a, Lanes b) { return (Lanes)_mm256_mul_epu32((__m256i)a, (__m256i)b); }
#elif defined(__SSE2__)
typedef u64 Lanes __attribute__((vector_size(16)));
static inline Lanes multiply_low(Lanes a, Lanes b) { return (Lanes)_mm_mul_epu32((__m128i)a, (__m128i)b); }
#else
typedef u64 Lanes __attribute__((vector_size(16)));
static inline Lanes multiply_low(Lanes a, Lanes b) { return (a & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu); }
#endif

enum : u32 { WORD_LANES = sizeof(Lanes) / sizeof(u64) };

// The words of counter values index, index + 1, ... of a stream, WORD_LANES times `GROUPS` of them: word w of value
// g * WORD_LANES + k is the lower half of words[w][g][k].
template <u32 GROUPS>
static inline void philox_lanes(u64 seed, u64 sample, u32 stream, u32 index, Lanes (&words)[4][GROUPS]) {
    Lanes count = {};
    for (u32 k = 0; k < WORD_LANES; ++k) count[k] = k;
    const Lanes zero = {};
    for (u32 g = 0; g < GROUPS; ++g) {
        words[0][g] = count + (u64)(index + g * WORD_LANES);
        words[1][g] = zero + (u64)stream;
        words[2][g] = zero + sample;
        words[3][g] = zero + (sample >> 32);
    }
    u32 k0 = (u32)seed, k1 = (u32)(seed >> 32);
    for (i32 round = 0; round < 10; ++round) {
        for (u32 g = 0; g < GROUPS; ++g) {
            const Lanes a = multiply_low(words[0][g], zero + (u64)0xD2511F53u);
            const Lanes b = multiply_low(words[2][g], zero + (u64)0xCD9E8D57u);
            words[0][g] = (b >> 32) ^ words[1][g] ^ (u64)k0;
            words[1][g] = b;
            words[2][g] = (a >> 32) ^ words[3][g] ^ (u64)k1;
            words[3][g] = a;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}
