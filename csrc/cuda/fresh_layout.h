// Layouts of the parameters in fresh_kernels.h, for the test that compares them with Python's.
#ifndef PLR_CUDA_FRESH_LAYOUT_H
#define PLR_CUDA_FRESH_LAYOUT_H

#include "fresh_kernels.h"
#include "units.h"

namespace plr {
namespace cuda {

inline std::vector<Layout> fresh_layouts() {
    using F = FreshTable;
    using S = FreshParams;
    using P = FreshPatchParams;
    using T = FreshTableParams;
    return {
        {"FreshTable",
         sizeof(F),
         {PLR_FIELD(F, low), PLR_FIELD(F, scale), PLR_FIELD(F, permutation), PLR_FIELD(F, offsets)}},
        {"FreshParams",
         sizeof(S),
         {PLR_FIELD(S, seed), PLR_FIELD(S, images), PLR_FIELD(S, low_side), PLR_FIELD(S, high_side),
          PLR_FIELD(S, threshold), PLR_FIELD(S, centre), PLR_FIELD(S, low_count), PLR_FIELD(S, high_count),
          PLR_FIELD(S, table)}},
        {"FreshPatchParams",
         sizeof(P),
         {PLR_FIELD(P, fresh), PLR_FIELD(P, tables), PLR_FIELD(P, samples), PLR_FIELD(P, octaves), PLR_FIELD(P, size),
          PLR_FIELD(P, pixels), PLR_FIELD(P, heights), PLR_FIELD(P, widths)}},
        {"FreshTableParams",
         sizeof(T),
         {PLR_FIELD(T, tables), PLR_FIELD(T, octaves), PLR_FIELD(T, low), PLR_FIELD(T, scale), PLR_FIELD(T, permutation),
          PLR_FIELD(T, offsets)}},
    };
}

}  // namespace cuda
}  // namespace plr

#endif
