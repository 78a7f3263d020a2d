// Layouts of the parameters in clouds_kernels.h, for the test that compares them with Python's.
#ifndef PLR_CUDA_CLOUDS_LAYOUT_H
#define PLR_CUDA_CLOUDS_LAYOUT_H

#include "clouds_kernels.h"
#include "units.h"

namespace plr {
namespace cuda {

inline std::vector<Layout> clouds_layouts() {
    using C = CloudParams;
    using B = CloudBatchParams;
    using O = CloudOutlineParams;
    using D = CloudDrawsParams;
    using R = CloudRecordParams;
    using T = CloudTilesParams;
    return {
        {"CloudParams",
         sizeof(C),
         {PLR_FIELD(C, seed), PLR_FIELD(C, combine), PLR_FIELD(C, low_threshold), PLR_FIELD(C, high_threshold),
          PLR_FIELD(C, softness), PLR_FIELD(C, darkest), PLR_FIELD(C, brightest), PLR_FIELD(C, blend),
          PLR_FIELD(C, low_weight), PLR_FIELD(C, high_weight), PLR_FIELD(C, min_area)}},
        {"CloudBatchParams",
         sizeof(B),
         {PLR_FIELD(B, clouds), PLR_FIELD(B, samples), PLR_FIELD(B, tables), PLR_FIELD(B, bits), PLR_FIELD(B, before),
          PLR_FIELD(B, wanted), PLR_FIELD(B, counts), PLR_FIELD(B, levels), PLR_FIELD(B, height), PLR_FIELD(B, width),
          PLR_FIELD(B, octaves), PLR_FIELD(B, outlines), PLR_FIELD(B, textures), PLR_FIELD(B, stage)}},
        {"CloudOutlineParams",
         sizeof(O),
         {PLR_FIELD(O, batch), PLR_FIELD(O, tiles), PLR_FIELD(O, noise), PLR_FIELD(O, pitch)}},
        {"CloudDrawsParams", sizeof(D), {PLR_FIELD(D, batch), PLR_FIELD(D, rows), PLR_FIELD(D, row_blocks)}},
        {"CloudRecordParams",
         sizeof(R),
         {PLR_FIELD(R, batch), PLR_FIELD(R, areas), PLR_FIELD(R, shares), PLR_FIELD(R, weights), PLR_FIELD(R, thresholds),
          PLR_FIELD(R, combines), PLR_FIELD(R, draws), PLR_FIELD(R, lowered), PLR_FIELD(R, empty)}},
        {"CloudTilesParams",
         sizeof(T),
         {PLR_FIELD(T, outline), PLR_FIELD(T, images), PLR_FIELD(T, out), PLR_FIELD(T, lesions), PLR_FIELD(T, thresholds),
          PLR_FIELD(T, weights), PLR_FIELD(T, combines), PLR_FIELD(T, whole)}},
    };
}

}  // namespace cuda
}  // namespace plr

#endif
