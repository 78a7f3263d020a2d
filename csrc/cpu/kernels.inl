// The text of all kernels. A tier file defines PLR_TIER, is compiled with the flags of that instruction set, and
// includes this. Everything lands in a namespace of its own and nothing here comes from the standard library: inline
// functions with equal names would be merged by the linker, and a baseline machine would run AVX-512 code.
#include "kernels.h"
#include "scratch.h"

namespace plr {
namespace PLR_TIER {
namespace {

#include "noise_loops.inl"
#include "paste_loops.inl"
#include "filter_loops.inl"
#include "candidate_loops.inl"

#define PLR_STRING_(x) #x
#define PLR_STRING(x) PLR_STRING_(x)

}  // namespace

extern const Kernels kernels;
const Kernels kernels = {PLR_STRING(PLR_TIER), noise, paste, blur, shuffle, candidates};

}  // namespace PLR_TIER
}  // namespace plr
