// Layouts of the parameters in paste_kernels.h, for the test that compares them with Python's.
#ifndef PLR_CUDA_PASTE_LAYOUT_H
#define PLR_CUDA_PASTE_LAYOUT_H

#include "paste_kernels.h"
#include "units.h"

namespace plr {
namespace cuda {

inline std::vector<Layout> paste_layouts() {
    using S = PasteParams;
    using T = Tiles;
    using A = PlaceParams;
    using B = PasteTilesParams;
    using C = CoverParams;
    return {
        {"PasteParams",
         sizeof(S),
         {PLR_FIELD(S, seed), PLR_FIELD(S, height), PLR_FIELD(S, width), PLR_FIELD(S, pixels), PLR_FIELD(S, bytes),
          PLR_FIELD(S, offsets), PLR_FIELD(S, heights), PLR_FIELD(S, widths), PLR_FIELD(S, patches), PLR_FIELD(S, own),
          PLR_FIELD(S, low_count), PLR_FIELD(S, high_count), PLR_FIELD(S, blend), PLR_FIELD(S, low_weight),
          PLR_FIELD(S, high_weight), PLR_FIELD(S, feather), PLR_FIELD(S, cover), PLR_FIELD(S, whole),
          PLR_FIELD(S, stream)}},
        {"Tiles",
         sizeof(T),
         {PLR_FIELD(T, height), PLR_FIELD(T, width), PLR_FIELD(T, column_bits), PLR_FIELD(T, rows), PLR_FIELD(T, across),
          PLR_FIELD(T, down)}},
        {"PlaceParams",
         sizeof(A),
         {PLR_FIELD(A, paste), PLR_FIELD(A, samples), PLR_FIELD(A, bits), PLR_FIELD(A, before), PLR_FIELD(A, placed),
          PLR_FIELD(A, counts), PLR_FIELD(A, skipped), PLR_FIELD(A, boxes), PLR_FIELD(A, patches), PLR_FIELD(A, weights),
          PLR_FIELD(A, stage)}},
        {"PasteTilesParams",
         sizeof(B),
         {PLR_FIELD(B, paste), PLR_FIELD(B, tiles), PLR_FIELD(B, images), PLR_FIELD(B, out), PLR_FIELD(B, bits),
          PLR_FIELD(B, before), PLR_FIELD(B, samples), PLR_FIELD(B, placed), PLR_FIELD(B, lesions), PLR_FIELD(B, first),
          PLR_FIELD(B, whole)}},
        {"CoverParams",
         sizeof(C),
         {PLR_FIELD(C, pixels), PLR_FIELD(C, offsets), PLR_FIELD(C, heights), PLR_FIELD(C, widths), PLR_FIELD(C, cover),
          PLR_FIELD(C, shape), PLR_FIELD(C, feather)}},
    };
}

}  // namespace cuda
}  // namespace plr

#endif
