// Layouts of the parameters in filters_kernels.h, for the test that compares them with Python's.
#ifndef PLR_CUDA_FILTERS_LAYOUT_H
#define PLR_CUDA_FILTERS_LAYOUT_H

#include "filters_kernels.h"
#include "units.h"

namespace plr {
namespace cuda {

inline std::vector<Layout> filters_layouts() {
    using W = Windows;
    using M = WindowMapParams;
    using C = CopyParams;
    using B = BlurTilesParams;
    using S = ShuffleParams;
    using P = ShufflePieceParams;
    return {
        {"Windows",
         sizeof(W),
         {PLR_FIELD(W, count), PLR_FIELD(W, low_height), PLR_FIELD(W, high_height), PLR_FIELD(W, low_width),
          PLR_FIELD(W, high_width)}},
        {"WindowMapParams",
         sizeof(M),
         {PLR_FIELD(M, seed), PLR_FIELD(M, samples), PLR_FIELD(M, windows), PLR_FIELD(M, height), PLR_FIELD(M, width),
          PLR_FIELD(M, stream), PLR_FIELD(M, owners), PLR_FIELD(M, groups)}},
        {"CopyParams",
         sizeof(C),
         {PLR_FIELD(C, from), PLR_FIELD(C, to), PLR_FIELD(C, count), PLR_FIELD(C, whole)}},
        {"BlurTilesParams",
         sizeof(B),
         {PLR_FIELD(B, tiles), PLR_FIELD(B, pixels), PLR_FIELD(B, images), PLR_FIELD(B, out), PLR_FIELD(B, along_x),
          PLR_FIELD(B, owners), PLR_FIELD(B, taps), PLR_FIELD(B, whole), PLR_FIELD(B, weights),
          PLR_FIELD(B, weights_q8)}},
        {"ShuffleParams",
         sizeof(S),
         {PLR_FIELD(S, seed), PLR_FIELD(S, height), PLR_FIELD(S, width), PLR_FIELD(S, grid_rows),
          PLR_FIELD(S, grid_columns), PLR_FIELD(S, windows)}},
        {"ShufflePieceParams",
         sizeof(P),
         {PLR_FIELD(P, shuffle), PLR_FIELD(P, samples), PLR_FIELD(P, images), PLR_FIELD(P, out), PLR_FIELD(P, owners),
          PLR_FIELD(P, pieces), PLR_FIELD(P, chunks), PLR_FIELD(P, first), PLR_FIELD(P, most), PLR_FIELD(P, memory)}},
    };
}

}  // namespace cuda
}  // namespace plr

#endif
