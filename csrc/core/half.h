// float32 to float16 and bfloat16, rounded to nearest even, by integer operations. For |value| <= 1 only, as noise is:
// no overflow, no NaN.
#ifndef PLR_CORE_HALF_H
#define PLR_CORE_HALF_H

#include "platform.h"

namespace plr {

PLR_HD u32 float_bits(float value) {
    union {
        float f;
        u32 u;
    } bits;
    bits.f = value;
    return bits.u;
}

PLR_HD u16 to_bfloat16(float value) {
    const u32 bits = float_bits(value);
    return (u16)((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

PLR_HD u16 to_float16(float value) {
    const u32 bits = float_bits(value);
    const u32 sign = (bits >> 16) & 0x8000u;
    const u32 magnitude = bits & 0x7FFFFFFFu;
    // Normal numbers: move the exponent from bias 127 to 15, round off 13 bits.
    const u32 normal = (magnitude - (112u << 23) + 0xFFFu + ((magnitude >> 13) & 1u)) >> 13;
    // Subnormal numbers are multiples of 2^-24: adding 0.5 aligns them with the last mantissa bit and rounds.
    union {
        u32 u;
        float f;
    } aligned;
    aligned.u = magnitude;
    const u32 tiny = float_bits(aligned.f + 0.5f) - float_bits(0.5f);
    return (u16)(sign | (magnitude < (113u << 23) ? tiny : normal));
}

}  // namespace plr

#endif
