// What every other header of core/ needs from the compiler, and nothing else: integer names, the host/device
// qualifier, and the one fused multiply-add. core/ includes no system header, so that g++, clang, nvcc and NVRTC read
// the same text. Everything is `static`: each translation unit keeps its own copy, compiled with its own flags, and
// the linker has nothing to merge across instruction sets.
#ifndef PLR_CORE_PLATFORM_H
#define PLR_CORE_PLATFORM_H

#if defined(__CUDACC__)
#define PLR_HD static inline __host__ __device__
#else
#define PLR_HD static inline
#endif

namespace plr {

typedef unsigned char u8;
typedef unsigned short u16;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;

// a * b + c with one rounding. Contraction is off in every build; this is the only way a fused operation comes about,
// which is what makes backends agree bit for bit.
PLR_HD float fma(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
    return __fmaf_rn(a, b, c);
#else
    return __builtin_fmaf(a, b, c);
#endif
}

PLR_HD i32 min_i32(i32 a, i32 b) { return a < b ? a : b; }
PLR_HD i32 max_i32(i32 a, i32 b) { return a > b ? a : b; }

}  // namespace plr

#endif
