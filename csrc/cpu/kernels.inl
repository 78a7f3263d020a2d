// The text of all kernels. A tier file defines PLR_TIER, is compiled with the flags of that instruction set, and
// includes this. Everything lands in a namespace of its own and nothing here comes from the standard library: inline
// functions with equal names would be merged by the linker, and a baseline machine would run AVX-512 code. (The
// compiler's own intrinsics are always inlined.)
#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "kernels.h"
#include "scratch.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC's AVX-512 intrinsics start from a deliberately undefined register, and GCC warns about it (its bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace plr {
namespace PLR_TIER {
namespace {

#include "vector.inl"
#include "noise_lattice.inl"
#include "noise_bands.inl"
#include "noise_loops.inl"
#include "mask_loops.inl"
#include "copy_loops.inl"
#include "blend_rows.inl"
#include "paste_loops.inl"
#include "blur_loops.inl"
#include "philox_lanes.inl"
#include "shuffle_loops.inl"
#include "candidate_loops.inl"
#include "fresh_loops.inl"
#include "grey_loops.inl"

#define PLR_STRING_(x) #x
#define PLR_STRING(x) PLR_STRING_(x)

}  // namespace

extern const Kernels kernels;
const Kernels kernels = {PLR_STRING(PLR_TIER), noise,      pack_masks, cover_patches, paste, blur, shuffle,
                         candidates,            scale_grey, cut,        fresh_table,   fresh};

}  // namespace PLR_TIER
}  // namespace plr
