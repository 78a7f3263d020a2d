// Sums of noise on their way to memory: float32, the half formats, grey.
#ifndef PLR_CUDA_NOISE_PIXELS_H
#define PLR_CUDA_NOISE_PIXELS_H

#include "../core/half.h"
#include "../core/noise.h"
#include "launch.h"

namespace plr {
namespace cuda {

// What a launch does with the sums: a NoiseFormat to store, or nothing but their extremes.
enum : i32 { FIND_EXTREMES = 5 };

// Grey levels per unit from a sample's extremes, as in NoiseTables.
struct Stretch {
    float low, scale;
};

PLR_BODY float float_from_bits(u32 bits) {
    union {
        u32 u;
        float f;
    } value;
    value.u = bits;
    return value.f;
}

PLR_BODY Stretch stretch_of(const u32* extremes) {
    const float low = float_from_bits(extremes[0]), high = float_from_bits(extremes[1]);
    const float scale = minmax_scale(low, high);
    return {scale > 0.0f ? low : 0.0f, scale};
}

PLR_BODY float lesser(float a, float b) {
#if defined(PLR_DEVICE_CODE)
    return fminf(a, b);
#else
    return a < b ? a : b;
#endif
}

PLR_BODY float greater(float a, float b) {
#if defined(PLR_DEVICE_CODE)
    return fmaxf(a, b);
#else
    return a > b ? a : b;
#endif
}

// An integer part of 0..255 in the lowest byte; what the others hold does not matter. GPUs add four times as fast as they
// convert, and the sum with 2^23, rounded down, has the integer part in its last bits.
PLR_BODY u32 integer_byte(float value) {
#if defined(PLR_DEVICE_CODE)
    return __float_as_uint(__fadd_rz(value, 8388608.0f));
#else
    return (u32)(i32)value;
#endif
}

PLR_BODY u32 pack_bytes(u32 a, u32 b, u32 c, u32 d) {
#if defined(PLR_DEVICE_CODE)
    return __byte_perm(__byte_perm(a, b, 0x0040), __byte_perm(c, d, 0x0040), 0x5410);
#else
    return (a & 255u) | (b & 255u) << 8 | (c & 255u) << 16 | d << 24;
#endif
}

// Two values in half precision, the first in the low half. The instructions round as core/half.h does.
template <i32 FORMAT>
PLR_BODY u32 pack_halves(float a, float b) {
#if defined(PLR_DEVICE_CODE) && __CUDA_ARCH__ >= 800
    u32 packed;
    if constexpr (FORMAT == FORMAT_FLOAT16)
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(b), "f"(a));
    else
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(b), "f"(a));
    return packed;
#else
    if (FORMAT == FORMAT_FLOAT16) return (u32)to_float16(a) | (u32)to_float16(b) << 16;
    return (u32)to_bfloat16(a) | (u32)to_bfloat16(b) << 16;
#endif
}

template <i32 FORMAT>
PLR_BODY u32 grey(float value, const Stretch& stretch) {
    if (FORMAT == FORMAT_GREY_FIXED) return integer_byte(fma(value, 127.5f, 128.0f));  // grey_fixed
    return integer_byte(fma(value - stretch.low, stretch.scale, 0.5f));                // grey_minmax
}

// Bytes of an element.
template <i32 FORMAT>
PLR_BODY constexpr i64 element_bytes() {
    return FORMAT == FORMAT_FLOAT32 ? 4 : FORMAT <= FORMAT_BFLOAT16 ? 2 : 1;
}

template <i32 FORMAT>
PLR_BODY void store_one(char* place, float value, const Stretch& stretch) {
    if constexpr (FORMAT == FORMAT_FLOAT32)
        *(float*)place = value;
    else if constexpr (FORMAT <= FORMAT_BFLOAT16)
        *(u16*)place = (u16)pack_halves<FORMAT>(value, 0.0f);
    else
        *(u8*)place = (u8)grey<FORMAT>(value, stretch);
}

// Four neighbours at once; `place` is aligned to all four.
template <i32 FORMAT>
PLR_BODY void store_four(char* place, const float* v, const Stretch& stretch) {
    if constexpr (FORMAT == FORMAT_FLOAT32) {
        store4((float*)place, {{v[0], v[1], v[2], v[3]}});
    } else if constexpr (FORMAT <= FORMAT_BFLOAT16) {
        store2((u32*)place, pack_halves<FORMAT>(v[0], v[1]), pack_halves<FORMAT>(v[2], v[3]));
    } else {
        *(u32*)place = pack_bytes(grey<FORMAT>(v[0], stretch), grey<FORMAT>(v[1], stretch),
                                  grey<FORMAT>(v[2], stretch), grey<FORMAT>(v[3], stretch));
    }
}

}  // namespace cuda
}  // namespace plr

#endif
